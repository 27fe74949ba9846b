package openim

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// TestSendIsCheckedAsTheFactsSay holds send_msg against the tables of switches, envelopes and contents.
func TestSendIsCheckedAsTheFactsSay(t *testing.T) {
	t.Parallel()
	k := start(t)
	user, err := Client{k.url}.Token(t.Context(), TokenFor{"u000001", 1})
	if err != nil {
		t.Fatal(err)
	}
	picture := map[string]any{"type": "png", "width": 1, "height": 1, "url": "https://e.org/p.png"}
	video := func(change string, v any) map[string]any {
		m := map[string]any{"videoUrl": "u", "videoType": "mp4", "videoSize": 1, "duration": 1, "snapshotUrl": "s", "snapshotWidth": 1, "snapshotHeight": 1}
		m[change] = v
		return m
	}
	notice := func(more map[string]any) map[string]any {
		m := map[string]any{"notificationName": "n", "notificationType": 1, "text": "t"}
		for name, v := range more {
			m[name] = v
		}
		return map[string]any{"contentType": 1400, "sessionType": 4, "content": m}
	}
	of := func(contentType int, content any) map[string]any {
		return map[string]any{"contentType": contentType, "content": content}
	}
	type m = map[string]any
	for _, row := range []struct {
		name   string
		op     string // - = none
		token  string // "" = the admin's, - = none
		change m
		http   int // 0 = 200
		code   int
		dlt    string
	}{
		{name: "good"},
		{name: "no operationID goes before no token", op: "-", token: "-", code: 1001, dlt: "header must have operationID"},
		{name: "no token goes before a body that cannot be bound", token: "-", change: m{"content": "x"}, code: 1001, dlt: "header must have token"},
		{name: "a bad token goes before a body that cannot be bound", token: "x", change: m{"content": "x"}, code: 1503},
		{name: "a body that cannot be bound goes before the admin check", token: user, change: m{"content": "x"}, http: 400, code: 1001},
		{name: "the admin check goes before the content", token: user, change: of(101, m{}), code: 1002},
		{name: "a user's token", token: user, code: 1002},
		{name: "content is a string", change: m{"content": "hello"}, http: 400, code: 1001},
		{name: "content is missing", change: m{"content": nil}, http: 400, code: 1001},
		{name: "contentType is a string", change: m{"contentType": "101"}, http: 400, code: 1001},
		{name: "sessionType is a string", change: m{"sessionType": "1"}, http: 400, code: 1001},
		{name: "no sendID", change: m{"sendID": nil}, http: 400, code: 1001},
		{name: "no recvID", change: m{"recvID": nil}, http: 400, code: 1001},
		{name: "the contract's example of a text", change: of(101, m{"text": `{"content":"hello"}`}), code: 500, dlt: "Field validation for"},
		{name: "text", change: of(101, m{"content": ""}), code: 500, dlt: "Field validation for"},
		{name: "text of another type", change: of(101, m{"content": 7}), code: 500, dlt: "error(s) decoding"},
		{name: "extra keys", change: of(101, m{"content": "x", "more": 1})},
		{name: "picture", change: of(102, m{"sourcePicture": picture, "bigPicture": picture, "snapshotPicture": picture})},
		{name: "picture without one", change: of(102, m{"sourcePicture": picture, "bigPicture": picture}), code: 500},
		{name: "picture without url", change: of(102, m{"sourcePicture": picture, "bigPicture": picture, "snapshotPicture": m{"type": "png", "width": 1, "height": 1}}), code: 500},
		{name: "voice", change: of(103, m{"sourceUrl": "u", "duration": 1})},
		{name: "voice of no length", change: of(103, m{"sourceUrl": "u", "duration": 0}), code: 500},
		{name: "voice of less than a second", change: of(103, m{"sourceUrl": "u", "duration": 0.5}), code: 500},
		{name: "video", change: of(104, video("videoPath", "p"))},
		{name: "video without size", change: of(104, video("videoSize", 0)), code: 500},
		{name: "file", change: of(105, m{"sourceUrl": "u", "fileName": "n", "fileSize": 1})},
		{name: "file without name", change: of(105, m{"sourceUrl": "u", "fileSize": 1}), code: 500},
		{name: "at", change: of(106, m{"atUserList": []string{}})},
		{name: "at without list", change: of(106, m{"text": "x"}), code: 500},
		{name: "at with too many", change: of(106, m{"atUserList": make([]string, 1001)}), code: 500},
		{name: "custom", change: of(110, m{"data": "d"})},
		{name: "custom whose data is no string", change: of(110, m{"data": m{}}), code: 500, dlt: "error(s) decoding"},
		{name: "quote", change: of(114, m{})},
		{name: "markdown", change: of(118, m{"content": "# x"})},
		{name: "another type", change: of(107, m{"content": "x"}), code: 1001},
		{name: "notification", change: notice(nil)},
		{name: "notification of type 0", change: notice(m{"notificationType": 0}), code: 500},
		{name: "notification with mixType 6", change: notice(m{"mixType": 6}), code: 500},
		{name: "notification with mixType 5", change: notice(m{"mixType": 5})},
		{name: "1400 without sessionType 4", change: of(1400, m{"notificationName": "n", "notificationType": 1, "text": "t"}), code: 1001},
		{name: "sessionType 4 without 1400", change: m{"sessionType": 4}, code: 1001},
		{name: "sessionType 2", change: m{"sessionType": 2, "groupID": "g1"}, code: 1001, dlt: "unknown sessionType"},
		{name: "sessionType 3", change: m{"sessionType": 3, "groupID": "g1", "recvID": nil}},
		{name: "sessionType 3 without group", change: m{"sessionType": 3}, http: 400, code: 1001},
		{name: "an unknown recipient", change: m{"recvID": "nobody"}, code: 1004},
		{name: "an unknown sender", change: m{"sendID": "nobody"}, code: 1004},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			op, token := row.name, row.token
			switch token {
			case "":
				token = k.token
			case "-":
				token = ""
			}
			if row.op == "-" {
				op = ""
			}
			r := k.ask(routeSend, op, token, body(row.change))
			want := row.http
			if want == 0 {
				want = 200
			}
			if r.HTTP != want || r.ErrCode != row.code || !strings.Contains(r.ErrDlt, row.dlt) {
				t.Fatalf("HTTP %d, %s; want HTTP %d, errCode %d, errDlt with %q", r.HTTP, r.Raw, want, row.code, row.dlt)
			}
			if row.code == 0 != (r.ErrMsg == "" && r.ErrDlt == "" && field[string](t, orEmpty(r.Data), "serverMsgID") != "") {
				t.Errorf("data and texts do not fit the code: %s", r.Raw)
			}
			if op != "" && token == k.token && (k.status(op) == 2) != (row.code == 0) {
				t.Errorf("the check says another thing than %s", r.Raw)
			}
		})
	}
}

