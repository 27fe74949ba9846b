package handlers

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"carillon/channels"
	"carillon/internal/testkit"
	"carillon/models"
)

// TestTestSend: what a test keeps of its campaign, and what it does not.
func TestTestSend(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("alice", "bob", "carol")
		s.putGroup("g", "a group", "carol")
		message := `"message":{"sendID":"imAdmin","content":{"content":"x"},"contentType":101,"ex":"kept"%s}`
		for name, c := range map[string]struct {
			campaign string // beside the message
			more     string // in the message
			users    []string
			named    string
			warned   string
		}{
			"to all, later": {`"name":"n","audience":{"all":true},"sendAt":"2999-01-01T00:00:00Z","expireAt":"2999-01-02T00:00:00Z","ratePerSecond":1,"missed":"skip",`, "", []string{"alice"}, "test: n", ""},
			"by local time": {`"audience":{"all":true},"sendAt":"2999-01-01T00:00:00","localTime":true,"quietHours":{"from":"00:00","to":"23:59"},`, "", []string{"bob", "alice", "bob"}, "test", ""},
			"no audience":   {``, "", []string{"carol"}, "test", ""},
			"a group, once": {`"audience":{"groupID":"g"},`, "", []string{"alice"}, "test", "sessionType is 3"},
			"each of it":    {`"audience":{"groupID":"g"},`, `,"sessionType":2`, []string{"alice"}, "test", "sessionType is 2"},
			"a group later": {``, `,"sessionType":3`, []string{"alice"}, "test", ""},
			"a long name":   {`"name":"` + strings.Repeat("é", 255) + `",`, "", []string{"alice"}, "test: " + strings.Repeat("é", 249), ""},
			"bulk":          {`"priority":"bulk","delivery":"atMostOnce",`, "", []string{"alice"}, "test", ""},
		} {
			ids := `"` + strings.Join(c.users, `","`) + `"`
			status, got := s.do(http.MethodPost, "/v1/campaigns/test", `{"campaign":{`+c.campaign+fmt.Sprintf(message, c.more)+`},"userIDs":[`+ids+`]}`)
			var v CampaignView
			if got.into(t, &v); status != http.StatusAccepted || got.Header.Get("Location") != "/v1/campaigns/"+v.ID {
				t.Errorf("%s: %d %s", name, status, got.Raw)
				continue
			}
			made, err := s.Store.Campaign(t.Context(), v.ID)
			if err != nil {
				t.Fatal(err)
			}
			want := models.Timing{Zone: "UTC"}
			if made.Name != c.named || made.Timing != want || made.SendAt != 0 || made.ExpireAt != 0 || made.RatePerSecond != 0 || made.Status != models.StatusRunning ||
				made.Priority != models.PriorityTransactional || made.AudienceType != models.AudienceUsers || made.Message.SessionType != models.SessionSingle || made.Message.Ex != "kept" {
				t.Errorf("%s: %+v", name, made)
			}
			if (made.Delivery == models.AtMostOnce) != (name == "bulk") {
				t.Errorf("%s: %s", name, made.Delivery)
			}
			var to []string
			for id := range eachRecipient(t, s, v.ID) {
				to = append(to, id)
			}
			slices.Sort(c.users)
			if slices.Sort(to); !slices.Equal(to, slices.Compact(c.users)) {
				t.Errorf("%s: it goes to %v", name, to)
			}
			if text := strings.Join(v.Warnings, "; "); (text == "") != (c.warned == "") || !strings.Contains(text, c.warned) {
				t.Errorf("%s: %q", name, text)
			}
		}
	})
}

// eachRecipient gives the recipients of a campaign, with their statuses.
func eachRecipient(t *testing.T, s *server, id string) map[string]string {
	t.Helper()
	_, got := s.do(http.MethodGet, "/v1/campaigns/"+id+"/recipients?limit=1000", nil)
	var page struct {
		Recipients []struct{ UserID, Status string }
	}
	got.into(t, &page)
	all := map[string]string{}
	for _, r := range page.Recipients {
		all[r.UserID] = r.Status
	}
	return all
}

