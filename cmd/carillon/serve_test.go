package main

import (
	"bufio"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/internal/testkit/contract"
	"carillon/internal/testkit/services"
)

const message = `{"sendID":"imAdmin","content":{"content":"hi"},"contentType":101,"sessionType":1,"isSendAll":true}`

// external are the flags for stores outside of the process.
func external(databaseURL, redisURL string) []string {
	return []string{"--listen", "127.0.0.1:0", "--database-url", databaseURL, "--redis-url", redisURL, "--secret", testSecret}
}

// migrated makes a database with all tables.
func migrated(t *testing.T, databaseURL string) string {
	t.Helper()
	if code, _, stderr := finish(t, "migrate", "--database-url", databaseURL); code != 0 {
		t.Fatal(stderr)
	}
	return databaseURL
}

func serve(t *testing.T, args ...string) *process {
	t.Helper()
	return start(t, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
}

func TestServeSendsAndStopsCleanly(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		dir := filepath.Join(t.TempDir(), "data")
		flags := []string{"--data-dir", dir, "--secret", testSecret}
		if s.Name != "embedded" {
			flags = external(migrated(t, s.DatabaseURL), s.RedisURL)
		}
		p := serve(t, flags...)
		base, token := p.ready(), adminToken(t)
		if r := call(t, http.MethodPost, base+"/v1/users", token, `{"users":[{"userID":"alice"},{"userID":"bob"}]}`); r.status != http.StatusOK {
			t.Fatalf("%d %s", r.status, r.body)
		}
		posted := call(t, http.MethodPost, base+"/msg/batch_send_msg", token, message)
		id, _ := posted.data["campaignID"].(string)
		if n := p.completed(base, token, id); n != 2 {
			t.Errorf("%v sent", n)
		}
		if s.Name == "embedded" && !strings.Contains(p.stdout.String(), "data directory   "+dir) {
			t.Error("it does not say where the data is")
		}
		stream := openStream(t, base+"/v1/inbox/alice/stream", token) // must not hold the process up
		began := time.Now()
		p.stop()
		if code := p.wait(); code != 0 || time.Since(began) > 10*time.Second {
			t.Errorf("exit code %d after %s", code, time.Since(began))
		}
		for stream.Scan() { //nolint:revive // to its end
		}
		if strings.Contains(p.stderr.String(), testSecret) {
			t.Error("the log has the secret")
		}
	})
}

// The console shows where each setting of the process comes from.
func TestServeShowsWhereSettingsComeFrom(t *testing.T) {
	t.Parallel()
	p := serve(t, "--data-dir", filepath.Join(t.TempDir(), "data"), "--secret", testSecret)
	b := &pathReader{t: t, site: p.ready(), client: &http.Client{Jar: must(cookiejar.New(nil))}}
	b.send(http.MethodPost, "/login", url.Values{"token": {adminToken(t)}, "next": {"/"}})
	page := b.read("/settings", http.StatusOK)
	for _, from := range []string{"command line", "default"} {
		if !strings.Contains(page, `<td data-head="From">`+from+"</td>") {
			t.Errorf("no setting is shown as from the %s", from)
		}
	}
}

// openStream returns a stream whose first line has come.
func openStream(t *testing.T, url, token string) *bufio.Scanner {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("token", token)
	res, err := contract.Transport(t, &http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	lines := bufio.NewScanner(res.Body)
	if res.StatusCode != http.StatusOK || !lines.Scan() {
		t.Fatalf("no stream: %s", res.Status)
	}
	return lines
}

func TestASecondServeRefusesTheDataDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	serve(t, "--data-dir", dir).ready()
	code, _, stderr := finish(t, "serve", "--data-dir", dir)
	oneLine(t, code, stderr, "the data directory "+dir+" is in use by another carillon: stop that one, or set CARILLON_DATA_DIR to another directory")
}

func TestABusyPortIsOneLine(t *testing.T) {
	t.Parallel()
	first := serve(t, "--data-dir", filepath.Join(t.TempDir(), "data")).url()
	addr := strings.TrimPrefix(first, "http://")
	code, _, stderr := finish(t, "serve", "--listen", addr, "--data-dir", filepath.Join(t.TempDir(), "data"))
	oneLine(t, code, stderr, "CARILLON_LISTEN: "+addr+" is in use by another program: stop that one, or set CARILLON_LISTEN to another port")
}

func TestEmbeddedStoresAreOneProcess(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	code, _, stderr := finish(t, "serve", "--roles", "api,worker", "--data-dir", dir)
	oneLine(t, code, stderr, "--roles splits the work over several processes, and embedded stores belong to one: set CARILLON_DATABASE_URL and CARILLON_REDIS_URL, or leave --roles out")
	code, _, stderr = finish(t, "serve", "--roles", "api,cook", "--data-dir", dir)
	oneLine(t, code, stderr, `--roles knows api, worker and scheduler, not "cook"`)
	if exists(dir) {
		t.Error("it has made the data directory all the same")
	}
}

