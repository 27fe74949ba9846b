package provider

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/channels"
	"carillon/internal/testkit"
	"carillon/models"
)

func reset(c net.Conn) bool {
	_ = c.(*net.TCPConn).SetLinger(0)
	return false
}

// untilClosed blocks until the client has gone.
func untilClosed(c net.Conn) bool {
	_, _ = io.Copy(io.Discard, c)
	return false
}

func TestFaultsAfterTheRequest(t *testing.T) {
	const broke = "the connection broke before the answer was complete"
	const late = "the provider gave no complete answer within 200ms"
	for name, c := range map[string]struct {
		answer func(c net.Conn, no int32, r *http.Request) bool
		text   string
	}{
		"close without an answer": {func(_ net.Conn, _ int32, r *http.Request) bool { testkit.ReadAll(r); return false }, broke},
		"reset without an answer": {func(c net.Conn, _ int32, r *http.Request) bool { testkit.ReadAll(r); return reset(c) }, broke},
		"reset at the head":       {func(c net.Conn, _ int32, _ *http.Request) bool { return reset(c) }, broke},
		"hang": {func(c net.Conn, _ int32, r *http.Request) bool {
			testkit.ReadAll(r)
			return untilClosed(c)
		}, late},
		"half a status line": {func(c net.Conn, _ int32, r *http.Request) bool {
			testkit.ReadAll(r)
			_, _ = io.WriteString(c, "HTTP/1.1 20")
			return false
		}, broke},
		"not HTTP": {func(c net.Conn, _ int32, r *http.Request) bool {
			testkit.ReadAll(r)
			_, _ = io.WriteString(c, "hunter2\r\n\r\n")
			return false
		}, broke},
		"half an answer": {func(c net.Conn, _ int32, r *http.Request) bool {
			testkit.ReadAll(r)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"results\":[")
			return false
		}, broke},
		"reset in mid-answer": {func(c net.Conn, _ int32, r *http.Request) bool {
			testkit.ReadAll(r)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
			return reset(c)
		}, broke},
		"hang in mid-answer": {func(c net.Conn, _ int32, r *http.Request) bool {
			testkit.ReadAll(r)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
			return untilClosed(c)
		}, late},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := testkit.NewRawProvider(t, c.answer)
			w := channelAt(t, p.URL, withBatch(2))
			if c.text == late {
				w = channelAt(t, p.URL, withBatch(2), withTimeout(200*time.Millisecond))
			}
			for i, o := range w.Send(t.Context(), batchOf(2)) {
				if want := (channels.Outcome{Result: channels.Ambiguous, ErrCode: models.CodeNetwork, ErrMsg: c.text, Fault: channels.Stumble}); o != want {
					t.Errorf("outcome %d: %+v, want %+v", i, o, want)
				}
			}
			if n := p.Requests.Load(); n != 1 {
				t.Errorf("the provider saw %d requests, want exactly 1", n)
			}
		})
	}
}

// The case in which net/http would send a POST with an Idempotency-Key twice by itself: the connection was
// used before, and closes when the next request has been written.
func TestReusedConnectionCloses(t *testing.T) {
	for name, end := range map[string]func(net.Conn) bool{"close": func(net.Conn) bool { return false }, "reset": reset} {
		t.Run(name, func(t *testing.T) {
			p := testkit.NewRawProvider(t, func(c net.Conn, no int32, r *http.Request) bool {
				testkit.ReadAll(r)
				if no == 2 {
					return end(c)
				}
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
				return true
			})
			w := channelAt(t, p.URL)
			if o := sendOne(t, w); o.Result != channels.Sent {
				t.Fatalf("first: %+v", o)
			}
			if o := sendOne(t, w); o.Result != channels.Ambiguous {
				t.Errorf("second: %+v", o)
			}
			if c, r := p.Conns.Load(), p.Requests.Load(); c != 1 || r != 2 {
				t.Errorf("%d requests on %d connections, want 2 on 1: a third is a repeat", r, c)
			}
		})
	}
}

