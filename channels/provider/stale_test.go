//go:build linux

package provider

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"carillon/channels"
	"carillon/internal/testkit"
	"carillon/models"
)

// latePeer lets something happen between the look at a kept connection and the write of the next request.
type latePeer struct {
	*net.TCPConn
	before func()
}

func (c latePeer) Write(p []byte) (int, error) {
	c.before()
	return c.TCPConn.Write(p)
}

// lateDial makes the transport's connections call before, once armed.
func lateDial(w *channel, armed *atomic.Bool, before func(c net.Conn)) {
	dial := new(net.Dialer).DialContext
	w.client.transport.DialContext = watchWrites(func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		tcp := c.(*net.TCPConn)
		return latePeer{tcp, func() {
			if armed.Load() {
				before(tcp)
			}
		}}, nil
	})
}

// lateSocket lets something happen between the look at a kept connection and the write of an asker.
type lateSocket struct {
	syscall.RawConn
	before func()
}

func (s lateSocket) Read(f func(fd uintptr) bool) error {
	return s.RawConn.Read(func(fd uintptr) bool {
		s.before()
		return f(fd)
	})
}

// lateAsk makes the idle connection's asker call before.
func lateAsk(w *channel, before func(c net.Conn)) {
	wire := w.client.transport.idle[0].wire
	wire.asker.raw = lateSocket{wire.asker.raw, func() { before(wire.Conn) }}
}

// awaitEnd waits until the other end's FIN is there, and takes nothing of what was sent before it.
func awaitEnd(t *testing.T, c net.Conn) {
	t.Helper()
	const closeWait = 8
	var state uint8
	for give := time.Now().Add(5 * time.Second); state != closeWait; time.Sleep(time.Millisecond) {
		if time.Now().After(give) {
			t.Error("the end never came")
			return
		}
		raw, err := c.(syscall.Conn).SyscallConn()
		if err != nil {
			t.Error(err)
			return
		}
		_ = raw.Control(func(fd uintptr) { // not Read: an asker is in it
			if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
				state = info.State
			}
		})
	}
}

// A receiver closes a kept connection just before the next request is written. Whether anybody can have read the request
// decides: it is sent again on a new connection, or it is ambiguous.
func TestClosedBeforeTheRequest(t *testing.T) {
	for name, c := range map[string]struct {
		end             func(nc net.Conn, ended chan struct{}) // of the provider's first connection, after its answer
		want            channels.Outcome
		conns, requests int32
	}{
		"closed": {func(nc net.Conn, ended chan struct{}) { _ = nc.Close(); close(ended) }, channels.Outcome{Result: channels.Sent}, 2, 2},
		"half closed, and read": {func(nc net.Conn, ended chan struct{}) {
			_ = nc.(*net.TCPConn).CloseWrite()
			close(ended)
			_, _ = io.Copy(io.Discard, nc)
		}, channels.Outcome{Result: channels.Ambiguous, ErrCode: models.CodeNetwork, ErrMsg: "the connection broke before the answer was complete", Fault: channels.Stumble}, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			next, ended := make(chan struct{}), make(chan struct{})
			p := testkit.NewRawProvider(t, func(nc net.Conn, no int32, r *http.Request) bool {
				testkit.ReadAll(r)
				_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
				if no == 1 {
					<-next
					c.end(nc, ended)
				}
				return no > 1
			})
			w := channelAt(t, p.URL, withTimeout(500*time.Millisecond))
			var once sync.Once
			if o := sendOne(t, w); o.Result != channels.Sent {
				t.Fatalf("first: %+v", o)
			}
			lateAsk(w, func(tcp net.Conn) {
				once.Do(func() { close(next); <-ended; awaitEnd(t, tcp) })
			})
			if o := sendOne(t, w); o != c.want {
				t.Errorf("second: %+v, want %+v", o, c.want)
			}
			if got := [2]int32{p.Conns.Load(), p.Requests.Load()}; got != [2]int32{c.conns, c.requests} {
				t.Errorf("connections and requests %v, want %d and %d", got, c.conns, c.requests)
			}
		})
	}
}

