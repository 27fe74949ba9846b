package web

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"carillon/models"
)

const (
	maxIdempotencyKey = 255 // bytes, the column
	maxWait           = 60  // seconds of Prefer: wait
)

// Call is what an operation knows of the request beside its input. It is read once, where the request comes in. A page
// that calls an operation hands on its own.
type Call struct {
	Caller             // nobody on public routes
	OperationID string // made up when the request has none
	Route       string // the pattern of the path, or "(none)"
	Raw         []byte // the body as it came, once it was read; an Idempotency-Key stands for it
	keys        []string
	prefers     []string
}

func CallOf(r *http.Request) Call {
	return Call{
		OperationID: r.Header.Get("operationID"), Route: routeName(r),
		keys: r.Header.Values("Idempotency-Key"), prefers: r.Header.Values("Prefer"),
	}
}

// WithKey is the call with the Idempotency-Key that a form brings instead of a header. body is what the key stands for: of
// two calls with one key only the first acts. The second gets the first one's answer, or 3002 if its body differs. "" = no key.
func (c Call) WithKey(key string, body []byte) Call {
	c.keys, c.Raw = nil, body
	if key != "" {
		c.keys = []string{key}
	}
	return c
}

// Idempotency is the request's Idempotency-Key with what it stands for; without a key it is none. Error: 1001.
func (c *Call) Idempotency(body []byte) (models.Idempotency, error) {
	key, reason := "", ""
	switch {
	case len(c.keys) > 1:
		reason = "must be given once"
	case len(c.keys) == 1:
		if key = c.keys[0]; len(key) > maxIdempotencyKey {
			reason = fmt.Sprintf("must be at most %d bytes", maxIdempotencyKey)
		} else if strings.TrimFunc(key, blank) == "" { // whose client believes to be safe, and is not
			reason = "must not be blank; leave it out to post without one"
		}
	}
	if reason != "" {
		return models.Idempotency{}, Refuse("Idempotency-Key", reason)
	}
	return models.Idempotency{Caller: c.UserID, Route: c.Route, Key: key, BodyHash: sha256.Sum256(body)}, nil
}

func blank(r rune) bool { return r == '"' || r == '\'' || unicode.IsSpace(r) }

// Wait reads Prefer: wait=N; 0 = answer at once. given is false where the request says nothing of that. Error: 1001.
func (c *Call) Wait() (wait time.Duration, given bool, err error) {
	for _, line := range c.prefers {
		for pref := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(pref), "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			n, err := strconv.Atoi(strings.Trim(strings.TrimSpace(value), `"`))
			if err != nil || n < 0 || n > maxWait {
				return 0, true, Refuse("Prefer", "wait must be 0 to 60 seconds")
			}
			return time.Duration(n) * time.Second, true, nil
		}
	}
	return 0, false, nil
}
