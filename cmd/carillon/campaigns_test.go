package main

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"carillon/internal/testkit"
)

// The kill switch names the ledger and what it has paused, and is undone for those alone, from wherever the ledger is reached.
func TestPauseAndResumeAllFromTheCommandLine(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		dir := filepath.Join(t.TempDir(), "data")
		flags, served := []string{"--data-dir", dir}, []string{"--data-dir", dir, "--secret", testSecret}
		ledger := "ledger: SQLite " + dir + "\n"
		if s.Name != "embedded" {
			served = external(migrated(t, s.DatabaseURL), s.RedisURL)
			flags = served[2:]
			u := must(url.Parse(s.DatabaseURL))
			ledger = "ledger: MariaDB " + u.Host + u.Path + "\n"
		}
		base, token := serve(t, served...).ready(), adminToken(t)
		call(t, http.MethodPost, base+"/v1/users", token, `{"users":[{"userID":"alice"}]}`)
		post := func(name string) string {
			t.Helper()
			r := call(t, http.MethodPost, base+"/v1/campaigns", token, fmt.Sprintf(`{"name":%q,"sendAt":%q,"audience":{"all":true},"message":{"sendID":"imAdmin","contentType":101,"content":{"content":"hi"}}}`,
				name, time.Now().Add(time.Hour).Format(time.RFC3339)))
			id, _ := r.data["id"].(string)
			if id == "" {
				t.Fatal(r.body)
			}
			return id
		}
		made := regexp.MustCompile(`created \d{4}-[^ ]*Z`)
		for _, way := range []struct {
			flags     []string
			told, why string
		}{
			{append(flags, "--local"), ledger, "paused from the command line"},
			{over(base), "server: " + base + "\n", "held back by: paused, paused by openIMAdmin"},
		} {
			// ask runs a command and checks all of what it says, but for when a campaign was made
			ask := func(code int, stdout, stderr string, args ...string) {
				t.Helper()
				gotCode, gotOut, gotErr := finish(t, append(append([]string{"campaigns"}, args...), way.flags...)...)
				gotOut = made.ReplaceAllString(gotOut, "created at T")
				if gotCode != code || gotOut != stdout || gotErr != way.told+stderr {
					t.Errorf("%q: exit code %d\n%s%s\nwant %d\n%s%s", args, gotCode, gotOut, gotErr, code, stdout, way.told+stderr)
				}
			}
			const none = "carillon: nothing was paused: no campaign runs or is scheduled\n"
			ask(exitNothing, "", none, "pause", "--all")
			ask(exitNothing, `{"campaigns":[],"paused":0}`+"\n", none, "pause", "--all", "--json")
			single := post("single")
			ask(0, single+" is paused: 1 of 1 pending, 0 sent, 0 failed, 0 skipped, 0 expired, 0 cancelled, 0 unknown\ncreated at T by imAdmin, "+way.why+"\n", "", "pause", single)
			one, two := post("one"), post("two \u202e")
			ask(0, "paused 2 campaigns\n"+one+"  one\n"+two+`  two \u202e`+"\n", "", "pause", "--all")
			ask(exitNothing, "", none, "pause", "--all")
			ask(0, "resumed 2 campaigns\n"+one+"  one\n"+two+`  two \u202e`+"\n", "", "resume", "--all")
			ask(exitNothing, "", "carillon: nothing was resumed: no campaign is paused by the last pause --all\n", "resume", "--all")
			code, stdout, stderr := finish(t, append([]string{"campaigns", "list"}, way.flags...)...)
			if code != 0 || stderr != way.told || !strings.Contains(stdout, `two \u202e`) || strings.Contains(stdout, "\u202e") {
				t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
			}
			for id, want := range map[string]string{single: "paused", one: "scheduled", two: "scheduled"} {
				if r := get(t, base+"/v1/campaigns/"+id, token); r.data["status"] != want {
					t.Errorf("%s, want %s", r.body, want)
				}
				call(t, http.MethodPost, base+"/v1/campaigns/"+id+"/cancel", token, "")
			}
			code, _, stderr = finish(t, append([]string{"campaigns", "resume", "--all", one}, way.flags...)...)
			oneLine(t, code, stderr, "say which campaign, or --all")
		}
	})
}

// Every command that itself reads or writes a ledger names it, without what opens it; one that cannot be reached, too.
func TestCommandsNameTheirLedger(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	if code, _, stderr := finish(t, "migrate", "--data-dir", dir); code != 0 || stderr != "ledger: SQLite "+dir+"\n" {
		t.Fatal(code, stderr)
	}
	for _, args := range [][]string{
		{"campaigns", "list", "--local"}, {"campaigns", "pause", "--all", "--local"}, {"campaigns", "cancel", "x", "--local"}, {"campaigns", "retry", "x", "--local"},
		{"schedules", "list", "--local"}, {"schedules", "pause", "--all", "--local"}, {"token", "--user", "alice", "--secret", testSecret},
	} {
		if _, _, stderr := finish(t, append(args, "--data-dir", dir)...); !strings.HasPrefix(stderr, "ledger: SQLite "+dir+"\n") {
			t.Errorf("%q: %s", args, stderr)
		}
		code, _, stderr := finish(t, append(args, "--database-url", "mysql://bob:topsecret@127.0.0.1:1/db?x=topsecret", "--secret", testSecret)...)
		if code != exitFailed || !strings.HasPrefix(stderr, "ledger: database 127.0.0.1:1/db\ncarillon: ") || strings.Contains(stderr, "topsecret") {
			t.Errorf("%q: %s", args, stderr)
		}
	}
}
