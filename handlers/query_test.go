package handlers

import (
	"net/http"
	"strings"
	"testing"

	"carillon/internal/testkit"
)

// TestMisspeltFilter: no route of /v1 takes a parameter that it does not have; before, this one
// exported everybody.
func TestMisspeltFilter(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("u1")
		_, got := s.do("POST", "/v1/campaigns", `{"message":`+aMessage+`,"audience":{"userIDs":["u1"]}}`)
		var c CampaignView
		got.into(t, &c)
		path := "/v1/campaigns/" + c.ID
		for _, route := range []string{
			"GET " + path + "/recipients.csv", "GET " + path + "/recipients.ndjson", "GET " + path + "/recipients", "GET " + path, "PATCH " + path, "POST " + path + "/retry",
			"GET " + path + "/verify", "GET " + path + "/recipients/u1", "GET /v1/campaigns", "POST /v1/campaigns", "GET /v1/schedules", "POST /v1/schedules/preview", "GET /v1/schedules/x",
			"GET /v1/users", "POST /v1/users/import", "GET /v1/users/u1", "GET /v1/groups", "GET /v1/inbox/u1/messages", "GET /v1/inbox/u1/stream",
		} {
			method, path, _ := strings.Cut(route, " ")
			status, got := s.do(method, path+"?statsu=failed", `{}`, "Content-Type", csvType)
			if status != http.StatusUnprocessableEntity || got.fields(t)["statsu"] == "" {
				t.Errorf("%s: %d %s", route, status, got.Raw)
			}
		}
		if status, got := s.do("GET", path+"/recipients.csv?status=failed", nil); status != http.StatusOK || strings.Contains(string(got.Raw), "u1") {
			t.Errorf("%d %s", status, got.Raw)
		}
		if status, got := s.do("GET", "/v1/users?limit=%zz", nil); status != http.StatusUnprocessableEntity || got.fields(t)["query"] == "" {
			t.Errorf("%d %s", status, got.Raw)
		}
		if status, got := s.do("GET", "/healthz?probe=1", nil); status != http.StatusOK {
			t.Errorf("%d %s", status, got.Raw)
		}
	})
}
