package handlers

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"carillon/internal/testkit"
)

// Each request has one line: a served one at debug, a refused one at info. No line holds a user's ID or a value.
func TestEachRequestHasOneLine(t *testing.T) {
	t.Parallel()
	var log logged
	s := newServer(t, embedded(t), func(a *API) {
		a.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	type line struct {
		Level, OperationID, Method, Route string
		ErrCode, Status                   int
		Took                              int64
	}
	for name, c := range map[string]struct {
		method, path, token string
		want                line
	}{
		"served":        {"GET", "/v1/users?limit=7", "", line{"DEBUG", "served", "GET", "/v1/users", 0, 200, 1}},
		"unknown":       {"GET", "/v1/campaigns/personal-x", "", line{"INFO", "unknown", "GET", "/v1/campaigns/{id}", 1004, 404, 1}},
		"wrong value":   {"GET", "/v1/users?limit=personal-y", "", line{"INFO", "wrong value", "GET", "/v1/users", 1001, 422, 1}},
		"without token": {"GET", "/v1/users", "personal-z", line{"INFO", "without token", "GET", "/v1/users", 1503, 401, 1}},
		"no route":      {"GET", "/personal-w", "", line{"INFO", "no route", "GET", "(none)", 1004, 404, 1}},
	} {
		headers := []string{"operationID", name}
		if c.token != "" {
			headers = append(headers, "token", c.token)
		}
		before := log.String()
		s.do(c.method, c.path, "", headers...)
		testkit.Eventually(t, "a line", 5*time.Second, func() bool { return len(log.String()) > len(before) })
		text := strings.TrimPrefix(log.String(), before)
		var got line
		if err := json.Unmarshal([]byte(text), &got); err != nil || strings.Count(text, "\n") != 1 || got.Took <= 0 {
			t.Errorf("%s: %v, the log says %s", name, err, text)
		}
		got.Took = 1
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	if strings.Contains(log.String(), "personal") || strings.Contains(log.String(), "imAdmin") {
		t.Errorf("personal data in\n%s", log.String())
	}
}