func orEmpty(data json.RawMessage) json.RawMessage {
	if len(data) == 0 {
		return json.RawMessage(`{"serverMsgID":""}`)
	}
	return data
}

func TestTheEnvelopeKeyByKey(t *testing.T) {
	t.Parallel()
	k := start(t)
	if r := k.ask(routeSend, "op", k.token, body(map[string]any{"recvID": "nobody"})); r.Raw != `{"errCode":1004,"errMsg":"RecordNotFoundError","errDlt":"the user is not found: [1004]RecordNotFoundError"}` {
		t.Errorf("a failure: %s", r.Raw)
	}
	r := k.ask(routeSend, "op", k.token, body(map[string]any{"sendTime": 1234}))
	var keys map[string]json.RawMessage
	if json.Unmarshal([]byte(r.Raw), &keys) != nil || len(keys) != 4 || string(keys["errMsg"]) != `""` || string(keys["errDlt"]) != `""` {
		t.Errorf("a success: %s", r.Raw)
	}
	var data map[string]json.RawMessage
	if json.Unmarshal(r.Data, &data) != nil || len(data) != 3 || string(data["sendTime"]) != "1234" {
		t.Errorf("its data: %s", r.Data)
	}
	if got := r.Header.Get("Content-Type"); got != "application/json; charset=utf-8" {
		t.Errorf("Content-Type %q", got)
	}
	for code, name := range map[int]string{
		500: "ServerInternalError", 1001: "ArgsError", 1002: "NoPermissionError", 1003: "DuplicateKeyError", 1004: "RecordNotFoundError",
		1101: "UserIDNotFoundError", 1302: "BlockedByPeer", 1303: "NotPeersFriend", 1501: "TokenExpiredError", 1502: "TokenInvalidError",
		1503: "TokenMalformedError", 1504: "TokenNotValidYetError", 1505: "TokenUnknownError", 1506: "TokenKickedError", 1507: "TokenNotExistError",
		80000: "CallbackError", 90002: "DatabaseError", 90004: "NetworkError",
	} {
		if errMsg(code) != name {
			t.Errorf("%d is called %s", code, errMsg(code))
		}
	}
}

