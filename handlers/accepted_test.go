package handlers

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/models"
)

// A campaign by local time says whom it comes too late for.
func TestLocalTimeWarnsOfZonesThatAreOver(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores, func(a *API) { a.Zone = "Pacific/Kiritimati" }) // UTC+14, the first of all
		users := []models.User{{UserID: "imAdmin"}, {UserID: "k1"}, {UserID: "k2", Timezone: "Pacific/Kiritimati"}, {UserID: "t1", Timezone: "Asia/Tokyo"}, {UserID: "t2", Timezone: "Asia/Tokyo"}}
		for i := range 5 {
			users = append(users, models.User{UserID: fmt.Sprint("n", i), Timezone: "Pacific/Niue"}) // UTC-11
		}
		s.putUsers(users...)
		s.putGroup("g", "", "k1", "t1", "n1", "nobody")
		now := time.Now().UTC()
		wall := func(h time.Duration) string { return now.Add(h).Format(models.WallClock) }
		for _, c := range []struct {
			what, audience, sendAt, more, want string
		}{
			{"none is over", `{"all":true}`, wall(15 * time.Hour), "", ""},
			{"one zone is over", `{"all":true}`, wall(13 * time.Hour), "", "in 1 of the recipients' time zones: 2 recipients"},
			{"two are over", `{"all":true}`, wall(8 * time.Hour), "", "in 2 of the recipients' time zones: 4 recipients"},
			{"two are over for a list", `{"userIDs":["t1","k2","n1","unknown"]}`, wall(8 * time.Hour), "", "in 2 of the recipients' time zones: 3 recipients"},
			{"two are over for a group", `{"groupID":"g"}`, wall(8 * time.Hour), "", "in 2 of the recipients' time zones: 3 recipients"},
			{"none of a list", `{"userIDs":["n1"]}`, wall(8 * time.Hour), "", ""},
			{"late, and sent all the same", `{"all":true}`, wall(8 * time.Hour), `,"missed":"once","missedGrace":"24h"`, ""},
			{"late by more than the grace in one", `{"all":true}`, wall(8 * time.Hour), `,"missed":"once","missedGrace":"2h"`, "in 1 of the recipients' time zones: 2 recipients"},
			{"late by minutes", `{"all":true}`, wall(14*time.Hour - 5*time.Minute), "", ""},
			{"late by minutes, and skipped", `{"all":true}`, wall(14*time.Hour - 5*time.Minute), `,"missed":"skip"`, "in 1 of the recipients' time zones: 2 recipients"},
		} {
			session := 1
			if strings.Contains(c.audience, "groupID") {
				session = 2
			}
			body := fmt.Sprintf(`{"message":{"sendID":"imAdmin","content":{"content":"x"},"contentType":101,"sessionType":%d},"audience":%s,"localTime":true,"sendAt":%q%s}`,
				session, c.audience, c.sendAt, c.more)
			status, got := s.do(http.MethodPost, "/v1/campaigns", body)
			var v CampaignView
			if got.into(t, &v); status != http.StatusAccepted {
				t.Errorf("%s: %d %s", c.what, status, got.Raw)
			}
			if text := strings.Join(v.Warnings, "; "); (c.want == "") != (text == "") || !strings.Contains(text, c.want) {
				t.Errorf("%s: %q, want %q", c.what, text, c.want)
			}
		}
	})
}

