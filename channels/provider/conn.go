package provider

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// idleConnTimeout is shorter than the keep-alive of common servers: gunicorn 2 s; Node, Apache and uvicorn 5 s.
	// A request on a connection that its server is just closing is ambiguous. A new connection after a quiet
	// second costs next to nothing.
	idleConnTimeout = 1500 * time.Millisecond

	// A receiver that closes a kept connection within quickClose of its answer, without having said so, may close the
	// next one while a request is on its way. So for noReuseFor no connection is used twice. After that one connection
	// is used twice as a trial, before others are.
	quickClose = 100 * time.Millisecond
	noReuseFor = 10 * time.Second

	answerBufferBytes    = 4 << 10  // what a connection reads at once
	MaxAnswerBytes       = 1 << 20  // of an answer's body; the rest is not read
	maxAnswerHeaderBytes = 64 << 10 // of an answer's head; more breaks the connection
)

// ErrTooLarge is the end of a Body that is larger than MaxAnswerBytes.
var ErrTooLarge = errors.New("the answer is larger than 1 MiB")

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// watchedConn counts the bytes written, and the writes that may have put bytes on the wire. A write is not counted only if
// it failed with nothing written. watchedConn stands below TLS, so that it sees what really leaves.
type watchedConn struct {
	net.Conn
	asker        *asker // nil = writes do not wait for an answer
	writes, sent atomic.Int64
}

func (c *watchedConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	n, err := c.write(p)
	if n == 0 && err != nil {
		c.writes.Add(-1)
	}
	c.sent.Add(int64(n))
	return n, err
}

// write waits for the answer too, where an asker can.
func (c *watchedConn) write(p []byte) (n int, err error) {
	if c.asker == nil || len(p) > maxAsk {
		return c.Conn.Write(p)
	}
	n, err = c.asker.ask(p)
	if n == len(p) || err != nil {
		return n, err
	}
	rest, err := c.Conn.Write(p[n:])
	return n + rest, err
}

func watchWrites(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &watchedConn{Conn: c}, nil
	}
}

// conn is a connection to the provider with what reading its answers needs. One request at a time uses it.
type conn struct {
	net.Conn               // plain or TLS
	wire      *watchedConn // below TLS; nil when it is not ours to watch
	br        *bufio.Reader
	resp      fasthttp.Response
	body      Body      // of the last answer
	idleSince time.Time // zero until it has been idle
	trial     bool      // its second use is the trial that tells whether connections may be used twice
	received  int64     // what the other end's kernel had confirmed before the first write; -1 = nobody can tell
}

// fresh is true when c was just dialled.
func (c *conn) fresh() bool { return c.idleSince.IsZero() }

// writes is how many writes may have put bytes on the wire so far; -1 when nobody can tell.
func (c *conn) writes() int64 {
	if c.wire == nil {
		return -1
	}
	return c.wire.writes.Load()
}

// wroteSince is true when anything may have left since writes() was before.
func (c *conn) wroteSince(before int64) bool { return c.wire == nil || c.writes() > before }

// sent is how many bytes were written so far.
func (c *conn) sent() int64 {
	if c.wire == nil {
		return 0
	}
	return c.wire.sent.Load()
}

// readHead reads an answer up to its body, informational ones (1xx) skipped. A head larger than the usual
// buffer gets a larger one for this once.
func (c *conn) readHead() error {
	err := c.resp.ReadLimitBody(c.br, 0) // the body is streamed, so the limit is Body's
	if small := (*fasthttp.ErrSmallBuffer)(nil); errors.As(err, &small) {
		had, _ := c.br.Peek(c.br.Buffered())
		c.br = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(bytes.Clone(had)), c.Conn), maxAnswerHeaderBytes)
		err = c.resp.ReadLimitBody(c.br, 0)
	}
	return err
}

// Body is an answer's body on its way, or what is unpacked of it. Behind its limit it is ErrTooLarge.
type Body struct {
	from io.Reader
	left int
	err  error // how it ended: io.EOF when it was read whole
}

