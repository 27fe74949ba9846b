package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/internal/testkit/services"
)

const webhookSecret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

// examine runs the doctor and returns what it prints.
func examine(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	code, stdout, stderr := finish(t, append([]string{"doctor"}, args...)...)
	if stderr != "" || strings.Contains(stdout, "topsecret") {
		t.Errorf("doctor %q: %s%s", args, stdout, stderr)
	}
	return code, stdout
}

func TestDoctorTriesToWriteTheDataDirectory(t *testing.T) {
	t.Parallel()
	file := write(t, "file", "")
	for dir, want := range map[string]string{
		file:                            "FAIL  data directory  " + file + " cannot be written: " + file + " is no directory: set CARILLON_DATA_DIR to a directory that you may write to",
		filepath.Join(file, "data"):     "FAIL  data directory  " + file + "/data cannot be",
		"/proc/carillon/data":           "FAIL  data directory  /proc/carillon/data cannot be written: ", // not even by root
		filepath.Join(t.TempDir(), "x"): "x is not there yet; carillon serve makes it; ",
	} {
		if code, out := examine(t, "--data-dir", dir); !strings.Contains(out, want) || (code == exitFailed) != strings.HasPrefix(want, "FAIL") {
			t.Errorf("%s: exit code %d\n%s\nwant %s", dir, code, out, want)
		}
	}
	made := filepath.Join(t.TempDir(), "data")
	if code, _, stderr := finish(t, "migrate", "--data-dir", made); code != 0 {
		t.Fatal(stderr)
	}
	before, _ := os.ReadDir(made)
	if code, out := examine(t, "--data-dir", made); code != 0 || !strings.Contains(out, made+"; ") || !strings.Contains(out, " free") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if after, _ := os.ReadDir(made); len(after) > len(before) {
		t.Errorf("it leaves %v", after)
	}
}

func TestDiskSpace(t *testing.T) {
	t.Parallel()
	for free, want := range map[uint64]string{0: stateFail, 63 << 20: stateFail, 64 << 20: stateWarn, 1<<30 - 1: stateWarn, 1 << 30: stateOK, 1 << 50: stateOK} {
		if status, hint := space(free); status != want || (hint == "") != (want == stateOK) {
			t.Errorf("%s: %s%s, want %s", size(free), status, hint, want)
		}
	}
}

func TestClocksThatAreApart(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for name, c := range map[string]struct {
		clocks []clock
		want   string
	}{
		"together":          {[]clock{{"a", 0, 0}, {"b", 2 * s, 0}, {"c", s, 0}}, "[]"},
		"one ahead":         {[]clock{{"a", 0, 0}, {"b", 5 * s, 0}}, "[the clock of b is 5s ahead of that of a]"},
		"one behind":        {[]clock{{"a", 0, 0}, {"b", -3 * s, 0}}, "[the clock of a is 3s ahead of that of b]"},
		"both sides":        {[]clock{{"a", 0, 0}, {"b", -1500 * time.Millisecond, 0}, {"c", 1500 * time.Millisecond, 0}}, "[the clock of c is 3s ahead of that of b]"},
		"a slow answer":     {[]clock{{"a", 0, 0}, {"b", 4 * s, 2 * s}}, "[]"},
		"far for all of it": {[]clock{{"a", 0, 0}, {"b", 5 * s, 2 * s}}, "[the clock of b is 5s ahead of that of a]"},
	} {
		if got := fmt.Sprint(clocksApart(c.clocks)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// A provider may take any request for a delivery, so the doctor sends none.
func TestDoctorSendsNothingToTheWebhook(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Method })
	plain, safe := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	t.Cleanup(plain.Close)
	t.Cleanup(safe.Close)
	safe.Config.ErrorLog = nil
	dir := filepath.Join(t.TempDir(), "data")
	for at, want := range map[string]string{
		plain.URL + "/topsecret": "ok    webhook         " + strings.TrimPrefix(plain.URL, "http://") + " takes connections; no request was sent",
		safe.URL + "/":           "trusts",
		strings.Replace(plain.URL, "http:", "https:", 1): "it speaks no TLS: write http:// in CARILLON_WEBHOOK_URL",
		"http://127.0.0.1:1/":                            "connection refused: start the provider, or mend CARILLON_WEBHOOK_URL",
	} {
		if code, out := examine(t, "--data-dir", dir, "--webhook-url", at, "--webhook-secret", webhookSecret); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: exit code %d\n%s\nwant %s", at, code, out, want)
		}
	}
	select {
	case method := <-asked:
		t.Errorf("the provider got a %s", method)
	default:
	}
}

