//go:build linux

package provider

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carillon/channels"
	"carillon/internal/testkit"
	"carillon/models"
)

const (
	wellAnswer    = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
	chunkedAnswer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
)

// The ways in which a rude provider ends a connection.
const (
	endClose = iota // after the answer
	endReset        // after the answer, by force
	endStay         // when the client has gone
	endEarly        // before the request is read
	ends
)

// rude is a provider that answers with raw bytes.
type rude struct {
	net.Listener
	answer   string
	end      int
	well     atomic.Bool // answers with wellAnswer, and keeps the connection
	requests atomic.Int32
	conns    sync.WaitGroup
}

func newRude(t *testing.T, answer string, end int) *rude {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &rude{Listener: l, answer: answer, end: end}
	p.conns.Go(func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			p.conns.Go(func() {
				p.serve(c)
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); p.conns.Wait() })
	return p
}

// serve ends when the connection is to be closed.
func (p *rude) serve(c net.Conn) {
	if p.end == endEarly && !p.well.Load() {
		return
	}
	for br := bufio.NewReader(c); ; {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		testkit.ReadAll(r)
		p.requests.Add(1)
		if p.well.Load() {
			_, _ = io.WriteString(c, wellAnswer)
			if p.end == endEarly {
				return
			}
			continue
		}
		_, _ = io.WriteString(c, p.answer)
		switch p.end {
		case endReset:
			reset(c)
		case endStay:
			untilClosed(c)
		}
		return
	}
}

// leaving counts the bytes that left on the connection that was dialled last.
type leaving struct{ bytes atomic.Int64 }

// leavingConn can still be asked for its socket, which the Client does with a kept connection.
type leavingConn struct {
	*net.TCPConn
	left *leaving
}

func (c leavingConn) Write(p []byte) (int, error) {
	n, err := c.TCPConn.Write(p)
	c.left.bytes.Add(int64(n))
	return n, err
}

func (c leavingConn) SyscallConn() (syscall.RawConn, error) {
	raw, err := c.TCPConn.SyscallConn()
	return leavingSocket{raw, c.left}, err
}

// leavingSocket counts what an asker writes, by the kernel's own count.
type leavingSocket struct {
	syscall.RawConn
	left *leaving
}

func (s leavingSocket) Read(f func(fd uintptr) bool) error {
	return s.RawConn.Read(func(fd uintptr) bool {
		before := taken(fd)
		done := f(fd)
		s.left.bytes.Add(taken(fd) - before)
		return done
	})
}

// taken is how many bytes the kernel has taken from us to send.
func taken(fd uintptr) int64 {
	info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		panic(err)
	}
	return int64(info.Bytes_sent) - int64(info.Bytes_retrans) + int64(info.Notsent_bytes)
}

func (l *leaving) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	l.bytes.Store(0)
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return leavingConn{c.(*net.TCPConn), l}, nil
}

// FuzzAnswer: whatever comes back and however the connection ends, the request is written once, the outcome says that
// something left when something did, and a Send ends.
func FuzzAnswer(f *testing.F) {
	for i, answer := range []string{
		wellAnswer, chunkedAnswer, "", "\x00\xff\r\n\r\n", "hunter2", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n", "HTTP/1.1 99999999999999999999 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", "HTTP/1.1 503 Busy\r\nContent-Length: 9\r\n\r\n{",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2*maxAnswerHeaderBytes) + "\r\nContent-Length: 2\r\n\r\n{}",
	} {
		f.Add(answer, uint8(i%ends), i%2 == 0)
	}
	f.Add("", uint8(endEarly), true)
	f.Fuzz(func(t *testing.T, answer string, end uint8, kept bool) {
		p := newRude(t, answer, int(end%ends))
		limit := testkit.Patience
		if p.end == endStay {
			limit = 100 * time.Millisecond
		}
		w := channelAt(t, "http://"+p.Addr().String(), withTimeout(limit))
		var left leaving
		w.client.transport.DialContext = watchWrites(left.dial)
		if kept {
			p.well.Store(true)
			if o := sendOne(t, w); o.Result != channels.Sent && p.end != endStay { // a slow machine has no time for endStay
				t.Fatalf("%+v for a whole answer", o)
			}
			p.well.Store(false)
		}
		left.bytes.Store(0)
		before := p.requests.Load()
		ended := make(chan channels.Outcome, 1)
		go func() { ended <- w.Send(t.Context(), batchOf(1))[0] }()
		select {
		case o := <-ended:
			if n := left.bytes.Load(); n > 0 && (o.Result == channels.Retry || o.Result == channels.NotTried) {
				t.Errorf("%d bytes left, and the outcome is %+v", n, o)
			}
			if n := p.requests.Load() - before; n > 1 {
				t.Errorf("the provider read %d requests", n)
			}
		case <-time.After(2 * testkit.Patience):
			t.Fatal("the Send does not end")
		}
	})
}

// TestAnswerCutAnywhere: an answer that misses its last bytes, be it one, is none.
func TestAnswerCutAnywhere(t *testing.T) {
	want := channels.Outcome{Result: channels.Ambiguous, ErrCode: models.CodeNetwork, ErrMsg: "the connection broke before the answer was complete", Fault: channels.Stumble}
	for _, whole := range []string{wellAnswer, chunkedAnswer} {
		for n := range whole {
			p := newRude(t, whole[:n], endClose)
			if o := sendOne(t, channelAt(t, "http://"+p.Addr().String())); o != want {
				t.Errorf("%q: %+v", whole[:n], o)
			}
		}
		p := newRude(t, whole, endClose)
		if o := sendOne(t, channelAt(t, "http://"+p.Addr().String())); o.Result != channels.Sent {
			t.Errorf("%q: %+v", whole, o)
		}
	}
}
