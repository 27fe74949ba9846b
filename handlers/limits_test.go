package handlers

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/handlers/web"
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
				body := []string{`{"secret":"guess","userID":"imAdmin"}`, `{"secret":`, strings.Repeat("x", web.LoginBody+1)}[i%3]
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
		if n := answered.Load(); n > web.MaxTries {
			t.Errorf("%d of 200 guesses were looked at, %d refused", n, refused.Load())
		}
	})
}

// Who knows the secret may ask for tokens as often as they like.
func TestLogInsThatSucceedAreNoTries(t *testing.T) {
	t.Parallel()
	s := newServer(t, embedded(t))
	for i := range 3 * web.MaxTries {
		if _, got := s.do(http.MethodPost, "/auth/get_admin_token", fmt.Sprintf(`{"secret":%q,"userID":"imAdmin"}`, testSecret), "operationID", "op"); got.ErrCode != 0 {
			t.Fatalf("%d: %s", i, got.Raw)
		}
		if status, got := s.logIn(s.adminToken(), ""); status != http.StatusSeeOther {
			t.Fatalf("%d: %d %s", i, status, got.Raw)
		}
	}
}

// Behind a trusted proxy one caller's bad log-ins lock out that caller alone.
func TestTriesBehindAProxyAreTheCallers(t *testing.T) {
	t.Parallel()
	s := newServer(t, embedded(t), func(a *API) { a.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	for range web.MaxTries + 1 {
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
		var said logged
		log := slog.New(slog.NewTextHandler(&said, nil))
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
		for i := range 3 * web.MaxTries {
			if code, want := secret("wrong"), map[bool]int{false: 1002, true: 429}[i >= web.MaxTries]; code != want {
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
		text := said.String()
		if strings.Count(text, "throttled") != 1 || !strings.Contains(text, "address=127.0.0.1") || strings.Contains(text, "CARILLON_TRUSTED_PROXIES") != (behind != "") {
			t.Errorf("the log says %q", text)
		}
	}
}

func TestBodiesHaveALimitByTheirPurpose(t *testing.T) {
	t.Parallel()
	s := newServer(t, embedded(t))
	s.users("bob")
	for path, limit := range map[string]int{
		"/auth/get_admin_token": web.LoginBody, "/auth/get_user_token": web.LoginBody, "/login": web.FormBody,
		"/v1/campaigns/x/retry": web.ControlBody, "/v1/schedules/preview": web.ControlBody,
		"/v1/campaigns": web.ListBody, "/v1/schedules": web.ListBody, "/v1/users": web.ListBody, sendPath: web.ListBody,
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
		if status == 0 || !strings.Contains(raw, "errCode") || time.Since(began) > 10*time.Second/2 {
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
		if d := time.Since(began); d > 10*time.Second {
			t.Errorf("%q held for %s", request, d)
		}
	}
}

func TestLargeBodiesShareTheMemory(t *testing.T) {
	t.Parallel()
	s := newServer(t, embedded(t))
	s.users("u1")
	give, err := s.TakeMemory(t.Context(), 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	large := okBatch.but(jsonFields{"ex": `"` + strings.Repeat("x", web.FreeBytes) + `"`}).body()
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
	if give, err = s.TakeMemory(t.Context(), 1<<40); err != nil {
		t.Fatalf("a request kept some: %v", err)
	}
	give()
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
