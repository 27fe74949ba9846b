package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"carillon/client"
	"carillon/internal/testkit"
)

// terminal is the program in a pseudo-terminal.
type terminal struct {
	t   *testing.T
	cmd *exec.Cmd
	tty *os.File
	out buffer
	end chan int // the exit code
}

func inTerminal(t *testing.T, program string, env []string, args ...string) *terminal {
	t.Helper()
	x := &terminal{t: t, cmd: exec.Command(program, args...), end: make(chan int, 1)}
	x.cmd.Env = append(os.Environ(), env...)
	var err error
	if x.tty, err = pty.StartWithAttrs(x.cmd, &pty.Winsize{Rows: 40, Cols: 200}, &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		piece := make([]byte, 4096)
		for {
			n, err := x.tty.Read(piece)
			_, _ = x.out.Write(piece[:n])
			if err != nil {
				return
			}
		}
	}()
	go func() {
		_ = x.cmd.Wait()
		<-read
		x.end <- x.cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		_ = x.cmd.Process.Kill()
		_ = x.tty.Close()
		<-read
		if t.Failed() {
			t.Logf("%q", x.out.String())
		}
	})
	return x
}

func (x *terminal) types(text string) {
	x.t.Helper()
	if _, err := x.tty.WriteString(text); err != nil {
		x.t.Fatal(err)
	}
}

func (x *terminal) until(what string) {
	x.t.Helper()
	testkit.Eventually(x.t, "the terminal shows "+what, patience, func() bool { return strings.Contains(x.out.String(), what) })
}

// directory serves n users, and returns where.
func directory(t *testing.T, n int) (base string) {
	t.Helper()
	base = serve(t, "--data-dir", filepath.Join(t.TempDir(), "data"), "--secret", testSecret).ready()
	var users []string
	for i := range n {
		users = append(users, fmt.Sprintf(`{"userID":"u%d"}`, i))
	}
	if r := call(t, http.MethodPost, base+"/v1/users", adminToken(t), `{"users":[`+strings.Join(users, ",")+`]}`); r.status != http.StatusOK {
		t.Fatal(r.body)
	}
	return base
}

// A message to all asks first, with the count and the time. The bar moves. Ctrl-C leaves the campaign alone.
func TestSendInATerminal(t *testing.T) {
	t.Parallel()
	base := directory(t, 300)
	args := append([]string{"send", "--all", "--text", "hi", "--rate", "100", "--watch"}, over(base)...)
	x := inTerminal(t, os.Args[0], []string{asProgram + "=1"}, args...)
	x.until("This goes to all 300 users of " + base + ", at 100 a second: about 3s.\r\nType 300 to send it: ")
	x.types("30\r")
	if code := <-x.end; code != exitFailed || !strings.Contains(x.out.String(), `"30" is not 300: nothing was sent`) {
		t.Errorf("exit code %d", code)
	}
	x = inTerminal(t, os.Args[0], []string{asProgram + "=1"}, args...)
	x.until("Type 300")
	x.types("300\r")
	percent := regexp.MustCompile(`(\d+)% \[#*\.*\] (\d+) of 300`)
	testkit.Eventually(t, "the bar moves", patience, func() bool {
		seen := map[string]bool{}
		for _, found := range percent.FindAllStringSubmatch(x.out.String(), -1) {
			seen[found[1]] = true
		}
		return len(seen) >= 3
	})
	x.until("100/s")
	x.types("\x03")
	if code := <-x.end; code != exitDetached || !strings.Contains(x.out.String(), "carillon: detached: campaign ") {
		t.Errorf("exit code %d", code)
	}
	list := get(t, base+"/v1/campaigns", adminToken(t))
	if !strings.Contains(list.body, `"running"`) && !strings.Contains(list.body, `"completed"`) || strings.Contains(list.body, "cancelled\",") {
		t.Error(list.body)
	}
}

