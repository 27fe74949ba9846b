package handlers

import (
	"net/http"
	"testing"

	"carillon/channels"
	"carillon/internal/testkit"
	"carillon/models"
)

// The sync is asked for at once and worked on elsewhere; where no channel syncs the directory, the answer says which setting is missing.
func TestDirectorySyncRoutes(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		for _, method := range []string{"GET", "POST"} {
			if status, got := s.do(method, "/v1/directory/sync", nil); status != http.StatusNotFound || got.ErrCode != models.CodeRecordNotFound {
				t.Errorf("%s without such a channel: %d %s", method, status, got.Raw)
			}
		}
		s.Channels = append(s.Channels, channels.Traits{Name: "synced", SyncsUsers: true})
		sync := func(method, query string, want int) (v SyncView) {
			t.Helper()
			status, got := s.do(method, "/v1/directory/sync"+query, nil)
			if status != want {
				t.Fatalf("%s: %d %s", method, status, got.Raw)
			}
			if want < 300 {
				got.into(t, &v)
			}
			return v
		}
		if v := sync("GET", "", 200); v.State != "idle" || v.CompletedAt != nil || v.Pass != 0 {
			t.Errorf("%+v", v)
		}
		sync("POST", "?fewer=maybe", 422)
		if v := sync("POST", "", 202); v.State != "waiting" || v.NextTryAt != nil {
			t.Errorf("%+v", v)
		}
		y, err := s.Store.TakeSync(t.Context(), 0)
		if err != nil || y == nil || y.Fewer {
			t.Fatal(y, err)
		}
		if err := s.Store.SyncPage(t.Context(), y, []models.UserChange{{UserID: "a"}, {UserID: "b"}}, 5); err != nil {
			t.Fatal(err)
		}
		if v := sync("GET", "", 200); v.State != "running" || v.Phase != "reading" || v.Seen != 2 || v.Created != 2 || v.Total != 5 || v.Page != 2 || v.StartedAt == nil {
			t.Errorf("%+v", v)
		}
		if err := s.Store.FailSync(t.Context(), y, "OpenIM did not answer", false); err != nil {
			t.Fatal(err)
		}
		if v := sync("GET", "", 200); v.State != "waiting" || v.Error != "OpenIM did not answer" || v.NextTryAt == nil {
			t.Errorf("%+v", v)
		}
		sync("POST", "?fewer=1", 202)
		if y, err := s.Store.Sync(t.Context()); err != nil || !y.Fewer || y.WaitUntil != 0 {
			t.Errorf("%+v, %v", y, err)
		}
	})
}
