package handlers

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/handlers/web"
	"carillon/internal/testkit"
	"carillon/models"
)

// events reads a list of events, newest first.
func (s *server) events(path string) []EventView {
	s.t.Helper()
	status, got := s.do("GET", path, nil)
	if status != http.StatusOK {
		s.t.Fatalf("GET %s: %d %s", path, status, got.Raw)
	}
	var data struct{ Events []EventView }
	got.into(s.t, &data)
	return data.Events
}

// kindsOf are the kinds of events, oldest first.
func kindsOf(events []EventView) string {
	kinds := make([]string, len(events))
	for i, e := range events {
		kinds[len(events)-1-i] = string(e.Kind)
	}
	return strings.Join(kinds, " ")
}

// Whatever an admin changes over the API is in the event log, under the request's operationID, without contents and tokens.
func TestWhatTheAPIChangesIsAnEvent(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		ok := func(method, path string, body any, headers ...string) reply {
			t.Helper()
			status, got := s.do(method, path, body, append([]string{"operationID", "op ü"}, headers...)...)
			if status >= 300 || got.ErrCode != 0 {
				t.Fatalf("%s %s: %d %s", method, path, status, got.Raw)
			}
			return got
		}
		ok("POST", "/v1/users", `{"users":[{"userID":"u1"},{"userID":"u2"},{"userID":"u3"}]}`)
		ok("POST", "/v1/users/import", "userID,nickname\nu4,Four\n,nobody\n", "Content-Type", "text/csv")
		ok("DELETE", "/v1/users/u3", nil)
		ok("PUT", "/v1/groups/g", `{"memberIDs":["u1","u2"]}`)
		ok("DELETE", "/v1/groups/g", nil)
		token := ok("POST", "/auth/get_user_token", `{"userID":"u1","platformID":1}`)
		sch := s.schedule("POST", "/v1/schedules", okSchedule(jsonFields{}).body(), http.StatusCreated).ID
		ok("PATCH", "/v1/schedules/"+sch, `{"name":"new","cron":"0 8 * * *"}`)
		for _, what := range []string{"pause", "pause", "resume", "run"} {
			ok("POST", "/v1/schedules/"+sch+"/"+what, nil)
		}
		ok("DELETE", "/v1/schedules/"+sch, nil)

		want := "users.put users.imported user.deleted group.put group.deleted token.issued schedule.created schedule.edited schedule.paused schedule.resumed schedule.fired campaign.created schedule.deleted"
		all := s.events("/v1/events")
		if got := kindsOf(all); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
		slices.Reverse(all)
		for i, e := range all {
			if e.Actor != "imAdmin" || e.Via != models.ViaAPI || e.OperationID != "op ü" && e.Kind != models.EventScheduleCreated || e.At == "" {
				t.Errorf("%d: %+v", i, e)
			}
		}
		for i, want := range map[int]string{
			0: "map[changed:0 created:3 repeated:0 unchanged:0]", 1: "map[changed:0 created:1 refused:1 repeated:0 unchanged:0 whole:true]",
			2: "map[userID:u3]", 3: "map[groupID:g members:2]", 5: "map[admin:false userID:u1]",
		} {
			if got := fmt.Sprint(map[string]any(all[i].Data)); got != want {
				t.Errorf("%s: %s, want %s", all[i].Kind, got, want)
			}
		}
		changed, _ := all[7].Data["changed"].(map[string]any)
		if len(changed) != 2 || fmt.Sprint(changed["name"]) != "map[from:Monday to:new]" && changed["cron"] == nil {
			t.Errorf("%v", all[7].Data)
		}
		if e := all[10]; e.ReasonCode != models.ReasonByHand || e.CampaignID == "" || e.ScheduleID != sch || all[11].CampaignID != e.CampaignID || all[11].ScheduleID != sch {
			t.Errorf("%+v, %+v", e, all[11])
		}
		if e := all[12]; e.From != "active" || e.To != "deleted" {
			t.Errorf("%+v", e)
		}
		if n := len(s.events("/v1/schedules/" + sch + "/history")); n != 7 {
			t.Errorf("%d events of the schedule", n)
		}
		var issued struct{ Token string }
		token.into(t, &issued)
		if _, got := s.do("GET", "/v1/events?limit=1000", nil); strings.Contains(string(got.Raw), issued.Token) || strings.Contains(string(got.Raw), "contentType") {
			t.Errorf("%s", got.Raw)
		}
	})
}