// The exit codes of the outcomes; and what is piped is plain, line by line.
func TestSendTellsTheOutcome(t *testing.T) {
	t.Parallel()
	base := directory(t, 20)
	send := func(args ...string) []string {
		return append(append([]string{"send", "--text", "hi", "--watch"}, args...), over(base)...)
	}
	plain := regexp.MustCompile(`^(\S+ is (running|scheduled): [^\n]*\n)?\S+ is (completed|cancelled|expired): [^\n]*\ncreated [^\n]*\n(\d+ failed: [^\n]*\n)*$`)
	check := func(what string, want, code int, stdout, stderr string) {
		t.Helper()
		if code != want || want != exitFailed && want != exitDetached && !plain.MatchString(stdout) || strings.ContainsAny(stdout+stderr, "\r\x1b") {
			t.Errorf("%s: exit code %d, want %d\n%q\n%s", what, code, want, stdout, stderr)
		}
	}
	for what, c := range map[string]struct {
		want int
		args []string
	}{
		"all sent":      {0, []string{"--to", "u1,u2"}},
		"some failed":   {exitFailures, []string{"--to", "u1,nobody"}},
		"refused":       {exitFailed, []string{"--to", "u1", "--from", "nobody"}},
		"nobody to ask": {exitFailed, []string{"--all"}},
		"wrong usage":   {exitFailed, []string{"--all", "--to", "u1"}},
		"expired":       {exitStopped, []string{"--all", "--yes", "--rate", "1", "--expire", "2s"}},
	} {
		code, stdout, stderr := finish(t, send(c.args...)...)
		check(what, c.want, code, stdout, stderr)
	}

	for _, end := range []string{"cancel", "leave"} {
		p := start(t, send("--all", "--yes", "--rate", "1", "--idempotency-key", end)...)
		id := regexp.MustCompile(`campaign: (\S+)`)
		p.until("it watches", func() bool { return strings.Contains(p.stdout.String(), "is running") })
		path := base + "/v1/campaigns/" + id.FindStringSubmatch(p.stderr.String())[1]
		want := exitStopped
		if end == "leave" {
			want = exitDetached
			p.stop()
		} else {
			call(t, http.MethodPost, path+"/cancel", adminToken(t), "")
		}
		check(end, want, p.wait(), p.stdout.String(), p.stderr.String())
		if r := get(t, path, adminToken(t)); end == "leave" && r.data["status"] != "running" {
			t.Errorf("it was left, and is %s", r.data["status"])
		}
	}
	for status, want := range map[client.CampaignStatus]int{"completed": 0, "failed": exitStopped, "expired": exitStopped, "cancelled": exitStopped, "of a newer server": exitStopped} {
		if got := outcome(client.Campaign{Status: status}); got != want {
			t.Errorf("%s: %d", status, got)
		}
	}

	code, stdout, stderr := finish(t, send("--to", "u1", "--json")...)
	for line := range strings.Lines(stdout) {
		var v client.Campaign
		if err := json.Unmarshal([]byte(line), &v); err != nil || v.Counts.Total != 1 {
			t.Errorf("%s, %v", line, err)
		}
	}
	if code != 0 || strings.Count(stdout, "\n") < 1 {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
}

// What the flags of send make of themselves.
func TestSendAsksForWhatIsSaid(t *testing.T) {
	t.Parallel()
	base := directory(t, 3)
	ids := write(t, "ids.txt", "u1\r\nu2\n\n")
	content := write(t, "c.json", `{"data":"{\"order\":12345678901234567890}","n":12345678901234567890}`)
	sent := func(args ...string) map[string]any {
		t.Helper()
		code, stdout, stderr := finish(t, append(append([]string{"send", "--json"}, args...), over(base)...)...)
		var v struct{ ID string }
		if code != 0 || json.Unmarshal([]byte(stdout), &v) != nil {
			t.Fatalf("%q: exit code %d, %s", args, code, stderr)
		}
		return get(t, base+"/v1/campaigns/"+v.ID, adminToken(t)).data
	}
	c := sent("--to-file", ids, "--content-file", content, "--type", "110", "--from", "imAdmin", "--name", "n", "--rate", "7", "--at", "2099-01-02T03:04:05Z", "--expire", "24h",
		"--quiet", "22:00-08:00", "--channel", "inbox")
	message, _ := c["message"].(map[string]any)
	if c["name"] != "n" || c["ratePerSecond"] != 7.0 || c["sendAt"] != "2099-01-02T03:04:05Z" || c["expireAt"] != "2099-01-03T03:04:05Z" || c["channel"] != "inbox" ||
		fmt.Sprint(c["quietHours"]) != "map[from:22:00 to:08:00]" || fmt.Sprint(c["audience"]) != "map[size:2 type:users]" || message["sendID"] != "imAdmin" {
		t.Errorf("%v", c)
	}
	if c := sent("--to", "u1", "--text", "x", "--local-time", "--at", "2099-01-02 09:00"); c["sendAt"] != "2099-01-02T09:00:00" || c["localTime"] != true {
		t.Errorf("%v", c)
	}
	one, two := sent("--to", "u1", "--text", "x", "--idempotency-key", "k"), sent("--to", "u1", "--text", "x", "--idempotency-key", "k")
	if one["id"] != two["id"] {
		t.Errorf("%v and %v", one["id"], two["id"])
	}
	for want, args := range map[string][]string{
		"say to whom: --all, --to, --to-file or --group":                      {"--text", "x"},
		"say what: --text or --content-file":                                  {"--to", "u1"},
		"say one of --all, --to, --to-file and --group":                       {"--all", "--group", "g", "--text", "x"},
		"--at must be like 2026-12-04T09:00, 2026-12-04T09:00:00+01:00 or 2h": {"--to", "u1", "--text", "x", "--at", "soon"},
		"--quiet must be like 22:00-08:00":                                    {"--to", "u1", "--text", "x", "--quiet", "night"},
	} {
		code, _, stderr := finish(t, append(append([]string{"send"}, args...), over(base)...)...)
		oneLine(t, code, stderr, want)
	}
}

// Completion in the shells that there are: the script is sourced, and IDs are offered.
func TestCompletion(t *testing.T) {
	t.Parallel()
	base, home := directory(t, 1), t.TempDir()
	made := call(t, http.MethodPost, base+"/v1/campaigns", adminToken(t), `{"name":"a: b","audience":{"all":true},"message":{"sendID":"imAdmin","contentType":101,"content":{"content":"hi"}}}`)
	id, _ := made.data["id"].(string)
	bin := filepath.Join(home, "carillon")
	if err := os.WriteFile(bin, []byte("#!/bin/sh\n"+asProgram+"=1 exec "+quote(os.Args[0])+` "$@"`+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + home + ":" + os.Getenv("PATH"), "HOME=" + home, "CARILLON_SERVER=" + base, "CARILLON_SECRET=" + testSecret, "TERM=dumb"}
	shell := func(name string, args ...string) string {
		t.Helper()
		needShell(t, name)
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v %s", name, err, out)
		}
		return string(out)
	}
	const ask = `source <(carillon completion bash)
try() { COMP_WORDS=(carillon "$@"); COMP_CWORD=$#; _carillon; echo "${COMPREPLY[*]}"; }
try campaigns show ""; try campaigns sh; try campaigns list --status = ru; try campaigns list --status ru; try schedules pause ""`
	if got := shell("bash", "--norc", "-c", ask); got != id+"\nshow\nrunning\nrunning\n\n" {
		t.Errorf("bash: %q", got)
	}
	got := shell("fish", "--no-config", "-c", `carillon completion fish | source; complete -C "carillon campaigns show "; complete -C "carillon campaigns sh"`)
	if !strings.HasPrefix(got, id+"\t") || !strings.Contains(got, "a: b\n") || !strings.Contains(got, "show\tShow how far") {
		t.Errorf("fish: %q", got)
	}
	needShell(t, "zsh")
	x := inTerminal(t, "zsh", env, "-f", "-i")
	x.types("PS1='ready> '; autoload -U compinit; compinit -u -d " + filepath.Join(home, "dump") + "; source <(carillon completion zsh); echo sour''ced\r")
	x.until("sourced")
	x.types("carillon campaigns show 0\t")
	x.until("show " + id)
}

func needShell(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed; make test installs it", name)
	}
}

