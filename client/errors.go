package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Error is whatever is not a success. Its text is one line that says what is wrong and what to do.
type Error struct {
	Code        Code          // of the API; 0 if the API did not answer
	Status      int           // of HTTP; 0 without an answer
	Message     string        // what is wrong, in words
	Fix         string        // what to do, in words; may be empty
	Fields      []FieldError  // of the request, that were refused
	OperationID string        // of the call
	RetryAfter  time.Duration // how long the server asks to wait; 0 if it does not say
	Unreachable bool          // no connection to the server

	// Data is what the answer says beside, such as the report of an import that took nobody.
	Data json.RawMessage

	cause error
}

// Error is Message and Fix on one line.
func (e *Error) Error() string {
	text := e.Message
	if e.Fix != "" {
		text += ": " + e.Fix
	}
	return strings.Join(strings.Fields(text), " ")
}

// Unwrap returns the error of the connection, if that was the cause.
func (e *Error) Unwrap() error { return e.cause }

// CodeOf is the API's code in an error, or 0.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// IsUnreachable reports whether no connection to the server was possible.
func IsUnreachable(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Unreachable
}

// envelope is what every answer of the API is.
type envelope struct {
	ErrCode *Code           `json:"errCode"`
	ErrDlt  string          `json:"errDlt"`
	Data    json.RawMessage `json:"data"`
}

// nameOfCode is what errDlt ends with.
var nameOfCode = regexp.MustCompile(`: \[\d+\]\w*$`)

// refusal makes an Error of an answer in the API's envelope.
func (d *doer) refusal(res *http.Response, e envelope) *Error {
	out := &Error{Code: *e.ErrCode, Status: res.StatusCode, Message: nameOfCode.ReplaceAllString(e.ErrDlt, ""),
		OperationID: operationOf(res), RetryAfter: retryAfter(res)}
	if out.Message == "" {
		out.Message = fmt.Sprintf("%s refuses the request with code %d", d.server, out.Code)
	}
	out.Data = e.Data
	var data struct{ Fields []FieldError }
	if json.Unmarshal(e.Data, &data) == nil {
		out.Fields = data.Fields
	}
	switch {
	case out.Code == CodeTokenExpired || out.Code == CodeTokenMissing:
		out.Message, out.Fix = fmt.Sprintf("%s: %s", d.server, out.Message), "give a token that is valid now"
	case out.Code > CodeTokenExpired && out.Code < CodeTokenMissing:
		out.Message, out.Fix = fmt.Sprintf("%s does not accept the token: %s", d.server, out.Message), "it may be another server's: give one that this server's secret has signed"
	case out.Code == CodeRecordNotFound && strings.HasPrefix(out.Message, "there is no such route"):
		out.Fix = fmt.Sprintf("%s may be an older Carillon, or the wrong path", d.server)
	}
	return out
}

// oddAnswer makes an Error of an answer that is not the API's: a proxy's, or another program's.
func (d *doer) oddAnswer(res *http.Response, size int64) *Error {
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	if kind == "" {
		kind = "no content type"
	}
	out := &Error{Status: res.StatusCode, OperationID: operationOf(res), RetryAfter: retryAfter(res)}
	said := fmt.Sprintf("%d %s", res.StatusCode, http.StatusText(res.StatusCode))
	switch code := res.StatusCode; {
	case code >= 300 && code < 400:
		out.Message, out.Fix = fmt.Sprintf("%s redirects elsewhere (%s)", d.server, said), "give the server's own address"
		if to, err := res.Location(); err == nil && to.Host != "" {
			out.Fix = fmt.Sprintf("give the server's own address, maybe %s://%s", to.Scheme, to.Host)
		}
	case code == http.StatusRequestEntityTooLarge:
		out.Message = fmt.Sprintf("a proxy before %s does not take so large a body (%s)", d.server, said)
		if size > 0 {
			out.Message = fmt.Sprintf("a proxy before %s does not take a body of %s (%s)", d.server, sized(size), said)
		}
		out.Fix = "raise its limit (nginx: client_max_body_size)"
	case code == http.StatusUnauthorized || code == http.StatusForbidden || code == http.StatusProxyAuthRequired:
		out.Message, out.Fix = fmt.Sprintf("a proxy before %s refuses the request (%s, %s)", d.server, said, kind), "ask for the address that programs may use"
	case code >= 500:
		out.Message = fmt.Sprintf("a proxy before %s says %s", d.server, said)
		out.Fix = "see whether Carillon runs behind it"
	default:
		out.Message = fmt.Sprintf("%s does not answer as Carillon does (%s, %s)", d.server, said, kind)
		out.Fix = "check the server's address"
	}
	return out
}

func sized(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d KiB", (n+1023)>>10)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

func operationOf(res *http.Response) string {
	if id := res.Header.Get(operationHeader); id != "" {
		return id
	}
	return res.Request.Header.Get(operationHeader)
}

// retryAfter reads the header in seconds or as a date.
func retryAfter(res *http.Response) time.Duration {
	text := res.Header.Get("Retry-After")
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
