package handlers

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/handlers/streams"
	"carillon/handlers/web"
	"carillon/internal/testkit"
	"carillon/models"
)

// Who comes again under an ID of old is another one: neither their token nor their messages are inherited.
func TestARecreatedUserInheritsNothing(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		other := newServer(t, stores)
		s.manyUsers("bob")
		if _, err := s.Store.PutGroup(t.Context(), "choir", nil, []string{"bob"}); err != nil {
			t.Fatal(err)
		}
		old := s.token("bob")
		s.deliver(toUsers("to the first bob", "bob"), toAll("to all"), toGroup("to the choir", "choir"))
		if texts, _ := s.wholeInbox("bob", 10); len(texts) != 3 {
			t.Fatalf("%q", texts)
		}
		before, err := s.Store.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Store.DeleteUser(t.Context(), "bob"); err != nil {
			t.Fatal(err)
		}
		for _, process := range []*server{s, other} {
			if status, got := process.do(http.MethodGet, "/v1/inbox/bob/messages", nil, "token", old); status != http.StatusUnauthorized || got.ErrCode != 1502 {
				t.Errorf("deleted: %d %s", status, got.Raw)
			}
		}
		// messages of the very millisecond in which bob came again count as the new bob's
		testkit.Eventually(t, "a millisecond passes", patience, func() bool { now, err := s.Store.Now(t.Context()); return err == nil && now > before })
		s.users("bob")
		for _, process := range []*server{s, other} {
			for _, path := range []string{"messages", "stream"} {
				if status, got := process.do(http.MethodGet, "/v1/inbox/bob/"+path, nil, "token", old); status != http.StatusUnauthorized || got.ErrCode != 1502 {
					t.Errorf("the first bob's token: %d %s", status, got.Raw)
				}
			}
		}
		if texts, _ := other.wholeInbox("bob", 10); len(texts) != 0 {
			t.Errorf("the second bob reads %q", texts)
		}
		s.deliver(toUsers("to the second bob", "bob"), toAll("to all again"), toGroup("to the choir again", "choir"))
		if texts, _ := other.wholeInbox("bob", 1); !slices.Equal(texts, []string{"to the second bob", "to all again", "to the choir again"}) {
			t.Errorf("the second bob reads %q", texts)
		}
		s.users("bob") // an update is no new entry
		if status, _ := s.do(http.MethodGet, "/v1/inbox/bob/messages", nil, "token", s.token("bob")); status != http.StatusOK {
			t.Errorf("after an update: %d", status)
		}
		if texts, _ := s.wholeInbox("bob", 10); len(texts) != 3 {
			t.Errorf("after an update: %q", texts)
		}
	})
}

func TestARecreatedGroupInheritsNothing(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("bob", "eve")
		put := func() {
			t.Helper()
			if _, err := s.Store.PutGroup(t.Context(), "choir", nil, []string{"bob", "eve"}); err != nil {
				t.Fatal(err)
			}
		}
		put()
		s.deliver(toGroup("to the first choir", "choir"))
		put() // new members, the same choir
		if texts, _ := s.wholeInbox("bob", 10); len(texts) != 1 {
			t.Errorf("after a change of members: %q", texts)
		}
		before, err := s.Store.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Store.DeleteGroup(t.Context(), "choir"); err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, "a millisecond passes", patience, func() bool { now, err := s.Store.Now(t.Context()); return err == nil && now > before })
		put()
		if texts, _ := s.wholeInbox("bob", 10); len(texts) != 0 {
			t.Errorf("members of the second choir read %q", texts)
		}
		s.deliver(toGroup("to the second choir", "choir"))
		if texts, _ := s.wholeInbox("eve", 10); !slices.Equal(texts, []string{"to the second choir"}) {
			t.Errorf("members of the second choir read %q", texts)
		}
	})
}

