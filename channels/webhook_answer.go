package channels

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"carillon/models"
)

const (
	maxAnswerBytes      = 1 << 20 // of an answer's body; the rest is not read
	maxErrMsgChars      = 255
	maxServerMsgIDBytes = 64
	defaultSlowDown     = time.Second // for a 429 that does not say how long
	maxSlowDown         = time.Hour   // one wrong header must not silence a channel for days
)

func is2xx(status int) bool { return status >= 200 && status < 300 }

// statusOutcome is the outcome of an answer that is not 2xx.
//
// Failed for good are only the statuses that speak of this message or this recipient: 400, 404, 410, 422, and
// 3xx, as redirects are not followed. Every other 4xx is Retry: 401, 403 or 405 mean a wrong secret or a provider
// half deployed, 407, 408, 425 and 413 the way there, and none of them should fail a whole audience for good while
// an operator mends it. The attempts bound what that costs.
func statusOutcome(status int, h http.Header) Outcome {
	o := Outcome{Result: Retry, ErrCode: models.CodeCallback, ErrMsg: "the provider answered " + statusText(status)}
	switch {
	case status == http.StatusTooManyRequests:
		if o.RetryAfter = retryAfter(h); o.RetryAfter <= 0 {
			o.RetryAfter = defaultSlowDown
		}
	case status == http.StatusServiceUnavailable:
		o.Fault, o.RetryAfter = Away, retryAfter(h)
	case status == http.StatusBadGateway, status == http.StatusGatewayTimeout: // the provider's own answer may be lost
		o.Fault, o.Unsure = Away, true
	case status >= 500 && status < 600: // it may have failed after it had sent
		o.Fault, o.Unsure = Stumble, true
	case status == http.StatusRequestTimeout:
		o.Unsure = true
	case status == http.StatusBadRequest, status == http.StatusNotFound,
		status == http.StatusGone, status == http.StatusUnprocessableEntity:
		o.Result = Failed
	case status >= 300 && status < 400:
		o.Result = Failed
		o.ErrMsg += "; redirects are not followed"
	case status < 200, status >= 600: // not an answer HTTP knows: neither accepted nor refused
		o.Result = Ambiguous
	}
	return o
}

// statusText uses our own phrase: the one in the answer is the provider's to choose.
func statusText(status int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
}

// retryAfter reads Retry-After (RFC 9110, 10.2.3: seconds or an HTTP date), at most maxSlowDown; 0 when there
// is none, none that can be read, or it has passed. A date is taken against the answer's own Date where there is
// one, so that the two clocks need not agree.
func retryAfter(h http.Header) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	seconds, err := strconv.ParseUint(v, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, uint64(maxSlowDown/time.Second))) * time.Second
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return min(max(at.Sub(now), 0), maxSlowDown)
}

// webhookResult is one entry of an answer's "results".
type webhookResult struct {
	RecvID      string `json:"recvID"`
	GroupID     string `json:"groupID"`
	Status      string `json:"status"`
	ErrCode     int64  `json:"errCode"`
	ErrMsg      string `json:"errMsg"`
	ServerMsgID string `json:"serverMsgID"`
}

// answerHeader is the part of an answer's header that outcomes depend on.
func answerHeader(c *conn) http.Header {
	h := make(http.Header, 2)
	for _, name := range []string{"Retry-After", "Date"} {
		if v := c.resp.Header.Peek(name); len(v) > 0 {
			h.Set(name, string(v))
		}
	}
	return h
}

