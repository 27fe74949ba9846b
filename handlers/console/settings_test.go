package console_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"carillon/channels"
	"carillon/handlers"
	"carillon/internal/metrics"
	"carillon/internal/testkit"
)

// TestSettingsShowHowItIsSetUp: settings, roles, version and channels; the check of a channel runs when somebody asks.
func TestSettingsShowHowItIsSetUp(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		checks, rested := 0, ""
		s := newSite(t, stores, func(a *handlers.API) {
			a.Process = handlers.Process{Version: "carillon v1", Roles: "api, worker", Settings: []handlers.Setting{
				{Name: "CARILLON_SECRET", Value: "***", Help: "Signs tokens.", From: "the file of CARILLON_SECRET_FILE"},
				{Name: "CARILLON_LISTEN", Value: markupTexts[0], From: "environment"}, {Name: "CARILLON_SERVER", From: "default"},
			}}
			a.Rates = map[string]int{"inbox": 1500}
			a.Shared.Providers = func(context.Context) ([]metrics.Provider, error) {
				return []metrics.Provider{{Channel: "inbox", Open: true}}, nil
			}
			a.Check = func(_ context.Context, name string) []channels.Finding {
				checks++
				return []channels.Finding{{Name: name, State: channels.Fail, Detail: markupTexts[1]}, {Name: "tls", State: channels.OK, Detail: "fine"}}
			}
			a.EndRest = func(_ context.Context, name string) error { rested = name; return nil }
		})
		page := s.get("/settings")
		harmless(t, page)
		for _, words := range []string{"carillon v1", "api, worker", "CARILLON_SECRET", "Signs tokens.***the file of CARILLON_SECRET_FILE", markupTexts[0] + "environment", "not set", "1,500 recipients a second", "default", "stopped"} {
			if !strings.Contains(page.text("main"), words) {
				t.Errorf("no %q in %s", words, page.text("main"))
			}
		}
		if checks != 0 {
			t.Error("looking runs the check")
		}
		page = s.post("/settings/channels/inbox/check", url.Values{})
		harmless(t, page)
		if got := page.text("#channels [role=status]"); page.Status != http.StatusOK || checks != 1 || !strings.Contains(got, "bad inbox "+markupTexts[1]) || !strings.Contains(got, "ok tls fine") {
			t.Errorf("%d, %d checks: %s", page.Status, checks, got)
		}
		if done := s.post("/settings/channels/inbox/resume", url.Values{}); done.Status != http.StatusSeeOther || rested != "inbox" {
			t.Errorf("%d %s", done.Status, rested)
		}
		for _, path := range []string{"/settings/channels/none/check", "/settings/channels/none/resume"} {
			if page := s.post(path, url.Values{}); page.Status != http.StatusNotFound {
				t.Errorf("%s: %d", path, page.Status)
			}
		}
	})
}
