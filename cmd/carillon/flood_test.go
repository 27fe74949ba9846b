package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"carillon/internal/testkit"
)

// The flood: 200 connections of the largest bodies, 5,000 silent ones, 100 readers that stopped and 5,000 that want
// to wait, all at once, of unknown callers and with a user's token, against a process that may have 512 MiB and
// 1,024 descriptors.
const (
	floodMemory      = 512 << 20
	floodDescriptors = 1024
	floodFor         = 15 * time.Second
	floodAfter       = 30 * time.Second // within which all is as before
	memoryGoal       = 256 << 20
	floodPatience    = 30 * time.Second // for a single send, on a machine that does much else
	floodPools       = 200              // connections to the stores, which are kept once they are open
)

// limited builds the program, without the race detector, and runs it under the limits.
func limited(t *testing.T) (cmd *exec.Cmd, url, token string) {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "carillon")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// -d limits what is really written to: a Go program reserves far more addresses than it uses
	shell := fmt.Sprintf("ulimit -n %d && ulimit -d %d && exec %s serve --listen 127.0.0.1:0 --data-dir %s --secret %q", floodDescriptors, floodMemory>>10, program, filepath.Join(dir, "data"), testSecret)
	cmd = exec.Command("sh", "-c", shell)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("carillon serve:\n%s", out.String())
		}
	})
	return cmd, readyAt(t, &out), adminToken(t)
}

// statusOf reads a line such as "VmHWM:  1234 kB" of a process' status, in bytes.
func statusOf(t *testing.T, pid int, field string) int64 {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatalf("it does not live: %v", err)
	}
	for line := range strings.Lines(string(raw)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			n, _ := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return n << 10
		}
	}
	t.Fatalf("no %s", field)
	return 0
}

func descriptorsOf(t *testing.T, pid int) int {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// flood is many clients of several kinds, each of which comes again when its connection ends. The race detector
// allows 8,128 goroutines, so that one goroutine plays many clients.
type flood struct {
	addr string
	ends time.Time
	wg   sync.WaitGroup
	made atomic.Int64
}

func (f *flood) dial() net.Conn {
	conn, err := net.DialTimeout("tcp", f.addr, time.Second)
	if err != nil {
		return nil
	}
	f.made.Add(1)
	_ = conn.SetDeadline(f.ends)
	return conn
}

// clients starts n clients that have a goroutine each.
func (f *flood) clients(n int, client func(net.Conn)) {
	for range n {
		f.wg.Go(func() {
			for time.Now().Before(f.ends) {
				if conn := f.dial(); conn != nil {
					client(conn)
					_ = conn.Close()
				}
				time.Sleep(time.Second) // the pace of this client
			}
		})
	}
}

// crowd starts n clients that send one text and then only hold their connection; fifty share a goroutine.
func (f *flood) crowd(n int, text func() string) {
	const each = 50
	for range n / each {
		f.wg.Go(func() {
			conns := make([]net.Conn, each)
			buf := make([]byte, 4096)
			for time.Now().Before(f.ends) {
				for i, conn := range conns {
					if conn != nil && alive(conn, buf) {
						continue
					}
					if conn != nil {
						_ = conn.Close()
					}
					if conns[i] = f.dial(); conns[i] != nil {
						_, _ = io.WriteString(conns[i], text())
					}
				}
				time.Sleep(100 * time.Millisecond) // the pace of these clients
			}
			for _, conn := range conns {
				if conn != nil {
					_ = conn.Close()
				}
			}
		})
	}
}

// alive reads what has come, and says whether the connection still stands.
func alive(conn net.Conn, buf []byte) bool {
	_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	for {
		if _, err := conn.Read(buf); err != nil {
			return errors.Is(err, os.ErrDeadlineExceeded)
		}
	}
}

// drain reads until the connection ends.
func drain(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// all starts every kind; tokens are the header lines of the callers, which take turns.
func (f *flood) all(tokens []string) {
	var turn atomic.Int64
	who := func() string { return tokens[int(turn.Add(1))%len(tokens)] }
	large := []string{"/msg/batch_send_msg", "/auth/get_admin_token", "/v1/users", "/login", "/v1/campaigns"}
	body := strings.Repeat(`{"a":[[[`, 128<<10)
	f.clients(200, func(c net.Conn) {
		path := large[int(turn.Add(1))%len(large)]
		if _, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\noperationID: flood\r\n%sContent-Length: %d\r\n\r\n", path, who(), 16<<20); err != nil {
			return
		}
		for range 16 {
			if _, err := io.WriteString(c, body); err != nil {
				return
			}
		}
		drain(c)
	})
	silent := []string{"", "POST /login HTTP/1.1\r\nHo", "POST /auth/get_admin_token HTTP/1.1\r\nHost: x\r\noperationID: flood\r\nContent-Length: 60\r\n\r\n"}
	f.crowd(5000, func() string { return silent[int(turn.Add(1))%len(silent)] })
	f.clients(100, func(c net.Conn) {
		request := "GET /v1/inbox/user-001/messages?limit=1000 HTTP/1.1\r\nHost: x\r\n" + who() + "\r\n"
		for range 100 {
			if _, err := io.WriteString(c, request); err != nil {
				return
			}
		}
		time.Sleep(time.Until(f.ends)) // it asks and never reads
	})
	wait := "POST /msg/batch_send_msg HTTP/1.1\r\nHost: x\r\noperationID: flood\r\nPrefer: wait=60\r\n"
	f.crowd(5000, func() string {
		return fmt.Sprintf("%s%sContent-Length: %d\r\n\r\n%s", wait, who(), len(message), message)
	})
}

// single sends one message to one user, as often as need be until it is taken, and returns how long that took.
func single(t *testing.T, client *http.Client, url, token string) time.Duration {
	t.Helper()
	const body = `{"sendID":"imAdmin","content":{"content":"hi"},"contentType":101,"sessionType":1,"recvIDs":["user-001"]}`
	began := time.Now()
	for {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/msg/batch_send_msg", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("operationID", "single")
		req.Header.Set("token", token)
		res, err := client.Do(req)
		if err == nil {
			raw, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK && strings.Contains(string(raw), `"errCode":0`) {
				return time.Since(began)
			}
			t.Logf("a single send: %d %s", res.StatusCode, raw)
		}
		if time.Since(began) > floodPatience {
			t.Errorf("a single send is not taken: %v", err)
			return time.Since(began)
		}
	}
}

func p99(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)*99/100]
}

