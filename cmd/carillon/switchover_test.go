package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/internal/testkit/services"
)

// received is what a provider was really sent.
type received struct {
	mu   sync.Mutex
	byID map[string]int
}

func (r *received) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var body struct {
		Recipients []struct{ ClientMsgID string }
	}
	raw, err := io.ReadAll(req.Body)
	if err == nil {
		err = json.NewDecoder(bytes.NewReader(raw)).Decode(&body)
	}
	if err != nil {
		http.Error(w, "cannot be read", http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range body.Recipients {
		r.byID[one.ClientMsgID]++
	}
}

func (r *received) counts() (users, repeats int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.byID {
		repeats += n - 1
	}
	return len(r.byID), repeats
}

// A planned switchover: the primary turns read-only in mid-campaign, for a moment or for longer than any lease. Meanwhile the process
// says that it cannot write. Afterwards it goes on by itself and repeats nobody.
func TestSwitchover(t *testing.T) {
	t.Parallel()
	for name, lasts := range map[string]time.Duration{"short": 2 * time.Second, "longer than a lease": 14 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := testkit.PrivateMariaDB(t, services.FastDurability()...)
			databaseURL, _, err := services.CreateDatabase(server.URL())
			if err != nil {
				t.Fatal(err)
			}
			guest := testkit.NewGuest(t, migrated(t, databaseURL)) // whom read_only binds
			provider := &received{byID: map[string]int{}}
			hook := httptest.NewServer(provider)
			t.Cleanup(hook.Close)
			p := serve(t, append(external(guest.URL, testkit.RedisURL(t)), "--channel", "webhook", "--webhook-url", hook.URL, "--webhook-batch", "10",
				"--webhook-secret", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")...)
			base, token := p.ready(), adminToken(t)
			var users []string
			for i := range 3000 {
				users = append(users, fmt.Sprintf("user-%04d", i))
			}
			list, err := json.Marshal(users)
			if err != nil {
				t.Fatal(err)
			}
			body := `{"channel":"webhook","ratePerSecond":500,"message":{"sendID":"imAdmin","content":{"content":"hi"},"contentType":101,"sessionType":1},"audience":{"userIDs":%s}}`
			posted := call(t, http.MethodPost, base+"/v1/campaigns", token, fmt.Sprintf(body, list))
			id, _ := posted.data["campaignID"].(string)
			if id == "" {
				id, _ = posted.data["id"].(string)
			}
			if posted.status != http.StatusAccepted || id == "" {
				t.Fatalf("%d %s", posted.status, posted.body)
			}
			p.until("the campaign is under way", func() bool { n, _ := provider.counts(); return n > 500 })
			guest.Do("SET GLOBAL read_only=1")
			began := time.Now()
			small := fmt.Sprintf(body, `["alice"]`)
			p.until("/readyz says that the database cannot be written", func() bool {
				r := get(t, base+"/readyz", "")
				return r.status == http.StatusServiceUnavailable && strings.Contains(r.body, "not ready: database")
			})
			for time.Since(began) < lasts {
				if r := call(t, http.MethodPost, base+"/v1/campaigns", token, small); r.status != http.StatusServiceUnavailable || !strings.Contains(r.body, "3005") {
					t.Errorf("a POST: %d %s", r.status, r.body)
				}
				if r := get(t, base+"/readyz", ""); r.status != http.StatusServiceUnavailable {
					t.Errorf("/readyz: %d %s", r.status, r.body)
				}
				time.Sleep(100 * time.Millisecond)
			}
			guest.Do("SET GLOBAL read_only=0")
			p.ready()
			if r := call(t, http.MethodPost, base+"/v1/campaigns", token, small); r.status != http.StatusAccepted {
				t.Errorf("a POST afterwards: %d %s", r.status, r.body)
			}
			ended := time.Now()
			if n := p.completed(base, token, id); n != 3000 {
				t.Errorf("%v sent", n)
			}
			t.Logf("completed %s after it could be written again", time.Since(ended))
			if n, repeats := provider.counts(); n < 3000 || repeats != 0 {
				t.Errorf("%d users got it, %d repeats", n, repeats)
			}
		})
	}
}

// /readyz and doctor write: what can only be read shows.
func TestReadOnlyStoresShow(t *testing.T) {
	t.Parallel()
	redis := testkit.PrivateRedis(t)
	databaseURL := migrated(t, testkit.MySQLURL(t))
	guest := testkit.NewGuest(t, databaseURL)
	flags := external(guest.URL, redis.URL())
	p := serve(t, flags...)
	base, token := p.ready(), adminToken(t)
	do := func(args ...string) {
		t.Helper()
		if _, err := services.RedisDo(redis.URL(), args...); err != nil {
			t.Fatal(err)
		}
	}
	doctor := func() (int, string) {
		code, stdout, _ := finish(t, append([]string{"doctor"}, flags[2:]...)...)
		return code, stdout
	}
	if code, out := doctor(); code != 0 {
		t.Fatalf("doctor, of what is well: %d %s", code, out)
	}
	for _, c := range []struct {
		what, part, says string
		spoil, mend      func()
	}{
		{"a full Redis", "redis", "OOM", func() { do("CONFIG", "SET", "maxmemory", "1") }, func() { do("CONFIG", "SET", "maxmemory", "0") }},
		{"a replica of Redis", "redis", "READONLY", func() { do("REPLICAOF", "127.0.0.1", "1") }, func() { do("REPLICAOF", "NO", "ONE") }},
		{"a Redis without EVALSHA", "redis", "NOPERM", func() { do("ACL", "SETUSER", "default", "-evalsha") }, func() { do("ACL", "SETUSER", "default", "+evalsha") }},
		{"a database that may not be written", "database", "1142",
			func() { guest.May("SELECT") }, func() { guest.May("ALL") }},
	} {
		c.spoil()
		p.until(c.what+" shows", func() bool {
			r := get(t, base+"/readyz", token)
			return r.status == http.StatusServiceUnavailable && strings.Contains(r.body, "not ready: "+c.part+":") && strings.Contains(r.body, c.says)
		})
		if code, out := doctor(); code != exitFailed || !strings.Contains(out, "cannot be written") && !strings.Contains(out, "not be written") || !strings.Contains(out, c.says) {
			t.Errorf("doctor, of %s: %d %s", c.what, code, out)
		}
		c.mend()
		p.ready()
	}
	if keys, err := services.RedisDo(redis.URL(), "EXISTS", "carillon:try"); err != nil || keys != "0" {
		t.Errorf("the try has left a key: %s, %v", keys, err)
	}
	if code, out := doctor(); code != 0 {
		t.Errorf("doctor, of what is mended: %d %s", code, out)
	}
}

// An older program stops at the tables of a newer one, whatever it is asked to do.
func TestAnOlderProgramStops(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	p := serve(t, "--data-dir", dir)
	p.ready()
	p.stop()
	p.wait()
	newer(t, "sqlite:"+filepath.Join(dir, "carillon.db"))
	databaseURL := migrated(t, testkit.MySQLURL(t))
	newer(t, databaseURL)
	for _, args := range [][]string{
		{"migrate", "--data-dir", dir}, {"serve", "--listen", "127.0.0.1:0", "--data-dir", dir}, {"campaigns", "list", "--local", "--data-dir", dir},
		{"migrate", "--database-url", databaseURL}, append([]string{"serve"}, external(databaseURL, testkit.RedisURL(t))...),
	} {
		if code, _, stderr := finish(t, args...); code != exitFailed || !strings.Contains(stderr, "is at migration 99999") || !strings.Contains(stderr, "run the newer carillon") {
			t.Errorf("%v: exit code %d, %s", args, code, stderr)
		}
	}
}

func newer(t *testing.T, databaseURL string) {
	t.Helper()
	db, _, err := testkit.OpenStore(t, databaseURL).Writer()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, TRUE)"); err != nil {
		t.Fatal(err)
	}
}

// Several migrates at once on empty stores all end well.
func TestParallelMigrates(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		args := []string{"migrate", "--data-dir", filepath.Join(t.TempDir(), "data")}
		if s.Name != "embedded" {
			args = []string{"migrate", "--database-url", s.DatabaseURL}
		}
		var all []*process
		for range 6 {
			all = append(all, start(t, args...))
		}
		applied := 0
		for _, p := range all {
			if code := p.wait(); code != 0 {
				t.Errorf("exit code %d, %s", code, p.stderr.String())
			}
			if strings.Contains(p.stdout.String(), "applied") {
				applied++
			}
		}
		if applied != 1 {
			t.Errorf("%d of them applied the migrations", applied)
		}
	})
}
