package handlers

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"carillon/internal/testkit"
	"carillon/models"
)

// TestGhostsAreNotWritten: an ID that looks like another one is refused wherever one is written, by its code point.
func TestGhostsAreNotWritten(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("u1")
		for id, point := range map[string]string{"u1\u200b": "U+200B", "u1\u00a0": "U+00A0", "\u3000u1": "U+3000", "\ufeffu1": "U+FEFF", "u\u202e1": "U+202E", "u1\ufffd": "U+FFFD", "u1\u0085": "U+0085"} {
			raw := asJSON(id)
			for _, tt := range []struct{ method, path, body string }{
				{"POST", "/v1/users", `{"users":[{"userID":` + raw + `}]}`},
				{"PUT", groupPath(id), `{"memberIDs":[]}`},
				{"PUT", groupPath("g"), `{"memberIDs":[` + raw + `]}`},
				{"POST", "/v1/campaigns", `{"message":` + aMessage + `,"audience":{"userIDs":[` + raw + `]}}`},
				{"POST", "/v1/campaigns", `{"message":` + aMessage + `,"audience":{"groupID":` + raw + `}}`},
				{"POST", "/v1/campaigns", `{"message":` + strings.Replace(aMessage, `"imAdmin"`, raw, 1) + `,"audience":{"all":true}}`},
				{"POST", "/v1/schedules", `{"cron":"0 9 * * *","campaign":{"message":` + aMessage + `,"audience":{"userIDs":[` + raw + `]}}}`},
				{"POST", sendPath, okMessage.but(jsonFields{"recvIDs": "[" + raw + "]"}).body()},
				{"POST", sendPath, okMessage.but(jsonFields{"sendID": raw}).body()},
			} {
				_, got := s.do(tt.method, tt.path, tt.body, "operationID", "op")
				if got.ErrCode != models.CodeArgs || !strings.Contains(string(got.Raw), point) {
					t.Errorf("%q %s %s: %s", id, tt.method, tt.path, got.Raw)
				}
			}
			_, got := s.do("POST", "/v1/users/import", "userID\n"+id+"\n", "Content-Type", csvType)
			if got.ErrCode != models.CodeArgs || !strings.Contains(string(got.Raw), point) {
				t.Errorf("%q import: %s", id, got.Raw)
			}
		}
		family := "👨‍👩‍👧"
		if status, got := s.do("POST", "/v1/users", `{"users":[{"userID":`+asJSON(family)+`}]}`); status != http.StatusOK || s.live() != 2 {
			t.Errorf("an emoji of several: %d %s", status, got.Raw)
		}
	})
}

// TestGhostsThatStandAreReadAndDeleted: older rows may have any ID.
func TestGhostsThatStandAreReadAndDeleted(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		ids := []string{" ", "u1", "u1 ", "u1\u00a0", "u1\u200b", "u1\ufffd", "\u3000u1", "\ufeffu1"} // in the order of their bytes
		s.users(ids...)
		for _, id := range ids {
			if _, err := s.Store.PutGroup(t.Context(), id, nil, ids); err != nil {
				t.Fatal(err)
			}
		}
		var users, groups []string
		for _, u := range walk[models.User](s, "/v1/users", "users", 1) {
			users = append(users, u.UserID)
		}
		for _, g := range walk[groupView](s, "/v1/groups", "groups", 1) {
			groups = append(groups, g.GroupID)
		}
		members := walk[string](s, groupPath("u1 ")+"/members", "memberIDs", 1)
		for _, got := range [][]string{users, groups, members} {
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", ids) {
				t.Errorf("%q", got)
			}
		}
		for _, id := range ids {
			inbox := "/v1/inbox/" + strings.TrimPrefix(userPath(id), "/v1/users/") + "/messages"
			for _, route := range []string{"GET " + userPath(id), "GET " + groupPath(id), "GET " + inbox, "DELETE " + groupPath(id), "DELETE " + userPath(id)} {
				method, path, _ := strings.Cut(route, " ")
				if status, got := s.do(method, path, nil); status != http.StatusOK {
					t.Errorf("%s: %d %s", route, status, got.Raw)
				}
			}
		}
		if s.live() != 0 {
			t.Errorf("%d users are left", s.live())
		}
	})
}

func TestNamesHoldNoControlCharacters(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("u1")
		campaign := `{"name":"a campaign","message":` + aMessage + `,"audience":{"userIDs":["u1"]}}`
		schedule := `{"name":"a schedule","cron":"0 9 * * *","timezone":"UTC","campaign":` + campaign + `}`
		var c, sch struct{ ID string }
		_, got := s.do("POST", "/v1/campaigns", campaign)
		got.into(t, &c)
		_, got = s.do("POST", "/v1/schedules", schedule)
		got.into(t, &sch)
		for name, point := range map[string]string{`a\u001b[2J`: "U+001B", `a\nb`: "U+000A", `a\tb`: "U+0009", `\u0085`: "U+0085", `\u007f`: "U+007F"} {
			for _, tt := range []struct{ method, path, field, body string }{
				{"POST", "/v1/campaigns", "name", strings.Replace(campaign, "a campaign", name, 1)},
				{"PATCH", "/v1/campaigns/" + c.ID, "name", `{"name":"` + name + `"}`},
				{"POST", "/v1/schedules", "name", strings.Replace(schedule, "a schedule", name, 1)},
				{"POST", "/v1/schedules", "campaign.name", strings.Replace(schedule, "a campaign", name, 1)},
				{"PATCH", "/v1/schedules/" + sch.ID, "name", `{"name":"` + name + `"}`},
				{"PUT", groupPath("g"), "name", `{"name":"` + name + `","memberIDs":[]}`},
			} {
				status, got := s.do(tt.method, tt.path, tt.body)
				if status != 422 || !strings.Contains(got.fields(t)[tt.field], point) {
					t.Errorf("%s %s %s: %d %s", tt.method, tt.path, name, status, got.Raw)
				}
			}
		}
		for _, tt := range []struct{ method, path, body string }{
			{"PATCH", "/v1/campaigns/" + c.ID, `{"name":"Grüße 👨‍👩‍👧"}`}, {"PATCH", "/v1/schedules/" + sch.ID, `{"name":"用户"}`}, {"PUT", groupPath("g"), `{"name":"a b","memberIDs":[]}`},
		} {
			if status, got := s.do(tt.method, tt.path, tt.body); status != http.StatusOK {
				t.Errorf("%s %s: %d %s", tt.method, tt.path, status, got.Raw)
			}
		}
	})
}