// TestTokens holds the double against the facts' section on tokens.
func TestTokens(t *testing.T) {
	t.Parallel()
	k := start(t, func(o *Options) { o.Retire = 1200 * time.Millisecond })
	now := time.Now()
	in := func(d time.Duration) int64 { return now.Add(d).Unix() }
	for name, row := range map[string]struct {
		token string
		code  int
	}{
		"garbage":           {"garbage", 1503},
		"expired":           {signedBy(t, secret, jwt.MapClaims{"UserID": "imAdmin", "PlatformID": 10, "exp": in(-time.Hour)}), 1501},
		"another secret":    {signedBy(t, "other", jwt.MapClaims{"UserID": "imAdmin", "PlatformID": 10, "exp": in(time.Hour)}), 1505},
		"not yet valid":     {signedBy(t, secret, jwt.MapClaims{"UserID": "imAdmin", "PlatformID": 10, "exp": in(2 * time.Hour), "nbf": in(time.Hour)}), 1504},
		"never issued":      {signedBy(t, secret, jwt.MapClaims{"UserID": "imAdmin", "PlatformID": 10, "exp": in(time.Hour), "iat": in(-time.Hour)}), 1507},
		"without algorithm": {"eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJVc2VySUQiOiJpbUFkbWluIn0.", 1505},
		"good":              {k.token, 0},
	} {
		if r := k.ask(routeSend, "op", row.token, body(nil)); r.HTTP != 200 || r.ErrCode != row.code {
			t.Errorf("%s: %s", name, r.Raw)
		}
		if r := k.ask(routeParseToken, "op", "", `{"token":"`+row.token+`"}`); r.HTTP != 200 || r.ErrCode != row.code {
			t.Errorf("parse_token, %s: %s", name, r.Raw)
		}
	}
	var c jwt.MapClaims
	if _, _, err := jwt.NewParser().ParseUnverified(k.token, &c); err != nil || len(c) != 4 || c["UserID"] != "imAdmin" || c["PlatformID"] != 10.0 || c["exp"].(float64)-c["iat"].(float64) != 7776000 {
		t.Errorf("claims %v, %v", c, err)
	}
	r := k.ask(routeParseToken, "op", "", `{"token":"`+k.token+`"}`)
	if ends := field[int64](t, r.Data, "expireTimeSeconds"); ends != int64(c["exp"].(float64)) || field[string](t, r.Data, "userID") != "imAdmin" || field[int](t, r.Data, "platformID") != 10 {
		t.Errorf("parse_token: %s", r.Data)
	}
	for name, b := range map[string]string{"a wrong secret": `{"secret":"x","userID":"imAdmin"}`, "no admin": `{"secret":"` + secret + `","userID":"u000001"}`} {
		if r := k.ask(routeAdminToken, "op", "", b); r.HTTP != 200 || r.ErrCode != 1002 || len(r.Data) != 0 {
			t.Errorf("%s: %s", name, r.Raw)
		}
	}
	if r := k.ask(routeAdminToken, "", "", `{}`); r.ErrCode != 1001 || !strings.Contains(r.ErrDlt, "operationID") {
		t.Errorf("without operationID: %s", r.Raw)
	}
	time.Sleep(time.Until(time.Unix(int64(c["iat"].(float64))+1, 0)) + 10*time.Millisecond) // a token of the same second is the same text
	old, fresh := k.token, k.admin()
	if r := k.ask(routeSend, "op", old, body(nil)); r.ErrCode != 0 {
		t.Errorf("an earlier token ends too soon: %s", r.Raw)
	}
	time.Sleep(1300 * time.Millisecond)
	if r := k.ask(routeSend, "op", old, body(nil)); r.ErrCode != 1507 {
		t.Errorf("an earlier token goes on: %s", r.Raw)
	}
	if r := k.ask(routeSend, "op", fresh, body(nil)); r.ErrCode != 0 {
		t.Errorf("the newest token: %s", r.Raw)
	}
}

func TestATokenExpires(t *testing.T) {
	t.Parallel()
	k := start(t, func(o *Options) { o.TokenLife = time.Second })
	time.Sleep(1100 * time.Millisecond)
	if r := k.send("op", "u000001"); r.ErrCode != 1501 {
		t.Errorf("%s", r.Raw)
	}
}

