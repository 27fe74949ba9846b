package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"carillon/internal/testkit"
)

func TestClientCommandsMakeNoDataDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	file := write(t, "users.csv", "userID\nalice\n")
	for _, args := range [][]string{{"token"}, {"users", "import", file}, {"campaigns", "list"}} {
		code, stdout, stderr := finish(t, append(args, "--data-dir", dir)...)
		want := "there is no data directory at " + dir + ": start carillon serve, which makes it, or set CARILLON_DATA_DIR to the one it uses"
		if args[0] != "token" {
			want = "there is no token: set CARILLON_TOKEN to one that carillon token prints at the server; or, on the server's machine: " + want
		}
		oneLine(t, code, stderr, want)
		if stdout != "" {
			t.Errorf("stdout %q", stdout)
		}
	}
	if code, stdout, _ := finish(t, "doctor", "--data-dir", dir); code != 0 || !strings.Contains(stdout, dir+" is not there yet; carillon serve makes it") {
		t.Errorf("doctor: exit code %d, %s", code, stdout)
	}
	if exists(dir) {
		t.Error("one of them has made it")
	}
}

// claimsOf reads a token that is signed with the secret.
func claimsOf(t *testing.T, token, secret string) jwt.MapClaims {
	t.Helper()
	c := jwt.MapClaims{}
	if _, err := jwt.ParseWithClaims(strings.TrimSpace(token), c, func(*jwt.Token) (any, error) { return []byte(secret), nil }); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTokenIsForWhomItIsAskedFor(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"openIMAdmin": nil,
		"imAdmin":     {"--admin", "imAdmin"},
		"root":        {"--admins", "root,imAdmin"},
	} {
		code, stdout, stderr := finish(t, append([]string{"token", "--secret", testSecret}, args...)...)
		if code != 0 || stderr != "" {
			t.Fatalf("exit code %d, %s", code, stderr)
		}
		c := claimsOf(t, stdout, testSecret)
		if c["UserID"] != want || c["PlatformID"] != 10.0 {
			t.Errorf("%q: %v, want %s", args, c, want)
		}
	}
}

// A user's token is for the entry that stands in the directory now.
func TestTokenOfAUserNamesTheirEntry(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		flags := []string{"--data-dir", filepath.Join(t.TempDir(), "data"), "--secret", testSecret}
		served := flags
		if s.Name != "embedded" {
			served = external(migrated(t, s.DatabaseURL), s.RedisURL)
			flags = served[2:]
		}
		p := serve(t, served...)
		base, admin := p.ready(), adminToken(t)
		ask := append([]string{"token", "--user", "alice"}, flags...)
		code, _, stderr := finish(t, ask...)
		oneLine(t, code, stderr, `--user: "alice" is not in the directory: add them first`)
		for range 2 {
			call(t, http.MethodPost, base+"/v1/users", admin, `{"users":[{"userID":"alice"}]}`)
			code, stdout, stderr := finish(t, ask...)
			token := strings.TrimSpace(stdout)
			if r := get(t, base+"/v1/inbox/alice/messages", token); code != 0 || r.status != http.StatusOK {
				t.Errorf("exit code %d %s, %d %s", code, stderr, r.status, r.body)
			}
			if r := get(t, base+"/v1/campaigns", token); r.status != http.StatusForbidden {
				t.Errorf("alice's token opens everything: %d", r.status)
			}
			call(t, http.MethodDelete, base+"/v1/users/alice", admin, "")
			if r := get(t, base+"/v1/inbox/alice/messages", token); r.status != http.StatusUnauthorized {
				t.Errorf("deleted: %d %s", r.status, r.body)
			}
		}
	})
}

func TestTokenRefuses(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		`--user: "imAdmin" is one of CARILLON_ADMINS: say --admin if that is meant`:                               {"--user", "imAdmin"},
		`--admin: "alice" is not one of CARILLON_ADMINS: add it there, for this process and for those that serve`: {"--admin", "alice"},
		`--user must be at most 64 bytes, has 65`:                                                                 {"--user", strings.Repeat("a", 65)},
	} {
		code, _, stderr := finish(t, append([]string{"token", "--secret", testSecret}, args...)...)
		oneLine(t, code, stderr, want)
	}
	code, _, stderr := finish(t, "token", "--redis-url", "redis://h")
	oneLine(t, code, stderr, "CARILLON_SECRET is required with CARILLON_DATABASE_URL or CARILLON_REDIS_URL, the same for all processes: make one with: head -c 32 /dev/urandom | base64")
}

