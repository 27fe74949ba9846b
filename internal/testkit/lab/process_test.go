package lab

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"carillon/internal/testkit"
)

// shell is a process that is a script instead of the product.
func shell(t *testing.T, script string) *Process {
	t.Helper()
	p := &Process{Name: "script", URL: "http://127.0.0.1:1", Bin: "/bin/sh", Args: []string{"-c", script}, Env: []string{"CARILLON_X=given"}, Log: filepath.Join(t.TempDir(), "log")}
	t.Cleanup(p.Kill)
	return p
}

// awaitLog waits until the log holds a text n times.
func awaitLog(t *testing.T, p *Process, text string, n int) {
	t.Helper()
	var raw []byte
	testkit.Eventually(t, "the log holds "+text, testkit.Patience, func() bool {
		raw, _ = os.ReadFile(p.Log)
		return strings.Count(string(raw), text) == n
	}, func() any { return string(raw) })
}

func TestProcessLivesAgain(t *testing.T) {
	t.Parallel()
	p := shell(t, `trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done`)
	if p.Alive() || p.PID() != 0 {
		t.Error("alive before the start")
	}
	if took, code := p.Term(time.Second); took != 0 || code != 0 {
		t.Errorf("SIGTERM before the start: %s %d", took, code)
	}
	for life := 1; life <= 2; life++ {
		for range 2 { // the second start finds it running
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
		}
		awaitLog(t, p, "up\n", life)
		if !p.Alive() || p.PID() == 0 {
			t.Error("not alive after the start")
		}
		if _, code := p.Term(20 * time.Second); code != 7 || p.Alive() {
			t.Errorf("SIGTERM: code %d", code)
		}
	}
	p.Signal(syscall.SIGTERM) // to nobody
}

func TestProcessThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	p := shell(t, `trap '' TERM QUIT; echo up; while :; do sleep 0.01; done`)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	awaitLog(t, p, "up\n", 1)
	if _, code := p.Term(50 * time.Millisecond); code != -1 || p.Alive() {
		t.Errorf("code %d, alive %t", code, p.Alive())
	}
}

func TestProcessHasItsOwnSettingsAlone(t *testing.T) {
	t.Setenv("CARILLON_Y", "the caller's")
	p := shell(t, "")
	if out, err := p.Run(t.Context(), "-c", `echo "$CARILLON_X.$CARILLON_Y."`); err != nil || out != "given..\n" {
		t.Errorf("%q %v", out, err)
	}
	if _, err := p.Run(t.Context(), "-c", "echo why >&2; exit 3"); err == nil || !strings.Contains(err.Error(), "why") {
		t.Error(err)
	}
}

func TestProcessThatEndsBeforeItIsReady(t *testing.T) {
	t.Parallel()
	p := shell(t, "exit 1")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if err := p.AwaitReady(t.Context(), "", time.Minute); err == nil || !strings.Contains(err.Error(), "ended before it was ready") {
		t.Error(err)
	}
}
