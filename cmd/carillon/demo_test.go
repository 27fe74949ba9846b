package main

import (
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestDemoReachesEveryUser(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := finish(t, "demo", "--users", "50", "--exit", "--listen", "127.0.0.1:0")
	if code != 0 || stderr != "" {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	table := "\npending    0\nsent       50\nfailed     0\nskipped    0\nexpired    0\ncancelled  0\nunknown    0\ntotal      50\n"
	if !strings.Contains(stdout, table) {
		t.Errorf("no table of all statuses in\n%s", stdout)
	}
	if !strings.Contains(stdout, `GET /v1/inbox/demo-0000025/messages: {"content":"hello world!"} from Gordon (openIMAdmin)`) {
		t.Errorf("no message of an inbox in\n%s", stdout)
	}
}

func TestDemoThroughOpenIM(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := finish(t, "demo", "--openim", "--users", "50", "--exit", "--listen", "127.0.0.1:0")
	if code != 0 || stderr != "" {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	for _, want := range []string{"synced 50 users", "\nsent       50\n", "\ntotal      50\n", " took 50 messages, 0 of them twice; it gave out 1 admin token"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in\n%s", want, stdout)
		}
	}
}

func TestDemoTakesAFreePortAndAddsItsSender(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	if code, _, stderr := finish(t, "demo", "--users", "5", "--exit", "--listen", busy.Addr().String(), "--admins", "root"); code != 0 {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

var dataDir = regexp.MustCompile(`CARILLON_DATA_DIR=(\S+)`)

func TestDemoServesUntilItIsStoppedAndLeavesNothing(t *testing.T) {
	t.Parallel()
	p := start(t, "demo", "--users", "5", "--listen", "127.0.0.1:0")
	p.until("it invites", func() bool { return strings.Contains(p.stdout.String(), "send it again") })
	dir := dataDir.FindStringSubmatch(p.stdout.String())[1]
	code, token, _ := finish(t, "token", "--data-dir", dir)
	if code != 0 {
		t.Fatal("no token for the demo")
	}
	url := regexp.MustCompile(`curl -sS (http://\S+)/v1/campaigns`).FindStringSubmatch(p.stdout.String())[1]
	if r := get(t, url+"/v1/campaigns", strings.TrimSpace(token)); r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.body)
	}
	p.stop()
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if exists(dir) {
		t.Errorf("%s is still there", dir)
	}
}

func TestDemoThatIsInterruptedFailsAndLeavesNothing(t *testing.T) {
	t.Parallel()
	p := start(t, "demo", "--users", "1000", "--exit", "--listen", "127.0.0.1:0", "--inbox-rate", "1")
	p.until("it has posted", func() bool { return strings.Contains(p.stdout.String(), "POST /msg/batch_send_msg") })
	p.stop()
	if code := p.wait(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
}
