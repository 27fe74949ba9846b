package openim

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Codes of the envelope's errCode.
const (
	codeServerInternal   = 500
	codeArgs             = 1001
	codeNoPermission     = 1002
	codeRecordNotFound   = 1004
	codeTokenExpired     = 1501
	codeTokenInvalid     = 1502
	codeTokenMalformed   = 1503
	codeTokenNotValidYet = 1504
	codeTokenUnknown     = 1505
	codeTokenKicked      = 1506
	codeTokenNotExist    = 1507
)

// names are the errMsg of the codes that have a name.
var names = map[int]string{
	codeServerInternal: "ServerInternalError", codeArgs: "ArgsError", codeNoPermission: "NoPermissionError",
	1003: "DuplicateKeyError", codeRecordNotFound: "RecordNotFoundError", 1101: "UserIDNotFoundError",
	1201: "GroupIDNotFoundError", 1203: "NotInGroupYetError", 1204: "DismissedAlreadyError",
	1302: "BlockedByPeer", 1303: "NotPeersFriend", 1402: "MutedInGroup", 1403: "MutedGroup",
	codeTokenExpired: "TokenExpiredError", codeTokenInvalid: "TokenInvalidError", codeTokenMalformed: "TokenMalformedError",
	codeTokenNotValidYet: "TokenNotValidYetError", codeTokenUnknown: "TokenUnknownError",
	codeTokenKicked: "TokenKickedError", codeTokenNotExist: "TokenNotExistError",
	80000: "CallbackError", 90002: "DatabaseError", 90004: "NetworkError",
}

// answer is what a route says. The zero value is success without data.
type answer struct {
	status int // of HTTP; 0 = 200
	code   int // errCode
	detail string
	data   any
}

// refusal is a business error: HTTP 200 with a code.
func refusal(code int, format string, args ...any) answer {
	return answer{code: code, detail: fmt.Sprintf(format, args...)}
}

// unbound is the answer to a body that does not fit the route.
func unbound(format string, args ...any) answer {
	a := refusal(codeArgs, format, args...)
	a.status = http.StatusBadRequest
	return a
}

// http is the status of HTTP.
func (a answer) http() int {
	if a.status == 0 {
		return http.StatusOK
	}
	return a.status
}

// body is the envelope.
func (a answer) body() []byte {
	e := struct {
		ErrCode int    `json:"errCode"`
		ErrMsg  string `json:"errMsg"`
		ErrDlt  string `json:"errDlt"`
		Data    any    `json:"data,omitempty"`
	}{ErrCode: a.code, Data: a.data}
	if a.code != 0 {
		e.ErrMsg = errMsg(a.code)
		e.ErrDlt = fmt.Sprintf("%s: [%d]%s", a.detail, a.code, e.ErrMsg)
	}
	raw, err := json.Marshal(e)
	if err != nil {
		panic(err) // the data is the double's own
	}
	return raw
}

func errMsg(code int) string {
	if name := names[code]; name != "" {
		return name
	}
	return fmt.Sprint("Error", code)
}