// Not parallel: 10,000 clients would take the machine from whatever runs beside them.
func TestFlood(t *testing.T) { //nolint:paralleltest // see above
	cmd, url, token := limited(t)
	pid := cmd.Process.Pid
	var users []string
	for i := range 100 {
		users = append(users, fmt.Sprintf(`{"userID":"user-%03d"}`, i))
	}
	if r := call(t, http.MethodPost, url+"/v1/users", token, `{"users":[`+strings.Join(users, ",")+`]}`); r.status != http.StatusOK {
		t.Fatal(r.body)
	}
	big := fmt.Sprintf(`{"sendID":"imAdmin","content":{"content":%q},"contentType":101,"sessionType":1,"recvIDs":["user-001"]}`, strings.Repeat("x", 60_000))
	for range 100 { // something to read for those who then do not
		if r := call(t, http.MethodPost, url+"/msg/batch_send_msg", token, big); r.status != http.StatusOK {
			t.Fatal(r.body)
		}
	}
	made := call(t, http.MethodPost, url+"/auth/get_user_token", token, `{"userID":"user-001","platformID":1}`)
	users1, _ := made.data["token"].(string)
	client := &http.Client{Timeout: floodPatience, Transport: &http.Transport{MaxIdleConnsPerHost: 1, MaxConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	var before []time.Duration
	for range 50 {
		before = append(before, single(t, client, url, token))
	}
	connections, memory := descriptorsOf(t, pid), statusOf(t, pid, "VmRSS")

	f := &flood{addr: strings.TrimPrefix(url, "http://"), ends: time.Now().Add(floodFor)}
	f.all([]string{"", "token: " + users1 + "\r\n"})
	var during []time.Duration
	most := int64(0)
	for time.Now().Before(f.ends) {
		during = append(during, single(t, client, url, token))
		most = max(most, statusOf(t, pid, "RssAnon"))
	}
	f.wg.Wait()
	t.Logf("%d connections; p99 of %d single sends during the flood %s, before %s; memory at most %d MiB, of the process %d MiB",
		f.made.Load(), len(during), p99(during), p99(before), most>>20, statusOf(t, pid, "VmHWM")>>20)
	if peak := statusOf(t, pid, "VmHWM"); peak > memoryGoal {
		t.Errorf("%d MiB at most, not %d", peak>>20, memoryGoal>>20)
	}

	n := 0
	testkit.Eventually(t, "descriptors and /readyz are as before", floodAfter, func() bool {
		n = descriptorsOf(t, pid)
		return n <= connections+floodPools && get(t, url+"/readyz", "").status == http.StatusOK
	}, func() any {
		return fmt.Sprintf("%d descriptors, %d before; /readyz %s", n, connections, get(t, url+"/readyz", token).body)
	})
	// The slowest of fifty: one of them may meet a moment in which the machine does something else.
	var after time.Duration
	testkit.Eventually(t, "single sends are as before", floodAfter, func() bool {
		var took []time.Duration
		for range 50 {
			took = append(took, single(t, client, url, token))
		}
		after = p99(took)
		return after <= 10*max(p99(before), 100*time.Millisecond)
	}, func() any { return fmt.Sprintf("p99 %s, before %s", after, p99(before)) })
	t.Logf("afterwards: p99 %s, memory %d MiB (%d before)", after, statusOf(t, pid, "VmRSS")>>20, memory>>20)
}

// Ten thousand connections that hang in every phase do not hold a process up that is told to stop.
func TestStopWithStuckConnections(t *testing.T) { //nolint:paralleltest // as above
	cmd, url, _ := limited(t)
	addr := strings.TrimPrefix(url, "http://")
	var wg sync.WaitGroup
	phases := []string{"", "GET /", "POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n\r\n", "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n\r\n", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"}
	stuck := make([][]net.Conn, 100)
	for i := range stuck {
		wg.Go(func() {
			for range 100 {
				if conn, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
					_, _ = io.WriteString(conn, phases[i%len(phases)])
					stuck[i] = append(stuck[i], conn)
				}
			}
		})
	}
	wg.Wait()
	open := 0
	for _, conns := range stuck {
		open += len(conns)
		defer func() {
			for _, conn := range conns {
				_ = conn.Close()
			}
		}()
	}
	began := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("it took %s with %d connections", d, open)
	} else {
		t.Logf("%s with %d connections", d.Round(time.Millisecond), open)
	}
}
