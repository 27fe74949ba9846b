package channels

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"carillon/models"
)

// blindConn hides what closedByPeer looks through.
type blindConn struct{ net.Conn }

// The provider gives the connection up between two requests and does not say so.
func TestWebhookStaleConnection(t *testing.T) {
	for name, c := range map[string]struct {
		blind           bool
		want            Result
		conns, requests int32
	}{
		"seen":   {false, Sent, 2, 2},
		"unseen": {true, Ambiguous, 1, 1}, // the request was written, and nobody says whether it was read
	} {
		t.Run(name, func(t *testing.T) {
			p := newRawProvider(t, func(c net.Conn, no int32, r *http.Request) bool {
				readAll(r)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
				return no > 1
			})
			w := webhookAt(t, p.url)
			dial := w.transport.DialContext
			if c.blind {
				w.transport.DialContext = watchWrites(func(ctx context.Context, network, addr string) (net.Conn, error) {
					nc, err := dial(ctx, network, addr)
					return blindConn{nc}, err
				})
			} else {
				w.transport.DialContext = dial
			}
			if o := sendOne(t, w); o.Result != Sent || len(w.transport.idle) != 1 {
				t.Fatalf("first: %+v, %d idle", o, len(w.transport.idle))
			}
			for give := time.Now().Add(5 * time.Second); !c.blind && !closedByPeer(w.transport.idle[0]); time.Sleep(time.Millisecond) {
				if time.Now().After(give) {
					t.Fatal("the close is never seen")
				}
			}
			if o := sendOne(t, w); o.Result != c.want {
				t.Errorf("second: %+v", o)
			}
			if got := [2]int32{p.conns.Load(), p.requests.Load()}; got != [2]int32{c.conns, c.requests} {
				t.Errorf("connections and requests %v, want %d and %d", got, c.conns, c.requests)
			}
		})
	}
}

// Everything HTTP/1.1 lets an answer look like, twice: is it understood, and is the connection kept?
func TestWebhookAnswerForms(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	refusal := `{"results":[{"recvID":"u0","status":"failed","errCode":7,"errMsg":"no"}]}`
	sent := Outcome{Result: Sent}
	failed := Outcome{Result: Failed, ErrCode: 7, ErrMsg: "no"}
	broke := Outcome{Result: Ambiguous, ErrCode: models.CodeNetwork, ErrMsg: "the connection broke before the answer was complete", Fault: Stumble}
	header := func(n int) string { return "X-Pad: " + strings.Repeat("x", n) + "\r\n" }
	for name, c := range map[string]struct {
		answer string
		ends   bool // the provider closes behind it
		want   Outcome
		conns  int32 // for two requests
	}{
		"plain":               {ok + "Content-Length: 2\r\n\r\n{}", false, sent, 1},
		"no body":             {"HTTP/1.1 204 No Content\r\n\r\n", false, sent, 1},
		"no reason":           {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false, sent, 1},
		"chunked":             {ok + "Transfer-Encoding: chunked\r\n\r\n10;a=b\r\n" + refusal[:16] + "\r\n39\r\n" + refusal[16:] + "\r\n0\r\n\r\n", false, failed, 1},
		"trailer":             {ok + "Trailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-T: 1\r\n\r\n", false, sent, 1},
		"broken chunk":        {ok + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n", false, broke, 2},
		"no last chunk":       {ok + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", true, broke, 2},
		"early hints":         {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + ok + "Content-Length: 2\r\n\r\n{}", false, sent, 1},
		"20 KiB of header":    {ok + header(20<<10) + "Content-Length: 73\r\n\r\n" + refusal, false, failed, 1},
		"100 KiB of header":   {ok + header(100<<10) + "Content-Length: 2\r\n\r\n{}", true, broke, 2},
		"says close":          {ok + "Connection: close\r\nContent-Length: 2\r\n\r\n{}", false, sent, 2},
		"HTTP/1.0":            {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", false, sent, 2},
		"until closed":        {ok + "\r\n" + refusal, true, failed, 2},
		"more than announced": {ok + "Content-Length: 2\r\n\r\n{}HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", false, sent, 2},
		"switches":            {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", false, Outcome{Result: Ambiguous, ErrCode: models.CodeCallback, HTTP: 101, ErrMsg: "the provider answered 101 Switching Protocols"}, 2},
		"two lengths":         {ok + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", true, broke, 2},
		"not a length":        {ok + "Content-Length: x\r\n\r\n{}", true, broke, 2},
		"not a status":        {"HTTP/1.1 abc OK\r\n\r\n", true, broke, 2},
		"key in other case":   {ok + "Content-Length: 73\r\n\r\n" + strings.Replace(refusal, "results", "RESULTS", 1), false, failed, 1},
		"key with escapes":    {ok + "Content-Length: 78\r\n\r\n" + strings.Replace(refusal, "results", `\u0072esults`, 1), false, failed, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newRawProvider(t, func(nc net.Conn, _ int32, r *http.Request) bool {
				readAll(r)
				_, _ = io.WriteString(nc, c.answer)
				return !c.ends
			})
			w := webhookAt(t, p.url)
			for i := range 2 {
				if o := sendOne(t, w); o != c.want {
					t.Errorf("request %d: %+v, want %+v", i, o, c.want)
				}
			}
			if n := p.conns.Load(); n != c.conns {
				t.Errorf("%d connections, want %d", n, c.conns)
			}
			if n := p.requests.Load(); n != 2 {
				t.Errorf("%d requests, want 2", n)
			}
		})
	}
}

// What is idle is given up by itself, the oldest first.
func TestTransportIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := make(chan int, 3)
		dialled := 0
		tr := &transport{}
		tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			no := dialled
			dialled++
			go func() { _, _ = io.Copy(io.Discard, far); closed <- no }()
			return near, nil
		}
		get := func() *conn {
			c, err := tr.get(t.Context(), time.Now(), time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		a, b := get(), get()
		tr.put(a, time.Now())
		time.Sleep(idleConnTimeout / 2)
		tr.put(b, time.Now())
		if c := get(); c != b {
			t.Error("not the connection used last")
		}
		tr.put(b, time.Now())
		time.Sleep(idleConnTimeout/2 + time.Millisecond)
		synctest.Wait()
		if len(closed) != 1 || <-closed != 0 {
			t.Error("the older one is not closed, or not alone")
		}
		time.Sleep(idleConnTimeout / 2)
		synctest.Wait()
		if len(closed) != 1 || <-closed != 1 || len(tr.idle) != 0 || tr.reaper != nil {
			t.Error("the newer one is not closed")
		}
		c := get()
		tr.put(c, time.Now())
		tr.closeIdle()
		synctest.Wait()
		if len(closed) != 1 || dialled != 3 {
			t.Errorf("%d closed, %d dialled", len(closed), dialled)
		}
	})
}