// NewBody reads at most MaxAnswerBytes of from.
func NewBody(from io.Reader) Body { return Body{from: from, left: MaxAnswerBytes} }

func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.from.Read(p[:min(len(p), b.left+1)])
	if n > b.left {
		n, err = b.left, ErrTooLarge
	}
	b.left -= n
	b.err = err
	return n, err
}

// beginBody makes body the answer's whose head was read.
func (c *conn) beginBody() {
	c.body = NewBody(c.resp.BodyStream())
	if c.body.from == nil { // a status that has none
		c.body.err = io.EOF
	}
}

// endBody reads what is left of the body. An error means that the body is not all there; one that is too large is none.
func (c *conn) endBody() error {
	_, _ = io.Copy(io.Discard, &c.body)
	_ = c.resp.CloseBodyStream()
	if c.body.err == io.EOF || c.body.err == ErrTooLarge { //nolint:errorlint // Body wraps neither
		return nil
	}
	return c.body.err
}

// reusable is true when the answer was read to its end and the connection may carry another request.
func (c *conn) reusable() bool {
	return !c.resp.ConnectionClose() && c.resp.StatusCode() >= 200 && errors.Is(c.body.err, io.EOF) && c.br.Buffered() == 0
}

// transport keeps the connections to one provider. The limiter bounds how many there are. It is neither an
// http.Transport nor a fasthttp.HostClient, because both decide by themselves when a request is written again and on
// which connection. Here a request is one Write on a connection that its caller holds.
type transport struct {
	DialContext     dialFunc
	TLSClientConfig *tls.Config // nil = the system's roots
	secure          bool
	host, port      string

	mu           sync.Mutex
	idle         []*conn     // the one used last at the end, so that the surplus grows old
	reaper       *time.Timer // nil when nothing is idle
	reuseProven  bool        // a connection was still open when it was used again
	trial        bool        // the connection whose second use is the trial is in use
	noReuseUntil time.Time   // until then no connection is used twice
}

// Head is the fixed beginning of every request to a URL: its line, Host, User-Agent and Content-Type. The error says that u
// is no address.
//
// net/http renders the request line, Host and User-Agent, so that every URL that net/http can call is called in the same
// way: international names, escapes, IPv6 zones. net/http writes the headers in this order:
//
//	POST /path HTTP/1.1
//	Host: provider.example
//	User-Agent: carillon
//	Content-Length: 0        for a POST without a body
//
// The text up to Content-Length is kept. The rest of each request, its own Content-Length included, is the channel's to
// append.
func Head(u *url.URL) ([]byte, error) {
	req := &http.Request{Method: http.MethodPost, URL: u, Header: http.Header{"User-Agent": {"carillon"}}}
	var text bytes.Buffer
	if err := req.Write(&text); err != nil {
		return nil, err
	}
	head, _, _ := bytes.Cut(text.Bytes(), []byte("Content-Length: "))
	return append(head, "Content-Type: application/json\r\n"...), nil
}

// newTransport also returns the Head of u, out of which it reads the line of Host.
func newTransport(u *url.URL) (*transport, []byte, error) {
	head, err := Head(u)
	if err != nil {
		return nil, nil, err
	}
	_, hostLine, _ := bytes.Cut(head, []byte("\r\nHost: "))
	hostLine, _, _ = bytes.Cut(hostLine, []byte("\r\n"))
	t := &transport{DialContext: watchWrites(new(net.Dialer).DialContext), secure: u.Scheme == "https", host: u.Hostname(), port: u.Port()}
	for i := range len(t.host) {
		if t.host[i] >= 0x80 { // Host has it in ASCII
			t.host = (&url.URL{Host: string(hostLine)}).Hostname()
			break
		}
	}
	switch {
	case t.port != "":
	case t.secure:
		t.port = "443"
	default:
		t.port = "80"
	}
	return t, head, nil
}

