package handlers

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"carillon/handlers/web"
	"carillon/internal/testkit"
)

// logIn posts the form as a browser of this site does.
func (s *server) logIn(token, next string, headers ...string) (status int, got reply) {
	s.t.Helper()
	form := url.Values{"token": {token}, "next": {next}}.Encode()
	headers = append([]string{"token", "", "Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin"}, headers...)
	return s.do(http.MethodPost, "/login", form, headers...)
}

// session is the cookie that an answer sets.
func session(t testing.TB, got reply) *http.Cookie {
	t.Helper()
	for _, c := range (&http.Response{Header: got.Header}).Cookies() {
		if c.Name == web.SessionCookie {
			return c
		}
	}
	t.Fatalf("no session in %v", got.Header)
	return nil
}

func embedded(t *testing.T) testkit.Stores {
	return testkit.Stores{Name: "embedded", DatabaseURL: "sqlite:" + t.TempDir() + "/carillon.db", RedisURL: testkit.EmbeddedRedisURL(t)}
}

func TestLoginOpensASession(t *testing.T) {
	t.Parallel()
	s := newServer(t, embedded(t))
	status, got := s.logIn(" "+s.adminToken()+"\n", "/monitor/queues/bulk?status=pending")
	if status != http.StatusSeeOther || got.Header.Get("Location") != "/monitor/queues/bulk?status=pending" {
		t.Fatalf("%d %v", status, got.Header)
	}
	c := session(t, got)
	life := time.Duration(c.MaxAge) * time.Second
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Secure || c.Domain != "" || life > 12*time.Hour || life < 12*time.Hour-time.Minute {
		t.Errorf("%+v", c)
	}
	cookie := c.Name + "=" + c.Value
	if status, _ := s.do(http.MethodGet, "/v1/campaigns", nil, "token", "", "Cookie", cookie); status != http.StatusOK {
		t.Errorf("with the session: %d", status)
	}
	if status, _ := s.do(http.MethodGet, "/v1/campaigns", nil, "token", c.Value); status != http.StatusUnauthorized {
		t.Errorf("the cookie as a token: %d", status)
	}
	if status, _ := s.do(http.MethodGet, "/v1/campaigns", nil, "token", "", "Cookie", c.Name+"="+s.adminToken()); status != http.StatusUnauthorized {
		t.Errorf("a token as the cookie: %d", status)
	}
	_, page := s.do(http.MethodGet, "/login", nil, "token", "", "Cookie", cookie)
	if !strings.Contains(string(page.Raw), "logged in as <strong>imAdmin</strong>") {
		t.Errorf("%s", page.Raw)
	}
	_, got = s.logIn(s.adminToken(), "", "X-Forwarded-Proto", "https")
	if c := session(t, got); !c.Secure || got.Header.Get("Location") != "/" {
		t.Errorf("behind TLS: %+v to %s", c, got.Header.Get("Location"))
	}
	status, got = s.do(http.MethodPost, "/logout", "", "Cookie", cookie)
	if c := session(t, got); status != http.StatusSeeOther || got.Header.Get("Location") != "/login" || c.MaxAge >= 0 || c.Value != "" {
		t.Errorf("logout: %d %v", status, got.Header)
	}
	if status, got := s.do(http.MethodGet, "/v1/campaigns", nil, "token", "", "Cookie", cookie); status != http.StatusUnauthorized || got.ErrCode != 1501 {
		t.Errorf("a copy of the cookie after the logout: %d %s", status, got.Raw)
	}
}

func TestLoginRefusesOtherTokens(t *testing.T) {
	t.Parallel()
	s := newServer(t, embedded(t))
	s.users("bob")
	forged, err := web.AdminToken("another secret", "imAdmin")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		token, want string
		status      int
	}{
		{"", "cut off", http.StatusUnauthorized},
		{"x", "cut off", http.StatusUnauthorized},
		{forged, "signature is not ours", http.StatusUnauthorized},
		{s.token("bob"), "not an admin", http.StatusForbidden},
	} {
		status, got := s.logIn(tt.token, "/monitor/?a=<b>")
		page := string(got.Raw)
		if status != tt.status || !strings.Contains(page, tt.want) || !strings.Contains(page, `value="/monitor/?a=&lt;b&gt;"`) {
			t.Errorf("%.20q: %d %s", tt.token, status, page)
		}
		if tt.token != "" && tt.token != "x" && strings.Contains(page, tt.token) || got.Header.Get("Set-Cookie") != "" {
			t.Errorf("%.20q: the answer gives a session or the token back", tt.token)
		}
	}
	if status, _ := s.logIn(s.adminToken(), "", "Sec-Fetch-Site", "cross-site"); status != http.StatusForbidden {
		t.Errorf("a form of another site: %d", status)
	}
}

func TestLoginLeadsToThisSiteOnly(t *testing.T) {
	t.Parallel()
	s := newServer(t, embedded(t))
	for _, next := range []string{"//evil.example", `/\evil.example`, `\\evil.example`, "https://evil.example/", "evil.example", "/\t/evil.example", "/\r\nSet-Cookie: a=b", "javascript:alert(1)"} {
		status, got := s.logIn(s.adminToken(), next)
		if to := got.Header.Get("Location"); status != http.StatusSeeOther || to != "/" {
			t.Errorf("%q: %d to %q", next, status, to)
		}
		_, page := s.do(http.MethodGet, "/login?next="+url.QueryEscape(next), nil, "token", "")
		if !strings.Contains(string(page.Raw), `name="next" value=""`) {
			t.Errorf("%q stands in the form: %s", next, page.Raw)
		}
	}
}

func TestLoginStopsGuessing(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s, other := newServer(t, stores), newServer(t, stores)
		for i := range web.MaxTries {
			if status, _ := []*server{s, other}[i%2].logIn("wrong", ""); status != http.StatusUnauthorized {
				t.Fatalf("try %d: %d", i+1, status)
			}
		}
		for _, process := range []*server{s, other} {
			status, got := process.logIn("wrong", "")
			if status != http.StatusTooManyRequests || got.Header.Get("Retry-After") == "" || !strings.Contains(string(got.Raw), "too many failed tries") {
				t.Errorf("the eleventh: %d %v %s", status, got.Header, got.Raw)
			}
		}
	})
}

func TestLoginPageCannotBeFramedOrScripted(t *testing.T) {
	t.Parallel()
	s := newServer(t, embedded(t))
	status, got := s.do(http.MethodGet, "/login?next=%22%3E%3Cscript%3E", nil, "token", "")
	policy := got.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy %q lacks %s", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "script-src") {
		t.Errorf("policy %q", policy)
	}
	if status != http.StatusOK || got.Header.Get("X-Frame-Options") != "DENY" || got.Header.Get("Cache-Control") != "no-store" || strings.Contains(string(got.Raw), "<script") {
		t.Errorf("%d %v %s", status, got.Header, got.Raw)
	}
	if !strings.Contains(string(got.Raw), "carillon token") {
		t.Error("the page does not say where a token comes from")
	}
}
