package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carillon/handlers"
	"carillon/internal/testkit"
	double "carillon/internal/testkit/openim"
)

// A fresh carillon in front of OpenIM takes a campaign to all users before it knows anybody, and sends it when it has synced.
func TestUsersSync(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		const secret = "openIM-secret-123"
		d, err := double.StartProcess(double.Options{Log: filepath.Join(t.TempDir(), "log"), Secret: secret, Users: 30,
			Manners: double.Manners{Faults: []double.Fault{{Kind: double.Refuses, Users: "u00002?"}}}}, os.Args[0], asDouble)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Kill() })
		dir := filepath.Join(t.TempDir(), "data")
		flags := []string{"--data-dir", dir, "--secret", testSecret}
		if s.Name != "embedded" {
			flags = external(migrated(t, s.DatabaseURL), s.RedisURL)
		}
		p := serve(t, append(flags, "--openim-url", d.URL, "--openim-secret", secret, "--channel", "openim")...)
		base, token := p.ready(), adminToken(t)
		posted := call(t, http.MethodPost, base+"/msg/batch_send_msg", token, message)
		id, ok := posted.data["campaignID"].(string)
		if !ok {
			t.Fatalf("%d %s", posted.status, posted.body)
		}
		code, stdout, stderr := finish(t, append([]string{"users", "sync", "--json"}, over(base)...)...)
		var v handlers.SyncView
		if err := json.Unmarshal([]byte(stdout), &v); code != 0 || err != nil || v.Seen != 31 || v.Vanished != 0 || v.CompletedAt == nil {
			t.Fatalf("exit code %d: %s%s, %v", code, stdout, stderr, err)
		}
		if n := p.completed(base, token, id); n != 20 { // 30 users without the ten who refuse; imAdmin is the sender
			t.Errorf("%v sent", n)
		}
		skipped := call(t, http.MethodGet, base+"/v1/campaigns/"+id+"/recipients?status=skipped&limit=100", token, "")
		if n := strings.Count(skipped.body, `"refuses messages"`); n != 10 {
			t.Errorf("%d refuse messages: %s", n, skipped.body)
		}
		seen, err := d.Seen(t.Context())
		if err != nil || seen.Requests["/msg/send_msg"] != 20 {
			t.Errorf("%+v, %v", seen, err)
		}
		p.stop()
		if code := p.wait(); code != 0 || strings.Contains(p.stderr.String(), secret) {
			t.Errorf("exit code %d, or the secret in the log", code)
		}
	})
}