// A wrong server, a proxy, another server's token: one line that says what and what to do.
func TestCommandsAtTheWrongServer(t *testing.T) {
	t.Parallel()
	base := directory(t, 1)
	page := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			fmt.Fprint(w, "<html>{\n}</html>")
		}
	}
	for want, flags := range map[string][]string{
		"nothing listens at http://127.0.0.1:1: start carillon serve there, or name the right server with --server; --local works on the ledger, without a server": {"--server", "http://127.0.0.1:1"},
		"does not answer as Carillon does (200 OK, text/html): check the server's address":                                                                         {"--server", fakeServer(t, page(200), false)},
		"says 502 Bad Gateway: see whether Carillon runs behind it":                                                                                                {"--server", fakeServer(t, page(502), false)},
		"name the CA's file in SSL_CERT_FILE":                                                                                                                      {"--server", fakeServer(t, page(200), true)},
		"does not accept the token":                                                                                                                                {"--server", base, "--secret", "the secret of another server"},
		"CARILLON_SERVER: the server's address must be like http://127.0.0.1:8080 or https://carillon.example.com":                                                 {"--server", "127.0.0.1:8080"},
	} {
		code, stdout, stderr := finish(t, append([]string{"campaigns", "list", "--secret", testSecret}, flags...)...)
		if code != exitFailed || stdout != "" || !strings.Contains(told(stderr), want) || strings.Count(told(stderr), "\n") != 1 || strings.ContainsAny(stderr, "<{") {
			t.Errorf("exit code %d, want %s\n%s%s", code, want, stdout, stderr)
		}
	}
}

// The walk over a command line finds whose value comes next.
func TestCompletionWalks(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]string{
		"campaigns li":                   "list",
		"campaigns export x --format ":   "csv ndjson",
		"campaigns export x --format=nd": "--format=ndjson",
		"campaigns list --limit ":        "",
		"schedules next x -n ":           "",
		"completion ":                    "bash fish zsh",
		"--log-level ":                   "debug error info warn",
		"campaigns list --lo":            "--local --log-level",
		"groups put --name x ":           "",
		"events --data-dir /x/y --campa": "--campaign",
		"users show --server=http://127.0.0.1:1 --data-dir /nowhere ": "",
	} {
		var out strings.Builder
		complete(context.Background(), strings.Split(words, " "), &out)
		var got []string
		for line := range strings.Lines(out.String()) {
			word, _, _ := strings.Cut(line, "\t")
			got = append(got, word)
		}
		if sorted := strings.Join(sortedStrings(got), " "); sorted != want {
			t.Errorf("%s: %s, want %s", strconv.Quote(words), sorted, want)
		}
	}
}

func sortedStrings(list []string) []string {
	slices.Sort(list)
	return list
}

func fakeServer(t *testing.T, h http.Handler, secure bool) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s.URL
}
