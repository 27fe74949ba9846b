package handlers

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/models"
)

func TestControlRoutes(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("u1", "u2")
		create := func() string {
			_, got := s.do(http.MethodPost, "/v1/campaigns", `{"message":{"sendID":"imAdmin","content":{"content":"x"},"contentType":101},"audience":{"all":true},"delivery":"atMostOnce","expireAt":"2999-01-01T00:00:00Z"}`)
			var c CampaignView
			got.into(t, &c)
			if c.Delivery != models.AtMostOnce || c.ExpireAt == nil || *c.ExpireAt != "2999-01-01T00:00:00Z" {
				t.Fatalf("%s", got.Raw)
			}
			return "/v1/campaigns/" + c.ID
		}
		path := create()
		for _, step := range []struct {
			method, path, body string
			status             int
			code               models.Code
			want               models.Status
		}{
			{"POST", path + "/pause", "", 200, 0, models.StatusPaused},
			{"POST", path + "/pause", "", 200, 0, models.StatusPaused},
			{"PATCH", path, `{"ratePerSecond":7,"name":"n","expireAt":""}`, 200, 0, models.StatusPaused},
			{"PATCH", path, `{"ratePerSecond":-1}`, 422, 1001, ""},
			{"PATCH", path, `{"rate":1}`, 422, 1001, ""},
			{"PATCH", path, `{"expireAt":"yesterday"}`, 422, 1001, ""},
			{"PATCH", path, `{"expireAt":null}`, 422, 1001, ""},
			{"PATCH", path, `{"name":null}`, 422, 1001, ""},
			{"PATCH", path, `{"sendAt":""}`, 422, 1001, ""},
			{"POST", path + "/resume", "", 200, 0, models.StatusRunning},
			{"POST", path + "/resume", "", 200, 0, models.StatusRunning},
			{"POST", path + "/retry", "", 409, 3001, ""},
			{"POST", path + "/cancel", "", 200, 0, models.StatusCancelled},
			{"POST", path + "/cancel", "", 200, 0, models.StatusCancelled},
			{"POST", path + "/pause", "", 409, 3001, ""},
			{"POST", path + "/resume", "", 409, 3001, ""},
			{"POST", path + "/retry", "", 409, 3001, ""},
			{"PATCH", path, `{"ratePerSecond":7}`, 409, 3001, ""},
			{"PATCH", path, `{"name":"kept"}`, 200, 0, models.StatusCancelled},
			{"POST", path + "/retry", `{"statuses":["sent"]}`, 422, 1001, ""},
			{"POST", path + "/retry", `{"errCodes":[null]}`, 422, 1001, ""},
			{"POST", "/v1/campaigns/none/pause", "", 404, 1004, ""},
			{"GET", "/v1/campaigns/none/verify", "", 404, 1004, ""},
		} {
			status, got := s.do(step.method, step.path, step.body)
			var c CampaignView
			if step.code == 0 {
				got.into(t, &c)
			}
			if status != step.status || got.ErrCode != step.code || c.Status != step.want {
				t.Errorf("%s %s %s: %d %s", step.method, step.path, step.body, status, got.Raw)
			}
		}
		if _, got := s.do(http.MethodGet, path, nil); got.ErrCode != 0 {
			t.Errorf("%s", got.Raw)
		} else {
			var c CampaignView
			got.into(t, &c)
			if c.Name != "kept" || c.RatePerSecond != 7 || c.ExpireAt != nil || c.StatusReason != "cancelled by imAdmin" {
				t.Errorf("%s", got.Raw)
			}
		}
		if status, got := s.do(http.MethodGet, create()+"/verify", nil); status != 200 {
			t.Errorf("%d %s", status, got.Raw)
		}
		for _, p := range []string{"/pause", "/resume", "/cancel", "/retry"} {
			if status, got := s.do(http.MethodPost, path+p, nil, "token", s.token("u1")); status != 403 || got.ErrCode != 1002 {
				t.Errorf("a user's token: %s %d %s", p, status, got.Raw)
			}
		}
	})
}

// A change that leaves nobody a moment outside the quiet hours is refused as it is in a POST. Here they are all day but one hour,
// and an end after ten minutes is before that hour everywhere in the world but where it is now.
func TestChangeLeavesAMoment(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("u1")
		begin := time.Now().UTC().Add(48 * time.Hour).Truncate(15 * time.Minute)
		at := func(d time.Duration) string { return begin.Add(d).Format(time.RFC3339) }
		_, got := s.do(http.MethodPost, "/v1/campaigns", `{"message":{"sendID":"imAdmin","content":{"content":"x"},"contentType":101},"audience":{"all":true},
			"sendAt":"`+at(0)+`","expireAt":"`+at(24*time.Hour)+`","quietHours":{"from":"00:05","to":"00:01"}}`)
		var c CampaignView
		got.into(t, &c)
		for _, step := range []struct {
			body string
			ok   bool
		}{
			{`{"expireAt":"` + at(30*time.Second) + `"}`, false},
			{`{"expireAt":"` + at(30*time.Minute) + `"}`, true},
			{`{"sendAt":"` + at(5*time.Minute) + `","expireAt":"` + at(14*time.Minute) + `"}`, false},
			{`{"sendAt":"` + at(5*time.Minute) + `","expireAt":"` + at(17*time.Minute) + `"}`, true},
		} {
			status, got := s.do("PATCH", "/v1/campaigns/"+c.ID, step.body)
			if step.ok != (status == http.StatusOK) || !step.ok && !strings.Contains(string(got.Raw), "leaves nobody a moment outside quietHours") {
				t.Errorf("%s: %d %s", step.body, status, got.Raw)
			}
		}
	})
}