func TestNotReached(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + ln.Addr().String()
	_ = ln.Close()
	mute, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody shakes hands
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = mute.Close() }()

	check := func(name string, w *channel, text string) {
		t.Helper()
		want := channels.Outcome{Result: channels.Retry, ErrCode: models.CodeNetwork, ErrMsg: text, Fault: channels.Away}
		if o := sendOne(t, w); o != want {
			t.Errorf("%s: %+v, want %+v", name, o, want)
		}
	}
	check("refused", channelAt(t, closed), "no connection to the provider: connection refused")
	check("no handshake", channelAt(t, "https://"+mute.Addr().String(), withTimeout(200*time.Millisecond)), "no connection to the provider within 200ms")
	w := channelAt(t, "http://provider.test/?token=hunter2")
	w.client.transport.DialContext = watchWrites(func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "provider.test"}}
	})
	check("no such host", w, "no connection to the provider: its host name cannot be resolved")
	w.client.transport.DialContext = watchWrites(func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("hunter2") })
	check("anything else", w, "no connection to the provider: the connection could not be set up")
}

// failingConn fails every write once broken is set, after part bytes of it.
type failingConn struct {
	net.Conn
	broken *atomic.Bool
	part   int
}

func (c failingConn) Write(p []byte) (int, error) {
	if !c.broken.Load() {
		return c.Conn.Write(p)
	}
	n, _ := c.Conn.Write(p[:min(c.part, len(p))])
	return n, errors.New("connection reset by peer")
}

func TestWriteFails(t *testing.T) {
	srv := answering(t)
	for part, want := range map[int]channels.Result{0: channels.Retry, 1: channels.Ambiguous} {
		for _, reused := range []bool{false, true} {
			w := channelAt(t, srv.URL)
			var broken atomic.Bool
			var dials atomic.Int32
			dial := w.client.transport.DialContext
			w.client.transport.DialContext = watchWrites(func(ctx context.Context, network, addr string) (net.Conn, error) {
				dials.Add(1)
				c, err := dial(ctx, network, addr)
				return failingConn{c, &broken, part}, err
			})
			if reused {
				if o := sendOne(t, w); o.Result != channels.Sent {
					t.Fatalf("outcome %+v", o)
				}
			}
			broken.Store(true)
			if o := sendOne(t, w); o.Result != want || o.ErrCode != models.CodeNetwork {
				t.Errorf("%d bytes written, reused %v: outcome %+v", part, reused, o)
			}
			conns := int32(1)
			if reused && part == 0 { // nothing left on the kept one, so it is tried on a new one, once
				conns = 2
			}
			if n := dials.Load(); n != conns {
				t.Errorf("%d bytes written, reused %v: %d connections, want %d", part, reused, n, conns)
			}
		}
	}
}

func TestEndedBefore(t *testing.T) {
	var requests atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, o := range channelAt(t, srv.URL).Send(ctx, batchOf(50)) {
		if o.Result != channels.Retry {
			t.Fatalf("outcome %+v", o)
		}
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests left after the end", n)
	}
}

// The dial is under way when ctx ends: nothing was written.
func TestEndedWhileDialling(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := channelAt(t, "http://provider.test/")
	w.client.transport.DialContext = watchWrites(func(dial context.Context, _, _ string) (net.Conn, error) {
		cancel()
		<-dial.Done()
		return nil, dial.Err()
	})
	o := w.Send(ctx, batchOf(1))[0]
	if o.Result != channels.Retry || o.ErrMsg != "stopped before the request was sent" {
		t.Errorf("outcome %+v", o)
	}
}

// ctx ends in the middle of a Send: whoever the provider was asked about is Ambiguous, the rest Retry.
func TestEndedInTheMiddle(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	seen := map[string]bool{}
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		testkit.ReadAll(r)
		mu.Lock()
		seen[r.Header.Get("Idempotency-Key")] = true
		if len(seen) == minInFlight {
			cancel()
		}
		mu.Unlock()
		<-r.Context().Done()
	}))
	defer srv.Close()
	b := batchOf(1000)
	out := channelAt(t, srv.URL).Send(ctx, b)
	srv.Close() // waits for the handlers, so that seen is complete
	mu.Lock()
	defer mu.Unlock()
	var ambiguous, retry int
	for i, o := range out {
		switch o.Result {
		case channels.Ambiguous:
			ambiguous++
		case channels.Retry:
			retry++
			if seen[b.Recipients[i].ClientMsgID] {
				t.Errorf("%s was sent and is said not to be", b.Recipients[i].ClientMsgID)
			}
		default:
			t.Errorf("outcome %+v", o)
		}
		if !strings.HasPrefix(o.ErrMsg, "stopped ") {
			t.Errorf("errMsg %q", o.ErrMsg)
		}
	}
	if ambiguous < len(seen) || ambiguous > maxInFlight || retry == 0 {
		t.Errorf("%d ambiguous, %d to retry, %d seen by the provider", ambiguous, retry, len(seen))
	}
}

