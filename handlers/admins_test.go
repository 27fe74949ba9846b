package handlers

import (
	"net/http"
	"testing"
	"time"

	"carillon/handlers/web"
	"carillon/internal/testkit"
	"carillon/models"
)

// While a secret is changed the tokens of both are good; only the new one signs, and only it gives tokens out.
func TestThePreviousSecretsTokensStayGood(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		const secret, another = "the new secret, for tests", "a secret that is nobody's"
		old := newServer(t, stores)
		rotated := newServer(t, stores, func(a *API) { a.Secret, a.Previous = secret, testSecret })
		after := newServer(t, stores, func(a *API) { a.Secret = secret })
		bob := unique(t, "bob")
		old.users(bob)
		opens := func(s *server, path, token, cookie string) int {
			t.Helper()
			status, _ := s.do(http.MethodGet, path, nil, "token", token, "Cookie", web.SessionCookie+"="+cookie)
			return status
		}
		forged, err := web.AdminToken(another, "imAdmin")
		if err != nil {
			t.Fatal(err)
		}
		_, got := old.logIn(old.adminToken(), "")
		cookie := session(t, got).Value
		inbox := "/v1/inbox/" + bob + "/messages"
		for _, c := range []struct {
			what, path, token, cookie string
			rotated, after            int
		}{
			{"an old admin's token", "/v1/campaigns", old.adminToken(), "", 200, 401},
			{"an old user's token", inbox, old.token(bob), "", 200, 401},
			{"an old session", "/v1/campaigns", "", cookie, 200, 401},
			{"a new token", "/v1/campaigns", after.adminToken(), "", 200, 200},
			{"another's token", "/v1/campaigns", forged, "", 401, 401},
		} {
			if status := opens(rotated, c.path, c.token, c.cookie); status != c.rotated {
				t.Errorf("%s while the secret is changed: %d, want %d", c.what, status, c.rotated)
			}
			if status := opens(after, c.path, c.token, c.cookie); status != c.after {
				t.Errorf("%s after it: %d, want %d", c.what, status, c.after)
			}
		}
		// Else who knows the old secret alone would have a token that outlives it.
		for given, want := range map[string]models.Code{testSecret: 1002, secret: 0} {
			_, got := rotated.do(http.MethodPost, "/auth/get_admin_token", map[string]any{"secret": given, "userID": "imAdmin"}, "operationID", "1")
			if got.ErrCode != want {
				t.Errorf("with %q: %s", given, got.Raw)
			}
		}
		_, got = rotated.do(http.MethodPost, "/auth/get_user_token", map[string]any{"userID": bob, "platformID": 1}, "token", old.adminToken(), "operationID", "1")
		var made struct{ Token string }
		got.into(t, &made)
		if status := opens(after, inbox, made.Token, ""); status != http.StatusOK {
			t.Errorf("a token that was made meanwhile: %d", status)
		}
		none := newServer(t, stores, func(a *API) { a.Secret, a.Previous = "", testSecret })
		if status := opens(none, "/v1/campaigns", old.adminToken(), ""); status != http.StatusUnauthorized {
			t.Errorf("a process without a secret: %d", status)
		}
	})
}

// Whoever is taken off the list is out at once, in this process; the next has a list of its own.
func TestARemovedAdminIsOutAtOnce(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s, other := newServer(t, stores), newServer(t, stores)
		t.Cleanup(s.Close)
		bob := unique(t, "bob")
		s.users(bob)
		leaving, staying := s.token("imAdmin"), s.token("openIMAdmin")
		_, got := s.logIn(leaving, "")
		cookie := web.SessionCookie + "=" + session(t, got).Value
		theirs, others, bobs := s.open(bob, "token", leaving), s.open(bob, "token", staying), s.open(bob)
		coming, err := web.AdminTokenFor(s.Secret, "eve", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if status, _ := s.do(http.MethodGet, "/v1/campaigns", nil, "token", coming); status != http.StatusForbidden {
			t.Errorf("who is not yet an admin: %d", status)
		}
		s.SetAdmins([]string{"openIMAdmin", "eve"})
		theirs.ended()
		for what, headers := range map[string][]string{"token": {"token", leaving}, "session": {"token", "", "Cookie", cookie}} {
			if status, got := s.do(http.MethodGet, "/v1/campaigns", nil, headers...); status != http.StatusForbidden || got.ErrCode != 1002 {
				t.Errorf("the %s of who was removed: %d %s", what, status, got.Raw)
			}
		}
		if _, got := s.do(http.MethodPost, "/auth/get_admin_token", map[string]any{"secret": s.Secret, "userID": "imAdmin"}, "operationID", "1"); got.ErrCode != 1002 {
			t.Errorf("a new token for who was removed: %s", got.Raw)
		}
		for what, token := range map[string]string{"who stays": staying, "who came": coming} {
			if status, _ := s.do(http.MethodGet, "/v1/campaigns", nil, "token", token); status != http.StatusOK {
				t.Errorf("%s: %d", what, status)
			}
		}
		if status, _ := other.do(http.MethodGet, "/v1/campaigns", nil, "token", leaving); status != http.StatusOK {
			t.Errorf("another process was told nothing: %d", status)
		}
		s.deliver(toUsers("still here", bob))
		others.wantText("still here")
		bobs.wantText("still here")
	})
}
