package channels

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"carillon/models"
)

const (
	maxAnswerBytes  = 1 << 20     // of an answer's body; the rest is not read
	defaultSlowDown = time.Second // for a 429 that does not say how long
	maxSlowDown     = time.Hour   // one wrong header must not silence a channel for days

	maxLocationChars = 160
	leastToken       = 8 // bytes of a path's part that could be a secret
)

func is2xx(status int) bool { return status >= 200 && status < 300 }

// statusOutcome is the outcome of an answer that is not 2xx.
//
// Failed for good are only the statuses that speak of this message or this recipient: 400, 404, 410, 422, and
// 3xx, as redirects are not followed. Every other 4xx is Retry: 401, 403 or 405 mean a wrong secret or a provider
// half deployed, 407, 408, 425 and 413 the way there, and none of them should fail a whole audience for good while
// an operator mends it. The attempts bound what that costs.
func (w *Webhook) statusOutcome(status int, h http.Header) Outcome {
	o := Outcome{Result: Retry, ErrCode: models.CodeCallback, HTTP: status, ErrMsg: "the provider answered " + statusText(status)}
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
		if to := w.redirect(h.Get("Location")); to != "" {
			o.ErrMsg += " to " + to
		}
		o.ErrMsg += "; redirects are not followed"
	case status < 200, status >= 600: // not an answer HTTP knows: neither accepted nor refused
		o.Result = Ambiguous
	}
	return o
}

// redirect is a Location as it may be shown: what may hold a token is left out of it. That is its query, and each part of
// the path of the channel's own URL, which a redirect mostly repeats.
func (w *Webhook) redirect(location string) string {
	u, err := url.Parse(location)
	if err != nil || location == "" {
		return ""
	}
	to := url.URL{Scheme: u.Scheme, Host: u.Host, Opaque: u.Opaque, Path: u.Path}
	text := to.String()
	for part := range strings.SplitSeq(w.path, "/") {
		if len(part) >= leastToken {
			text = strings.ReplaceAll(text, part, "…")
		}
	}
	if u.RawQuery != "" {
		text += "?…"
	}
	return cleanText(text, maxLocationChars)
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

// answerHeader is the part of an answer's header that outcomes depend on.
func answerHeader(c *conn) http.Header {
	h := make(http.Header, 3)
	for _, name := range []string{"Retry-After", "Date", "Location"} {
		if v := c.resp.Header.Peek(name); len(v) > 0 {
			h.Set(name, string(v))
		}
	}
	return h
}
