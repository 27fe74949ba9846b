package handlers

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/internal/testkit"
)

// What is tried at once is as much as what is tried in turn: each try is counted before it is looked at, and over
// all processes.
func TestGuessesAtOnceAreCounted(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s, other := newServer(t, stores), newServer(t, stores)
		var answered, refused atomic.Int32
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				process := []*server{s, other}[i%2]
				body := []string{`{"secret":"guess","userID":"imAdmin"}`, `{"secret":`, strings.Repeat("x", loginBody+1)}[i%3]
				status, got := process.do(http.MethodPost, "/auth/get_admin_token", body, "operationID", "op", "token", "")
				if i%4 == 3 {
					status, got = process.logIn("guess", "")
				}
				switch {
				case status == http.StatusTooManyRequests && got.Header.Get("Retry-After") != "":
					refused.Add(1)
				case status == http.StatusTooManyRequests:
					t.Error("no Retry-After")
				default:
					answered.Add(1)
				}
			})
		}
		wg.Wait()
		if n := answered.Load(); n > maxTries {
			t.Errorf("%d of 200 guesses were looked at, %d refused", n, refused.Load())
		}
	})
}

// Who knows the secret may ask for tokens as often as they like.
func TestLogInsThatSucceedAreNoTries(t *testing.T) {
	t.Parallel()
	s := newServer(t, embedded(t))
	for i := range 3 * maxTries {
		if _, got := s.do(http.MethodPost, "/auth/get_admin_token", fmt.Sprintf(`{"secret":%q,"userID":"imAdmin"}`, testSecret), "operationID", "op"); got.ErrCode != 0 {
			t.Fatalf("%d: %s", i, got.Raw)
		}
		if status, got := s.logIn(s.adminToken(), ""); status != http.StatusSeeOther {
			t.Fatalf("%d: %d %s", i, status, got.Raw)
		}
	}
}

