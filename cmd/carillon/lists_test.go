package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhatBecameOfRecipients: why they failed, and what became of one of them, from the command line beside a server.
func TestWhatBecameOfRecipients(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	p := serve(t, "--data-dir", dir, "--secret", testSecret)
	base, token := p.ready(), adminToken(t)
	call(t, http.MethodPost, base+"/v1/users", token, `{"users":[{"userID":"alice"}]}`)
	made := call(t, http.MethodPost, base+"/v1/campaigns", token, `{"name":"a<b","audience":{"userIDs":["alice","bob","carol"]},
		"message":{"sendID":"openIMAdmin","contentType":101,"content":{"content":"hi"}}}`)
	id, _ := made.data["id"].(string)
	p.completed(base, token, id)
	run := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := finish(t, append(args, over(base)...)...)
		if code != 0 {
			t.Fatalf("%q: exit code %d, %s", args, code, stderr)
		}
		return stdout
	}
	if out := run("campaigns", "failures", id); !strings.Contains(out, "2      failed  1004     the user is not in the directory\n2 failed or unknown") {
		t.Errorf("failures: %s", out)
	}
	if out := run("campaigns", "failures", id, "--json"); out != `{"count":2,"errCode":1004,"errMsg":"the user is not in the directory","status":"failed"}`+"\n" {
		t.Errorf("failures: %s", out)
	}
	if out := run("users", "campaigns", "bob"); !strings.Contains(out, id) || !strings.Contains(out, "failed       a<b") || !strings.Contains(out, "not in the directory") {
		t.Errorf("campaigns: %s", out)
	}
	if out := run("users", "campaigns", "alice", "--json", "--limit", "1"); !strings.Contains(out, `"name":"a<b"`) || !strings.Contains(out, `"status":"sent"`) {
		t.Errorf("campaigns: %s", out)
	}
	if out := run("campaigns", "list"); !strings.Contains(out, "UNKNOWN  CREATED") || !strings.Contains(out, "imAdmin  -     -    a<b") {
		t.Errorf("list: %s", out)
	}
	waits := call(t, http.MethodPost, base+"/v1/campaigns", token, `{"audience":{"userIDs":["alice"]},"quietHours":{"from":"00:01","to":"00:00"},
		"message":{"sendID":"openIMAdmin","contentType":101,"content":{"content":"hi"}}}`)
	waiting, _ := waits.data["id"].(string)
	p.until("it is planned", func() bool { return get(t, base+"/v1/campaigns/"+waiting, token).data["planned"] == true })
	if out := run("campaigns", "zones", waiting); !strings.Contains(out, "CANCELLED  UNKNOWN\nUTC   -       1 ") {
		t.Errorf("zones: %s", out)
	}
	if out := run("campaigns", "zones", id); !strings.HasPrefix(out, "ZONE ") || strings.Count(out, "\n") != 1 {
		t.Errorf("zones of a campaign without: %s", out)
	}
	for _, args := range [][]string{{"campaigns", "failures", id, "--limit", "0"}, {"campaigns", "failures", "nothing"}, {"users", "campaigns", ""}} {
		if code, _, stderr := finish(t, append(args, over(base)...)...); code == 0 || stderr == "" {
			t.Errorf("%q: exit code %d, %s", args, code, stderr)
		}
	}
}
