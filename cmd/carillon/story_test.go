package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"carillon/handlers"
	"carillon/internal/testkit"
)

// mortal is a process that serves, is killed with SIGKILL, and is started again.
type mortal struct {
	t    *testing.T
	args []string
	cmd  *exec.Cmd
	out  *buffer
	url  string
}

func (m *mortal) start() {
	m.t.Helper()
	m.cmd, m.out = exec.Command(os.Args[0], m.args...), &buffer{}
	m.cmd.Env = append(os.Environ(), asProgram+"=1")
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	m.cmd.Stdout, m.cmd.Stderr = m.out, m.out
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if found := atURL.FindStringSubmatch(m.out.String()); found != nil && get(m.t, found[1]+"/readyz", "").status == http.StatusOK {
			m.url = found[1]
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatal("it does not get ready")
		}
	}
}

// kill is kill -9. It may be called twice.
func (m *mortal) kill() {
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
}

// An operator's story: A makes a campaign over the API, the guard pauses it, B resumes it on the command line, A changes its rate, B
// pulls the kill switch on the ledger while nobody serves, and cancels it. The process that serves is killed after each step. The history tells the story in its order,
// with who, by which way, code and words: nothing is missing, and nothing is told twice.
func TestHistoryTellsTheStory(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		status := new(atomic.Int64)
		status.Store(http.StatusUnauthorized)
		provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) }))
		t.Cleanup(provider.Close)
		flags := []string{"--data-dir", filepath.Join(t.TempDir(), "data"), "--secret", testSecret, "--listen", "127.0.0.1:0"}
		ledger := append(slices.Clone(flags[:2]), "--local")
		if s.Name != "embedded" {
			flags = external(migrated(t, s.DatabaseURL), s.RedisURL)
			ledger = []string{"--database-url", s.DatabaseURL, "--local"}
		}
		m := &mortal{t: t, args: append([]string{"serve", "--channel", "webhook", "--webhook-url", provider.URL, "--webhook-secret", "whsec_" + strings.Repeat("A", 32)}, flags...)}
		t.Cleanup(func() {
			m.kill()
			if t.Failed() {
				t.Log(m.out.String())
			}
		})
		m.start()
		var b strings.Builder
		for i := range 30 {
			fmt.Fprintf(&b, `,"u%d"`, i)
		}
		userIDs := "[" + b.String()[1:] + "]"
		put := strings.NewReplacer("[", `[{"userID":`, ",", `},{"userID":`, "]", "}]").Replace(userIDs)
		token := adminToken(t)
		call(t, http.MethodPost, m.url+"/v1/users", token, `{"users":`+put+`}`)

		made := call(t, http.MethodPost, m.url+"/v1/campaigns", token, `{"audience":{"userIDs":`+userIDs+`},"message":{"sendID":"openIMAdmin","contentType":101,"content":{"content":"a secret text"}}}`)
		id, _ := made.data["id"].(string)
		if id == "" {
			t.Fatal(made.body)
		}
		path := "/v1/campaigns/" + id
		is := func(want string) {
			t.Helper()
			var got reply
			for deadline := time.Now().Add(patience); got.data["status"] != want; time.Sleep(20 * time.Millisecond) {
				got = get(t, m.url+path, token)
				if time.Now().After(deadline) {
					t.Fatalf("it is not %s: %s", want, got.body)
				}
			}
		}
		cli := func(args ...string) string {
			t.Helper()
			code, stdout, stderr := finish(t, append(args, over(m.url)...)...)
			if code != 0 {
				t.Fatalf("%q: exit code %d, %s", args, code, stderr)
			}
			return stdout
		}
		local := func(args ...string) {
			t.Helper()
			if code, _, stderr := finish(t, append(args, ledger...)...); code != 0 {
				t.Fatalf("%q: exit code %d, %s", args, code, stderr)
			}
		}
		again := func() {
			t.Helper()
			m.kill()
			m.start()
		}
		again()
		is("paused")
		status.Store(http.StatusInternalServerError) // nobody's attempt: nothing more happens by itself
		again()
		cli("campaigns", "resume", id)
		again()
		if r := call(t, http.MethodPatch, m.url+path, token, `{"ratePerSecond":7}`); r.status != http.StatusOK {
			t.Fatal(r.body)
		}
		again()
		m.kill() // nobody serves, and the kill switch works all the same
		local("campaigns", "pause", "--all")
		m.start()
		local("campaigns", "cancel", id)
		again()
		is("cancelled")

		operator := operator().ID
		want := []string{
			"campaign.created  → running by imAdmin via api (test) : ",
			"campaign.paused running → paused by  via guard () guard: too many failed",
			"campaign.resumed paused → running by openIMAdmin via cli (*) operator: ",
			"campaign.changed  →  by imAdmin via api (test) : ",
			"campaign.paused running → paused by " + operator + " via cli () pauseAll: paused from the command line",
			"campaign.cancelled paused → cancelled by " + operator + " via cli () operator: cancelled from the command line",
		}
		var answer struct {
			Data struct{ Events []handlers.EventView }
		}
		body := get(t, m.url+path+"/history", token).body
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatal(err)
		}
		slices.Reverse(answer.Data.Events)
		if len(answer.Data.Events) != len(want) {
			t.Fatalf("%d events: %s", len(answer.Data.Events), body)
		}
		for i, e := range answer.Data.Events {
			operation := e.OperationID
			if len(operation) == 26 { // the command line makes one for each call
				operation = "*"
			}
			line := fmt.Sprintf("%s %s → %s by %s via %s (%s) %s: %s", e.Kind, e.From, e.To, e.Actor, e.Via, operation, e.ReasonCode, e.Reason)
			if !strings.HasPrefix(line, want[i]) || len(line) != len(want[i]) && i != 1 {
				t.Errorf("%d: %s\nwant: %s", i, line, want[i])
			}
			if e.Kind == "campaign.changed" && fmt.Sprint(e.Data) != "map[changed:map[ratePerSecond:map[from:0 to:7]]]" {
				t.Errorf("%v", e.Data)
			}
		}
		out := cli("campaigns", "history", id, "--json") + cli("campaigns", "history", id) + cli("events", "--limit", "100") + body
		for _, never := range []string{testSecret, "whsec_", token, "a secret text"} {
			if strings.Contains(out, never) {
				t.Errorf("%q stands in the event log", never)
			}
		}
		if n := strings.Count(cli("events", "--kind", "serve.started"), "serve.started"); n != 7 {
			t.Errorf("%d starts are told, not 7", n)
		}
		if c := get(t, m.url+path, token).data; c["statusReasonCode"] != "operator" || c["statusReason"] != "cancelled from the command line" {
			t.Errorf("%v: %v", c["statusReasonCode"], c["statusReason"])
		}
	})
}
