package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"carillon/handlers/web"
	"carillon/internal/testkit"
	"carillon/models"
)

// devices is the operator's provider: some devices are gone, and some users are over their quota until it is raised.
type devices struct {
	server *httptest.Server
	raised atomic.Bool

	mu   sync.Mutex
	took map[string]int // messages by campaign and user
}

func newDevices(t *testing.T) *devices {
	t.Helper()
	d := &devices{took: map[string]int{}}
	d.server = httptest.NewServer(http.HandlerFunc(d.serve))
	t.Cleanup(d.server.Close)
	return d
}

func (d *devices) serve(w http.ResponseWriter, r *http.Request) {
	var body struct {
		CampaignID string
		Recipients []struct{ RecvID string }
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(raw, &body) != nil || len(body.Recipients) != 1 {
		http.Error(w, "odd", http.StatusBadRequest)
		return
	}
	user := body.Recipients[0].RecvID
	switch {
	case strings.HasSuffix(user, "07"):
		http.Error(w, "the device is gone", http.StatusUnprocessableEntity)
		return
	case strings.HasSuffix(user, "08") && !d.raised.Load():
		http.Error(w, "over quota", http.StatusUnprocessableEntity)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.took[body.CampaignID+" "+user]++
}

// total is how many messages were taken.
func (d *devices) total() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, times := range d.took {
		n += times
	}
	return n
}

// twice are the messages that a user got more than once.
func (d *devices) twice() (all []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for what, n := range d.took {
		if n > 1 {
			all = append(all, what)
		}
	}
	return all
}

// day is the operator's desk.
type day struct {
	t       *testing.T
	stores  testkit.Stores
	dir     string   // of the embedded stores
	ledger  []string // flags
	webhook []string // the same
	token   string
	base    string
	p       *process
	log     strings.Builder // of the processes before p
}

// says runs a command, and checks its exit code and words.
func (d *day) says(code int, words []string, args ...string) {
	d.t.Helper()
	way, where := []string{"--server", d.base, "--token", d.token}, "server: "
	if args[0] == "restored" {
		way, where = d.ledger, "ledger: "
	}
	got, stdout, stderr := finish(d.t, append(args, way...)...)
	if got != code {
		d.t.Errorf("carillon %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, stdout, stderr)
	}
	for _, w := range append(words, where) {
		if !strings.Contains(stdout+stderr, w) {
			d.t.Errorf("carillon %s does not say %q:\n%s%s", strings.Join(args, " "), w, stdout, stderr)
		}
	}
}

// serve starts the service.
func (d *day) serve(secret string, more ...string) {
	d.t.Helper()
	args := append(append(append([]string{"--secret", secret}, d.ledger...), d.webhook...), more...)
	d.p = serve(d.t, args...)
	d.base = d.p.ready()
}

func (d *day) stop() {
	d.t.Helper()
	d.p.stop()
	if code := d.p.wait(); code != 0 {
		d.t.Fatalf("exit code %d", code)
	}
	d.log.WriteString(d.p.stderr.String())
}

// tells checks that the log has lines that match, in this order.
func (d *day) tells(patterns ...string) {
	d.t.Helper()
	rest := d.log.String()
	for _, p := range patterns {
		at := regexp.MustCompile(p).FindStringIndex(rest)
		if at == nil {
			d.t.Fatalf("the log does not tell %s where it should:\n%s", p, d.log.String())
		}
		rest = rest[at[1]:]
	}
}

// post makes a campaign to all users.
func (d *day) post(name string, perSecond int) (id string) {
	d.t.Helper()
	r := call(d.t, http.MethodPost, d.base+"/v1/campaigns", d.token, fmt.Sprintf(
		`{"name":%q,"channel":"webhook","audience":{"all":true},"ratePerSecond":%d,"message":{"sendID":"imAdmin","content":{"content":"hi"},"contentType":101}}`, name, perSecond))
	if id, _ = r.data["id"].(string); id == "" {
		d.t.Fatal(r.body)
	}
	return id
}

// until waits until a campaign is as ok says.
func (d *day) until(id, what string, ok func(status string, sent float64, c map[string]any) bool) map[string]any {
	d.t.Helper()
	var c map[string]any
	d.p.until(what, func() bool {
		c = get(d.t, d.base+"/v1/campaigns/"+id, d.token).data
		counts, _ := c["counts"].(map[string]any)
		status, _ := c["status"].(string)
		sent, _ := counts["sent"].(float64)
		return counts != nil && ok(status, sent, c)
	})
	return c
}

func is(want string) func(string, float64, map[string]any) bool {
	return func(status string, _ float64, _ map[string]any) bool { return status == want }
}

// backUp copies the ledger aside while nothing serves.
func (d *day) backUp() (restore func()) {
	d.t.Helper()
	if d.stores.Name == "embedded" {
		saved := d.t.TempDir()
		copyFiles(d.t, d.dir, saved)
		return func() { copyFiles(d.t, saved, d.dir) }
	}
	copyTables(d.t, d.stores.DatabaseURL, "", "backup_", "UPDATE backup_ledger_mark SET mark=mark-3600000") // as if it were an hour old
	return func() { copyTables(d.t, d.stores.DatabaseURL, "backup_", "") }
}

// copyFiles copies the files of a data directory that is not in use; those that are there no more are taken away.
func copyFiles(t *testing.T, from, to string) {
	t.Helper()
	for _, dir := range []string{to, from} {
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if !strings.HasPrefix(f.Name(), "carillon.db") {
				continue
			}
			if dir == to {
				err = os.Remove(filepath.Join(to, f.Name()))
			} else {
				var raw []byte
				if raw, err = os.ReadFile(filepath.Join(from, f.Name())); err == nil {
					err = os.WriteFile(filepath.Join(to, f.Name()), raw, 0o600)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// copyTables makes what has one prefix the content of what has another, in place of a dump and its import.
func copyTables(t *testing.T, databaseURL, from, to string, then ...string) {
	t.Helper()
	store, err := models.Open(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	db, _, err := store.Writer()
	if err != nil {
		t.Fatal(err)
	}
	rows, err := db.QueryContext(t.Context(), "SELECT table_name FROM information_schema.tables WHERE table_schema=DATABASE() AND table_name NOT LIKE 'backup\\_%'")
	if err != nil {
		t.Fatal(err)
	}
	var tables []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		tables = append(tables, name)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	var statements []string
	for _, name := range tables {
		statements = append(statements, "CREATE TABLE IF NOT EXISTS "+to+name+" LIKE "+from+name, "DELETE FROM "+to+name, "INSERT INTO "+to+name+" SELECT * FROM "+from+name)
	}
	for _, statement := range append(statements, then...) {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// TestAnOperatorsDay: a foreign file, a send, the kill switch and its undoing, failures by reason and their retry, one user, a
// new secret, a backup and its restore. The operator has the command line and HTTP alone, and reads what they say.
func TestAnOperatorsDay(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		const users, gone, over = 300, 3, 3
		provider := newDevices(t)
		d := &day{t: t, stores: s, dir: filepath.Join(t.TempDir(), "data"), token: adminToken(t)}
		d.ledger = []string{"--data-dir", d.dir}
		if s.Name != "embedded" {
			d.ledger = []string{"--database-url", migrated(t, s.DatabaseURL), "--redis-url", s.RedisURL}
		}
		d.webhook = []string{"--webhook-url", provider.server.URL, "--webhook-secret", webhookSecret, "--admins", "imAdmin"}
		d.serve(testSecret)

		// A file from elsewhere: other names, semicolons, a byte order mark, a column too many, and a stray quote.
		file := "\ufeffKundennummer;Full name;Shoe size\r\n"
		for i := range users {
			file += fmt.Sprintf("user-%05d;\"Nr. %d\";%d\r\n", i, i, 36+i%10)
		}
		file += "user-99998;\"oops;41\r\n"
		people := write(t, "people.csv", file)
		d.says(exitFailed, []string{"Kundennummer is not a column of users", "name it in map, or ignore other columns", "Shoe size is not a column of users\n"}, "users", "import", people)
		d.says(exitRefused, []string{"created 300, changed 0, unchanged 0, repeated 0, refused 1: 301 rows in 302 lines", "line 302: a quoted field"},
			"users", "import", "--map", "Kundennummer=userID", "--map", "Full name=nickname", "--ignore-other-columns", people)

		// Sent, watched, and stopped together with another one that had been paused before.
		earlier := d.post("earlier", 1)
		d.says(0, []string{earlier + " is paused"}, "campaigns", "pause", earlier)
		news := d.post("news", 60)
		d.until(news, "the campaign's rate holds it back", func(_ string, sent float64, c map[string]any) bool {
			return sent > 30 && c["limitedBy"] == "campaign rate" && c["etaSeconds"] != nil
		})
		d.says(0, []string{news, "running", "news", "of 60/s", "imAdmin"}, "campaigns", "list")
		d.says(0, []string{"paused 1 campaign\n", news + "  news"}, "campaigns", "pause", "--all")
		d.until(news, "paused", is("paused"))
		d.says(exitNothing, []string{"nothing was paused: no campaign runs"}, "campaigns", "pause", "--all")
		d.says(0, []string{"resumed 1 campaign\n", news}, "campaigns", "resume", "--all")
		call(t, http.MethodPatch, d.base+"/v1/campaigns/"+news, d.token, `{"ratePerSecond":1000}`)
		d.until(news, "completed", is("completed"))
		d.until(earlier, "still paused", is("paused"))

		// Failures by reason, and a retry of those whose reason is gone.
		d.says(0, []string{"REASON", "3 ", "the device is gone", "over quota"}, "campaigns", "failures", news)
		provider.raised.Store(true)
		d.says(0, []string{"6 recipients are tried again"}, "campaigns", "retry", news)
		c := d.until(news, "completed again", func(status string, sent float64, _ map[string]any) bool {
			return status == "completed" && sent == users-gone
		})
		if failed := c["counts"].(map[string]any)["failed"]; failed != float64(gone) {
			t.Errorf("%v failed", failed)
		}
		d.says(0, []string{"news", "failed", "the device is gone", "earlier"}, "users", "campaigns", "user-00107")
		d.says(0, []string{"holds: 300 recipients"}, "verify", news)

		// A new secret: the old token is good as long as the old secret is named.
		const newSecret = "another secret for tests only"
		d.stop()
		d.serve(newSecret, "--secret-previous", testSecret)
		if r := get(t, d.base+"/v1/campaigns", d.token); r.status != http.StatusOK {
			t.Errorf("a token of the previous secret: %d %s", r.status, r.body)
		}
		old := d.token
		token, err := web.AdminToken(newSecret, "imAdmin")
		if err != nil {
			t.Fatal(err)
		}
		d.token = token
		d.stop()
		d.serve(newSecret)
		if r := get(t, d.base+"/v1/campaigns", old); r.status != http.StatusUnauthorized {
			t.Errorf("a token of no secret: %d %s", r.status, r.body)
		}

		// A backup in the middle of a campaign, which then goes on; and its restore, after which nothing goes on by itself.
		evening := d.post("evening", 60)
		d.until(evening, "under way", func(_ string, sent float64, _ map[string]any) bool { return sent > 30 })
		d.stop()
		restore := d.backUp()
		d.serve(newSecret)
		call(t, http.MethodPatch, d.base+"/v1/campaigns/"+evening, d.token, `{"ratePerSecond":1000}`)
		d.until(evening, "completed", is("completed"))
		d.stop()
		restore()
		if s.Name == "embedded" { // Redis was lost with it; the other one remembers by itself
			d.says(0, []string{"2 campaigns are held until you resume or cancel them"}, "restored")
		}
		before := provider.total()
		d.serve(newSecret)
		c = d.until(evening, "held", is("paused"))
		if reason, _ := c["statusReason"].(string); !strings.HasPrefix(reason, "restored") {
			t.Errorf("the reason is %q", reason)
		}
		if n := provider.total(); n != before {
			t.Errorf("%d messages went out after the restore", n-before)
		}
		if twice := provider.twice(); len(twice) > 0 {
			t.Errorf("twice: %q", twice)
		}
		d.says(0, []string{evening + " is cancelled"}, "campaigns", "cancel", evening)
		d.until(evening, "cancelled", is("cancelled"))
		next := d.post("next morning", 0)
		d.until(next, "completed", is("completed"))
		d.p.until("the log tells of the command", func() bool { return strings.Contains(d.p.stderr.String(), `"campaign cancelled"`) })
		d.stop()

		d.tells("started", `"campaign created".*earlier.*api`, `"campaign created".*`+news, `"campaign changed".*`+news, `"campaign finished".*`+news, `"campaign finished".*`+news,
			"stopping", "started", "stopping", "started", `"campaign created".*`+evening, "stopping", "started", `"campaign finished".*`+evening, "stopping", "started",
			`"campaign created".*`+next, `"campaign finished".*`+next, "stopping")
		d.tells(`"campaign paused".*`+earlier, `"all campaigns paused" campaigns=1`, `"campaigns resumed" campaigns=1`, `"campaign retried".*`+news, "restored", `"campaign cancelled".*`+evening)
		if strings.Contains(d.log.String(), testSecret) || strings.Contains(d.log.String(), "user-0") {
			t.Error("the log names a secret or a user")
		}
	})
}