func TestUsersRoutes(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.behave(Fault{Kind: Unknown, Users: "*05"}, Fault{Kind: Refuses, Users: "*06"}, Fault{Kind: RefusesSilently, Users: "*07"})
	r := k.ask(routeIDs, "op", k.token, `{"pagination":{"pageNumber":2,"showNumber":10}}`)
	ids := field[[]string](t, r.Data, "userIDs")
	if total := field[int](t, r.Data, "total"); total != 21 || len(ids) != 10 || ids[0] != "u000010" {
		t.Errorf("get_all_users_uid: %s", r.Raw)
	}
	r = k.ask(routeIDs, "op", k.token, `{"pagination":{"pageNumber":4,"showNumber":10}}`)
	if string(r.Data) != `{"total":21,"userIDs":[]}` {
		t.Errorf("behind the end: %s", r.Raw)
	}
	r = k.ask(routeUsers, "op", k.token, `{"pagination":{"pageNumber":1,"showNumber":10}}`)
	raw := field[[]map[string]any](t, r.Data, "users")
	if len(raw) != 10 || len(raw[0]) != 7 || raw[0]["userID"] != "imAdmin" {
		t.Fatalf("get_users: %s", r.Raw)
	}
	for _, u := range raw {
		if refuses := u["globalRecvMsgOpt"] == 1.0; refuses != (u["userID"] == "u000006") {
			t.Errorf("%v", u)
		}
	}
	r = k.ask(routeAccounts, "op", k.token, `{"checkUserIDs":["u000001","u000005","nobody"]}`)
	if want := `{"results":[{"userID":"u000001","accountStatus":1},{"userID":"u000005","accountStatus":0},{"userID":"nobody","accountStatus":0}]}`; string(r.Data) != want {
		t.Errorf("account_check: %s", r.Raw)
	}
	if err := k.d.Behave(Manners{Online: 1}); err != nil {
		t.Fatal(err)
	}
	r = k.ask(routeOnline, "op", k.token, `{"userIDs":["u000001","nobody"]}`)
	if want := `[{"userID":"u000001","status":1,"detailPlatformStatus":[{"platform":"iOS","status":1,"token":"token-of-u000001"}]},{"userID":"nobody","status":0,"detailPlatformStatus":[]}]`; string(r.Data) != want {
		t.Errorf("get_users_online_status: %s", r.Raw)
	}
	for route, body := range map[string]string{routeIDs: `{}`, routeUsers: `{"pagination":{"pageNumber":0,"showNumber":10}}`, routeAccounts: `{}`, routeOnline: `[]`} {
		if r := k.ask(route, "op", k.token, body); r.HTTP != 400 || r.ErrCode != 1001 {
			t.Errorf("%s: HTTP %d %s", route, r.HTTP, r.Raw)
		}
	}
}

// TestTheOriginalsBatch is batch_send_msg with the faults that the real server has.
func TestTheOriginalsBatch(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.behave(Fault{Kind: Unknown, Users: "*05"}, Fault{Kind: Refuses, Users: "*06"})
	ask := func(change map[string]any) said {
		change["recvID"] = nil
		return k.ask(routeBatch, "op", k.token, body(change))
	}
	if r := ask(map[string]any{"isSendAll": true}); r.HTTP != 400 || r.ErrCode != 1001 {
		t.Errorf("without recvIDs: %s", r.Raw)
	}
	if r := ask(map[string]any{"recvIDs": []string{}, "sessionType": 3, "groupID": "g"}); string(r.Data) != `{"results":null,"failedUserIDs":null}` {
		t.Errorf("an empty list: %s", r.Raw)
	}
	if r := ask(map[string]any{"recvIDs": []string{"u000005"}}); r.ErrCode != 0 || string(r.Data) != `{"results":null,"failedUserIDs":["u000005"]}` {
		t.Errorf("all fail: %s", r.Raw)
	}
	r := ask(map[string]any{"recvIDs": []string{"u000001", "u000001", "u000005", "u000006"}})
	results := field[[]map[string]any](t, r.Data, "results")
	if len(results) != 3 || len(results[0]) != 4 || results[0]["recvID"] != "u000001" || results[0]["clientMsgID"] != results[1]["clientMsgID"] || results[2]["serverMsgID"] != "" {
		t.Errorf("a list: %s", r.Raw)
	}
	if seen, err := (Client{k.url}).Seen(t.Context()); err != nil || seen.Delivered != 2 || seen.Repeats != 1 {
		t.Errorf("%+v %v: a repeated ID is sent twice", seen, err)
	}
	r = ask(map[string]any{"recvIDs": []string{}, "isSendAll": true})
	if n := len(field[[]any](t, r.Data, "results")); n != 20 { // the sender and the admin included
		t.Errorf("to all: %d of 20: %s", n, r.Raw)
	}
	if r := ask(map[string]any{"recvIDs": []string{"u000001"}, "content": map[string]any{"text": `{"content":"x"}`}}); r.HTTP != 200 || r.ErrCode != 500 {
		t.Errorf("the contract's text: %s", r.Raw)
	}
}
