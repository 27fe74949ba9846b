package testkit

import (
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// Link is a TCP link to a server that a test can break.
type Link struct {
	listener net.Listener

	mu    sync.Mutex
	to    string            // host:port; empty = it is cut
	stall bool              // new connections hang too
	hear  func(said []byte) // see Hear
	pairs map[*pair]struct{}
}

// pair is one connection through a link.
type pair struct {
	in, out net.Conn
	hangs   atomic.Bool
	hear    func(said []byte) // nil = nobody hears
}

// OpenLink makes a link to the server of a URL, and returns the URL that goes through it.
func OpenLink(tb testing.TB, serverURL string) (*Link, string) {
	tb.Helper()
	u, err := url.Parse(serverURL)
	if err != nil {
		tb.Fatal(err)
	}
	l := &Link{to: u.Host, pairs: map[*pair]struct{}{}}
	if l.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		tb.Fatal(err)
	}
	go l.accept()
	tb.Cleanup(func() {
		_ = l.listener.Close()
		l.Cut()
	})
	u.Host = l.listener.Addr().String()
	return l, u.String()
}

// Host is the host:port of the server that new connections are led to.
func (l *Link) Host() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to
}

// Cut ends all connections and refuses new ones, until Point.
func (l *Link) Cut() {
	l.Point("")
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pairs {
		p.close()
	}
}

// Point leads new connections to the server at host:port. Those that stand stay where they are.
func (l *Link) Point(host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to = host
}

// Hang keeps all connections that stand and carries nothing over them any more, as a server does that hangs. New ones work.
func (l *Link) Hang() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pairs {
		p.hangs.Store(true)
	}
}

// Stall is Hang for those to come, too: they are taken and never answered.
func (l *Link) Stall() {
	l.mu.Lock()
	l.stall = true
	l.mu.Unlock()
	l.Hang()
}

// Hear gives f what clients say over connections to come, piece by piece. Several connections call f at once.
func (l *Link) Hear(f func(said []byte)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hear = f
}

func (l *Link) accept() {
	for {
		in, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.mu.Lock()
		to := l.to
		l.mu.Unlock()
		out, err := net.Dial("tcp", to)
		if to == "" || err != nil {
			_ = in.Close()
			continue
		}
		p := &pair{in: in, out: out}
		l.mu.Lock()
		p.hear = l.hear
		p.hangs.Store(l.stall)
		l.pairs[p] = struct{}{}
		l.mu.Unlock()
		go p.carry(in, out)
		go p.carry(out, in)
	}
}

// carry takes over what one side says, until either side ends.
func (p *pair) carry(from, to net.Conn) {
	defer p.close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !p.hangs.Load() {
			if from == p.in && p.hear != nil {
				p.hear(buf[:n])
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *pair) close() {
	_ = p.in.Close()
	_ = p.out.Close()
}
