package handlers

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/internal/testkit"
)

// Every change is answered with 503 in time when the database takes connections and never answers, and when it ends them.
func TestADatabaseThatHangsIsUnavailable(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(*testkit.Link){"stall": (*testkit.Link).Stall, "cut": (*testkit.Link).Cut} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			link, through := testkit.OpenLink(t, testkit.MySQLURL(t))
			stores := testkit.Stores{DatabaseURL: through, RedisURL: testkit.EmbeddedRedisURL(t)}
			s := newServer(t, stores)
			id := s.five(t)
			_, made := s.do(http.MethodPost, "/v1/schedules", okSchedule(nil).body())
			var schedule struct{ ID string }
			made.into(t, &schedule)
			user := s.token("a-sent")
			if err := s.Store.LimitConnections(32); err != nil {
				t.Fatal(err)
			}
			campaign, schedules := "/v1/campaigns/"+id, "/v1/schedules/"+schedule.ID
			requests := []struct{ method, path, body, contentType string }{
				{"POST", sendPath, okMessage.but(jsonFields{"isSendAll": "true"}).body(), ""},
				{"POST", "/auth/get_user_token", `{"userID":"a-sent","platformID":1}`, ""},
				{"POST", "/v1/campaigns", okCampaign(okMessage, jsonFields{}).body(), ""},
				{"PATCH", campaign, `{"name":"x"}`, ""},
				{"POST", campaign + "/pause", "", ""},
				{"POST", campaign + "/resume", "", ""},
				{"POST", campaign + "/cancel", "", ""},
				{"POST", campaign + "/retry", "", ""},
				{"POST", "/v1/schedules", okSchedule(nil).body(), ""},
				{"PATCH", schedules, `{"name":"x"}`, ""},
				{"POST", schedules + "/pause", "", ""},
				{"POST", schedules + "/resume", "", ""},
				{"POST", schedules + "/run", "", ""},
				{"DELETE", schedules, "", ""},
				{"POST", "/v1/users", `{"users":[{"userID":"x"}]}`, ""},
				{"POST", "/v1/users/import", "userID\nx\n", "text/csv"},
				{"DELETE", "/v1/users/a-sent", "", ""},
				{"PUT", "/v1/groups/g", `{"memberIDs":["a-sent"]}`, ""},
				{"DELETE", "/v1/groups/g", "", ""},
				{"POST", "/login", "user", ""}, // whose token is asked for in the database
			}
			s.Patience = 300 * time.Millisecond // not before: a busy machine may take longer for what is well
			harm(link)
			var wg sync.WaitGroup
			for _, q := range requests {
				wg.Go(func() {
					began := time.Now()
					headers := []string{"operationID", "op"}
					if q.contentType != "" {
						headers = append(headers, "Content-Type", q.contentType)
					}
					var status int
					var got reply
					if q.path == "/login" {
						status, got = s.logIn(user, "")
					} else {
						status, got = s.do(q.method, q.path, q.body, headers...)
					}
					if status != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" || time.Since(began) > 3*time.Second {
						t.Errorf("%s %s: %d after %s: %.300s", q.method, q.path, status, time.Since(began), got.Raw)
					}
					if q.path != "/login" && (got.ErrCode != 3005 || !strings.Contains(got.ErrDlt, "database")) {
						t.Errorf("%s %s: %s", q.method, q.path, got.Raw)
					}
				})
			}
			wg.Wait()
		})
	}
}
