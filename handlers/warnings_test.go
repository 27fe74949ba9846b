package handlers

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"carillon/channels"
	"carillon/internal/testkit"
	"carillon/models"
)

// TestFloodedSenderIsWarnedOf: whoever is no admin and gets more than 1,000 conversations by one campaign.
func TestFloodedSenderIsWarnedOf(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		var log logged
		s := newServer(t, stores, func(a *API) {
			a.Channels = append(a.Channels, channels.Traits{Name: "mirrored", MaxBatch: 1, SyncsSender: true})
			a.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		})
		s.users("chatty")
		names := func(n int) []string {
			ids := make([]string, n)
			for i := range ids {
				ids[i] = fmt.Sprintf("user%06d", i)
			}
			return ids
		}
		oa := `{"notificationName":"n","notificationType":1,"text":"x"}`
		post := func(channel, sender, audience, more string) (string, int) {
			content, contentType := `{"content":"x"}`, 101
			if strings.Contains(more, `"sessionType":4`) {
				content, contentType = oa, 1400
			}
			body := fmt.Sprintf(`{"channel":%q,"audience":%s,"message":{"sendID":%q,"content":%s,"contentType":%d%s}}`, channel, audience, sender, content, contentType, more)
			status, got := s.do(http.MethodPost, "/v1/campaigns", body)
			var v CampaignView
			if got.into(t, &v); status != http.StatusAccepted {
				t.Fatalf("%d %s", status, got.Raw)
			}
			return strings.Join(v.Warnings, "; "), len(v.Warnings)
		}
		many, few, all := `{"userIDs":`+idList(1001)+`}`, `{"userIDs":`+idList(1000)+`}`, `{"all":true}`
		if text, n := post("mirrored", "chatty", all, ""); n != 0 {
			t.Errorf("one user in the directory: %q", text)
		}
		s.users(names(1001)...)
		for _, c := range []struct {
			what, channel, sender, audience, more string
			of                                    string // "" = no warning
		}{
			{"a list", "mirrored", "chatty", many, "", "each of 1001 recipients"},
			{"all users", "mirrored", "chatty", all, "", "each of 1002 recipients"},
			{"a shorter list", "mirrored", "chatty", few, "", ""},
			{"an admin sends", "mirrored", "imAdmin", many, "", ""},
			{"a notification", "mirrored", "chatty", many, `,"sessionType":4`, ""},
			{"for those online", "mirrored", "chatty", many, `,"isOnlineOnly":true`, ""},
			{"a channel that keeps it to the recipients", "inbox", "chatty", many, "", ""},
		} {
			text, n := post(c.channel, c.sender, c.audience, c.more)
			if (n == 1) != (c.of != "") || !strings.Contains(text, c.of) || c.of != "" && !strings.Contains(text, "sessionType 4") {
				t.Errorf("%s: %q", c.what, text)
			}
		}
		template := `{"channel":"mirrored","audience":` + all + `,"message":{"sendID":"chatty","content":{"content":"x"},"contentType":101}}`
		status, made := s.do(http.MethodPost, "/v1/schedules", okSchedule(jsonFields{"campaign": template}).body())
		var sch struct {
			ID       string
			Warnings []string
		}
		if made.into(t, &sch); status != http.StatusCreated || len(sch.Warnings) != 1 {
			t.Errorf("a schedule: %d %s", status, made.Raw)
		}
		if log.String() != "" {
			t.Errorf("what /v1 answers is logged: %s", log.String())
		}
		s.Channels[0], s.Channels[1] = s.Channels[1], s.Channels[0] // /msg takes the default
		if status, got := s.send(toList(jsonFields{"sendID": `"chatty"`}, names(1001)...)); status != http.StatusOK || got.ErrCode != models.Code(0) {
			t.Errorf("%d %s", status, got.Raw)
		}
		if text := log.String(); !strings.Contains(text, "a campaign was accepted with a warning") || !strings.Contains(text, "each of 1001 recipients") || !strings.Contains(text, "operationID=op-1") || strings.Contains(text, "chatty") {
			t.Errorf("the log: %s", text)
		}
	})
}