func TestClientAddr(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, tt := range []struct{ remote, forwarded, want string }{
		{"192.0.2.1:5", "", "192.0.2.1"},
		{"192.0.2.1:5", "198.51.100.1", "192.0.2.1"}, // anybody can write that
		{"10.0.0.7:5", "198.51.100.1", "198.51.100.1"},
		{"10.0.0.7:5", "1.2.3.4, 198.51.100.1", "198.51.100.1"},
		{"10.0.0.7:5", "198.51.100.1, 10.0.0.9", "198.51.100.1"},
		{"10.0.0.7:5", "198.51.100.1:4711", "198.51.100.1"},
		{"10.0.0.7:5", "nonsense", "10.0.0.7"},
		{"10.0.0.7:5", "", "10.0.0.7"},
		{"10.0.0.7:5", "10.0.0.8", "10.0.0.8"},
		{"10.0.0.7:5", "198.51.100.1, nonsense, 10.0.0.9", "10.0.0.9"},
		{"[fd00::7]:5", "2001:db8::1, fd00::9", "2001:db8::1"},
		{"10.0.0.7:5", "[2001:db8::1]:4711", "2001:db8::1"},
		{"[fd00::1]:5", "2001:db8::1", "2001:db8::1"},
		{"[::ffff:10.0.0.7]:5", "198.51.100.1", "198.51.100.1"},
	} {
		r := &http.Request{RemoteAddr: tt.remote, Header: http.Header{}}
		if tt.forwarded != "" {
			r.Header.Set("X-Forwarded-For", tt.forwarded)
		}
		a := &API{Proxies: proxies}
		if got := a.clientAddr(r).String(); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
	r := func(addr string) *http.Request { return &http.Request{RemoteAddr: addr} }
	a := &API{Secret: testSecret}
	if a.triesKey(r("[2001:db8::1]:1")) != a.triesKey(r("[2001:db8::ffff]:1")) || a.triesKey(r("[2001:db8:0:1::1]:1")) == a.triesKey(r("[2001:db8::1]:1")) {
		t.Error("of IPv6 a /64 is one customer")
	}
}

// Behind a trusted proxy one caller's bad log-ins lock out that caller alone.
func TestTriesBehindAProxyAreTheCallers(t *testing.T) {
	t.Parallel()
	s := newServer(t, embedded(t), func(a *API) { a.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	for range maxTries + 1 {
		s.logIn("wrong", "", "X-Forwarded-For", "198.51.100.1")
	}
	for address, want := range map[string]int{"198.51.100.1": 429, "7.7.7.7, 198.51.100.1": 429, "198.51.100.2": 401, "198.51.100.1, 198.51.100.2": 401} {
		if status, _ := s.logIn("wrong", "", "X-Forwarded-For", address); status != want {
			t.Errorf("%s: %d, want %d", address, status, want)
		}
	}
}

// Others who guess behind the same address lock nobody out who has the right secret or token; and the log says who guesses.
func TestARightSecretIsNeverLockedOut(t *testing.T) {
	t.Parallel()
	for _, behind := range []string{"", "198.51.100.1"} {
		log, said := lines()
		s := newServer(t, embedded(t), func(a *API) { a.Log = log })
		headers := []string{"operationID", "op", "token", ""}
		if behind != "" {
			headers = append(headers, "X-Forwarded-For", behind)
		}
		secret := func(secret string) int {
			status, got := s.do(http.MethodPost, "/auth/get_admin_token", fmt.Sprintf(`{"secret":%q,"userID":"imAdmin"}`, secret), headers...)
			if got.ErrCode == 0 && status == http.StatusOK {
				return 0
			}
			return int(got.ErrCode)
		}
		for i := range 3 * maxTries {
			if code, want := secret("wrong"), map[bool]int{false: 1002, true: 429}[i >= maxTries]; code != want {
				t.Errorf("guess %d: %d, want %d", i, code, want)
			}
		}
		for range 2 {
			if code := secret(testSecret); code != 0 {
				t.Errorf("the right secret: %d", code)
			}
			if status, _ := s.logIn(s.adminToken(), "", headers...); status != http.StatusSeeOther {
				t.Errorf("a right token: %d", status)
			}
			if code := secret("wrong"); code != 429 {
				t.Errorf("a guess after that: %d", code)
			}
			if status, got := s.logIn("wrong", "", headers...); status != 429 || got.Header.Get("Retry-After") == "" {
				t.Errorf("a guess after that: %d", status)
			}
		}
		text := said()
		if strings.Count(text, "throttled") != 1 || !strings.Contains(text, "address=127.0.0.1") || strings.Contains(text, "CARILLON_TRUSTED_PROXIES") != (behind != "") {
			t.Errorf("the log says %q", text)
		}
	}
}

func TestForwardedProto(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		given  []string
		secure bool
	}{
		{nil, false}, {[]string{"https"}, true}, {[]string{"HTTPS"}, true}, {[]string{"http"}, false}, {[]string{"https,http"}, true}, {[]string{" https , http"}, true},
		{[]string{"http,https"}, false}, {[]string{"https", "http"}, true}, {[]string{""}, false}, {[]string{",https"}, false},
	} {
		r := &http.Request{Header: http.Header{"X-Forwarded-Proto": tt.given}}
		if got := sessionOf(r, "", 0).Secure; got != tt.secure {
			t.Errorf("%q: %v", tt.given, got)
		}
	}
}

func TestBodiesHaveALimitByTheirPurpose(t *testing.T) {
	t.Parallel()
	s := newServer(t, embedded(t))
	s.users("bob")
	for path, limit := range map[string]int{
		"/auth/get_admin_token": loginBody, "/auth/get_user_token": loginBody, "/login": loginBody,
		"/v1/campaigns/x/retry": controlBody, "/v1/schedules/preview": controlBody,
		"/v1/campaigns": listBody, "/v1/schedules": listBody, "/v1/users": listBody, sendPath: listBody,
	} {
		for _, chunked := range []bool{false, true} {
			var body io.Reader = strings.NewReader(strings.Repeat("x", limit+1))
			if chunked {
				body = io.MultiReader(body)
			}
			status, got := s.do(http.MethodPost, path, body, "operationID", "op")
			if status != http.StatusRequestEntityTooLarge || got.ErrCode != 3004 {
				t.Errorf("%s: %d %s", path, status, got.Raw)
			}
		}
	}
}

// Whoever may not do a thing is told so before anything of the body is read.
func TestTheCallerIsKnownBeforeTheBody(t *testing.T) {
	t.Parallel()
	s := newServer(t, embedded(t))
	s.users("bob")
	for path, token := range map[string]string{
		sendPath: s.token("bob"), "/auth/get_user_token": s.token("bob"), "/v1/users": s.token("bob"), "/v1/campaigns": "", "/v1/users/import": "", "/nowhere": "",
	} {
		head := "POST " + path + " HTTP/1.1\r\nHost: x\r\noperationID: op\r\nContent-Type: text/csv\r\nContent-Length: 16777216\r\n"
		if token != "" {
			head += "token: " + token + "\r\n"
		}
		began := time.Now()
		status, raw := s.post(t, head+"\r\n{", func(net.Conn) {})
		if status == 0 || !strings.Contains(raw, "errCode") || time.Since(began) > bodyStart/2 {
			t.Errorf("%s: %d after %s: %s", path, status, time.Since(began), raw)
		}
	}
}

// A body that was announced and never sent holds its connection for seconds, whatever the route does with it.
func TestABodyThatNeverComesEndsTheConnection(t *testing.T) {
	t.Parallel()
	s := newServer(t, embedded(t), func(a *API) { a.BodyTime = 500 * time.Millisecond })
	for _, request := range []string{
		"GET /healthz HTTP/1.1\r\nContent-Length: 100", "GET /v1/campaigns HTTP/1.1\r\nContent-Length: 100", "POST /nowhere HTTP/1.1\r\nContent-Length: 100",
		"POST /healthz HTTP/1.1\r\nTransfer-Encoding: chunked", "POST /login HTTP/1.1\r\nContent-Length: 100",
		"POST /auth/get_admin_token HTTP/1.1\r\noperationID: op\r\nTransfer-Encoding: chunked", "POST /logout HTTP/1.1\r\nContent-Length: 100",
		"POST /v1/users/import HTTP/1.1\r\nContent-Type: text/csv\r\nContent-Length: 100\r\ntoken: " + s.adminToken(),
	} {
		began := time.Now()
		s.post(t, request+"\r\nHost: x\r\n\r\n", func(net.Conn) {})
		if d := time.Since(began); d > bodyStart {
			t.Errorf("%q held for %s", request, d)
		}
	}
}

func TestLargeBodiesShareTheMemory(t *testing.T) {
	t.Parallel()
	s := newServer(t, embedded(t))
	s.users("u1")
	give, err := s.budget.take(t.Context(), s.memory(), 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	large := okBatch.but(jsonFields{"ex": `"` + strings.Repeat("x", freeBytes) + `"`}).body()
	status, got := s.send(large)
	if status != http.StatusServiceUnavailable || got.ErrCode != 3005 || got.Header.Get("Retry-After") == "" {
		t.Errorf("a large body: %d %s", status, got.Raw)
	}
	if status, got := s.do(http.MethodPost, "/v1/users/import", "userID\na\n", "Content-Type", csvType); status != http.StatusServiceUnavailable || got.ErrCode != 3005 {
		t.Errorf("an import: %d %s", status, got.Raw)
	}
	if status, got := s.send(okBatch.body()); status != 200 || got.ErrCode != 0 {
		t.Errorf("a short message has to go on: %d %s", status, got.Raw)
	}
	give()
	if _, got := s.send(large); got.ErrCode == 3005 {
		t.Errorf("with the memory back: %s", got.Raw)
	}
	if give, err = s.budget.take(t.Context(), s.memory(), 1<<40); err != nil {
		t.Fatalf("a request kept some: %v", err)
	}
	give()
}

// What a body costs when it is decoded is bounded by more than its bytes.
func TestBodiesOfManySmallValues(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"users": `{"users":[{}` + strings.Repeat(",{}", maxEntries) + `]}`, "where nobody reads": `{"x":{"y":[0` + strings.Repeat(",0", maxEntries) + `]}}`,
		"fields": manyFields(maxFields + 1),
	} {
		var b UsersBody
		if err := decodeJSON([]byte(body), &b, refuseUnknown); err == nil || !strings.Contains(err.Error(), "must have at most") || b.Users != nil {
			t.Errorf("%s: %.200v", name, err)
		}
	}
}

func manyFields(n int) string {
	var b strings.Builder
	b.WriteString(`{"x":{"a":1`)
	for i := range n {
		fmt.Fprintf(&b, `,"%d":1`, i)
	}
	b.WriteString("}}")
	return b.String()
}

func TestAnswersAreOfTheirTypeAndKeptByNobody(t *testing.T) {
	t.Parallel()
	s := newServer(t, embedded(t))
	s.users("u1")
	_, got := s.send(okBatch.body())
	var data BatchAnswer
	got.into(t, &data)
	for _, path := range []string{
		"/v1/campaigns", "/v1/campaigns/" + data.CampaignID + "/recipients.csv", "/v1/campaigns/" + data.CampaignID + "/recipients.ndjson",
		"/nowhere", "/healthz", "/readyz", "/login", "/monitor/api/queues", "/v1/inbox/u1/messages",
	} {
		_, got := s.do(http.MethodGet, path, nil)
		if got.Header.Get("X-Content-Type-Options") != "nosniff" || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", path, got.Header)
		}
	}
	if _, got := s.do(http.MethodPost, "/v1/campaigns", "{"); got.Header.Get("X-Content-Type-Options") != "nosniff" || got.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("a refusal: %v", got.Header)
	}
}

