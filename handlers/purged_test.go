package handlers

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/models"
)

// Of a purged campaign everything that stands is still answered, and the rest says in words that it is gone.
func TestPurgedOverHTTP(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		id := s.five(t)
		if _, err := s.Store.CancelCampaign(t.Context(), id, "enough"); err != nil {
			t.Fatal(err)
		}
		c, err := s.Store.Campaign(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Store.CloseCampaign(t.Context(), c.Campaign, true); err != nil {
			t.Fatal(err)
		}
		before := s.counts(id)
		p, err := s.Store.TakePurge(t.Context(), models.Millis(-time.Hour.Milliseconds())) // as if an hour had passed
		if err != nil || p == nil {
			t.Fatal(p, err)
		}
		for done := false; !done; {
			if done, err = s.Store.PurgeStep(t.Context(), p, 2); err != nil {
				t.Fatal(err)
			}
		}
		if after := s.counts(id); after != before || before.Total != 5 || before.Sent != 1 || before.Failed != 1 || before.Cancelled == 0 {
			t.Errorf("counts %+v, were %+v", after, before)
		}
		path := "/v1/campaigns/" + id
		for _, q := range []struct {
			method, path string
			status       int
			says         string
		}{
			{http.MethodGet, "", 200, `"purgedAt":"20`},
			{http.MethodGet, "/recipients", 200, `"recipients":[]`},
			{http.MethodGet, "/recipients", 200, `"purgedAt":"20`},
			{http.MethodGet, "/recipients/a-sent", 404, "were purged on"},
			{http.MethodGet, "/recipients.csv", 409, "were purged on"},
			{http.MethodGet, "/recipients.ndjson", 409, "were purged on"},
			{http.MethodGet, "/verify", 409, "were purged on"},
			{http.MethodGet, "/failures", 409, "were purged on"},
		} {
			status, got := s.do(q.method, path+q.path, nil)
			if status != q.status || !strings.Contains(string(got.Raw), q.says) {
				t.Errorf("%s %s: %d %s", q.method, q.path, status, got.Raw)
			}
		}
	})
}

// counts are a campaign's, as the API shows them.
func (s *server) counts(id string) models.Counts {
	s.t.Helper()
	_, got := s.do(http.MethodGet, "/v1/campaigns/"+id, nil)
	var c struct{ Counts models.Counts }
	got.into(s.t, &c)
	return c.Counts
}
