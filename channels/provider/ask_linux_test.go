package provider

import (
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"carillon/channels"
	"carillon/internal/testkit"
)

// countedSocket counts how often an asker is called: once for the write and once when the answer is there.
type countedSocket struct {
	syscall.RawConn
	calls int
}

func (s *countedSocket) Read(f func(fd uintptr) bool) error {
	return s.RawConn.Read(func(fd uintptr) bool {
		s.calls++
		return f(fd)
	})
}

// countedReads counts the reads of a connection.
type countedReads struct {
	net.Conn
	reads int
}

func (c *countedReads) Read(p []byte) (int, error) {
	c.reads++
	return c.Conn.Read(p)
}

// A small request is written, waited for and read once. A larger one takes the ordinary way.
func TestOneWriteOneRead(t *testing.T) {
	for name, c := range map[string]struct{ size, calls int }{"small": {200, 2}, "large": {2 * maxAsk, 0}} {
		t.Run(name, func(t *testing.T) {
			p := testkit.NewRawProvider(t, func(nc net.Conn, _ int32, r *http.Request) bool {
				testkit.ReadAll(r)
				_, _ = io.WriteString(nc, wellAnswer)
				return true
			})
			w := channelAt(t, p.URL)
			if o := sendOne(t, w); o.Result != channels.Sent {
				t.Fatalf("first: %+v", o)
			}
			idle := w.client.transport.idle[0]
			socket := &countedSocket{RawConn: idle.wire.asker.raw}
			reads := &countedReads{Conn: idle.wire.Conn}
			idle.wire.asker.raw, idle.wire.Conn = socket, reads
			writes := idle.writes()
			w.head = append(w.head, "X: "+strings.Repeat("x", c.size)+"\r\n"...)
			if o := sendOne(t, w); o.Result != channels.Sent || p.Requests.Load() != 2 {
				t.Errorf("%+v after %d requests", o, p.Requests.Load())
			}
			if socket.calls != c.calls || reads.reads != 1 || idle.writes() != writes+1 {
				t.Errorf("asked %d times, %d reads, %d writes", socket.calls, reads.reads, idle.writes()-writes)
			}
		})
	}
}

// A connection that was idle for an instant only is not looked at, unless its use is the trial.
func TestLooks(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		idle  time.Duration
		trial bool
		want  bool
	}{{0, false, false}, {0, true, true}, {lookAfter - 1, false, false}, {lookAfter, false, true}} {
		if got := (&conn{idleSince: now.Add(-c.idle), trial: c.trial}).needsLook(now); got != c.want {
			t.Errorf("idle %v, trial %v: look %v", c.idle, c.trial, got)
		}
	}
}
