package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"carillon/handlers/web"
	"carillon/internal/testkit"
	"carillon/internal/testkit/contract"
	"carillon/internal/testkit/openim"
)

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	if len(os.Args) > 1 && os.Args[1] == asDouble {
		os.Exit(openim.Run(context.Background(), os.Args[2:], os.Stdout, os.Stderr))
	}
	quietRedis()
	goleak.VerifyTestMain(m,
		// Of the server of the demo's stand-in for OpenIM: one ends up to 10 s after it, the other never.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

const (
	patience   = testkit.Patience
	testSecret = "a secret for tests only"
)

// buffer may be read while a process writes to it.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// process is one run of the program, as its user sees it.
type process struct {
	t              *testing.T
	stdout, stderr buffer
	stop           context.CancelFunc
	done           chan struct{}
	code           int
}

// start runs the program beside the test and stops it at the test's end.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{t: t, stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.code = run(ctx, args, &p.stdout, &p.stderr)
	}()
	t.Cleanup(func() {
		cancel()
		<-p.done
		if t.Failed() {
			t.Logf("carillon %s: exit code %d\n%s%s", strings.Join(args, " "), p.code, p.stdout.String(), p.stderr.String())
		}
	})
	return p
}

// finish runs the program to its end.
func finish(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	p := start(t, args...)
	return p.wait(), p.stdout.String(), p.stderr.String()
}

func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatal("the process does not end")
	}
	return p.code
}

// until waits for a condition that the process brings about.
func (p *process) until(what string, ok func() bool) {
	p.t.Helper()
	testkit.Eventually(p.t, what, patience, ok)
}

// atURL is in what a process prints when it serves, waitsAtURL in what it logs while its database is away.
var (
	atURL      = regexp.MustCompile(`at (http://\S+)\n`)
	waitsAtURL = regexp.MustCompile(`"?listening"?[=:]"?(http://[^\s"]+)`)
)

// url is where the process serves, as it has announced it.
func (p *process) url() string {
	p.t.Helper()
	var found []string
	p.until("it says where it serves", func() bool {
		select {
		case <-p.done:
			p.t.Fatalf("it has ended: %s", p.stderr.String())
		default:
		}
		if found = atURL.FindStringSubmatch(p.stdout.String()); found == nil {
			found = waitsAtURL.FindStringSubmatch(p.stderr.String())
		}
		return found != nil
	})
	return found[1]
}

// ready waits until /readyz says so.
func (p *process) ready() string {
	p.t.Helper()
	url := p.url()
	p.until("ready", func() bool { return get(p.t, url+"/readyz", "").status == http.StatusOK })
	return url
}

// reply is an answer of the API; status is 0 when there was none.
type reply struct {
	status int
	body   string
	data   map[string]any
}

// call sends a request to the API, and holds request and answer to the contract. The request is raw: these tests judge the
// server and the commands, which are built on the product's client.
func call(t *testing.T, method, url, token, body string) reply {
	t.Helper()
	return askThrough(t, contract.Transport(t, &http.Transport{DisableKeepAlives: true}), method, url, token, body)
}