// An answer that nobody reads is given up, and with it the memory it holds.
func TestAReaderThatStopsIsDropped(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan time.Duration, 1)
	web := &http.Server{ReadHeaderTimeout: time.Second, Handler: new(API).timely(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writesWithin(w, 300*time.Millisecond)
		began := time.Now()
		_, _ = w.Write(make([]byte, 64<<20))
		ended <- time.Since(began)
	}))}
	go func() { _ = web.Serve(l) }()
	t.Cleanup(func() { _ = web.Close() })
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("the answer is held for ever")
	}
}

func TestOneUserHasAShareOfTheRequests(t *testing.T) {
	t.Parallel()
	a := &API{Conns: NewConns(128, 1024, nil, nil)}
	var leave func()
	for range maxRequests {
		var err error
		if leave, err = a.enter(context.Background(), claims{UserID: "bob"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.enter(context.Background(), claims{UserID: "bob"}); err == nil {
		t.Error("more than the share")
	}
	if _, err := a.enter(context.Background(), claims{UserID: "eve"}); err != nil {
		t.Error(err)
	}
	leave()
	if _, err := a.enter(context.Background(), claims{UserID: "bob"}); err != nil {
		t.Error(err)
	}
	gives := 0
	for ; ; gives++ {
		if _, ok := a.takeLong(); !ok {
			break
		}
	}
	if gives != a.Conns.max*3/4 {
		t.Errorf("%d of %d connections for what takes long", gives, a.Conns.max)
	}
}

// What decoding takes altogether is no more than what the body is weighed at. Not parallel: it counts what the
// whole process takes.
func TestABodyIsWeighedByWhatItCosts(t *testing.T) { //nolint:paralleltest // see above
	ids := `"` + strings.Repeat(strings.Repeat("x", 150)+`","`, 99_999) + `x"`
	user := `{"userID":"u","ex":"` + strings.Repeat(`\u00e9`, 2_600) + `"}`
	for name, body := range map[string]string{
		"many users":      `{"users":[{}` + strings.Repeat(",{}", listBody/3-10) + `]}`,
		"large users":     `{"users":[` + user + strings.Repeat(","+user, 999) + `]}`,
		"many fields":     manyFields(1_000_000),
		"IDs":             `{"recvIDs":[` + ids + `]}`,
		"small IDs":       `{"recvIDs":["a"` + strings.Repeat(`,"a"`, 99_999) + `]}`,
		"one long text":   `{"ex":"` + strings.Repeat("x", listBody-10) + `"}`,
		"escapes":         `{"ex":"` + strings.Repeat(`\u0041`, listBody/6-10) + `"}`,
		"unknown numbers": `{"x":[0` + strings.Repeat(",0", 100_000) + `]}`,
	} {
		raw := []byte(body)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if strings.Contains(name, "users") {
			_ = decodeJSON(raw, &UsersBody{}, ignoreUnknown)
		} else {
			_ = decodeJSON(raw, &BatchBody{}, ignoreUnknown)
		}
		runtime.ReadMemStats(&after)
		took, weighed := int64(after.TotalAlloc-before.TotalAlloc)+int64(len(raw)), cost(int64(len(raw)))
		if took > weighed {
			t.Errorf("%s: %d MiB for %d MiB, weighed at %d", name, took>>20, len(raw)>>20, weighed>>20)
		}
	}
}