func TestTokenLivesAsLongAsAsked(t *testing.T) {
	t.Parallel()
	for ttl, want := range map[string]float64{"": 90 * 86400, "24h": 86400, "1m": 60, "2160h": 90 * 86400} {
		args := []string{"token", "--secret", testSecret}
		if ttl != "" {
			args = append(args, "--ttl", ttl)
		}
		code, stdout, stderr := finish(t, args...)
		if code != 0 {
			t.Fatal(stderr)
		}
		c := claimsOf(t, stdout, testSecret)
		if life := c["exp"].(float64) - c["iat"].(float64); life != want {
			t.Errorf("%q: %v s, want %v", ttl, life, want)
		}
	}
	for ttl, want := range map[string]string{"59s": "59s", "2161h": "2161h0m0s", "-24h": "-24h0m0s", "0s": "0s"} {
		code, _, stderr := finish(t, "token", "--secret", testSecret, "--ttl="+ttl)
		oneLine(t, code, stderr, "--ttl must be 1m to 2160h, not "+want)
	}
}

func TestAWeakSecretServesNobodyButTheDemo(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	code, _, stderr := finish(t, "serve", "--secret", "openIM123", "--data-dir", dir)
	oneLine(t, code, stderr, "CARILLON_SECRET is a well-known one: anybody could make an admin's token. Make your own with: head -c 32 /dev/urandom | base64")
	if exists(dir) {
		t.Error("it has made the data directory all the same")
	}
	code, _, stderr = finish(t, "demo", "--exit", "--users", "3", "--secret", "openIM123", "--listen", "127.0.0.1:0")
	if code != 0 || !strings.Contains(stderr, "WARNING: CARILLON_SECRET is a well-known one") {
		t.Errorf("demo: exit code %d, %s", code, stderr)
	}
}

func TestAWeakSecretIsWarnedOf(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := finish(t, "token", "--secret", "openIM123")
	if code != 0 || strings.Contains(stdout, "WARNING") || !strings.HasPrefix(stderr, "carillon: WARNING: CARILLON_SECRET is a well-known one: ") {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
}

func TestMigrateSaysWhatItDid(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		dir := filepath.Join(t.TempDir(), "data")
		args := []string{"migrate", "--data-dir", dir}
		if s.Name != "embedded" {
			args = []string{"migrate", "--database-url", s.DatabaseURL}
		}
		for _, want := range []string{": applied ", " is up to date\n"} {
			code, stdout, stderr := finish(t, args...)
			if code != 0 || !strings.Contains(stdout, want) {
				t.Errorf("exit code %d, %q, want %q: %s", code, stdout, want, stderr)
			}
			if strings.Contains(stdout, "@") && !strings.Contains(stdout, "***@") {
				t.Errorf("a password in %s", stdout)
			}
		}
	})
}

