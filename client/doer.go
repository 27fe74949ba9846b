package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"
)

const (
	operationHeader = "operationID"
	keyHeader       = "Idempotency-Key"
	usualRepeats    = 3
	usualWait       = 30 * time.Second
	firstWait       = 200 * time.Millisecond
	// maxAnswer is for one answer in JSON. Exports and streams have no limit.
	maxAnswer = 256 << 20
)

// doer makes the requests of the generated calls. It adds the headers, repeats what may be repeated,
// and turns whatever is not a success into an *Error.
type doer struct {
	server   string
	o        Options
	http     *http.Client
	answered atomic.Bool // the server has answered once
	sleep    func(context.Context, time.Duration) error
}

func newDoer(base *url.URL, o Options) *doer {
	d := &doer{server: base.String(), o: o, http: o.HTTP, sleep: sleep}
	if d.http == nil {
		d.http = newHTTP()
	}
	switch {
	case o.Repeats == 0:
		d.o.Repeats = usualRepeats
	case o.Repeats < 0:
		d.o.Repeats = 0
	}
	if o.LongestWait == 0 {
		d.o.LongestWait = usualWait
	}
	if o.UserAgent == "" {
		d.o.UserAgent = "carillon-client"
	}
	return d
}

// keyed are the ends of the paths whose POSTs take an Idempotency-Key.
var keyed = []string{"/v1/campaigns", "/v1/campaigns/test", "/v1/schedules", "/run", "/msg/batch_send_msg"}

// Do makes a request, and repeats it where that is safe. The result is a success, or the error is an
// *Error. What is repeated:
//
//   - GET and HEAD;
//   - POSTs with an Idempotency-Key, which Do makes for the routes that take one;
//   - whatever was refused with 429, since it was not begun.
//
// A server that has never answered is not waited for: its address is wrong, or nobody serves.
func (d *doer) Do(req *http.Request) (*http.Response, error) {
	d.prepare(req)
	for try := 0; ; try++ {
		res, err := d.once(req)
		if err == nil {
			return res, nil
		}
		wait, again := d.again(req, err, try)
		if !again {
			return nil, err
		}
		if sleepErr := d.sleep(req.Context(), wait); sleepErr != nil {
			return nil, sleepErr
		}
		if req.GetBody != nil {
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

// prepare adds the headers that stay the same in all attempts.
func (d *doer) prepare(req *http.Request) {
	h := req.Header
	h.Set("User-Agent", d.o.UserAgent)
	if h.Get(operationHeader) == "" {
		id := d.o.OperationID
		if id == "" {
			id = ulid.Make().String()
		}
		h.Set(operationHeader, id)
	}
	if req.Method != http.MethodPost || h.Get(keyHeader) != "" {
		return
	}
	for _, end := range keyed {
		if strings.HasSuffix(req.URL.Path, end) {
			h.Set(keyHeader, ulid.Make().String())
			return
		}
	}
}

// again reports whether a request is made once more, and after which time.
func (d *doer) again(req *http.Request, err error, try int) (time.Duration, bool) {
	var e *Error
	if try >= d.o.Repeats || !errors.As(err, &e) || req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return 0, false
	}
	safe := req.Method == http.MethodGet || req.Method == http.MethodHead || req.Header.Get(keyHeader) != ""
	passing := false
	switch e.Status {
	case 0: // no answer
		passing = d.answered.Load() && (e.Unreachable || safe)
		safe = safe || e.Unreachable
	case http.StatusTooManyRequests:
		safe, passing = true, true
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		passing = true
	case http.StatusConflict:
		passing = e.RetryAfter > 0 // the first request under this key is still being served
	}
	if !safe || !passing || e.RetryAfter > d.o.LongestWait {
		return 0, false
	}
	wait := firstWait << try
	wait += rand.N(wait) // callers who were refused together come back at different times
	return max(wait, e.RetryAfter), true
}

// once makes one attempt.
func (d *doer) once(req *http.Request) (*http.Response, error) {
	token := d.o.Token
	if token == "" && d.o.MakeToken != nil {
		var err error
		if token, err = d.o.MakeToken(req.Context()); err != nil {
			return nil, err
		}
	}
	if token != "" {
		req.Header.Set("token", token)
	}
	res, err := d.http.Do(req)
	if err != nil {
		return nil, d.noAnswer(req.Context(), req.Header.Get(operationHeader), err)
	}
	d.answered.Store(true)
	return d.look(req, res)
}

// look lets a success pass, and makes an Error of everything else. An answer in JSON is read to its
// end: OpenIM's routes refuse with 200.
func (d *doer) look(req *http.Request, res *http.Response) (*http.Response, error) {
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	good := res.StatusCode >= 200 && res.StatusCode < 300
	switch {
	case req.Method == http.MethodHead && good:
		return res, nil
	case good && (kind == "text/csv" || kind == "application/x-ndjson" || kind == "text/event-stream"):
		return res, nil
	case kind != "application/json":
		defer res.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		if res.StatusCode == http.StatusBadRequest && bytes.Contains(text, []byte("HTTP request to an HTTPS server")) {
			return nil, &Error{Status: res.StatusCode, Message: d.server + " speaks TLS", Fix: "give the address with https://"}
		}
		return nil, d.oddAnswer(res, req.ContentLength)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, d.noAnswer(req.Context(), req.Header.Get(operationHeader), err)
	case len(body) > maxAnswer:
		return nil, &Error{Status: res.StatusCode, Message: fmt.Sprintf("the answer of %s has more than %s", d.server, sized(maxAnswer)), Fix: "ask for less"}
	}
	var e envelope
	switch err := json.Unmarshal(body, &e); {
	case err != nil || e.ErrCode == nil:
		return nil, d.oddAnswer(res, req.ContentLength)
	case *e.ErrCode != 0:
		return nil, d.refusal(res, e)
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