func TestDoctorTellsWhyRedisLetsNobodyIn(t *testing.T) {
	t.Parallel()
	certificate := httptest.NewUnstartedServer(nil)
	certificate.StartTLS()
	t.Cleanup(certificate.Close)
	wantsTLS := answers(t, func(l net.Listener) net.Listener {
		return tls.NewListener(l, &tls.Config{Certificates: certificate.TLS.Certificates})
	}, "+PONG\r\n")
	for name, c := range map[string]struct{ url, want string }{
		"wrong password": {"redis://:topsecret@" + answers(t, nil, "-WRONGPASS invalid username-password pair or user is disabled.\r\n"), "it runs and refuses the user or the password"},
		"no password":    {"redis://" + answers(t, nil, "-NOAUTH Authentication required.\r\n"), "it runs and refuses the user or the password"},
		"a needless one": {"redis://:topsecret@" + answers(t, nil, "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?\r\n"), "it has no password: leave it out"},
		"no rights":      {"redis://" + answers(t, nil, "-NOPERM this user has no permissions to run the 'info' command\r\n"), "give its user all commands"},
		"TLS to plain":   {"rediss://" + answers(t, nil, "-ERR Protocol error\r\n"), "it speaks no TLS: write redis:// instead of rediss://"},
		"plain to TLS":   {"redis://" + wantsTLS, "it wants TLS: write rediss:// instead of redis://"},
		"untrusted":      {"rediss://" + wantsTLS, "give it a certificate that this machine trusts"},
		"nobody there":   {"redis://:topsecret@127.0.0.1:1", "start it, or mend CARILLON_REDIS_URL"},
	} {
		var code int
		var out string
		// A connection may take one second. On a busy machine a TLS handshake takes longer at times.
		testkit.Eventually(t, "an answer in time", testkit.Patience, func() bool {
			code, out = examine(t, "--data-dir", filepath.Join(t.TempDir(), "data"), "--secret", testSecret, "--redis-url", c.url)
			return !strings.Contains(out, "deadline exceeded")
		})
		if code != exitFailed || !strings.Contains(out, "FAIL  redis") || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit code %d\n%s\nwant %s", name, code, out, c.want)
		}
	}
}

// answers is the address of a server that gives one answer to every command.
func answers(t *testing.T, wrap func(net.Listener) net.Listener, answer string) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if wrap != nil {
		l = wrap(l)
	}
	over := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-over })
	go func() {
		defer close(over)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			for buf := make([]byte, 4096); ; {
				n, err := conn.Read(buf)
				if err != nil {
					break
				}
				// each command begins with * and the number of its words
				_, _ = io.WriteString(conn, strings.Repeat(answer, max(1, strings.Count(string(buf[:n]), "*"))))
			}
			_ = conn.Close()
		}
	}()
	return addr
}

func TestDoctorTellsWhyTheDatabaseLetsNobodyIn(t *testing.T) {
	t.Parallel()
	withoutTLS := testkit.MySQLURL(t)
	certificate := httptest.NewTLSServer(nil)
	t.Cleanup(certificate.Close)
	key, err := x509.MarshalPKCS8PrivateKey(certificate.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	db := testkit.PrivateMariaDB(t, append(services.FastDurability(), "--max-allowed-packet=1M",
		"--ssl-cert="+write(t, "cert", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate().Raw}))),
		"--ssl-key="+write(t, "key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))))...)
	good, _, err := services.CreateDatabase(db.URL())
	if err != nil {
		t.Fatal(err)
	}
	migrated(t, good)
	redis := testkit.RedisURL(t)
	with := func(change func(u *url.URL)) string {
		u := must(url.Parse(good))
		change(u)
		return u.String()
	}
	small := "max_allowed_packet is 1048576, and a POST with 100,000 recipients needs 16777216: set it to 16M"
	for at, want := range map[string]string{
		with(func(u *url.URL) { u.User = url.UserPassword("nobody", "topsecret") }): "it runs and refuses the user or the password: mend them in CARILLON_DATABASE_URL",
		with(func(u *url.URL) { u.Path = "/nowhere" }):                              "make it (CREATE DATABASE",
		with(func(u *url.URL) { u.RawQuery = "tls=true" }):                          "give it a certificate that this machine trusts",
		withoutTLS + "?tls=true":                                                    "it speaks no TLS: leave tls= out of CARILLON_DATABASE_URL",
		good:                                                                        "FAIL  database        " + small,
	} {
		if code, out := examine(t, external(at, redis)...); code != exitFailed || !strings.Contains(out, want) {
			t.Errorf("exit code %d\n%s\nwant %s", code, out, want)
		}
	}
	p := serve(t, external(good, redis)...)
	p.ready()
	p.until("it warns", func() bool { return strings.Contains(p.stderr.String(), small) })
	admin, err := services.OpenMySQL(db.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	if _, err := admin.ExecContext(t.Context(), "SET GLOBAL require_secure_transport=ON"); err != nil {
		t.Fatal(err)
	}
	if code, out := examine(t, external(good, redis)...); code != exitFailed || !strings.Contains(out, "it wants TLS: add ?tls=true to CARILLON_DATABASE_URL") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

func TestServeWarnsOfARedisThatForgets(t *testing.T) {
	t.Parallel()
	redis := testkit.PrivateRedis(t, "maxmemory-policy allkeys-lru")
	p := serve(t, external(migrated(t, testkit.MySQLURL(t)), redis.URL())...)
	p.ready()
	p.until("it warns", func() bool {
		return strings.Contains(p.stderr.String(), "maxmemory-policy is allkeys-lru, so a full Redis drops tasks")
	})
}

// A misspelt name does nothing, so the doctor says which was meant.
func TestDoctorFindsNamesThatAreNoSettings(t *testing.T) {
	t.Setenv("CARILLON_WEBHOK_URL", "topsecret")
	_, out := examine(t, "--data-dir", filepath.Join(t.TempDir(), "data"))
	if !strings.Contains(out, "WARN  environment     CARILLON_WEBHOK_URL is no setting and does nothing: did you mean CARILLON_WEBHOOK_URL?") {
		t.Error(out)
	}
}