// MayStart is asked once before each request; what it refuses is not begun.
func TestMayStart(t *testing.T) {
	var requests, asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	defer srv.Close()
	b := batchOf(100)
	b.MayStart = func() bool { return asked.Add(1) <= 30 }
	ctx, cancel := context.WithCancel(t.Context())
	count := map[channels.Outcome]int{}
	for _, o := range channelAt(t, srv.URL, withBatch(2)).Send(ctx, b) {
		count[o]++
	}
	if len(count) != 2 || count[channels.Outcome{Result: channels.Sent}] != 60 || count[channels.Outcome{Result: channels.NotTried}] != 40 {
		t.Errorf("outcomes %v", count)
	}
	if a, r := asked.Load(), requests.Load(); a != 50 || r != 30 {
		t.Errorf("asked %d times, %d requests", a, r)
	}
	cancel() // what may not start is NotTried even then: its attempt does not count
	for _, o := range channelAt(t, srv.URL).Send(ctx, b) {
		if o != (channels.Outcome{Result: channels.NotTried}) {
			t.Fatalf("outcome %+v", o)
		}
	}
}

// The leave to start goes while the connection is being made: nothing of the request is written.
func TestMayStartNoMore(t *testing.T) {
	var requests atomic.Int32
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) })
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secure.Close()
	for _, srv := range []*httptest.Server{plain, secure} {
		w := channelAt(t, srv.URL)
		w.client.transport.TLSClientConfig = &tls.Config{RootCAs: rootsOf(secure)}
		dial := w.client.transport.DialContext
		var gone atomic.Bool
		w.client.transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			time.Sleep(dialAskAgain + 10*time.Millisecond)
			gone.Store(true)
			return dial(ctx, network, addr)
		}
		b := batchOf(1)
		b.MayStart = func() bool { return !gone.Load() }
		if o := w.Send(t.Context(), b)[0]; o != (channels.Outcome{Result: channels.NotTried}) {
			t.Errorf("outcome %+v", o)
		}
		if n := requests.Load(); n != 0 {
			t.Errorf("%d requests", n)
		}
		b.MayStart = nil
		if o := w.Send(t.Context(), b)[0]; o.Result != channels.Sent || requests.Swap(0) != 1 {
			t.Errorf("afterwards: outcome %+v", o)
		}
	}
}

func rootsOf(srv *httptest.Server) *x509.CertPool {
	return srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
}

func TestTLS(t *testing.T) {
	var requests atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if requests.Add(1); r.ProtoMajor != 1 {
			t.Errorf("spoke %s", r.Proto)
		}
		if r.URL.Path == "/close" {
			panic(http.ErrAbortHandler)
		}
	}))
	srv.EnableHTTP2 = true
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // it would tell of the handshake that is meant to fail
	srv.StartTLS()
	defer srv.Close()
	trusting := func(path string) *channel {
		w := channelAt(t, srv.URL+path)
		w.client.transport.TLSClientConfig = &tls.Config{RootCAs: rootsOf(srv)}
		return w
	}
	if o := sendOne(t, trusting("/")); o.Result != channels.Sent {
		t.Errorf("trusted: %+v", o)
	}
	if o := sendOne(t, trusting("/close")); o.Result != channels.Ambiguous {
		t.Errorf("closed after the request: %+v", o)
	}
	if o := sendOne(t, channelAt(t, srv.URL)); o.Result != channels.Retry || !strings.Contains(o.ErrMsg, "certificate") {
		t.Errorf("not trusted: %+v", o)
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}
