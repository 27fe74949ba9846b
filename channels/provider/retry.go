package provider

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxSlowDown: one wrong header must not silence a channel for days.
const maxSlowDown = time.Hour

// RetryAfter reads Retry-After (RFC 9110, 10.2.3: seconds or an HTTP date), at most an hour; 0 when there
// is none, none that can be read, or it has passed. A date is taken against the answer's own Date where there is
// one, so that the two clocks need not agree.
func RetryAfter(header func(name string) string) time.Duration {
	v := strings.TrimSpace(header("Retry-After"))
	seconds, err := strconv.ParseUint(v, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, uint64(maxSlowDown/time.Second))) * time.Second
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(header("Date"))
	if err != nil {
		now = time.Now()
	}
	return min(max(at.Sub(now), 0), maxSlowDown)
}
