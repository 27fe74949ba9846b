package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fake is a server whose answers a test scripts, one after the other; the last one stays.
type fake struct {
	*httptest.Server
	steps []http.HandlerFunc
	asked atomic.Int64
	keys  []string // of the requests
	ops   []string
}

func newFake(t *testing.T, steps ...http.HandlerFunc) (*fake, *Client) {
	t.Helper()
	f := &fake{steps: steps}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(f.asked.Add(1)) - 1
		f.keys, f.ops = append(f.keys, r.Header.Get(keyHeader)), append(f.ops, r.Header.Get(operationHeader))
		f.steps[min(n, len(f.steps)-1)](w, r)
	}))
	t.Cleanup(f.Close)
	return f, newClient(t, Options{Server: f.URL, Token: "t"})
}

// newClient makes a client that does not wait between its attempts.
func newClient(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	c.doer.sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	t.Cleanup(c.Close)
	return c
}

// says answers with a status and a JSON text.
func says(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

// page answers with a web page.
func page(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<html><body>a page\n<script>…</script></body></html>")
	}
}

func good(data string) http.HandlerFunc {
	return says(http.StatusOK, `{"errCode":0,"errMsg":"","errDlt":"","data":`+data+`}`)
}

func refused(status int, code Code, text string) http.HandlerFunc {
	return says(status, fmt.Sprintf(`{"errCode":%d,"errMsg":"X","errDlt":%q,"data":{"fields":[{"field":"a","reason":"b"}]}}`, code, text))
}

var busy = func(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", "2")
	refused(http.StatusServiceUnavailable, CodeUnavailable, "the database does not answer: [3005]Unavailable")(w, r)
}

const running = `{"id":"c1","status":"running","counts":{"total":3,"pending":3},"finishedAt":null}`
const ended = `{"id":"c1","status":"completed","counts":{"total":3,"sent":3},"finishedAt":"2026-01-02T03:04:05Z"}`

// An answer of the API becomes an error with all that a program can use.
func TestRefusalsAreValues(t *testing.T) {
	t.Parallel()
	f, c := newFake(t, refused(http.StatusUnprocessableEntity, CodeArgs, "a b: [1001]ArgsError"))
	_, err := c.Campaign(t.Context(), "x")
	var e *Error
	if !errors.As(err, &e) || e.Code != CodeArgs || e.Status != 422 || len(e.Fields) != 1 || e.Fields[0] != (FieldError{"a", "b"}) || e.OperationID != f.ops[0] || e.Error() != "a b" {
		t.Errorf("%+v", e)
	}
	// OpenIM's routes refuse with 200.
	_, c = newFake(t, refused(http.StatusOK, CodeNoPermission, "no: [1002]NoPermissionError"))
	if _, err := Data[Token](c.GetUserToken(t.Context(), &GetUserTokenParams{}, GetUserTokenJSONRequestBody{})); CodeOf(err) != CodeNoPermission {
		t.Error(err)
	}
}

// What may be repeated is repeated, under the same key and operationID; nothing else is.
func TestRepeats(t *testing.T) {
	t.Parallel()
	limit := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "1")
		refused(http.StatusTooManyRequests, CodeTooManyRequests, "slow: [429]X")(w, r)
	}
	long := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "3600")
		refused(http.StatusServiceUnavailable, CodeUnavailable, "away: [3005]X")(w, r)
	}
	cut := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	get := func(c *Client) error { _, err := c.Campaign(t.Context(), "x"); return err }
	post := func(c *Client) error { _, err := c.Send(t.Context(), "", CampaignRequest{}); return err }
	pause := func(c *Client) error { _, err := c.PauseCampaign(t.Context(), "x"); return err }
	importFile := func(c *Client) error {
		_, err := c.ImportUsersWithBody(t.Context(), nil, "text/csv", io.MultiReader(strings.NewReader("userID\n")))
		return err
	}
	for name, one := range map[string]struct {
		call  func(*Client) error
		steps []http.HandlerFunc
		asked int64
		ok    bool
	}{
		"a GET":             {get, []http.HandlerFunc{busy, cut, good(running)}, 3, true},
		"a GET, in vain":    {get, []http.HandlerFunc{busy}, 4, false},
		"a POST with a key": {post, []http.HandlerFunc{busy, cut, good(running)}, 3, true},
		"a POST under way": {post, []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "1")
			refused(409, 3003, "x")(w, r)
		}, good(running)}, 2, true},
		"a POST without a key":         {pause, []http.HandlerFunc{busy, good(running)}, 1, false},
		"a POST that was not begun":    {pause, []http.HandlerFunc{limit, good(running)}, 2, true},
		"a refusal":                    {get, []http.HandlerFunc{refused(404, 1004, "no"), good(running)}, 1, false},
		"a server that asks for hours": {get, []http.HandlerFunc{long, good(running)}, 1, false},
		"a body that is gone":          {importFile, []http.HandlerFunc{limit, good(`{}`)}, 1, false},
		"a proxy without its server":   {get, []http.HandlerFunc{page(502), good(running)}, 2, true},
	} {
		f, c := newFake(t, append([]http.HandlerFunc{good(running)}, one.steps...)...)
		if err := get(c); err != nil { // the server has answered once
			t.Fatal(err)
		}
		err := one.call(c)
		if (err == nil) != one.ok || f.asked.Load()-1 != one.asked {
			t.Errorf("%s: asked %d times, want %d: %v", name, f.asked.Load()-1, one.asked, err)
		}
		keys, ops := slices.Compact(f.keys[1:]), slices.Compact(f.ops[1:])
		if len(keys) != 1 || len(ops) != 1 || (keys[0] != "") != strings.Contains(name, "with a key") && name != "a POST under way" || ops[0] == "" {
			t.Errorf("%s: keys %q, operationIDs %q", name, keys, ops)
		}
	}
}