// answerOutcomes reads the body of a 2xx answer into out. Without a list of results all items are Sent; with one,
// each item is what the list says of it, and Ambiguous where it says nothing or contradicts itself.
func answerOutcomes(body []byte, items []Recipient, out []Outcome) {
	clear(out) // the zero Outcome is Sent
	if !mayHaveResults(body) {
		return
	}
	if len(body) > maxAnswerBytes {
		// Cut off, a JSON object cannot be read, and its results may name failures.
		for i := range out {
			out[i] = ambiguousAnswer("the provider's answer is larger than 1 MiB")
		}
		return
	}
	results, ok := parseResults(body)
	if !ok {
		return
	}
	type ref struct{ user, group string }
	found := make(map[ref]Outcome, len(results))
	note := func(k ref, o Outcome) {
		if had, ok := found[k]; ok && had.Result != o.Result {
			o = ambiguousAnswer("the provider's results contradict each other about this recipient")
		}
		found[k] = o
	}
	for _, r := range results {
		o := r.outcome()
		if r.RecvID != "" {
			note(ref{user: r.RecvID}, o)
		}
		if r.GroupID != "" {
			note(ref{group: r.GroupID}, o)
		}
	}
	for i, it := range items {
		o, ok := found[ref{user: it.UserID, group: it.GroupID}]
		if !ok {
			o = ambiguousAnswer("the provider's results do not name this recipient")
		}
		out[i] = o
	}
}

// mayHaveResults is false when body is certainly not a JSON object with the key "results": not an object at all,
// or a short one in which that word, as the decoder compares it, does not stand. Most answers are such.
func mayHaveResults(body []byte) bool {
	const key, short = "results", 256
	body = bytes.TrimLeft(body, " \t\r\n")
	if len(body) == 0 || body[0] != '{' {
		return false
	}
	if len(body) > short {
		return true
	}
	for i, b := range body {
		switch {
		case b == '\\' || b >= utf8.RuneSelf: // an escape or a letter that folds into one of the key's
			return true
		case b|0x20 == key[0] && len(body)-i >= len(key) && strings.EqualFold(string(body[i:i+len(key)]), key):
			return true
		}
	}
	return false
}

func ambiguousAnswer(why string) Outcome {
	return Outcome{Result: Ambiguous, ErrCode: models.CodeCallback, ErrMsg: why}
}

// parseResults finds the list of results; false when body is not a JSON object that has one.
func parseResults(body []byte) ([]webhookResult, bool) {
	var answer struct {
		Results json.RawMessage `json:"results"`
	}
	// A decoder, as what stands behind the object does not make its results any less true.
	if json.NewDecoder(bytes.NewReader(body)).Decode(&answer) != nil {
		return nil, false
	}
	var entries []json.RawMessage
	if json.Unmarshal(answer.Results, &entries) != nil || entries == nil {
		return nil, false
	}
	results := make([]webhookResult, len(entries))
	for i, e := range entries {
		// The error can only be a field of the wrong type, which then stays empty: without its ID the entry
		// names nobody, without its status it is Ambiguous.
		_ = json.Unmarshal(e, &results[i])
	}
	return results, true
}

func (r webhookResult) outcome() Outcome {
	switch r.Status {
	case "sent":
		return Outcome{Result: Sent, ServerMsgID: keepServerMsgID(r.ServerMsgID)}
	case "failed":
		return r.refusal(Failed, "the provider refused this recipient")
	case "retry":
		return r.refusal(Retry, "the provider asked to try this recipient again")
	default:
		return ambiguousAnswer("the provider's result for this recipient has no known status")
	}
}

func (r webhookResult) refusal(result Result, text string) Outcome {
	o := Outcome{Result: result, ErrCode: models.CodeCallback, ErrMsg: text}
	if r.ErrCode > 0 && r.ErrCode <= math.MaxInt32 { // the ledger's column is an INT
		o.ErrCode = models.Code(r.ErrCode)
	}
	if r.ErrMsg != "" {
		o.ErrMsg = cutChars(r.ErrMsg, maxErrMsgChars)
	}
	return o
}

// keepServerMsgID drops an ID that cannot be stored as it is: half an ID finds nothing. The JSON decoder puts
// U+FFFD for whatever was not valid UTF-8.
func keepServerMsgID(id string) string {
	if len(id) > maxServerMsgIDBytes || strings.ContainsRune(id, utf8.RuneError) {
		return ""
	}
	return id
}

// cutChars keeps the first n characters of s.
func cutChars(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}