// get returns a connection that nobody else uses: the idle one that was used last, or a new one. Its deadline is now plus
// timeout.
func (t *transport) get(ctx context.Context, now time.Time, timeout time.Duration) (*conn, error) {
	deadline := now.Add(timeout)
	for {
		c := t.pop(now)
		if c == nil {
			return t.dial(ctx, deadline)
		}
		if now.Sub(c.idleSince) < idleConnTimeout && c.SetDeadline(deadline) == nil && (!c.needsLook(now) || !closedByPeer(c)) {
			return c, nil
		}
		t.recordReuse(c, now, false)
		_ = c.Close()
	}
}

// needsLook is false where a look at an idle connection is not worth a system call: docs/adr/0014 says why.
func (c *conn) needsLook(now time.Time) bool { return c.trial || now.Sub(c.idleSince) >= lookAfter }

// pop takes the connection that was used last; nil when none may be used twice now.
func (t *transport) pop(now time.Time) *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.idle)
	if n == 0 || t.trial || now.Before(t.noReuseUntil) {
		return nil
	}
	c := t.idle[n-1]
	t.idle[n-1] = nil
	t.idle = t.idle[:n-1]
	c.trial = !t.reuseProven
	t.trial = c.trial
	return c
}

// recordReuse records whether a kept connection was still open when it was used again.
func (t *transport) recordReuse(c *conn, now time.Time, open bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reuseProven = t.reuseProven || c.trial && open
	t.endTrial(c)
	if !open && now.Sub(c.idleSince) < quickClose {
		t.reuseProven, t.noReuseUntil = false, now.Add(noReuseFor)
	}
}

// endTrial is called with the lock held.
func (t *transport) endTrial(c *conn) {
	if c.trial {
		c.trial, t.trial = false, false
	}
}

// put makes c idle since now. It closes c when no connection may be used twice now, or when enough are idle.
func (t *transport) put(c *conn, now time.Time) {
	if c.br.Size() > answerBufferBytes {
		c.br = bufio.NewReaderSize(c.Conn, answerBufferBytes)
	}
	c.idleSince = now
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endTrial(c)
	if now.Before(t.noReuseUntil) || len(t.idle) >= maxInFlight {
		_ = c.Close()
		return
	}
	t.idle = append(t.idle, c)
	if t.reaper == nil {
		t.reaper = time.AfterFunc(idleConnTimeout, t.reap)
	}
}

// reap closes the connections that have been idle too long. The list is in the order in which they became idle.
func (t *transport) reap() {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := 0
	for old < len(t.idle) && time.Since(t.idle[old].idleSince) >= idleConnTimeout {
		_ = t.idle[old].Close()
		old++
	}
	t.idle = append(t.idle[:0:0], t.idle[old:]...)
	t.reaper = nil
	if len(t.idle) > 0 {
		t.reaper = time.AfterFunc(idleConnTimeout-time.Since(t.idle[0].idleSince), t.reap)
	}
}

func (t *transport) closeIdle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.idle {
		_ = c.Close()
	}
	t.idle = nil
	if t.reaper != nil {
		t.reaper.Stop()
		t.reaper = nil
	}
}

// dial makes a new connection, its TLS handshake included.
func (t *transport) dial(ctx context.Context, deadline time.Time) (*conn, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	nc, err := t.DialContext(ctx, "tcp", net.JoinHostPort(t.host, t.port))
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc}
	c.wire, _ = nc.(*watchedConn)
	c.received = receivedByPeer(c)
	if t.secure {
		config := t.TLSClientConfig.Clone()
		if config == nil {
			config = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		if config.ServerName == "" {
			config.ServerName = t.host
		}
		shaken := tls.Client(nc, config)
		if err := shaken.HandshakeContext(ctx); err != nil {
			_ = nc.Close()
			return nil, err
		}
		c.Conn = shaken
	} else if c.wire != nil {
		c.wire.asker = newAsker(c.wire.Conn)
	}
	c.br = bufio.NewReaderSize(c.Conn, answerBufferBytes)
	c.resp.StreamBody = true
	return c, nc.SetDeadline(deadline)
}
