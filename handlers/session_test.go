package handlers

import (
	"net/http"
	"strings"
	"testing"

	"carillon/channels"
	"carillon/channels/openim"
	"carillon/internal/testkit"
	"carillon/models"
)

// TestSessionTypeThatAChannelCannot: a group's campaign is refused where its channel cannot send it, and the finding stands on
// the field with what to use instead. Nothing is stored.
func TestSessionTypeThatAChannelCannot(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		// openim comes first: it is the channel of who names none, as on /msg.
		each := channels.Traits{Name: "each", MaxBatch: 1, GroupEach: true}
		none := channels.Traits{Name: "none", MaxBatch: 1}
		s := newServer(t, stores, func(a *API) {
			a.Channels = append([]channels.Traits{(*openim.Channel)(nil).Traits(), each, none}, a.Channels...)
		})
		if _, err := s.Store.PutGroup(t.Context(), "g", nil, []string{"u1"}); err != nil {
			t.Fatal(err)
		}
		for _, in := range []struct{ channel, session, says string }{
			{"", "2", "cannot be 2: channel openim cannot send to each member of a group; use 3, which sends once to the group"},
			{"openim", "2", "cannot be 2: channel openim cannot send to each member of a group; use 3, which sends once to the group"},
			{"openim", "null", "is required for a group through openim: 3 hands the provider the group's ID, once"},
			{"openim", "3", ""},
			{"each", "2", ""},
			{"each", "3", "cannot be 3: channel each cannot send once to a group; use 2, which sends to each member"},
			{"none", "2", "cannot be 2: channel none cannot send to each member of a group"},
			{"inbox", "2", ""},
			{"inbox", "3", ""},
		} {
			campaign := `{"channel":"` + in.channel + `","audience":{"groupID":"g"},"message":{"sendID":"imAdmin","content":{"content":"x"},"contentType":101,"sessionType":` + in.session + `}}`
			s.finds("POST", "/v1/campaigns", campaign, "message.sessionType", in.says)
			s.finds("POST", "/v1/schedules", okSchedule(jsonFields{"campaign": campaign}).body(), "campaign.message.sessionType", in.says)
			if in.channel == "" {
				s.finds("POST", "/msg/batch_send_msg", okBatch.but(jsonFields{"recvIDs": "[]", "groupID": `"g"`, "sessionType": in.session}).body(), "sessionType", in.says)
			}
		}
		s.finds("POST", "/v1/campaigns", `{"channel":"inbox","audience":{"groupID":"g"},"message":{"sendID":"imAdmin","content":{"content":"x"},"contentType":101,"isOnlineOnly":true}}`,
			"message.isOnlineOnly", "cannot be used with sessionType 3 through inbox; use sessionType 2")
		s.patchToAnother()
	})
}

// finds sends a request. says is what its one finding says; "" = it is accepted.
func (s *server) finds(method, path, body, field, says string) {
	s.t.Helper()
	before := s.stored()
	status, got := s.do(method, path, body, "operationID", "op") // /msg asks for one
	found := got.fields(s.t)
	switch {
	case says == "":
		if status >= http.StatusMultipleChoices || got.ErrCode != 0 {
			s.t.Errorf("%s %s: %d %s", path, body, status, got.Raw)
		}
	case got.ErrCode != models.CodeArgs || len(found) != 1 || found[field] != says || s.stored() != before:
		s.t.Errorf("%s %s: %d %s, %d stored", path, body, status, got.Raw, s.stored()-before)
	}
}

// patchToAnother: a schedule cannot be changed to what its POST would be refused for.
func (s *server) patchToAnother() {
	s.t.Helper()
	campaign := func(channel string) string {
		return `{"channel":"` + channel + `","audience":{"groupID":"g"},"message":{"sendID":"imAdmin","content":{"content":"x"},"contentType":101,"sessionType":2}}`
	}
	_, got := s.do("POST", "/v1/schedules", okSchedule(jsonFields{"campaign": campaign("inbox")}).body())
	var sch ScheduleView
	got.into(s.t, &sch)
	status, got := s.do("PATCH", "/v1/schedules/"+sch.ID, `{"campaign":`+campaign("openim")+`}`)
	if status != http.StatusUnprocessableEntity || !strings.HasPrefix(got.fields(s.t)["campaign.message.sessionType"], "cannot be 2") {
		s.t.Errorf("%d %s", status, got.Raw)
	}
}
