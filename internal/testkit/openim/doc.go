// Package openim is a double of OpenIM's REST API, as an outside process. It answers what a real server answers, keeps
// its own log of what it was sent, and fails when it is told to. It shares no code with the product.
//
//	OPENIM_SECRET=openIM123 go run ./internal/testkit/openim/double --users 1000 --log /tmp/openim.ndjson
//
// # Routes
//
//   - POST /auth/get_admin_token, /auth/parse_token
//   - POST /msg/send_msg, /msg/batch_send_msg, /msg/check_msg_is_send_success
//   - POST /user/account_check, /user/get_all_users_uid, /user/get_users, /user/get_users_online_status
//
// # Log
//
// Each request is a line of JSON (Line). The line is with the operating system before the request is answered, so a
// kill -9 loses no answered request. A double that starts with the log of an earlier one knows again which operationIDs
// were sent and which tokens stand. No token, secret or content is in the log.
//
// # Faults
//
// Manners say how the double behaves: latency, faults, and users that move while they are read. They come from the
// options, or from the control routes below /double/, which Client speaks. What is drawn by share is drawn from the
// seed, the user or the operationID, and the number of the try: the order in which requests arrive changes nothing.
//
// A file of manners, for --manners or PUT /double/manners:
//
//	{"latency": "50ms", "shift": 3, "faults": [
//	  {"kind": "kicked", "every": 2000},
//	  {"kind": "closed", "delivers": true, "share": 0.01},
//	  {"kind": "status", "status": 503, "users": "*7", "wait": "2s"},
//	  {"kind": "cut", "route": "/user/get_users", "times": 1},
//	  {"kind": "unknown", "share": 0.05}, {"kind": "refuses", "share": 0.05}]}
//
// # Where the facts are silent
//
// What is known of the real server does not say everything. The double answers then as follows; code that depends on
// one of these answers is not proven by the double.
//
//   - get_admin_token with a wrong secret, or for a user who is no admin: 1002.
//   - get_admin_token and parse_token need an operationID and no token.
//   - A well signed token that the server did not issue, and one that was retired: 1507. A token that was kicked: 1506.
//   - Two tokens of one user of the same second are the same text. The later call makes that text valid again.
//   - All users' routes are for admins; check_msg_is_send_success is for every token.
//   - accountStatus is 1 for a user who exists and 0 for another.
//   - appMangerLevel is 2 for an admin and 1 for everybody else. Admins are in the lists of users, at their beginning.
//   - A sender who is neither admin nor user: 1004, with another errDlt than an unknown recipient.
//   - A missing sendID, recvID (sessionType 1 and 4) or groupID (2 and 3): HTTP 400 and 1001.
//   - sessionType 2: 1001 with "unknown sessionType".
//   - A page number or size below 1, or a size above 1,000: HTTP 400 and 1001.
//   - There is no route for version or health.
package openim
