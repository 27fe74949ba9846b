package openim

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestAKillLosesNoAnsweredRequest: what was answered stands in the log, and the next process knows it.
func TestAKillLosesNoAnsweredRequest(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "log")
	p, err := StartProcess(Options{Log: log, Secret: secret, Users: 20, Manners: Manners{Faults: []Fault{{Kind: Closed, Users: "*7", Delivers: true}}}}, self, doubleA)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() })
	k := &kit{t: t, url: p.URL, log: log}
	k.token = k.admin()
	var mu sync.Mutex
	answered := map[string]bool{}
	var senders sync.WaitGroup
	for i := range 4 {
		senders.Go(func() {
			for n := range 10_000 {
				op := fmt.Sprintf("op-%d-%d", i, n)
				r := k.send(op, "u000001")
				if r.Err != nil {
					return // killed
				}
				mu.Lock()
				answered[op] = true
				enough := len(answered) >= 200
				mu.Unlock()
				if enough {
					_ = p.Kill()
				}
			}
		})
	}
	senders.Wait()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if p.URL != k.url {
		t.Fatalf("it serves at %s now", p.URL)
	}
	logged := map[string]bool{}
	for _, l := range k.lines() {
		if l.Delivered {
			logged[l.OperationID] = true
		}
	}
	for op := range answered {
		if !logged[op] {
			t.Errorf("%s was answered and is not in the log", op)
		}
	}
	if len(answered) < 200 || k.status("op-0-0") != 2 {
		t.Error("the new process does not know what the old one has sent, or has no token")
	}
	if r := k.send("op-lost", "u000007"); r.Err == nil {
		t.Errorf("manners are gone: %s", r.Raw)
	}
	if r := k.send("op-0-0", "u000001"); r.ErrCode != 0 || !last(t, k).Repeat {
		t.Errorf("%s %+v", r.Raw, last(t, k))
	}
	if _, err := p.Kick(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if r := k.send("op", "u000001"); r.ErrCode != 1506 {
		t.Errorf("a kicked token after a new start: %s", r.Raw)
	}
	raw, err := os.ReadFile(log)
	if err != nil || strings.Contains(string(raw), k.token) || strings.Contains(string(raw), secret) || strings.Contains(string(raw), "hello") {
		t.Errorf("the log holds a token, the secret or a content (%v)", err)
	}
}

func TestATornLineCostsItselfAlone(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, []byte(`{"route":"/msg/send_msg","operationID":"a","recvID":"u1","delivered":true,"at":"2026-01-01T00:00:00Z"}`+"\n"+`{"route":"/msg/se`), 0o600); err != nil {
		t.Fatal(err)
	}
	k := start(t, func(o *Options) { o.Log = log })
	k.send("b", "u000001")
	var ops []string
	for _, l := range k.lines() {
		ops = append(ops, l.OperationID)
	}
	if got := strings.Join(ops, " "); got != "a login b" {
		t.Errorf("the log holds %q", got)
	}
}

func TestTheCommandSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte(`{"faults":[{"kind":"unheard"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--secret", ""}, {"--secret", "s", "--manners", bad, "--log", filepath.Join(t.TempDir(), "log")}, {"--manners", "/nowhere"}, {"word"}, {"--unheard"},
	} {
		var out, err strings.Builder
		if code := Run(t.Context(), args, &out, &err); code == 0 || err.Len() == 0 || out.Len() != 0 {
			t.Errorf("%v: %d %q %q", args, code, out.String(), err.String())
		}
	}
}
