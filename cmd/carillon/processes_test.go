package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"carillon/internal/testkit"
	"carillon/internal/testkit/services"
)

// asProgram makes the test binary be carillon itself, so that tests have real processes, with the race detector in them.
const asProgram = "CARILLON_TEST_AS_PROGRAM"

// spawn runs carillon as an operating system process and returns the address it serves on.
func spawn(t *testing.T, args ...string) (url string) {
	t.Helper()
	url, _, _ = spawned(t, args...)
	return url
}

// spawned is spawn, with the process and what it has printed.
func spawned(t *testing.T, args ...string) (url string, p *os.Process, out *buffer) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out = &buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("carillon %s: %v", strings.Join(args, " "), err)
		}
		if t.Failed() {
			t.Logf("carillon %s:\n%s", strings.Join(args, " "), out.String())
		}
	})
	return readyAt(t, out), cmd.Process, out
}

// readyAt waits until a process that prints to out is ready, and returns the address it serves on.
func readyAt(t *testing.T, out *buffer) (url string) {
	t.Helper()
	testkit.Eventually(t, "it gets ready", patience, func() bool {
		found := atURL.FindStringSubmatch(out.String())
		if found == nil {
			return false
		}
		url = found[1]
		return get(t, url+"/readyz", "").status == http.StatusOK
	}, func() any { return out.String() })
	return url
}

// listener is a user with an open stream; got are the campaigns of the messages that came.
type listener struct {
	mu  sync.Mutex
	got []string
}

func (l *listener) listen(lines *bufio.Scanner) {
	for lines.Scan() {
		if _, after, ok := strings.Cut(lines.Text(), `"campaignID":"`); ok {
			l.mu.Lock()
			l.got = append(l.got, after[:26])
			l.mu.Unlock()
		}
	}
}

func (l *listener) has(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.got, id)
}

// Ten of a hundred users hold a stream at the API's process; the worker's process knows it through Redis alone.
func TestOnlineOnlyAcrossProcesses(t *testing.T) {
	t.Parallel()
	redis := testkit.PrivateRedis(t)
	flags := external(migrated(t, testkit.MySQLURL(t)), redis.URL())
	base := spawn(t, append([]string{"serve", "--roles", "api"}, flags...)...)
	spawn(t, append([]string{"serve", "--roles", "worker"}, flags...)...)
	token := adminToken(t)
	var users []string
	for i := range 100 {
		users = append(users, fmt.Sprintf(`{"userID":"user-%02d"}`, i))
	}
	if r := call(t, http.MethodPost, base+"/v1/users", token, `{"users":[`+strings.Join(users, ",")+`]}`); r.status != http.StatusOK {
		t.Fatal(r.body)
	}
	online := make([]*listener, 10)
	for i := range online {
		online[i] = &listener{}
		lines := openStream(t, fmt.Sprintf("%s/v1/inbox/user-%02d/stream", base, i*7), token)
		go online[i].listen(lines)
	}
	send := func(when string) {
		t.Helper()
		posted := call(t, http.MethodPost, base+"/msg/batch_send_msg", token, strings.Replace(message, `"isSendAll"`, `"isOnlineOnly":true,"isSendAll"`, 1))
		id, _ := posted.data["campaignID"].(string)
		var counts map[string]any
		testkit.Eventually(t, when+": completed", patience, func() bool {
			c := get(t, base+"/v1/campaigns/"+id, token)
			counts, _ = c.data["counts"].(map[string]any)
			return c.data["status"] == "completed"
		}, func() any { return counts })
		if counts["sent"] != 10.0 || counts["skipped"] != 90.0 {
			t.Errorf("%s: %v", when, counts)
		}
		if r := get(t, base+"/v1/campaigns/"+id+"/recipients/user-01", token); r.data["status"] != "skipped" || r.data["errMsg"] != "offline" {
			t.Errorf("%s: %s", when, r.body)
		}
		for i, l := range online {
			testkit.Eventually(t, fmt.Sprintf("%s: user-%02d, who is online, gets it", when, i*7), patience, func() bool { return l.has(id) })
		}
		for _, user := range []string{"user-00", "user-07", "user-01"} {
			if r := get(t, base+"/v1/inbox/"+user+"/messages", token); !strings.Contains(r.body, `"messages":[]`) {
				t.Errorf("%s: the inbox of %s keeps it: %s", when, user, r.body)
			}
		}
	}
	send("at first")
	if _, err := services.RedisDo(redis.URL(), "FLUSHALL"); err != nil {
		t.Fatal(err)
	}
	send("after a FLUSHALL")
}