// A wrong server, a proxy, TLS: one line that says what and what to do.
func TestBadServers(t *testing.T) {
	t.Parallel()
	secure := httptest.NewTLSServer(good(running))
	t.Cleanup(secure.Close)
	secure.Config.ErrorLog = nil
	plain := httptest.NewServer(good(running))
	t.Cleanup(plain.Close)
	gone := httptest.NewServer(nil)
	gone.Close()
	other := func(h http.HandlerFunc) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	}
	redirect := other(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://login.example.com/x?y", http.StatusFound)
	})
	for name, c := range map[string]struct{ server, want string }{
		"nobody":           {gone.URL, "nothing listens at " + gone.URL},
		"no host":          {"http://nowhere.invalid", "there is no host nowhere.invalid: check the server's address"},
		"a page":           {other(page(200)), "does not answer as Carillon does (200 OK, text/html): check the server's address"},
		"another API":      {other(says(404, `{"error":"not found"}`)), "does not answer as Carillon does (404 Not Found, application/json): check the server's address"},
		"a proxy":          {other(page(502)), "says 502 Bad Gateway: see whether Carillon runs behind it"},
		"a proxy's log-in": {other(page(401)), "refuses the request (401 Unauthorized, text/html): ask for the address that programs may use"},
		"a proxy's limit":  {other(page(413)), "(413 Request Entity Too Large): raise its limit (nginx: client_max_body_size)"},
		"a redirect":       {redirect, redirect + " redirects elsewhere (302 Found): give the server's own address, maybe https://login.example.com"},
		"an unknown CA":    {secure.URL, "add its CA to the system's, or name the CA's file in SSL_CERT_FILE"},
		"TLS is missing":   {strings.Replace(plain.URL, "http:", "https:", 1), "does not speak TLS: give the address with http://"},
		"TLS is wanted":    {strings.Replace(secure.URL, "https:", "http:", 1), "speaks TLS: give the address with https://"},
		"another's token":  {other(refused(401, 1505, "the signature is wrong: [1505]TokenUnknownError")), "does not accept the token: the signature is wrong: it may be another server's"},
		"an old token":     {other(refused(401, 1501, "the token has expired: [1501]TokenExpiredError")), "the token has expired: give a token that is valid now"},
		"an answer cut off": {other(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{")
		}), "broke off the connection"},
		"an odd type": {other(good(`{"id":7}`)), "the client may be older or newer than the server"},
	} {
		_, err := newClient(t, Options{Server: c.server, Repeats: -1}).Campaign(t.Context(), "user/1")
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.ContainsAny(err.Error(), "\n<{") || strings.Contains(err.Error(), "user") {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if IsUnreachable(err) != strings.HasPrefix(name, "no") {
			t.Errorf("%s: unreachable is %v", name, IsUnreachable(err))
		}
	}
	for _, bad := range []string{"127.0.0.1:8080", "ftp://h", "http://u:p@h", "http://h?x=1", "http://", "%"} {
		if _, err := New(Options{Server: bad}); err == nil || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// A newer server may say more, and name states that nobody knows yet.
func TestNewerServers(t *testing.T) {
	t.Parallel()
	_, c := newFake(t, good(`{"id":"c1","status":"hibernating","novelty":{"a":[1]},"counts":{"total":1,"asleep":1}}`))
	got, err := c.Campaign(t.Context(), "c1")
	if err != nil || got.Status != "hibernating" || got.Counts.Total != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTokensAreMadeWhenTheyAreNeeded(t *testing.T) {
	t.Parallel()
	f, _ := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		good(`{"id":"`+r.Header.Get("token")+`"}`)(w, r)
	})
	n := 0
	c := newClient(t, Options{Server: f.URL + "/", MakeToken: func(context.Context) (string, error) { n++; return fmt.Sprint("made-", n), nil }})
	for i := range 2 {
		if got, err := c.Campaign(t.Context(), "x"); err != nil || got.ID != fmt.Sprint("made-", i+1) {
			t.Errorf("%q, %v", got.ID, err)
		}
	}
	none := errors.New("no secret here")
	c = newClient(t, Options{Server: f.URL, MakeToken: func(context.Context) (string, error) { return "", none }})
	if _, err := c.Campaign(t.Context(), "x"); !errors.Is(err, none) {
		t.Error(err)
	}
}

func TestListsGoOnToTheirEnd(t *testing.T) {
	t.Parallel()
	_, c := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("cursor") {
		case "":
			good(`{"users":[{"userID":"a"},{"userID":"b"}],"nextCursor":"2"}`)(w, r)
		case "2":
			good(`{"users":[],"nextCursor":"3"}`)(w, r)
		case "3":
			good(`{"users":[{"userID":"c"}],"nextCursor":"4"}`)(w, r)
		default:
			refused(422, CodeArgs, "cursor is odd: [1001]ArgsError")(w, r)
		}
	})
	var got []string
	var last error
	for u, err := range c.Users(t.Context(), ListUsersParams{}) {
		if last = err; err == nil {
			got = append(got, u.UserID)
		}
	}
	if !slices.Equal(got, []string{"a", "b", "c"}) || CodeOf(last) != CodeArgs {
		t.Errorf("%q, %v", got, last)
	}
	for range c.Users(t.Context(), ListUsersParams{}) { //nolint:errcheck // who stops at once asks for no error
		break
	}
}