// Log-ins are events: those that were let in each, those that were refused once in a while.
func TestLogInsAreEvents(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.do("POST", "/auth/get_admin_token", `{"secret":"wr0ng","userID":"imAdmin"}`, "operationID", "a", "token", "")
		for range 5 {
			s.do("POST", "/auth/get_admin_token", `{"secret":"wr0ng","userID":"mallory"}`, "operationID", "a", "token", "")
		}
		if status, got := s.do("POST", "/auth/get_admin_token", fmt.Sprintf(`{"secret":%q,"userID":"imAdmin"}`, s.Secret), "operationID", "b", "token", ""); status != http.StatusOK || got.ErrCode != 0 {
			t.Fatalf("%s", got.Raw)
		}
		_, _ = s.do("POST", "/login", "token="+s.adminToken(), "Content-Type", "application/x-www-form-urlencoded", "token", "")
		list := s.events("/v1/events")
		if got := kindsOf(list); got != "login.refused token.issued login.accepted" {
			t.Fatal(got)
		}
		if e := list[2]; e.Actor != "" || fmt.Sprint(map[string]any(e.Data)) != "map[errCode:1002 refused:1 route:/auth/get_admin_token]" {
			t.Errorf("%+v", e)
		}
		if e := list[1]; e.Actor != "imAdmin" || e.OperationID != "b" || e.Data["admin"] != true {
			t.Errorf("%+v", e)
		}
	})
}

// Events are for admins, are filtered, and paged from the newest back.
func TestListsOfEvents(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("u1")
		var ids []string
		for range 3 {
			_, got := s.do("POST", "/v1/campaigns", `{"message":`+aMessage+`,"audience":{"userIDs":["u1"]}}`)
			var c CampaignView
			got.into(t, &c)
			ids = append(ids, c.ID)
			for _, what := range []string{"pause", "resume", "cancel"} {
				s.do("POST", "/v1/campaigns/"+c.ID+"/"+what, nil)
			}
		}
		for query, n := range map[string]int{
			"": 12, "?limit=5": 5, "?kind=campaign.paused": 3, "?campaign=" + ids[1]: 4, "?campaign=none": 0, "?actor=imAdmin": 12, "?actor=nobody": 0,
			"?kind=campaign.paused&campaign=" + ids[0] + "&actor=imAdmin": 1, "?schedule=" + ids[0]: 0, "?actor=%C3%BC": 0, "?campaign=%C3%BC": 0,
		} {
			if got := s.events("/v1/events" + query); len(got) != n {
				t.Errorf("%s: %d events, want %d", query, len(got), n)
			}
		}
		var all []EventView
		for cursor, pages := "", 0; ; pages++ {
			_, got := s.do("GET", "/v1/events?limit=5&cursor="+cursor, nil)
			var page struct {
				Events     []EventView
				NextCursor string
			}
			got.into(t, &page)
			all = append(all, page.Events...)
			if cursor = page.NextCursor; cursor == "" {
				if pages != 2 {
					t.Errorf("%d pages", pages+1)
				}
				break
			}
		}
		if len(all) != 12 || !slices.IsSortedFunc(all, func(a, b EventView) int { return int(b.ID - a.ID) }) {
			t.Errorf("%d events, or not newest first", len(all))
		}
		if got := kindsOf(s.events("/v1/campaigns/" + ids[2] + "/history")); got != "campaign.created campaign.paused campaign.resumed campaign.cancelled" {
			t.Error(got)
		}
		for path, want := range map[string]int{
			"/v1/events?kind=nothing": http.StatusUnprocessableEntity, "/v1/events?limit=0": http.StatusUnprocessableEntity, "/v1/events?cursor=x": http.StatusUnprocessableEntity, "/v1/events?since=1": http.StatusUnprocessableEntity,
			"/v1/events?actor=" + strings.Repeat("x", 65): http.StatusUnprocessableEntity, "/v1/campaigns/none/history": http.StatusNotFound, "/v1/schedules/none/history": http.StatusNotFound,
		} {
			if status, got := s.do("GET", path, nil); status != want {
				t.Errorf("%s: %d %s", path, status, got.Raw)
			}
		}
		for _, path := range []string{"/v1/events", "/v1/campaigns/" + ids[0] + "/history"} {
			if status, _ := s.do("GET", path, nil, "token", s.token("u1")); status != http.StatusForbidden {
				t.Errorf("%s with a user's token: %d", path, status)
			}
			if status, _ := s.do("GET", path, nil, "token", ""); status != http.StatusUnauthorized {
				t.Errorf("%s without a token: %d", path, status)
			}
		}
	})
}

