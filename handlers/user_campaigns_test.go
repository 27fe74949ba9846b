package handlers

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"carillon/handlers/web"
	"carillon/internal/testkit"
	"carillon/models"
)

// userCampaigns reads a user's whole list and gives, by the campaigns' names, what they are in each and why.
func (s *server) userCampaigns(t *testing.T, userID string, limit int) (names []string, is map[string]string) {
	t.Helper()
	is = map[string]string{}
	for cursor := ""; ; {
		status, got := s.do(http.MethodGet, fmt.Sprintf("/v1/users/%s/campaigns?limit=%d&cursor=%s", url.PathEscape(userID), limit, cursor), nil)
		var page struct {
			Campaigns  []UserCampaignView
			NextCursor string
		}
		if got.into(t, &page); status != http.StatusOK || len(page.Campaigns) > limit {
			t.Fatalf("%d %s", status, got.Raw)
		}
		for _, c := range page.Campaigns {
			names = append(names, c.Name)
			was := "none"
			if c.Recipient != nil {
				was = c.Recipient.Status
			}
			is[c.Name] = was + ": " + c.Why
		}
		if cursor = page.NextCursor; cursor == "" {
			return names, is
		}
	}
}

func TestCampaignsOfAUser(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		five := s.five(t) // for all users
		s.users("z-late", "z-other")
		s.putGroup("g", "", "a-sent")
		named := func(name string, spec models.CampaignSpec) models.CampaignSpec {
			spec.Name = name
			return spec
		}
		members := toGroup("3", "g")
		members.Message.SessionType = models.SessionGroup
		s.deliver(named("list", toUsers("1", "a-sent", "z-late")), named("group", toGroup("2", "g")), named("members", members))
		s.putGroup("g", "", "a-sent", "z-late")
		later := toAll("4")
		later.SendAt = models.MaxInstant
		for _, spec := range []models.CampaignSpec{named("later", later), named("open", toUsers("5", "z-late"))} {
			if _, err := s.Store.CreateCampaign(t.Context(), spec, s.Admins, models.Idempotency{}, func(models.Campaign) []byte { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		scheduled := "none: the campaign is scheduled; its audience is fixed when it starts"
		for user, want := range map[string]map[string]string{
			"a-sent": {"later": scheduled, "members": "sent: the channel accepted it", "group": "sent: the channel accepted it", "list": "sent:", "": "sent: the channel accepted it at attempt 1"},
			"z-late": {"open": "pending: still to come", "later": scheduled, "members": "none: was not a member", "group": "sent:", "list": "sent:",
				"": "none: was added to the directory after"},
			"e-still":  {"later": scheduled, "": "pending: still to come"},
			"b-failed": {"later": scheduled, "": "failed: failed for good after 5 attempts: =cmd"},
			"imAdmin":  {"later": scheduled, "": "none: the sender of"},
			"nobody":   {"later": scheduled, "": "none: was not in the directory"},
		} {
			order := []string{"open", "later", "members", "group", "list", ""}
			order = slices.DeleteFunc(order, func(name string) bool { _, ok := want[name]; return !ok })
			for _, limit := range []int{1, 2, 100} {
				names, is := s.userCampaigns(t, user, limit)
				if !slices.Equal(names, order) {
					t.Errorf("%s by %d: %q, want %q", user, limit, names, order)
				}
				for name, want := range want {
					if !strings.HasPrefix(is[name], want) {
						t.Errorf("%s in %q: %q, want %q", user, name, is[name], want)
					}
				}
			}
		}
		if _, err := s.Store.CancelCampaign(t.Context(), five, "enough"); err != nil {
			t.Fatal(err)
		}
		if _, is := s.userCampaigns(t, "e-still", 100); !strings.HasPrefix(is[""], "cancelled: the campaign was cancelled") {
			t.Errorf("%q", is)
		}
		for query, want := range map[string]int{"?limit=0": 422, "?cursor=!": 422, "?cursor=" + web.EncodeCursor("x"): 422, "?status=sent": 422} {
			if status, got := s.do(http.MethodGet, "/v1/users/a-sent/campaigns"+query, nil); status != want {
				t.Errorf("%s: %d %s", query, status, got.Raw)
			}
		}
	})
}

// What an ID begins with is taken byte for byte: neither wildcards nor case nor accents are read into it.
func TestUsersByPrefix(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		last := strings.Repeat("\U0010FFFF", 16)
		all := []string{"%", "%a", "A", "Ab", "_", `\`, `\%`, "a", "a b", "ab", "abc", "abd", "ac", "á", last, "😀", "😀b", strings.Repeat("z", 64), "a" + last[:60], "a" + last[:60] + "zzz"}
		s.users(all...)
		slices.Sort(all)
		for _, prefix := range append(slices.Clone(all), "%b", "ab%", "a_", "nobody", "'", "a ", "zz", "\U0010FFFF") {
			var want []string
			for _, id := range all {
				if strings.HasPrefix(id, prefix) {
					want = append(want, id)
				}
			}
			for cursor, got := "", []string{}; ; {
				_, answer := s.do(http.MethodGet, "/v1/users?limit=2&search="+url.QueryEscape(prefix)+"&cursor="+cursor, nil)
				var page struct {
					Users      []models.User
					NextCursor string
				}
				answer.into(t, &page)
				for _, u := range page.Users {
					got = append(got, u.UserID)
				}
				if cursor = page.NextCursor; cursor == "" {
					if !slices.Equal(got, want) {
						t.Errorf("%q: %q, want %q", prefix, got, want)
					}
					break
				}
			}
		}
		for _, bad := range []string{"%00", "%FF", strings.Repeat("x", 65)} {
			if status, got := s.do(http.MethodGet, "/v1/users?search="+bad, nil); status != http.StatusUnprocessableEntity || got.fields(t)["search"] == "" {
				t.Errorf("%s: %d %s", bad, status, got.Raw)
			}
		}
	})
}