// TestTestSendRefuses: by field, and nothing is made.
func TestTestSendRefuses(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores, func(a *API) {
			a.Channels = append(a.Channels, channels.Traits{Name: "single", MaxBatch: 1})
		})
		s.users("alice")
		const message = `"message":{"sendID":"imAdmin","content":{"content":"x"},"contentType":101}`
		ok := `"campaign":{` + message + `}`
		for body, field := range map[string]string{
			`{}`:                                    "campaign",
			`{"campaign":null,"userIDs":["alice"]}`: "campaign",
			`{` + ok + `}`:                          "userIDs",
			`{` + ok + `,"userIDs":[]}`:             "userIDs",
			`{` + ok + `,"userIDs":` + idList(21) + `}`:                                                                                     "userIDs",
			`{` + ok + `,"userIDs":["alice","nobody"]}`:                                                                                     "userIDs.1",
			`{` + ok + `,"userIDs":["alice",""]}`:                                                                                           "userIDs.1",
			`{` + ok + `,"userIDs":["a\nb"]}`:                                                                                               "userIDs.0",
			`{` + ok + `,"userIDs":["alice"],"sendAt":"2999-01-01T00:00:00Z"}`:                                                              "sendAt",
			`{"campaign":{},"userIDs":["alice"]}`:                                                                                           "campaign.message",
			`{"campaign":{"message":{"sendID":"imAdmin","content":{},"contentType":101}},"userIDs":["alice"]}`:                              "campaign.message.content.content",
			`{"campaign":{"message":{"sendID":"nobody","content":{"content":"x"},"contentType":101}},"userIDs":["alice"]}`:                  "campaign.message.sendID",
			`{"campaign":{` + message + `,"audience":{"all":false}},"userIDs":["alice"]}`:                                                   "campaign.audience.all",
			`{"campaign":{` + message + `,"sendAt":"1999-01-01T00:00:00Z"},"userIDs":["alice"]}`:                                            "campaign.sendAt",
			`{"campaign":{` + message + `,"expireAfter":"1h"},"userIDs":["alice"]}`:                                                         "campaign.expireAfter",
			`{"campaign":{` + message + `,"channel":"none"},"userIDs":["alice"]}`:                                                           "campaign.channel",
			`{"campaign":{` + message + `,"channel":"single","audience":{"groupID":"g"}},"userIDs":["alice"]}`:                              "campaign.message.sessionType",
			`{"campaign":{` + message + `,"audience":{"all":true},"priority":"transactional"},"userIDs":["alice"]}`:                         "campaign.priority",
			`{"campaign":{"message":{"sendID":"imAdmin","recvIDs":["a"],"content":{"content":"x"},"contentType":101}},"userIDs":["alice"]}`: "campaign.message.recvIDs",
		} {
			status, got := s.do(http.MethodPost, "/v1/campaigns/test", body)
			if fields := got.fields(t); fields[field] == "" || status != http.StatusUnprocessableEntity && field != "campaign.message.sendID" {
				t.Errorf("%s: %d %s", body, status, got.Raw)
			}
		}
		list := `{"campaign":{` + message + `,"audience":{"userIDs":` + idList(models.MaxListed+1) + `}},"userIDs":["alice"]}`
		if status, got := s.do(http.MethodPost, "/v1/campaigns/test", list); status != http.StatusRequestEntityTooLarge || got.fields(t)["campaign.audience.userIDs"] == "" {
			t.Errorf("%d %s", status, got.Raw)
		}
		for _, token := range []string{"", s.token("alice")} {
			if status, got := s.do(http.MethodPost, "/v1/campaigns/test", `{`+ok+`,"userIDs":["alice"]}`, "token", token); status != http.StatusUnauthorized && status != http.StatusForbidden {
				t.Errorf("%d %s", status, got.Raw)
			}
		}
		if n := s.stored(); n != 0 {
			t.Errorf("%d campaigns were made", n)
		}
	})
}

// TestTestSendOnce: a repeated request makes one test, whichever process it comes to.
func TestTestSendOnce(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		one, other := newServer(t, stores), newServer(t, stores)
		one.users("alice", "bob")
		body := func(id string) string {
			return `{"campaign":{"message":{"sendID":"imAdmin","content":{"content":"x"},"contentType":101}},"userIDs":["` + id + `"]}`
		}
		answers := make(chan string, 8)
		for i := range cap(answers) {
			go func() {
				s := []*server{one, other}[i%2]
				status, got := s.do(http.MethodPost, "/v1/campaigns/test", body("alice"), "Idempotency-Key", "k")
				for status == http.StatusConflict { // the first is under way
					status, got = s.do(http.MethodPost, "/v1/campaigns/test", body("alice"), "Idempotency-Key", "k")
				}
				answers <- string(got.Raw)
			}()
		}
		first := <-answers
		for range cap(answers) - 1 {
			if next := <-answers; next != first {
				t.Errorf("%s, not %s", next, first)
			}
		}
		if n := one.stored(); n != 1 {
			t.Errorf("%d campaigns were made", n)
		}
		if status, got := other.do(http.MethodPost, "/v1/campaigns/test", body("bob"), "Idempotency-Key", "k"); status != http.StatusUnprocessableEntity || got.ErrCode != models.CodeIdempotencyMismatch {
			t.Errorf("another body: %d %s", status, got.Raw)
		}
	})
}
