package handlers

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"carillon/internal/testkit"
	"carillon/models"
)

func TestQueryParameters(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"":                           "",
		"status=failed":              "",
		"status=&cursor=&limit=":     "",
		"st%61tus=failed":            "",
		"statsu=failed":              "statsu is not a parameter of this route; did you mean status?",
		"Status=failed":              "Status is not a parameter of this route; did you mean status?",
		"status%20=failed":           "status  is not a parameter of this route; did you mean status?",
		"states=failed":              "states is not a parameter of this route; did you mean status?",
		"curser=x":                   "curser is not a parameter of this route; did you mean cursor?",
		"limits=1":                   "limits is not a parameter of this route; did you mean limit?",
		"offset=5":                   "offset is not a parameter of this route; it takes status, cursor, limit",
		"=5":                         `"" is not a parameter of this route; it takes status, cursor, limit`,
		"status=failed&status=sent":  "status must be given once",
		"page=2&statsu=failed":       "page is not a parameter of this route; it takes status, cursor, limit; statsu is not a parameter of this route; did you mean status?",
		"limit=%zz":                  "query must be percent-encoded",
		"status=failed;limit=1":      "query must be percent-encoded",
		strings.Repeat("x", 100):     strings.Repeat("x", 64) + "… is not a parameter of this route; it takes status, cursor, limit",
		"a%0Ab=1":                    "a\ufffdb is not a parameter of this route; it takes status, cursor, limit",
		"status=x&status%00=y&limit": "status\ufffd is not a parameter of this route; did you mean status?",
	} {
		err := checkQuery(httptest.NewRequest(http.MethodGet, "/v1/campaigns?"+query, nil), []string{"status", "cursor", "limit"})
		text := ""
		if err != nil {
			text = models.AsError(err).Detail
		}
		if text != want {
			t.Errorf("%s: %q, want %q", query, text, want)
		}
	}
	if got := instead("x", nil); got != "it takes none" {
		t.Error(got)
	}
}

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