func TestAnUnmigratedDatabaseEndsServe(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := finish(t, append([]string{"serve"}, external(testkit.MySQLURL(t), testkit.RedisURL(t))...)...)
	if code != exitFailed || stdout != "" || !strings.Contains(stderr, "carillon: the database is not up to date (it is at migration 0, this program needs ") || !strings.Contains(stderr, "): run carillon migrate\n") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestRolesShareTheWork(t *testing.T) {
	t.Parallel()
	flags := external(migrated(t, testkit.MySQLURL(t)), testkit.RedisURL(t))
	api := serve(t, append(flags, "--roles", "api")...)
	base, token := api.ready(), adminToken(t)
	for _, role := range []string{"worker", "scheduler"} {
		url := serve(t, append(flags, "--roles", role)...).ready()
		if r := get(t, url+"/healthz", ""); r.status != http.StatusOK {
			t.Errorf("%s: /healthz %d", role, r.status)
		}
		if r := askThrough(t, &http.Transport{DisableKeepAlives: true}, http.MethodGet, url+"/v1/campaigns", token, ""); r.status != http.StatusNotFound {
			t.Errorf("%s: /v1/campaigns %d", role, r.status) // the contract is the API's, and this is none
		}
	}
	call(t, http.MethodPost, base+"/v1/users", token, `{"users":[{"userID":"alice"}]}`)
	id, _ := call(t, http.MethodPost, base+"/msg/batch_send_msg", token, message).data["campaignID"].(string)
	if n := api.completed(base, token, id); n != 1 {
		t.Errorf("%v sent", n)
	}
}

// A Redis that is not there yet must keep nobody from posting; once it is there the work is done.
func TestServeWithoutRedisAnswersAndCatchesUp(t *testing.T) {
	t.Parallel()
	redis := testkit.PrivateRedis(t)
	if err := redis.Stop(); err != nil {
		t.Fatal(err)
	}
	p := serve(t, external(migrated(t, testkit.MySQLURL(t)), redis.URL())...)
	base, token := p.url(), adminToken(t)
	p.until("the ledger is ready and Redis is not", func() bool {
		r := get(t, base+"/readyz", token)
		return r.status == http.StatusServiceUnavailable && strings.Contains(r.body, "not ready: redis:") && strings.Contains(r.body, "refused")
	})
	if r := get(t, base+"/readyz", ""); strings.Contains(r.body, "127.0.0.1") {
		t.Errorf("a stranger reads %s", r.body)
	}
	call(t, http.MethodPost, base+"/v1/users", token, `{"users":[{"userID":"alice"}]}`)
	var ids []string
	for range 3 {
		began := time.Now()
		r := call(t, http.MethodPost, base+"/msg/batch_send_msg", token, message)
		if id, ok := r.data["campaignID"].(string); ok {
			ids = append(ids, id)
		} else {
			t.Fatalf("%d %s", r.status, r.body)
		}
		if d := time.Since(began); d > 5*time.Second { // an enqueue alone may take 3 s
			t.Errorf("answered after %s", d)
		}
	}
	p.until("it says so", func() bool { return strings.Contains(p.stderr.String(), "left to the reconciler") })
	if n := strings.Count(p.stderr.String(), "left to the reconciler"); n != 1 {
		t.Errorf("it says so %d times", n)
	}
	if err := redis.Start(); err != nil {
		t.Fatal(err)
	}
	p.ready()
	for _, id := range ids {
		if n := p.completed(base, token, id); n != 1 {
			t.Errorf("%v sent", n)
		}
	}
}

func TestServeWaitsForItsDatabase(t *testing.T) {
	t.Parallel()
	db := testkit.PrivateMariaDB(t, services.FastDurability()...)
	databaseURL, _, err := services.CreateDatabase(db.URL())
	if err != nil {
		t.Fatal(err)
	}
	migrated(t, databaseURL)
	if err := db.Stop(); err != nil {
		t.Fatal(err)
	}
	p := serve(t, external(databaseURL, testkit.RedisURL(t))...)
	base, token := p.url(), adminToken(t)
	if r := get(t, base+"/healthz", ""); r.status != http.StatusOK || p.stdout.String() != "" {
		t.Errorf("/healthz %d, and it says that it serves: %s", r.status, p.stdout.String())
	}
	p.until("it says so", func() bool {
		return strings.Contains(p.stderr.String(), "the database does not answer: trying again every second")
	})
	if r := get(t, base+"/readyz", ""); r.status != http.StatusServiceUnavailable || !strings.Contains(r.body, "not ready: database") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := call(t, http.MethodPost, base+"/msg/batch_send_msg", token, message); r.status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", r.status, r.body)
	}
	if err := db.Start(); err != nil {
		t.Fatal(err)
	}
	p.ready()
	p.until("it says that it serves", func() bool { return strings.Contains(p.stdout.String(), "Carillon serves") })
	log := p.stderr.String()
	if strings.Count(log, "the database does not answer") != 1 || strings.Count(log, "the database answers") != 1 {
		t.Errorf("not once per spell:\n%s", log)
	}
	password, _ := must(url.Parse(databaseURL)).User.Password()
	if password != "" && strings.Contains(log, password) {
		t.Error("the log has the password")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestServeThatIsStoppedBeforeItsDatabaseCameEndsAtOnce(t *testing.T) {
	t.Parallel()
	p := serve(t, external("mysql://u:p@127.0.0.1:1/db", "redis://127.0.0.1:1")...)
	p.until("it says so", func() bool { return strings.Contains(p.stderr.String(), "the database does not answer") })
	p.stop()
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
