package handlers

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"carillon/handlers/web"
	"carillon/internal/testkit"
)

// TestHeadAnswersLikeGet: the same status and head, without a body and without what only a reader
// needs.
func TestHeadAnswersLikeGet(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("u1", "u2")
		_, got := s.do("POST", "/v1/campaigns", `{"message":`+aMessage+`,"audience":{"userIDs":["u1"]}}`)
		var c CampaignView
		got.into(t, &c)
		path := "/v1/campaigns/" + c.ID
		for _, path := range []string{
			"/healthz", "/readyz", "/login", "/monitor/", "/monitor/api/queues", "/v1/campaigns", path, path + "/verify", path + "/recipients", path + "/recipients/u1", path + "/recipients.csv", path + "/recipients.ndjson",
			"/v1/campaigns/none", "/v1/campaigns?limit=0", "/v1/schedules", "/v1/users", "/v1/users/u1", "/v1/groups", "/v1/inbox/u1/messages", "/nothing",
		} {
			want, get := s.do("GET", path, nil)
			status, head := s.do("HEAD", path, nil)
			if status != want || len(head.Raw) != 0 || head.Header.Get("Content-Type") != get.Header.Get("Content-Type") {
				t.Errorf("%s: GET %d, HEAD %d %s %v", path, want, status, head.Raw, head.Header)
			}
		}
		status, head := s.do("HEAD", "/v1/inbox/u1/stream", nil)
		if status != http.StatusOK || head.Header.Get("Content-Type") != web.EventStreamType {
			t.Errorf("%d %v", status, head.Header)
		}
		if online := s.streams.Online(); len(online) != 0 {
			t.Errorf("online by HEAD: %v", online)
		}
		if status, _ := s.do("HEAD", "/v1/users", nil, "token", ""); status != http.StatusUnauthorized {
			t.Errorf("HEAD without a token: %d", status)
		}
	})
}

func TestWrongMethodNamesTheRight(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		for route, allow := range map[string]string{
			"DELETE /v1/campaigns":            "GET, HEAD, POST",
			"PUT /v1/campaigns/x":             "GET, HEAD, PATCH",
			"GET /v1/campaigns/x/pause":       "POST",
			"OPTIONS /v1/schedules/x":         "GET, HEAD, PATCH, DELETE",
			"POST /v1/groups/a%2Fb":           "GET, HEAD, PUT, DELETE",
			"GET /msg/batch_send_msg":         "POST",
			"HEAD /auth/get_admin_token":      "POST",
			"DELETE /v1/inbox/x/stream":       "GET, HEAD",
			"POST /healthz":                   "GET, HEAD",
			"PUT /login":                      "GET, HEAD, POST",
			"POST /monitor/":                  "GET, HEAD",
			"BREW /v1/campaigns/x/recipients": "GET, HEAD",
		} {
			method, path, _ := strings.Cut(route, " ")
			if status, got := s.do(method, path, nil); status != http.StatusMethodNotAllowed || got.Header.Get("Allow") != allow {
				t.Errorf("%s: %d Allow %q %s", route, status, got.Header.Get("Allow"), got.Raw)
			}
		}
		w := httptest.NewRecorder()
		s.Health().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/readyz", nil))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("a process without the API: %d %v", w.Code, w.Header())
		}
	})
}

// TestBlankIdempotencyKey: a client whose key came out empty believes that it may repeat its POST.
func TestBlankIdempotencyKey(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("u1")
		campaign := `{"message":` + aMessage + `,"audience":{"userIDs":["u1"]}}`
		sch := s.schedule("POST", "/v1/schedules", okSchedule(jsonFields{}).body(), http.StatusCreated)
		for _, key := range []string{"", " ", "\t", `""`, `" "`, "\u00a0", strings.Repeat("k", 256)} {
			for path, body := range map[string]string{"/v1/campaigns": campaign, "/v1/schedules": okSchedule(jsonFields{}).body(), "/v1/schedules/" + sch.ID + "/run": ""} {
				if status, got := s.do("POST", path, body, "Idempotency-Key", key); status != http.StatusUnprocessableEntity || got.fields(t)["Idempotency-Key"] == "" {
					t.Errorf("%s with %q: %d %s", path, key, status, got.Raw)
				}
			}
			if status, got := s.send(okBatch.body(), "Idempotency-Key", key); status != http.StatusOK || got.ErrCode != 1001 || got.fields(t)["Idempotency-Key"] == "" {
				t.Errorf("/msg with %q: %d %s", key, status, got.Raw)
			}
		}
		req := httptest.NewRequest(http.MethodPost, "/v1/campaigns", nil)
		req.Header["Idempotency-Key"] = []string{"a", "b"}
		two := web.CallOf(req)
		if _, err := two.Idempotency(nil); err == nil {
			t.Error("two keys were taken")
		}
		if n := s.stored(); n != 0 {
			t.Errorf("%d campaigns are stored", n)
		}
	})
}
