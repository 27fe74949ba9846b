package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"carillon/internal/testkit"
)

// An operator says that the ledger was restored: what has not ended is held, for whoever serves.
func TestRestoredCommand(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		flags := []string{"--data-dir", filepath.Join(t.TempDir(), "data"), "--secret", testSecret}
		ledger := flags[:2]
		if s.Name != "embedded" {
			flags = external(migrated(t, s.DatabaseURL), s.RedisURL)
			ledger = []string{"--database-url", s.DatabaseURL}
		}
		p := serve(t, flags...)
		base, token := p.ready(), adminToken(t)
		call(t, http.MethodPost, base+"/v1/users", token, `{"users":[{"userID":"alice"},{"userID":"bob"}]}`)
		made := call(t, http.MethodPost, base+"/v1/campaigns", token, `{"message":{"sendID":"imAdmin","content":{"content":"hi"},"contentType":101},"audience":{"all":true},"sendAt":"2099-01-01T00:00:00Z"}`)
		id, _ := made.data["id"].(string)
		code, stdout, stderr := finish(t, append([]string{"restored"}, ledger...)...)
		if code != 0 || stdout != "1 campaigns are held until you resume or cancel them; slots of schedules up to now do not fire\n" {
			t.Fatalf("%d %s %s", code, stdout, stderr)
		}
		c := get(t, base+"/v1/campaigns/"+id, token)
		if reason, _ := c.data["statusReason"].(string); c.data["status"] != "paused" || !strings.HasPrefix(reason, "restored: ") || c.data["limitedBy"] != "paused" {
			t.Errorf("%s", c.body)
		}
		if code, stdout, _ := finish(t, append([]string{"restored", "--json"}, ledger...)...); code != 0 || stdout != "{\"held\":1}\n" {
			t.Errorf("again: %d %s", code, stdout)
		}
		if code, _, stderr := finish(t, append([]string{"campaigns", "resume", id}, over(base)...)...); code != 0 {
			t.Errorf("%d %s", code, stderr)
		}
		if c := get(t, base+"/v1/campaigns/"+id, token); c.data["status"] != "scheduled" || c.data["limitedBy"] != "waiting" || c.data["statusReason"] != "it starts at 2099-01-01T00:00:00Z" {
			t.Errorf("%s", c.body)
		}
		if c := get(t, base+"/v1/campaigns", token); !strings.Contains(c.body, `"limitedBy":"waiting"`) {
			t.Errorf("%s", c.body)
		}
	})
}
