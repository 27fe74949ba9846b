package main

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"carillon/internal/testkit"
)

// The log of serve tells where it works, what was done to campaigns and by which way, and of log-ins that were refused. It
// names nobody.
func TestServeLogsTheBusiness(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		flags := []string{"--data-dir", filepath.Join(t.TempDir(), "data"), "--secret", testSecret}
		ledger := append(slices.Clone(flags[:2]), "--local")
		if s.Name != "embedded" {
			flags = external(migrated(t, s.DatabaseURL), s.RedisURL)
			ledger = []string{"--database-url", s.DatabaseURL, "--local"}
		}
		p := serve(t, flags...)
		base, token := p.ready(), adminToken(t)
		once := func(words ...string) {
			t.Helper()
			count := func() (n int) {
				for line := range strings.Lines(p.stderr.String()) {
					all := true
					for _, w := range words {
						all = all && strings.Contains(line, w)
					}
					if all {
						n++
					}
				}
				return n
			}
			p.until("the log has "+strings.Join(words, ", "), func() bool { return count() > 0 })
			if n := count(); n != 1 {
				t.Errorf("%q stands in the log %d times", words, n)
			}
		}
		once("msg=started", `roles="api, worker, scheduler"`, "address="+base, "database=", "redis=")
		call(t, http.MethodPost, base+"/v1/users", token, `{"users":[{"userID":"alice-1"},{"userID":"bob-1"}]}`)
		made := call(t, http.MethodPost, base+"/v1/campaigns", token, `{"name":"a b","message":{"sendID":"imAdmin","content":{"content":"hi"},"contentType":101},"audience":{"all":true},"sendAt":"2099-01-01T00:00:00Z"}`)
		id, _ := made.data["id"].(string)
		once("campaign created", id, "campaign.status=scheduled", "campaign.total=2", "by=api")
		for range 2 {
			call(t, http.MethodPost, base+"/v1/campaigns/"+id+"/pause", token, "")
		}
		once("campaign paused", id, "campaign.status=paused", "by=api")
		call(t, http.MethodPost, base+"/v1/campaigns/"+id+"/resume", token, "")
		once("campaign resumed", id, "campaign.status=scheduled")
		if code, _, stderr := finish(t, append([]string{"campaigns", "pause", "--all"}, ledger...)...); code != 0 {
			t.Fatal(stderr)
		}
		once("all campaigns paused", "campaigns=1", `by="command line"`)
		if code, _, stderr := finish(t, append([]string{"campaigns", "cancel", id}, ledger...)...); code != 0 {
			t.Fatal(stderr)
		}
		once("campaign cancelled", id, `by="command line"`)
		for range 3 {
			call(t, http.MethodPost, base+"/auth/get_admin_token", "", `{"secret":"wr0ng-secret","userID":"imAdmin"}`)
		}
		once("log-ins were refused", "refused=1", "errCode=1002")
		text := p.stderr.String()
		for _, never := range []string{testSecret, "wr0ng-secret", token, "alice-1", "bob-1", "imAdmin"} {
			if strings.Contains(text, never) {
				t.Errorf("%q stands in the log", never)
			}
		}
	})
}