func TestUsersImport(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		served := []string{"--data-dir", filepath.Join(t.TempDir(), "data"), "--secret", testSecret}
		if s.Name != "embedded" {
			served = external(migrated(t, s.DatabaseURL), s.RedisURL)
		}
		flags := over(serve(t, served...).ready())
		good := write(t, "users.csv", "userID,nickname\nalice,Alice\nbob,Bob\n")
		if code, stdout, stderr := finish(t, append([]string{"users", "import", good}, flags...)...); code != 0 || stdout != "created 2, changed 0, unchanged 0, repeated 0, refused 0: 2 rows in 3 lines\n" || told(stderr) != "" {
			t.Errorf("exit code %d, %s%s", code, stdout, stderr)
		}
		mixed := write(t, "users.jsonl", `{"userID":"carol"}`+"\n"+`{"userID":""}`+"\n"+`{"userID":"dave"}`+"\n")
		code, stdout, stderr := finish(t, append([]string{"users", "import", mixed}, flags...)...)
		if code != exitRefused || stdout != "created 2, changed 0, unchanged 0, repeated 0, refused 1: 3 rows in 3 lines\n" || told(stderr) != "line 2: userID must not be empty\n" {
			t.Errorf("exit code %d, %s%s", code, stdout, stderr)
		}
		code, stdout, _ = finish(t, append([]string{"users", "import", "--json", mixed}, flags...)...)
		if code != exitRefused || stdout != `{"changed":0,"created":0,"lines":3,"refused":[{"error":"userID must not be empty","line":2}],"refusedCount":1,"repeated":0,"rows":3,"unchanged":2}`+"\n" {
			t.Errorf("exit code %d, %s", code, stdout)
		}
		stray := write(t, "stray.csv", "ID;Name;Mail\ne;E;x\nf;\"F;x\ng;G;x\n")
		code, stdout, stderr = finish(t, append([]string{"users", "import", "--map", "id=userID", "--map", "Name=nickname", "--ignore-other-columns", stray}, flags...)...)
		if code != exitRefused || stdout != "created 2, changed 0, unchanged 0, repeated 0, refused 1: 3 rows in 4 lines\n" || !strings.HasPrefix(told(stderr), "line 3: a quoted field that opens in line 3 is not closed") {
			t.Errorf("exit code %d, %s%s", code, stdout, stderr)
		}
		code, stdout, stderr = finish(t, append([]string{"users", "import", write(t, "none.csv", "userID\n\"\"\n")}, flags...)...)
		if code != exitFailed || !strings.HasSuffix(stdout, "refused 1: 1 rows in 2 lines\n") || told(stderr) != "line 2: userID must not be empty\ncarillon: none of the 1 rows was taken\n" {
			t.Errorf("exit code %d, %s%s", code, stdout, stderr)
		}
	})
}

func TestUsersImportRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	flags := over(serve(t, "--data-dir", filepath.Join(t.TempDir(), "data"), "--secret", testSecret).ready())
	importing := func(file string) (int, string, string) {
		return finish(t, append([]string{"users", "import", file}, flags...)...)
	}
	code, _, stderr := importing(write(t, "users.txt", "userID\n"))
	oneLine(t, code, stderr, "the file's name does not tell how it is written: say --format csv or --format ndjson")
	code, _, stderr = importing("/nowhere/users.csv")
	oneLine(t, code, stderr, "open /nowhere/users.csv: no such file or directory")
	if code, _, stderr = importing(write(t, "users.csv", "id,name\nalice,Alice\n")); code != exitFailed || strings.Count(stderr, "\n") != 2 {
		t.Errorf("a header without userID: exit code %d, %s", code, stderr)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	addr := strings.TrimPrefix(serve(t, "--data-dir", filepath.Join(t.TempDir(), "data")).url(), "http://127.0.0.1")
	for _, listen := range []string{"127.0.0.1" + addr, "0.0.0.0" + addr, addr} {
		if code, stdout, stderr := finish(t, "health", "--listen", listen); code != 0 || stdout != "ok\n" {
			t.Errorf("%s: exit code %d, %s%s", listen, code, stdout, stderr)
		}
	}
	if code, _, stderr := finish(t, "health", "--listen", "127.0.0.1:1"); code != exitFailed || !strings.HasPrefix(stderr, "server: http://127.0.0.1:1\ncarillon: nothing answers: ") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	redis := testkit.PrivateRedis(t, "maxmemory-policy allkeys-lru")
	database := testkit.MySQLURL(t)
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"settings": {[]string{"--channel", "sms"}, []string{`FAIL  settings        CARILLON_CHANNEL must be inbox, webhook or openim`}},
		"unmigrated, evicting": {external(database, redis.URL()), []string{
			"ok    database        MariaDB 10.", "FAIL  migrations      the database is not up to date", "FAIL  redis           maxmemory-policy is allkeys-lru, so a full Redis drops tasks: set it to noeviction",
		}},
		"nothing there": {external("mysql://u:topsecret@127.0.0.1:1/db", "redis://:topsecret@127.0.0.1:1"), []string{
			"FAIL  database        127.0.0.1:1/db: ", ": start it, or mend CARILLON_DATABASE_URL", "FAIL  redis", ": start it, or mend CARILLON_REDIS_URL",
		}},
	} {
		code, stdout, stderr := finish(t, append([]string{"doctor"}, c.args...)...)
		if code != exitFailed || stderr != "" {
			t.Errorf("%s: exit code %d, %s", name, code, stderr)
		}
		for _, want := range c.want {
			if !strings.Contains(stdout, want) {
				t.Errorf("%s: no %q in\n%s", name, want, stdout)
			}
		}
		if strings.Contains(stdout, "topsecret") || strings.Contains(stdout, testSecret) {
			t.Errorf("%s: a secret in\n%s", name, stdout)
		}
	}
}

