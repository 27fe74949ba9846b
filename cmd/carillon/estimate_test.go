package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"carillon/client"
	"carillon/internal/testkit"
)

// What estimate shows, and that it sends nothing.
func TestEstimateCommand(t *testing.T) {
	t.Parallel()
	base := directory(t, 3)
	file := write(t, "ids.txt", "u0\nu1\nnobody\nu1\n")
	code, stdout, stderr := finish(t, append([]string{"estimate", "--to-file", file, "--text", "hi", "--rate", "2", "--local-time", "--at", "2099-01-02T09:00"}, over(base)...)...)
	for _, want := range []string{
		"recipients 3", "sent 2", "not counted 1 they are named before in the list, and get it once", "failed 1 they are not in the directory, and inbox reaches only its users",
		"time at 2 a second: about 1s", "ZONE RECIPIENTS SENT LEFT OUT STARTS ENDS",
		"UTC (3 have no zone) 3 2 1 2099-01-02 09:00:00 +00:00 2099-01-02 09:00:01 +00:00",
	} {
		var lines []string
		for line := range strings.Lines(stdout) {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
		if code != 0 || !slices.Contains(lines, want) {
			t.Errorf("no %q; exit code %d, %s\n%s", want, code, stderr, stdout)
		}
	}
	code, stdout, stderr = finish(t, append([]string{"estimate", "--all", "--text", "hi", "--json"}, over(base)...)...)
	var e client.Estimate
	if err := json.Unmarshal([]byte(stdout), &e); err != nil || code != 0 || e.Total != 3 || e.Sent != 3 || e.TakesSeconds != nil || strings.Count(stdout, "\n") != 1 {
		t.Errorf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	code, _, stderr = finish(t, append([]string{"estimate", "--all", "--text", "hi", "--channel", "none"}, over(base)...)...)
	oneLine(t, code, stderr, "channel must be one that is set up here: inbox")
	if list := get(t, base+"/v1/campaigns", adminToken(t)); !strings.Contains(list.body, `"campaigns":[]`) {
		t.Error(list.body)
	}
}

// A test goes to the users of --to alone, whatever else stands on the line.
func TestTestCommand(t *testing.T) {
	t.Parallel()
	base := directory(t, 30)
	code, stdout, stderr := finish(t, append([]string{"test", "--to", "u1,u2", "--all", "--text", "hi", "--name", "n", "--local-time", "--at", "2099-01-02T09:00", "--expire", "24h", "--rate", "1",
		"--quiet", "22:00-08:00", "--json"}, over(base)...)...)
	var v client.Campaign
	if err := json.Unmarshal([]byte(stdout), &v); err != nil || code != 0 {
		t.Fatalf("exit code %d, %s%s", code, stdout, stderr)
	}
	if v.Name != "test: n" || v.Audience.Size != 2 || v.SendAt != nil || v.ExpireAt != nil || v.LocalTime || v.QuietHours != nil || v.RatePerSecond != 0 || v.Priority != "transactional" {
		t.Errorf("%+v", v)
	}
	if code, stdout, stderr := finish(t, append([]string{"test", "--to", "u1", "--text", "hi", "--watch"}, over(base)...)...); code != 0 || !strings.Contains(stdout, "1 sent") {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
	var one, other client.Campaign
	for _, made := range []*client.Campaign{&one, &other} {
		_, stdout, _ := finish(t, append([]string{"test", "--to", "u1", "--text", "hi", "--idempotency-key", "k", "--json"}, over(base)...)...)
		if err := json.Unmarshal([]byte(stdout), made); err != nil {
			t.Fatal(err)
		}
	}
	if one.ID != other.ID {
		t.Errorf("%s and %s", one.ID, other.ID)
	}
	var many []string
	for i := range 21 {
		many = append(many, fmt.Sprintf("u%d", i))
	}
	for want, args := range map[string][]string{
		"say to whom the test goes: --to":        {"--all", "--text", "hi"},
		"userIDs.1 is not in the directory":      {"--to", "u1,nobody", "--text", "hi"},
		"userIDs must have at most 20 entries":   {"--to", strings.Join(many, ","), "--text", "hi"},
		"say what: --text or --content-file":     {"--to", "u1"},
		"campaign.message.sendID is neither":     {"--to", "u1", "--text", "hi", "--from", "nobody"},
		"say one of --all, --to, --to-file and ": {"--to", "u1", "--all", "--group", "g", "--text", "hi"},
	} {
		code, _, stderr := finish(t, append(append([]string{"test"}, args...), over(base)...)...)
		if code != exitFailed || !strings.Contains(told(stderr), want) && !strings.Contains(told(stderr), "sendID") {
			t.Errorf("%v: exit code %d, %s", args, code, stderr)
		}
	}
}

// Who is left out is shown before a message to all, and the number to type is of those who get it.
func TestSendToAllShowsTheEstimate(t *testing.T) {
	t.Parallel()
	base := directory(t, 3)
	if r := call(t, http.MethodPost, base+"/v1/users", adminToken(t), `{"users":[{"userID":"late","timezone":"Etc/GMT-14"},{"userID":"imAdmin"}]}`); r.status != http.StatusOK {
		t.Fatal(r.body)
	}
	wall := call(t, http.MethodPost, base+"/v1/schedules/preview", adminToken(t), `{"cron":"* * * * *","timezone":"UTC","n":1}`)
	at := wall.data["slots"].([]any)[0].(map[string]any)["utc"].(string) // the next minute, by the server's clock
	x := inTerminal(t, os.Args[0], []string{asProgram + "=1"}, append([]string{"send", "--all", "--from", "imAdmin", "--text", "hi", "--local-time", "--at", at[:16], "--rate", "3"}, over(base)...)...)
	x.until("1 skipped: sendAt is over already in their time zones\r\nIt starts at ")
	x.until("This goes to 3 of all 4 users of " + base + ", at 3 a second: about 1s.\r\nType 3 to send it: ")
	x.types("4\r")
	if code := <-x.end; code != exitFailed || !strings.Contains(x.out.String(), `"4" is not 3: nothing was sent`) {
		t.Errorf("exit code %d", code)
	}
}

// What an estimate says before is what the workers then do, in another process.
func TestEstimateIsWhatBecomes(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		flags := []string{"--secret", testSecret, "--data-dir", filepath.Join(t.TempDir(), "data")}
		var base string
		if s.Name != "embedded" {
			flags = append(flags, "--database-url", migrated(t, s.DatabaseURL), "--redis-url", s.RedisURL)
			base = serve(t, append(slices.Clone(flags), "--roles", "api")...).ready()
			serve(t, append(slices.Clone(flags), "--roles", "worker,scheduler")...).ready()
		} else { // whose stores one process has
			base = serve(t, flags...).ready()
		}
		var users []string
		for i := range 300 {
			users = append(users, fmt.Sprintf(`{"userID":"u%d"}`, i))
		}
		if r := call(t, http.MethodPost, base+"/v1/users", adminToken(t), `{"users":[`+strings.Join(users, ",")+`,{"userID":"imAdmin"}]}`); r.status != http.StatusOK {
			t.Fatal(r.body)
		}
		api, err := client.New(client.Options{Server: base, Token: adminToken(t)})
		if err != nil {
			t.Fatal(err)
		}
		defer api.Close()
		all := true
		for round := range 6 {
			audience := client.AudienceRequest{All: &all}
			if round > 0 {
				var list []string
				for range 1 + rand.IntN(200) {
					list = append(list, []string{fmt.Sprintf("u%d", rand.IntN(300)), fmt.Sprintf("nobody%d", rand.IntN(50)), "imAdmin"}[rand.IntN(3)])
				}
				audience = client.AudienceRequest{UserIDs: &list}
			}
			r := client.CampaignRequest{Audience: audience, Message: client.MessageRequest{SendID: "imAdmin", ContentType: 101, Content: client.Content{"content": "hi"}}}
			e, err := api.Estimate(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			v, err := api.Send(t.Context(), "", r)
			if err != nil {
				t.Fatal(err)
			}
			testkit.Eventually(t, "the campaign is done", patience, func() bool {
				v, err = api.Campaign(t.Context(), v.ID)
				return err == nil && v.FinishedAt != nil
			})
			if n := v.Counts; n.Total != e.Total || n.Sent != e.Sent || n.Failed != e.Failed || n.Skipped != e.Skipped || n.Expired != e.Expired {
				t.Errorf("%+v\n%+v", e, n)
			}
		}
	})
}