// Prefer: wait holds for every POST that makes a campaign.
func TestPreferWaitOnV1(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("a")
		deliver := true
		s.Enqueue = func(ctx context.Context, c models.Created) error {
			for _, task := range c.Tasks {
				if !deliver {
					return nil
				}
				v, err := s.Store.ClaimPage(ctx, task)
				if err != nil {
					return err
				}
				outcomes := []models.RecipientOutcome{{UserID: v.Members[0], Status: models.RecipientSent, Attempts: 1}}
				if err := s.Store.WriteChunk(ctx, v.Close(models.Chunk{Outcomes: outcomes, State: models.PageRunning})); err != nil {
					return err
				}
				if _, err := s.Store.FinishCampaign(ctx, task.Campaign); err != nil {
					return err
				}
			}
			return nil
		}
		one := strings.Replace(aTemplate, `{"all":true}`, `{"userIDs":["a"]}`, 1)
		_, made := s.do(http.MethodPost, "/v1/schedules", okSchedule(jsonFields{"campaign": one}).body())
		var schedule struct{ ID string }
		made.into(t, &schedule)
		for path, body := range map[string]string{"/v1/campaigns": one, "/v1/schedules/" + schedule.ID + "/run": ""} {
			for _, c := range []struct {
				prefer  string
				deliver bool
				status  int
				is      models.Status
				applied string
			}{
				{"", true, 202, "running", ""},
				{"wait=0", true, 202, "running", ""},
				{"wait=10", true, 200, "completed", "wait=10"},
				{"wait=1", false, 202, "running", "wait=1"},
				{"wait=61", true, 422, "", ""},
				{"wait", true, 422, "", ""},
			} {
				deliver = c.deliver
				before := s.stored()
				status, got := s.do(http.MethodPost, path, body, "Prefer", c.prefer)
				var v CampaignView
				if got.into(t, &v); status != c.status || v.Status != c.is || got.Header.Get("Preference-Applied") != c.applied {
					t.Errorf("%s %q: %d %q %.300s", path, c.prefer, status, got.Header.Get("Preference-Applied"), got.Raw)
				}
				if status < 300 && got.Header.Get("Location") != "/v1/campaigns/"+v.ID || (status == 422) != (s.stored() == before) {
					t.Errorf("%s %q: location %q, %d campaigns", path, c.prefer, got.Header.Get("Location"), s.stored()-before)
				}
			}
		}
	})
}

// What a caller gave stands in every answer as it was given: no character of it is escaped that JSON lets stand.
func TestTextsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.putUsers(models.User{UserID: "<a>&", Nickname: "<&>"})
		const content = `{"content":"<b>&amp;</b> 'é' \u2028 \\u003c"}`
		message := `{"sendID":"imAdmin","senderNickname":"<n>","content":` + content + `,"contentType":101,"ex":"<&>"}`
		_, got := s.do(http.MethodPost, "/v1/campaigns", `{"name":"a<b>&c","message":`+message+`,"audience":{"userIDs":["<a>&"]}}`)
		var v CampaignView
		got.into(t, &v)
		stream := s.open("<a>&")
		s.deliver(models.CampaignSpec{Channel: "inbox", Priority: models.PriorityBulk, Audience: models.Audience{Type: models.AudienceUsers, UserIDs: []string{"<a>&"}},
			Message: models.Message{SendID: "imAdmin", Content: []byte(content), ContentType: 101, SessionType: 1}})
		if event := stream.next(); !strings.Contains(event.Data, content) {
			t.Errorf("the stream: %q", event.Data)
		}
		_, schedule := s.do(http.MethodPost, "/v1/schedules", okSchedule(jsonFields{"campaign": `{"message":` + message + `,"audience":{"all":true}}`}).body())
		var made struct{ ID string }
		schedule.into(t, &made)
		for path, want := range map[string]string{
			"/v1/campaigns/" + v.ID: content, "/v1/campaigns": `"a<b>&c"`, "/v1/users": `"<&>"`, "/v1/campaigns/" + v.ID + "/recipients.ndjson": `"<a>&"`,
			"/v1/inbox/%3Ca%3E&/messages": content, "/v1/schedules/" + made.ID: content,
		} {
			_, got := s.do(http.MethodGet, path, nil)
			if text := string(got.Raw); !strings.Contains(text, want) || strings.Contains(text, `\u003`) && !strings.Contains(text, `\\u003c`) || strings.Contains(text, `\u0026`) {
				t.Errorf("%s: %s", path, text)
			}
		}
	})
}

// A list shows of each campaign what one alone would be shown with.
func TestAListShowsHowFastCampaignsGo(t *testing.T) {
	t.Parallel()
	s := newServer(t, embedded(t), func(a *API) {
		a.Pace = func(_ context.Context, c models.CampaignView) models.Pace {
			if c.Status == models.StatusRunning {
				return models.Pace{PerSecond: 0.5, Known: true, ETA: 4 * time.Second, ETAKnown: true, LimitedBy: models.LimitedByCampaignRate}
			}
			return models.Pace{}
		}
	})
	id := s.five(t)
	var list struct{ Campaigns []CampaignView }
	_, got := s.do(http.MethodGet, "/v1/campaigns", nil)
	got.into(t, &list)
	c := list.Campaigns[0]
	if c.ID != id || c.CurrentRatePerSecond == nil || *c.CurrentRatePerSecond != 0.5 || c.ETASeconds == nil || *c.ETASeconds != 4 || c.LimitedBy == nil || *c.LimitedBy != models.LimitedByCampaignRate || c.CreatedBy != "imAdmin" {
		t.Errorf("%s", got.Raw)
	}
}