// stream answers with server-sent events.
func stream(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, text)
	}
}

// A watch goes through streams that break off, servers that are away and servers without a stream.
func TestWatch(t *testing.T) {
	t.Parallel()
	two := strings.Replace(running, `"pending":3`, `"pending":1,"sent":2`, 1)
	noRoute := refused(404, CodeRecordNotFound, "there is no such route: [1004]RecordNotFoundError")
	for name, c := range map[string]struct {
		ask, stream []http.HandlerFunc
		sent        []int64
		fails       string
	}{
		"events":           {[]http.HandlerFunc{good(running), good(ended)}, []http.HandlerFunc{stream("id: 7\nevent: progress\ndata: " + two + "\n\nevent: new\ndata: x\n\nevent: done\ndata: " + ended + "\n\n")}, []int64{0, 2, 3}, ""},
		"a stream cut off": {[]http.HandlerFunc{good(running), good(two), good(ended)}, []http.HandlerFunc{stream(": hi\nid: 7\nevent: state\ndata: " + running + "\n\nevent: progress\ndata: {"), stream("event: done\ndata: {}\n\n")}, []int64{0, 0, 2, 3}, ""},
		"an older server":  {[]http.HandlerFunc{good(running), good(two), good(ended)}, []http.HandlerFunc{noRoute}, []int64{0, 2, 3}, ""},
		"a server away":    {[]http.HandlerFunc{good(running), page(502), page(502), page(502), page(502), page(502), good(ended)}, []http.HandlerFunc{stream("")}, []int64{0, 3}, ""},
		"no such campaign": {[]http.HandlerFunc{refused(404, 1004, "there is no such campaign: [1004]X")}, nil, nil, "there is no such campaign"},
		"over already":     {[]http.HandlerFunc{good(ended)}, nil, []int64{3}, ""},
	} {
		var lastIDs []string
		ask, events := 0, 0
		_, cl := newFake(t, func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/events") {
				c.ask[min(ask, len(c.ask)-1)](w, r)
				ask++
				return
			}
			lastIDs = append(lastIDs, r.Header.Get("Last-Event-ID"))
			c.stream[min(events, len(c.stream)-1)](w, r)
			events++
		})
		var sent []int64
		var failed error
		for p, err := range cl.Watch(t.Context(), "c1") {
			if failed = err; err == nil {
				sent = append(sent, p.Counts.Sent)
			}
		}
		if !slices.Equal(sent, c.sent) || (failed == nil) != (c.fails == "") || failed != nil && failed.Error() != c.fails {
			t.Errorf("%s: %d, %v", name, sent, failed)
		}
		if name == "a stream cut off" && !slices.Equal(lastIDs, []string{"", "7"}) {
			t.Errorf("Last-Event-ID: %q", lastIDs)
		}
	}
}

// The end of the caller's context ends a watch, in the middle of a stream too.
func TestWatchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	enough := errors.New("enough")
	_, c := newFake(t, good(running), func(w http.ResponseWriter, r *http.Request) {
		stream("event: progress\ndata: "+running+"\n\n")(w, r)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	n := 0
	for _, err := range c.Watch(ctx, "c1") {
		if n++; n == 2 {
			cancel(enough)
		}
		if n == 3 && !errors.Is(err, enough) || n > 3 {
			t.Errorf("%d: %v", n, err)
		}
	}
	if n != 3 {
		t.Errorf("%d states", n)
	}
}

func TestEventReader(t *testing.T) {
	t.Parallel()
	r := newEventReader(strings.NewReader("retry: 2500\n: note\nid:1\nevent:a\ndata: x\ndata:y\r\n\nid: 2\n\ndata\n\ndata: lost"))
	var got bytes.Buffer
	for {
		e, err := r.next()
		if err != nil {
			break
		}
		fmt.Fprintf(&got, "%s %s %q|", e.name, e.id, e.data)
	}
	if got.String() != `a 1 "x\ny"|message 2 ""|` || r.retry != 2500*time.Millisecond {
		t.Error(got.String(), r.retry)
	}
}
