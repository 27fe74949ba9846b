package webhook

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"carillon/channels"
	"carillon/channels/provider"
	"carillon/models"
)

const (
	defaultSlowDown = time.Second // for a 429 that does not say how long

	maxLocationChars = 160
	leastToken       = 8 // bytes of a path's part that could be a secret
)

// statusOutcome is the outcome of an answer that is not 2xx.
//
// Failed for good are only the statuses that speak of this message or this recipient: 400, 404, 410, 422, and
// 3xx, as redirects are not followed. Every other 4xx is Retry: 401, 403 or 405 mean a wrong secret or a provider
// half deployed, 407, 408, 425 and 413 the way there, and none of them should fail a whole audience for good while
// an operator mends it. The attempts bound what that costs.
func (w *Channel) statusOutcome(status int, header func(name string) string) channels.Outcome {
	o := channels.Outcome{Result: channels.Retry, ErrCode: models.CodeCallback, HTTP: status, ErrMsg: "the provider answered " + statusText(status)}
	switch {
	case status == http.StatusTooManyRequests:
		if o.RetryAfter = provider.RetryAfter(header); o.RetryAfter <= 0 {
			o.RetryAfter = defaultSlowDown
		}
	case status == http.StatusServiceUnavailable:
		o.Fault, o.RetryAfter = channels.Away, provider.RetryAfter(header)
	case status == http.StatusBadGateway, status == http.StatusGatewayTimeout: // the provider's own answer may be lost
		o.Fault, o.Unsure = channels.Away, true
	case status >= 500 && status < 600: // it may have failed after it had sent
		o.Fault, o.Unsure = channels.Stumble, true
	case status == http.StatusRequestTimeout:
		o.Unsure = true
	case status == http.StatusBadRequest, status == http.StatusNotFound,
		status == http.StatusGone, status == http.StatusUnprocessableEntity:
		o.Result = channels.Failed
	case status >= 300 && status < 400:
		o.Result = channels.Failed
		if to := w.redirect(header("Location")); to != "" {
			o.ErrMsg += " to " + to
		}
		o.ErrMsg += "; redirects are not followed"
	case status < 200, status >= 600: // not an answer HTTP knows: neither accepted nor refused
		o.Result = channels.Ambiguous
	}
	return o
}

// redirect is a Location as it may be shown: what may hold a token is left out of it. That is its query, and each part of
// the path of the channel's own URL, which a redirect mostly repeats.
func (w *Channel) redirect(location string) string {
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
	return provider.CleanText(text, maxLocationChars)
}

// statusText uses our own phrase: the one in the answer is the provider's to choose.
func statusText(status int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
}
