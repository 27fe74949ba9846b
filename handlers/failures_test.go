package handlers

import (
	"net/http"
	"testing"

	"carillon/internal/testkit"
)

func TestFailuresOverHTTP(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		path := "/v1/campaigns/" + s.five(t) + "/failures"
		want := `{"failures":[{"status":"failed","errCode":80000,"errMsg":"=cmd|' /C calc'!A0","count":1}],"rest":0,"uncounted":0,"total":1}`
		if status, got := s.do(http.MethodGet, path, nil); status != http.StatusOK || string(got.Data) != want {
			t.Errorf("%d %s", status, got.Raw)
		}
		for query, want := range map[string]int{"?limit=1": 200, "?limit=0": 422, "?limit=1001": 422, "?cursor=x": 422} {
			if status, got := s.do(http.MethodGet, path+query, nil); status != want {
				t.Errorf("%s: %d %s", query, status, got.Raw)
			}
		}
		if status, got := s.do(http.MethodGet, "/v1/campaigns/01J9ZQ4XAAAAAAAAAAAAAAAAAA/failures", nil); status != http.StatusNotFound {
			t.Errorf("%d %s", status, got.Raw)
		}
		if status, got := s.do(http.MethodGet, path, nil, "token", s.token("a-sent")); status != http.StatusForbidden {
			t.Errorf("a user: %d %s", status, got.Raw)
		}
	})
}