func askThrough(t *testing.T, way http.RoundTripper, method, url, token, body string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("operationID", "test")
	req.Header.Set("token", token)
	client := http.Client{Timeout: 30 * time.Second, Transport: way}
	res, err := client.Do(req)
	if err != nil {
		return reply{}
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var envelope struct{ Data map[string]any }
	_ = json.Unmarshal(raw, &envelope)
	return reply{res.StatusCode, string(raw), envelope.Data}
}

func get(t *testing.T, url, token string) reply {
	t.Helper()
	return call(t, http.MethodGet, url, token, "")
}

func adminToken(t *testing.T) string {
	t.Helper()
	token, err := web.AdminToken(testSecret, "imAdmin")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// completed waits until a campaign is and returns how many of it were sent.
func (p *process) completed(url, token, id string) (sent float64) {
	p.t.Helper()
	p.until("the campaign is completed", func() bool {
		c := get(p.t, url+"/v1/campaigns/"+id, token)
		switch c.data["status"] {
		case "completed":
		case "scheduled", "running":
			return false
		default: // nothing goes on by itself
			p.t.Fatalf("the campaign will not complete: %s", c.body)
		}
		sent, _ = c.data["counts"].(map[string]any)["sent"].(float64)
		return true
	})
	return sent
}

// write makes a file for the test.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// over are the flags with which a command calls a server of the tests.
func over(base string) []string { return []string{"--server", base, "--secret", testSecret} }

// told takes the line away that says which ledger or server a command spoke to.
func told(stderr string) string {
	if line, rest, _ := strings.Cut(stderr, "\n"); strings.HasPrefix(line, "ledger: ") || strings.HasPrefix(line, "server: ") {
		return rest
	}
	return stderr
}

// oneLine checks that a command failed with this one line on stderr, beside the one of the ledger.
func oneLine(t *testing.T, code int, stderr, want string) {
	t.Helper()
	stderr = told(stderr)
	if code != exitFailed || stderr != "carillon: "+want+"\n" {
		t.Errorf("exit code %d and\n%swant %d and\ncarillon: %s", code, stderr, exitFailed, want)
	}
}

func TestHelpListsEveryCommand(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"--help"}} {
		code, stdout, _ := finish(t, args...)
		for _, want := range []string{"serve", "demo", "users import", "token", "migrate", "doctor", "health", "--help-settings", "--log-level"} {
			if code != 0 || !strings.Contains(stdout, want) {
				t.Errorf("%q: exit code %d, and %q is in it: %t", args, code, want, strings.Contains(stdout, want))
			}
		}
	}
}

// A command's help begins with its own flags; the settings are shown when they are asked for.
func TestHelpShowsOwnFlagsFirst(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		own  string
	}{{[]string{"token"}, "--ttl"}, {[]string{"campaigns", "pause"}, "--all"}, {[]string{"serve"}, "--roles"}, {[]string{"users", "import"}, "--format"}, {nil, ""}} {
		code, plain, _ := finish(t, append(c.args, "--help")...)
		if code != 0 || strings.Contains(plain, "--database-url") || strings.Contains(plain, "Settings:") || strings.Index(plain, c.own) > strings.Index(plain, "--log-level") {
			t.Errorf("%q --help: exit code %d\n%s", c.args, code, plain)
		}
		code, all, stderr := finish(t, append(c.args, "--help-settings")...)
		own, every, settings := strings.Index(all, c.own), strings.Index(all, "--log-level"), strings.Index(all, "--database-url")
		if code != 0 || stderr != "" || own < 0 || own > every || every > settings || strings.Contains(all, testSecret) {
			t.Errorf("%q --help-settings: exit code %d, %d %d %d\n%s", c.args, code, own, every, settings, all)
		}
	}
}

func TestAYAMLFaultIsTheFiles(t *testing.T) {
	t.Parallel()
	path := write(t, "c.yaml", "webhook:\n  batch: many\nmemory: much\n")
	code, _, stderr := finish(t, "serve", "--config", path)
	want := "carillon: CARILLON_CONFIG: line 2 of " + path + ": the key webhook.batch must be a whole number\ncarillon: CARILLON_CONFIG: line 3 of " + path + ": the key memory must be a whole number\n"
	if code != exitFailed || stderr != want {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestUsageErrorsAreToldWithTheirFix(t *testing.T) {
	t.Parallel()
	code, _, stderr := finish(t, "serve", "--webhook-batch", "many")
	if want := "carillon: --webhook-batch: must be a whole number (CARILLON_WEBHOOK_BATCH)\ncarillon: see carillon --help\n"; code != exitFailed || stderr != want {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestErrorsMoveNoCursor(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"\x1b[2J"}, {"campaigns", "list", "\x1b[2J"}, {"token", "--secret", testSecret, "--admin", "\x1b[2J\u009b"}, {"users", "import", "/nowhere/\x1b[2J.csv"}, {"campaigns", "list", "--data-dir", "/nowhere/\x1b[2J"}} {
		code, stdout, stderr := finish(t, args...)
		if code == 0 || strings.ContainsAny(stdout+stderr, "\x1b\u009b") || !strings.Contains(stderr, `1b[2J`) {
			t.Errorf("%q: exit code %d, %q", args, code, stdout+stderr)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	if code, stdout, _ := finish(t, "--version"); code != 0 || !strings.HasPrefix(stdout, "carillon ") {
		t.Errorf("exit code %d, %s", code, stdout)
	}
}