// A log-in waits no longer for a database that is away than web.RecordWithin, and is let in.
func TestALogInNeedsNoDatabase(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		if err := s.Store.Close(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		status, got := s.do("POST", "/auth/get_admin_token", fmt.Sprintf(`{"secret":%q,"userID":"imAdmin"}`, s.Secret), "operationID", "b", "token", "")
		if status != http.StatusOK || got.ErrCode != 0 || time.Since(began) > 5*web.RecordWithin {
			t.Errorf("%d %s after %s", status, got.Raw, time.Since(began))
		}
	})
}

// With after the log is read oldest first. nextCursor is never empty, and goes on where the read ended.
func TestEventsArePulled(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		pull := func(query string) (page EventList) {
			t.Helper()
			status, got := s.do("GET", "/v1/events?"+query, nil)
			if status != http.StatusOK {
				t.Fatalf("%s: %d %s", query, status, got.Raw)
			}
			got.into(t, &page)
			return page
		}
		if page := pull("after=0"); len(page.Events) != 0 || page.NextCursor != "0" || page.More {
			t.Errorf("an empty log: %+v", page)
		}
		s.do("POST", "/v1/users", `{"users":[{"userID":"u1"}]}`)
		now := pull("after=now")
		if len(now.Events) != 0 || now.NextCursor == "0" {
			t.Errorf("%+v", now)
		}
		_, got := s.do("POST", "/v1/campaigns", `{"message":`+aMessage+`,"audience":{"userIDs":["u1"]}}`)
		var c CampaignView
		got.into(t, &c)
		for _, what := range []string{"pause", "resume", "cancel"} {
			s.do("POST", "/v1/campaigns/"+c.ID+"/"+what, nil)
		}
		var all []EventView
		for after, pages := "0", 0; ; pages++ {
			page := pull("limit=2&after=" + after)
			all = append(all, page.Events...)
			after = page.NextCursor
			if !page.More {
				if pages != 2 || after != all[len(all)-1].EventID {
					t.Errorf("%d pages, then %s", pages+1, after)
				}
				break
			}
		}
		slices.Reverse(all)
		if got := kindsOf(all); got != "users.put campaign.created campaign.paused campaign.resumed campaign.cancelled" {
			t.Error(got)
		}
		for query, n := range map[string]int{
			"after=" + now.NextCursor: 4, "after=0&kind=campaign.paused": 1, "after=0&campaign=" + c.ID: 4, "after=0&campaign=%C3%BC": 0, "after=0&actor=imAdmin": 5,
			"after=0&actor=nobody": 0, "after=0&schedule=" + c.ID: 0, "after=" + all[2].EventID: 2,
		} {
			if page := pull(query); len(page.Events) != n || page.More || page.NextCursor != all[0].EventID {
				t.Errorf("%s: %d events, want %d, then %s, %v", query, len(page.Events), n, page.NextCursor, page.More)
			}
		}
		for query, want := range map[string]int{
			"after=x": 422, "after=%C3%BC": 422, "after=0&cursor=MQ": 422, "after=0&limit=0": 422, "after=0&kind=nothing": 422, "after=evt_1_1": 410, "after=evt_999999_1767225600123": 410,
		} {
			status, got := s.do("GET", "/v1/events?"+query, nil)
			if status != want || want == 410 && got.ErrCode != 3006 {
				t.Errorf("%s: %d %s", query, status, got.Raw)
			}
		}
	})
}
