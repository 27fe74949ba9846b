package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"carillon/internal/testkit"
)

var goesOn = regexp.MustCompile(`(?m)^carillon: go on with --after (\S+)$`)

// TestEventsAfterAPlace: calls that go on where the one before came to get each event once, oldest first.
func TestEventsAfterAPlace(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		flags := []string{"--data-dir", filepath.Join(t.TempDir(), "data"), "--secret", testSecret}
		if s.Name != "embedded" {
			flags = external(migrated(t, s.DatabaseURL), s.RedisURL)
		}
		base, token := serve(t, flags...).ready(), adminToken(t)
		events := func(after string, more ...string) (lines []string, place string) {
			t.Helper()
			args := append(append([]string{"events", "--after", after, "--kind", "schedule.created", "--json"}, more...), over(base)...)
			code, stdout, stderr := finish(t, args...)
			found := goesOn.FindStringSubmatch(stderr)
			if code != 0 || found == nil {
				t.Fatalf("%q: exit code %d, %s", args, code, stderr)
			}
			return strings.Split(strings.TrimSpace(stdout), "\n"), found[1]
		}
		schedule := func(n int) (id string) {
			t.Helper()
			id, _ = call(t, http.MethodPost, base+"/v1/schedules", token, fmt.Sprintf(`{"name":"number %d","cron":"0 9 * * 1","timezone":"UTC","campaign":{"audience":{"all":true},
				"message":{"sendID":"openIMAdmin","contentType":101,"content":{"content":"hi"}}}}`, n)).data["id"].(string)
			return id
		}
		call(t, http.MethodPost, base+"/v1/users", token, `{"users":[{"userID":"alice"}]}`)
		_, now := events("now")
		var want []string
		for n := range 5 {
			want = append(want, schedule(n))
		}
		for _, from := range []string{"0", now} {
			var got []string
			place := from
			for _, limit := range []string{"2", "2", "1000"} {
				var lines []string
				lines, place = events(place, "--limit", limit)
				got = append(got, lines...)
			}
			if len(got) != len(want) {
				t.Fatalf("after %s: %q", from, got)
			}
			for i, id := range want {
				if !strings.Contains(got[i], id) {
					t.Errorf("after %s: event %d is not of %s: %s", from, i, id, got[i])
				}
			}
			if lines, again := events(place); lines[0] != "" || again == "" {
				t.Errorf("after %s: %q, %s", place, lines, again)
			}
		}
		code, _, stderr := finish(t, append([]string{"events", "--after", "nonsense"}, over(base)...)...)
		if text := told(stderr); code != exitFailed || !strings.Contains(text, "after") || strings.Count(text, "\n") != 1 {
			t.Errorf("exit code %d, %s", code, stderr)
		}
	})
}
