package main

import (
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"carillon/internal/testkit"
)

// TestSchedulesFromTheCommandLine: over the API; pausing and resuming without one, too.
func TestSchedulesFromTheCommandLine(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	p := serve(t, "--data-dir", dir, "--secret", testSecret)
	base, token := p.ready(), adminToken(t)
	call(t, http.MethodPost, base+"/v1/users", token, `{"users":[{"userID":"alice"}]}`)
	made := call(t, http.MethodPost, base+"/v1/schedules", token, `{"name":"weekly","cron":"0 9 * * 1","timezone":"Europe/Berlin","campaign":{"audience":{"all":true},
		"message":{"sendID":"openIMAdmin","contentType":101,"content":{"content":"hi"}}}}`)
	id, _ := made.data["id"].(string)
	if made.status != http.StatusCreated || id == "" {
		t.Fatalf("%d %s", made.status, made.body)
	}
	run := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := finish(t, append([]string{"schedules"}, append(args, over(base)...)...)...)
		if code != 0 {
			t.Fatalf("%q: exit code %d, %s", args, code, stderr)
		}
		return stdout
	}
	if out := run("list"); !strings.Contains(out, id) || !strings.Contains(out, "T09:00:00+0") || !strings.Contains(out, "weekly") {
		t.Errorf("list: %s", out)
	}
	if out := run("next", id, "-n", "3"); strings.Count(out, "T09:00:00+0") != 3 {
		t.Errorf("next: %s", out)
	}
	if out := run("pause", "--all"); out != "paused 1 schedule\n"+id+"  weekly\n" {
		t.Errorf("pause: %s", out)
	}
	if out := run("resume", "--all"); out != "resumed 1 schedule\n"+id+"  weekly\n" {
		t.Errorf("resume: %s", out)
	}
	for _, args := range [][]string{{"resume", "--all"}, {"pause", "--all"}, {"pause", "--all", "--json"}} {
		code, stdout, stderr := finish(t, append(append([]string{"schedules"}, args...), "--data-dir", dir, "--local")...)
		switch {
		case args[0] == "resume" && (code != exitNothing || stdout != "" || stderr != "ledger: SQLite "+dir+"\ncarillon: nothing was resumed: no schedule is paused by the last pause --all\n"):
			t.Errorf("%q: exit code %d, %s%s", args, code, stdout, stderr)
		case len(args) == 3 && (code != exitNothing || stdout != `{"paused":0,"schedules":[]}`+"\n" || !strings.HasSuffix(stderr, "nothing was paused: no schedule is active\n")):
			t.Errorf("%q: exit code %d, %s%s", args, code, stdout, stderr)
		}
	}
	if out := run("list", "--json"); !strings.Contains(out, `"status":"paused"`) || !strings.Contains(out, `"nextSlot":null`) {
		t.Errorf("list: %s", out)
	}
	if out := run("resume", id); !strings.Contains(out, "is active, next slot ") {
		t.Errorf("resume: %s", out)
	}
	out := run("run", id)
	campaign, _, ok := strings.Cut(out, " is running: ")
	if !ok {
		t.Fatalf("run: %s", out)
	}
	if n := p.completed(base, token, campaign); n != 1 {
		t.Errorf("%v sent", n)
	}
	if out := run("delete", id); !strings.Contains(out, "is deleted") {
		t.Errorf("delete: %s", out)
	}
	for _, args := range [][]string{{"pause", id}, {"resume", id}, {"run", id}} {
		if code, _, stderr := finish(t, append([]string{"schedules"}, append(args, over(base)...)...)...); code != exitFailed || !strings.Contains(stderr, "deleted") {
			t.Errorf("%q: exit code %d, %s", args, code, stderr)
		}
	}
	code, _, stderr := finish(t, append([]string{"schedules", "next", "none"}, over(base)...)...)
	oneLine(t, code, stderr, "there is no such schedule")
	code, _, stderr = finish(t, "schedules", "pause", "--data-dir", dir)
	oneLine(t, code, stderr, "say which schedule, or --all")
}

// TestASlotIsSkippedFromTheCommandLine: the slot that schedules next printed is left out, and no other.
func TestASlotIsSkippedFromTheCommandLine(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		flags := []string{"--data-dir", filepath.Join(t.TempDir(), "data"), "--secret", testSecret}
		if s.Name != "embedded" {
			flags = external(migrated(t, s.DatabaseURL), s.RedisURL)
		}
		base, token := serve(t, flags...).ready(), adminToken(t)
		call(t, http.MethodPost, base+"/v1/users", token, `{"users":[{"userID":"alice"}]}`)
		id, _ := call(t, http.MethodPost, base+"/v1/schedules", token, `{"name":"weekly","cron":"0 9 * * 1","timezone":"Europe/Berlin","campaign":{"audience":{"all":true},
			"message":{"sendID":"openIMAdmin","contentType":101,"content":{"content":"hi"}}}}`).data["id"].(string)
		run := func(args ...string) (stdout string) {
			t.Helper()
			code, stdout, stderr := finish(t, append([]string{"schedules"}, append(args, over(base)...)...)...)
			if code != 0 {
				t.Fatalf("%q: exit code %d, %s", args, code, stderr)
			}
			return stdout
		}
		slots := regexp.MustCompile(`\d{4}-\d\d-\d\dT09:00:00\+0[12]:00`).FindAllString(run("next", id, "-n", "3"), -1)
		if len(slots) != 3 {
			t.Fatalf("%q", slots)
		}
		if out := run("skip", id, slots[0]); !strings.Contains(out, id) || !strings.Contains(out, slots[1]) || strings.Contains(out, slots[0]) {
			t.Errorf("the schedule after that: %s", out)
		}
		if out := run("next", id, "-n", "2"); !strings.Contains(out, slots[0]+"  skipped\n") || strings.Count(out, "skipped") != 1 || !strings.Contains(out, slots[1]) {
			t.Errorf("next: %s", out)
		}
		if out := run("history", id); !strings.Contains(out, "skippedByHand") || !strings.Contains(out, "cli") {
			t.Errorf("history: %s", out)
		}
		for slot, says := range map[string]string{"2026-12-07": "slot", strings.Replace(slots[1], "T09", "T10", 1): "slot"} {
			code, _, stderr := finish(t, append([]string{"schedules", "skip", id, slot}, over(base)...)...)
			if text := told(stderr); code != exitFailed || !strings.Contains(text, says) || strings.Count(text, "\n") != 1 {
				t.Errorf("%s: exit code %d, %s", slot, code, stderr)
			}
		}
	})
}
