package provider

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"carillon/channels"
	"carillon/internal/testkit"
)

// blindConn hides what closedByPeer looks through.
type blindConn struct{ net.Conn }

// The provider gives the connection up between two requests and does not say so.
func TestStaleConnection(t *testing.T) {
	for name, c := range map[string]struct {
		blind           bool
		want            channels.Result
		conns, requests int32
	}{
		"seen":   {false, channels.Sent, 2, 2},
		"unseen": {true, channels.Ambiguous, 1, 1}, // the request was written, and nobody says whether it was read
	} {
		t.Run(name, func(t *testing.T) {
			p := testkit.NewRawProvider(t, func(c net.Conn, no int32, r *http.Request) bool {
				testkit.ReadAll(r)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
				return no > 1
			})
			w := channelAt(t, p.URL)
			dial := w.client.transport.DialContext
			if c.blind {
				w.client.transport.DialContext = watchWrites(func(ctx context.Context, network, addr string) (net.Conn, error) {
					nc, err := dial(ctx, network, addr)
					return blindConn{nc}, err
				})
			} else {
				w.client.transport.DialContext = dial
			}
			if o := sendOne(t, w); o.Result != channels.Sent || len(w.client.transport.idle) != 1 {
				t.Fatalf("first: %+v, %d idle", o, len(w.client.transport.idle))
			}
			for give := time.Now().Add(5 * time.Second); !c.blind && !closedByPeer(w.client.transport.idle[0]); time.Sleep(time.Millisecond) {
				if time.Now().After(give) {
					t.Fatal("the close is never seen")
				}
			}
			if o := sendOne(t, w); o.Result != c.want {
				t.Errorf("second: %+v", o)
			}
			if got := [2]int32{p.Conns.Load(), p.Requests.Load()}; got != [2]int32{c.conns, c.requests} {
				t.Errorf("connections and requests %v, want %d and %d", got, c.conns, c.requests)
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

// The request line and Host are net/http's, and the address dialled is the URL's.
func TestTarget(t *testing.T) {
	for target, want := range map[string][4]string{ // request line, Host, host, port
		"http://example.org":                    {"POST / HTTP/1.1", "example.org", "example.org", "80"},
		"https://example.org/a%2Fb?x=1&y=%20#f": {"POST /a%2Fb?x=1&y=%20 HTTP/1.1", "example.org", "example.org", "443"},
		"https://bücher.example:8443/ü":         {"POST /%C3%BC HTTP/1.1", "xn--bcher-kva.example:8443", "xn--bcher-kva.example", "8443"},
		"http://[::1]:8080/?":                   {"POST /? HTTP/1.1", "[::1]:8080", "::1", "8080"},
		"http://[fe80::1%25lo]/":                {"POST / HTTP/1.1", "[fe80::1]", "fe80::1%lo", "80"},
	} {
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		tr, head, err := newTransport(u)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(head), "\r\n")
		if got := [4]string{lines[0], strings.TrimPrefix(lines[1], "Host: "), tr.host, tr.port}; got != want || tr.secure != (u.Scheme == "https") {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
}

func TestRetryAfterByTheProvidersClock(t *testing.T) {
	ahead := time.Now().Add(time.Hour).UTC()
	h := http.Header{"Date": {ahead.Format(http.TimeFormat)}, "Retry-After": {ahead.Add(30 * time.Second).Format(http.TimeFormat)}}
	if d := RetryAfter(h.Get); d != 30*time.Second {
		t.Errorf("%s", d)
	}
}
