package handlers

import (
	"net/http"
	"testing"

	"carillon/internal/testkit"
	"carillon/models"
)

// The kill switch over HTTP, and its undoing: exactly what it has paused goes on. The event log says by which way.
func TestPauseAllOverHTTP(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores, func(a *API) { a.Rates = map[string]int{"inbox": 7} })
		s.users("alice", "bob")
		post := func(path, body string, into any) {
			t.Helper()
			var in any
			if body != "" {
				in = body
			}
			_, r := s.do(http.MethodPost, path, in)
			if r.ErrCode != 0 {
				t.Fatalf("%s: %s", path, r.Raw)
			}
			r.into(t, into)
		}
		const campaign = `{"audience":{"all":true},"sendAt":"2099-01-01T00:00:00Z","message":{"sendID":"imAdmin","contentType":101,"content":{"content":"hi"}}}`
		var one, two, schedule struct{ ID string }
		post("/v1/campaigns", campaign, &one)
		post("/v1/campaigns", campaign, &two)
		post("/v1/campaigns/"+two.ID+"/pause", "", &two)
		post("/v1/schedules", `{"name":"s","cron":"0 9 * * 1","campaign":{"audience":{"all":true},"message":{"sendID":"imAdmin","contentType":101,"content":{"content":"hi"}}}}`, &schedule)
		for path, want := range map[string]string{"/v1/campaigns": one.ID, "/v1/schedules": schedule.ID} {
			for _, step := range []string{"/pause", "/resume"} {
				var all ChangedAll
				post(path+step, "", &all)
				list, n := all.Campaigns, all.Paused
				if path == "/v1/schedules" {
					list = all.Schedules
				}
				if step == "/resume" {
					n = all.Resumed
				}
				if list == nil || n == nil || *n != 1 || len(*list) != 1 || (*list)[0].PublicID != want {
					t.Errorf("%s%s: %+v", path, step, all)
				}
				post(path+step, "", &all)
			}
		}
		events, err := s.Store.Events(t.Context(), models.EventFilter{CampaignID: one.ID, Limit: 9})
		if err != nil || len(events) != 3 || events[0].Via != models.ViaAPI || events[1].ReasonCode != models.ReasonPauseAll || events[1].Actor != "imAdmin" {
			t.Errorf("%+v, %v", events, err)
		}
		var d DirectoryView
		_, got := s.do(http.MethodGet, "/v1/directory", nil)
		got.into(t, &d)
		var set ChannelList
		_, got = s.do(http.MethodGet, "/v1/channels", nil)
		got.into(t, &set)
		if d.Users != 2 || len(set.Channels) != 1 || set.Channels[0] != (ChannelView{"inbox", 7}) {
			t.Errorf("%+v %+v", d, set)
		}
	})
}