// What a token was made for stays what it is for.
func TestAUsersTokenNeverBecomesAnAdmins(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("bob")
		users := s.token("bob")
		promoted := newServer(t, stores, func(a *API) { a.Admins = append(a.Admins, "bob") })
		if status, got := promoted.do(http.MethodGet, "/v1/campaigns", nil, "token", users); status != http.StatusForbidden || got.ErrCode != 1002 {
			t.Errorf("bob's old token opens everything: %d %s", status, got.Raw)
		}
		if status, got := promoted.do(http.MethodGet, "/v1/inbox/bob/messages", nil, "token", users); status != http.StatusOK {
			t.Errorf("and no longer his inbox: %d %s", status, got.Raw)
		}
		admins := promoted.token("bob")
		if status, _ := promoted.do(http.MethodGet, "/v1/campaigns", nil, "token", admins); status != http.StatusOK {
			t.Errorf("his new one: %d", status)
		}
		for _, path := range []string{"/v1/campaigns", "/v1/inbox/bob/messages"} { // s knows bob as a user only
			if status, got := s.do(http.MethodGet, path, nil, "token", admins); status != http.StatusForbidden || got.ErrCode != 1002 {
				t.Errorf("%s with an admin's token of one who is none: %d %s", path, status, got.Raw)
			}
		}
	})
}

func TestASessionEndsInAllProcesses(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s, other := newServer(t, stores), newServer(t, stores)
		_, got := s.logIn(s.adminToken(), "")
		cookie := web.SessionCookie + "=" + session(t, got).Value
		if status, _ := other.do(http.MethodGet, "/v1/campaigns", nil, "token", "", "Cookie", cookie); status != http.StatusOK {
			t.Errorf("another process does not know the session: %d", status)
		}
		other.do(http.MethodPost, "/logout", "", "token", "", "Cookie", cookie)
		if status, got := s.do(http.MethodGet, "/v1/campaigns", nil, "token", "", "Cookie", cookie); status != http.StatusUnauthorized || got.ErrCode != 1501 {
			t.Errorf("after a logout elsewhere: %d %s", status, got.Raw)
		}
		if status, _ := s.do(http.MethodGet, "/v1/campaigns", nil); status != http.StatusOK {
			t.Errorf("the token itself: %d", status)
		}
	})
}

func TestAStreamEndsWithItsUser(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s, other := newServer(t, stores), newServer(t, stores)
		t.Cleanup(s.Close)
		bob, eve := unique(t, "bob"), unique(t, "eve")
		s.users(bob, eve)
		his, admins, hers := s.open(bob), s.open(bob, "token", s.adminToken()), s.open(eve)
		if err := other.Store.DeleteUser(t.Context(), bob); err != nil {
			t.Fatal(err)
		}
		other.users(bob) // at once, so that the directory holds the ID whenever it is looked at
		his.ended()
		admins.ended()
		s.deliver(toUsers("still here", eve))
		hers.wantText("still here")
		again := s.open(bob)
		s.deliver(toUsers("to the second bob", bob))
		again.wantText("to the second bob")
	})
}

func TestACursorFromTheFutureGoesOnFromNow(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		t.Cleanup(s.Close)
		bob := unique(t, "bob")
		s.users(bob)
		s.deliver(toUsers("old", bob))
		now, err := s.Store.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []models.Millis{now + models.Millis(time.Hour/time.Millisecond), models.MaxInstant} {
			future := streams.CursorText(models.InboxCursor{SentAt: at, Campaign: 1})
			c := s.open(bob, "Last-Event-ID", future)
			if e := c.next(); e.Event != "note" || !strings.Contains(e.Data, "future") {
				t.Errorf("no note: %+v", e)
			}
			s.deliver(toUsers("new", bob))
			c.wantText("new")
			c.close()
			page := s.inboxPage(bob, "after="+future)
			if page.NextCursor == future || page.NextCursor == "" {
				t.Errorf("the list goes on from %q", page.NextCursor)
			}
		}
		near := streams.CursorText(models.InboxCursor{SentAt: now + 5_000, Campaign: 1})
		if page := s.inboxPage(bob, "after="+near); page.NextCursor != near {
			t.Error("another database's clock may be a little behind")
		}
	})
}
