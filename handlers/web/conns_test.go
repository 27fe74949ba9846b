package web

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// wire is a connection that a test has made.
type wire struct {
	net.Conn
	addr   string
	closed bool
}

func (w *wire) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(w.addr)) }
func (w *wire) Close() error         { w.closed = true; return nil }

func lines() (*slog.Logger, func() string) {
	var mu sync.Mutex
	var text strings.Builder
	log := slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return text.Write(p)
	}), nil))
	return log, func() string {
		mu.Lock()
		defer mu.Unlock()
		return text.String()
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// When there is no room, who has asked for nothing goes first, then unknown callers; known ones stay.
func TestRoomForNewcomers(t *testing.T) {
	t.Parallel()
	log, logged := lines()
	cs := NewConns(1, 1024, nil, log) // 8 connections, 4 of one address
	add := func(addr string) (*wire, *conn) {
		w := &wire{addr: addr}
		c, _ := cs.add(w)
		return w, c
	}
	_, busy := add("192.0.2.1:1")
	cs.State(busy, http.StateActive)
	mute, _ := add("192.0.2.1:2")
	working, worker := add("192.0.2.2:1")
	cs.State(worker, http.StateActive)
	cs.setClass(worker, known)
	_, keeper := add("192.0.2.2:2")
	keeper.met = true
	cs.State(keeper, http.StateIdle)
	for i := range 4 {
		add("192.0.2." + string(rune('3'+i)) + ":1")
	}
	if cs.Problem() != nil {
		t.Error("a problem without one")
	}
	if _, c := add("192.0.2.20:1"); c == nil || !mute.closed {
		t.Fatal("the silent one of the address with the most was to go")
	}
	for range 20 {
		if _, c := add("192.0.2.30:9"); c == nil || keeper.class != kept || cs.queues[kept].Len() != 1 {
			t.Fatal("what a known caller keeps goes last")
		}
	}
	for range 20 { // all that are left silent, then the unknown one, never the known one
		if _, c := add("192.0.2.30:9"); c == nil {
			t.Fatal("there were some to end")
		}
	}
	if working.closed {
		t.Error("a known caller's connection was ended")
	}
	cs.mu.Lock()
	for c := range cs.open {
		cs.setClass(c, known)
	}
	cs.mu.Unlock()
	for range 3 {
		if w, c := add("192.0.2.40:1"); c != nil || w.closed {
			t.Fatal("taken in although all are known callers'")
		}
	}
	p := cs.Problem()
	if p == nil || p.What != "connections" || !strings.Contains(p.Detail, "8 open of at most 8") || !strings.Contains(p.Detail, "3 turned away") {
		t.Errorf("%+v", p)
	}
	if n := strings.Count(logged(), "connections are turned away"); n != 1 || !strings.Contains(logged(), "most=8") {
		t.Errorf("said %d times: %s", n, logged())
	}
}

func TestOneAddressHasAShare(t *testing.T) {
	t.Parallel()
	log, _ := lines()
	cs := NewConns(1, 1024, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, log)
	take := func(addr string, n int) (taken int) {
		for range n {
			if c, ok := cs.add(&wire{addr: addr}); ok {
				cs.setClass(c, known)
				taken++
			}
		}
		return taken
	}
	if n := take("192.0.2.1:1", 8); n != 4 {
		t.Errorf("one address has %d of 8", n)
	}
	if n := take("10.0.0.7:1", 8); n != 4 {
		t.Errorf("a proxy gets what is left, not %d", n)
	}
}

// failing is a listener of a process without descriptors.
type failing struct {
	net.Listener
	errs []error
}

func (f *failing) Accept() (net.Conn, error) {
	err := f.errs[0]
	f.errs = f.errs[1:]
	return nil, err
}

func TestNoDescriptorsAreSaidOnceAndMakeRoom(t *testing.T) {
	t.Parallel()
	log, logged := lines()
	cs := NewConns(128, 1024, nil, log)
	idle := &wire{addr: "192.0.2.1:1"}
	if _, ok := cs.add(idle); !ok {
		t.Fatal("no room")
	}
	l := cs.Listener(&failing{errs: []error{syscall.EMFILE, &net.OpError{Op: "accept", Err: syscall.ENFILE}}})
	for range 2 {
		if _, err := l.Accept(); !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) {
			t.Fatal(err)
		}
	}
	if !idle.closed {
		t.Error("no room was made")
	}
	if n := strings.Count(logged(), "no more descriptors"); n != 1 || !strings.Contains(logged(), "descriptors=") {
		t.Errorf("said %d times: %s", n, logged())
	}
	if p := cs.Problem(); p == nil || !strings.Contains(p.Detail, "descriptors") {
		t.Errorf("%+v", p)
	}
	cs.fullAt = time.Now().Add(-spell - time.Second)
	if cs.Problem() != nil {
		t.Error("the spell is over")
	}
}