func TestDoctorIsContentWithWhatIsWell(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		dir := filepath.Join(t.TempDir(), "data")
		args := []string{"--data-dir", dir}
		if s.Name == "embedded" {
			serve(t, args...).ready() // examined beside a process that serves
		} else {
			args = external(migrated(t, s.DatabaseURL), s.RedisURL)
		}
		args = append(args, "--webhook-url", "https://hook.example/topsecret?token=topsecret", "--webhook-secret", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
			"--webhook-batch", "100", "--webhook-rate", "20")
		code, stdout, stderr := finish(t, append([]string{"doctor", "--json"}, args...)...)
		var found struct {
			OK       bool
			Checks   []finding
			Settings []struct{ Name, Value string }
		}
		if err := json.Unmarshal([]byte(stdout), &found); err != nil {
			t.Fatal(err)
		}
		if code != 0 || !found.OK || len(found.Checks) < 5 || len(found.Settings) < 10 || strings.Contains(stdout, "topsecret") || strings.Contains(stdout, "whsec_") {
			t.Errorf("exit code %d, %s%s", code, stdout, stderr)
		}
		slow := false // the rate, for so large a batch
		for _, f := range found.Checks {
			switch {
			case f.Name == "webhook batch":
				slow = f.Status == stateWarn && strings.Contains(f.Detail, "at most 1 recipient and not the 100")
			case f.Name == "webhook": // there is no such host
				if f.Status != stateWarn || !strings.Contains(f.Detail, "mend CARILLON_WEBHOOK_URL") {
					t.Errorf("%+v", f)
				}
			case f.Name == "environment": // of this test
			case f.Status != stateOK:
				t.Errorf("%+v", f)
			}
			if f.Name == "channels" && f.Detail != "inbox, webhook to https://hook.example; campaigns go through inbox unless they say otherwise" {
				t.Errorf("%+v", f)
			}
		}
		if !slow {
			t.Errorf("nothing of the rate that is too low for the batch: %s", stdout)
		}
	})
}

// What serve prints to be pasted must be what the API takes.
func TestTheCommandsThatServePrintsCanBePasted(t *testing.T) {
	t.Parallel()
	p := serve(t, "--data-dir", filepath.Join(t.TempDir(), "it's here"), "--secret", testSecret)
	url := p.ready()
	bodies := map[string]string{}
	for _, block := range strings.Split(p.stdout.String(), "curl -sS -X POST "+url)[1:] {
		path, rest, _ := strings.Cut(block, " ")
		_, body, _ := strings.Cut(rest, "-d '")
		body, _, _ = strings.Cut(body, "'\n")
		bodies[path] = body
		if !strings.Contains(rest, `-H "token: $(CARILLON_DATA_DIR='`) || !strings.Contains(rest, `it'\''s here' `) || !strings.Contains(rest, ` token)" -H 'operationID: `) {
			t.Errorf("headers of %s: %s", path, rest)
		}
	}
	for _, path := range []string{"/v1/users", "/msg/batch_send_msg"} {
		if r := call(t, http.MethodPost, url+path, adminToken(t), bodies[path]); r.status != http.StatusOK || !strings.Contains(r.body, `"errCode":0`) {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
}

func TestProgramCanBeCalledAgain(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	want := quote(self)
	if strings.Contains(self, "/go-build") {
		want = "go run ./cmd/carillon"
	}
	if got := program(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