// The repeat is asked for like any request when it had to wait, and there is only one.
func TestRepeatsOnce(t *testing.T) {
	var requests atomic.Int32
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	defer srv.Close()
	w := channelAt(t, srv.URL)
	w.client.transport.TLSClientConfig = &tls.Config{RootCAs: rootsOf(srv)}
	var armed atomic.Bool
	var cut atomic.Int32
	lateDial(w, &armed, func(tcp net.Conn) {
		if cut.Add(1) == 1 {
			srv.CloseClientConnections()
			awaitEnd(t, tcp)
		}
	})
	if o := sendOne(t, w); o.Result != channels.Sent {
		t.Fatalf("first: %+v", o)
	}
	armed.Store(true)
	if o := sendOne(t, w); o.Result != channels.Sent || requests.Load() != 2 {
		t.Errorf("over TLS: %+v after %d requests", o, requests.Load())
	}
	cut.Store(0)
	var began time.Time
	b := batchOf(1)
	b.MayStart = func() bool { return began.IsZero() || time.Since(began) < dialAskAgain }
	lateDial(w, &armed, func(net.Conn) {})
	dial := w.client.transport.DialContext
	w.client.transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		time.Sleep(dialAskAgain + 10*time.Millisecond)
		return dial(ctx, network, addr)
	}
	began = time.Now()
	if o := w.Send(t.Context(), b)[0]; o.Result != channels.NotTried || requests.Load() != 2 {
		t.Errorf("the leave is gone: %+v after %d requests", o, requests.Load())
	}
}

// A receiver that closes after each answer and does not say so: nobody is in doubt for that.
func TestReceiverThatAlwaysCloses(t *testing.T) {
	p := testkit.NewRawProvider(t, func(nc net.Conn, _ int32, r *http.Request) bool {
		testkit.ReadAll(r)
		_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
		return false
	})
	w := channelAt(t, p.URL)
	const n = 300
	for i, o := range w.Send(t.Context(), batchOf(n)) {
		if o != (channels.Outcome{Result: channels.Sent}) {
			t.Errorf("recipient %d: %+v", i, o)
		}
	}
	if got := p.Requests.Load(); got != n {
		t.Errorf("%d requests for %d recipients", got, n)
	}
}

// After a close that came too soon no connection is used twice, or kept, until one has been tried alone.
func TestTransportShy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dialled int
		var closed atomic.Int32
		var all []net.Conn
		tr := &transport{}
		tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
			dialled++
			near, far := net.Pipe()
			all = append(all, near)
			go func() { _, _ = io.Copy(io.Discard, far); closed.Add(1) }()
			return near, nil
		}
		defer func() {
			tr.closeIdle()
			for _, c := range all {
				_ = c.Close()
			}
		}()
		get := func() *conn {
			c, err := tr.get(t.Context(), time.Now(), time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		a, b := get(), get()
		tr.put(a, time.Now())
		tr.put(b, time.Now())
		if c := get(); c != b || !c.trial {
			t.Error("the first to be used twice is no trial")
		}
		c := get()
		if c == a || dialled != 3 {
			t.Error("another is used twice while the first is tried")
		}
		time.Sleep(quickClose / 2)
		tr.recordReuse(b, time.Now(), false)
		tr.put(c, time.Now())
		synctest.Wait()
		if d := get(); dialled != 4 || d.trial || closed.Load() != 1 {
			t.Errorf("%d dialled, %d closed after one had closed early", dialled, closed.Load())
		}
		time.Sleep(noReuseFor)
		d := get()
		tr.put(d, time.Now())
		if get() != d || !d.trial {
			t.Error("no second trial")
		}
		tr.recordReuse(d, time.Now(), true)
		tr.put(d, time.Now())
		e := get()
		if e != d || e.trial {
			t.Error("what was proven is tried again")
		}
		time.Sleep(quickClose)
		tr.recordReuse(e, time.Now(), false) // closed after a while: its keep-alive is over
		f := get()
		tr.put(f, time.Now())
		if get() != f {
			t.Error("an ordinary end makes it shy")
		}
	})
}
