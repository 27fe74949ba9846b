package handlers

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/handlers/web"
)

// onConns serves the API on connections that are counted, as the program does, and returns its address.
func (s *server) onConns(t *testing.T, memory int, change func(*web.Conns)) string {
	t.Helper()
	s.Conns = web.NewConns(memory, 1<<20, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, slog.New(slog.DiscardHandler))
	change(s.Conns)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: s.Routes(), ReadHeaderTimeout: time.Second, ConnState: s.Conns.State, ConnContext: s.Conns.Context,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = web.Serve(s.Conns.Listener(l))
	}()
	t.Cleanup(func() {
		s.Conns.Silence()
		_ = web.Close()
		<-done
	})
	return l.Addr().String()
}

// upload sends a whole request before it reads anything, as simple clients do.
func upload(addr, head string, size int, chunked bool) (status int, body string, err error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	length := fmt.Sprintf("Content-Length: %d\r\n\r\n", size)
	if chunked {
		length = "Transfer-Encoding: chunked\r\n\r\n"
	}
	if _, err := io.WriteString(c, head+length); err != nil {
		return 0, "", fmt.Errorf("the head: %w", err)
	}
	piece := strings.Repeat("x", 64<<10)
	for left := size; left > 0; left -= len(piece) {
		text := piece
		if chunked {
			text = fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece)
		}
		if _, err := io.WriteString(c, text); err != nil {
			return 0, "", fmt.Errorf("with %d bytes to go: %w", left, err)
		}
	}
	if chunked {
		if _, err := io.WriteString(c, "0\r\n\r\n"); err != nil {
			return 0, "", err
		}
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	return res.StatusCode, string(raw), err
}

// Who is refused early gets the reason, however much is still on its way.
func TestALargeBodyIsRefusedInWords(t *testing.T) {
	t.Parallel()
	s := newServer(t, embedded(t))
	s.users("bob")
	addr := s.onConns(t, 256, func(cs *web.Conns) {
		cs.Lingers = web.Lingering{Bytes: 64 << 20, Time: time.Minute, Idle: 20 * time.Second}
	}) // on a busy machine
	admin, user := "token: "+s.adminToken()+"\r\n", "token: "+s.token("bob")+"\r\n"
	type request struct {
		line, headers string
		status        int
		says          string
	}
	requests := []request{
		{"POST /v1/campaigns", "", 401, "a token is needed"},
		{"POST /v1/campaigns", "token: x\r\n", 401, "cut off"},
		{"POST /v1/campaigns", user, 403, "only an admin"},
		{"POST /v1/users/import", admin + "Content-Type: image/png\r\n", 415, "text/csv"},
		{"POST /v1/users", admin + "Content-Encoding: gzip\r\n", 415, "Content-Encoding"},
		{"POST /v1/campaigns/x/retry", admin, 413, "larger than"},
		{"POST /v1/users?x=1", admin, 422, "not a parameter"},
		{"POST " + sendPath, admin, 200, "operationID"},
		{"POST " + sendPath, "operationID: op\r\n", 200, "header must have token"},
		{"POST /auth/get_admin_token", "operationID: op\r\n", 413, "larger than"},
		{"POST /login", "", 413, "larger than"},
		{"POST /v1/users", "operationID: " + strings.Repeat("x", 200) + "\r\n", 422, "operationID"},
		{"POST /v1/users", "Sec-Fetch-Site: cross-site\r\n", 403, "another site"},
		{"PUT /v1/campaigns", admin, 405, "does not take PUT"},
		{"GET /v1/nowhere", admin, 404, "no such route"},
		{"POST /nowhere", "", 404, "no such route"},
		{"POST /monitor/", "", 401, "Log in"},
		{"POST /healthz", "", 405, "does not take POST"},
		{"GET /healthz", "", 200, ""},
		{"POST /logout", "", 303, ""},
		{"DELETE /v1/users/bob", user, 403, "only an admin"},
	}
	var wg sync.WaitGroup
	places := make(chan struct{}, 8)
	for _, q := range requests {
		for i, more := range []string{"", "Connection: close\r\n"} { // the server's own ways to end these differ
			places <- struct{}{}
			wg.Go(func() {
				defer func() { <-places }()
				head := q.line + " HTTP/1.1\r\nHost: x\r\n" + q.headers + more
				status, body, err := upload(addr, head, 5<<20, i == 0)
				if err != nil || status != q.status || !strings.Contains(body, q.says) {
					t.Errorf("%s %d: %d %.200s %v", q.line, i, status, body, err)
				}
			})
		}
	}
	wg.Wait()
}

// What is read for nothing has an end, in bytes and in time, and gives way to those who ask for something.
func TestLingeringHoldsNothing(t *testing.T) {
	t.Parallel()
	refused := "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"
	begin := func(t *testing.T, addr string) net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(c, refused+strings.Repeat("x", 300<<10)); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || res.StatusCode != http.StatusNotFound {
			t.Fatal(res, err)
		}
		_ = res.Body.Close()
		return c
	}
	// ends says how much c takes in pieces before it is closed, and after how long.
	ends := func(t *testing.T, c net.Conn, piece int, every time.Duration) (sent int, after time.Duration) {
		t.Helper()
		began, text := time.Now(), strings.Repeat("x", piece)
		for time.Since(began) < 5*time.Second {
			n, err := io.WriteString(c, text)
			sent += n
			if err != nil {
				return sent, time.Since(began)
			}
			time.Sleep(every)
		}
		t.Error("it is held for ever")
		return sent, time.Since(began)
	}
	s := newServer(t, embedded(t))
	most := func(l web.Lingering) func(*web.Conns) { return func(cs *web.Conns) { cs.Lingers = l } }
	t.Run("bytes", func(t *testing.T) {
		addr := s.onConns(t, 256, most(web.Lingering{Bytes: 8 << 20, Time: time.Minute, Idle: time.Minute}))
		if sent, _ := ends(t, begin(t, addr), 64<<10, 0); sent < 4<<20 || sent > 32<<20 {
			t.Errorf("%d bytes", sent)
		}
	})
	t.Run("time", func(t *testing.T) {
		addr := s.onConns(t, 256, most(web.Lingering{Bytes: 1 << 30, Time: 200 * time.Millisecond, Idle: time.Minute}))
		if _, after := ends(t, begin(t, addr), 1, 20*time.Millisecond); after > 2*time.Second {
			t.Errorf("%s", after)
		}
	})
	t.Run("idle", func(t *testing.T) {
		addr := s.onConns(t, 256, most(web.Lingering{Bytes: 1 << 30, Time: time.Minute, Idle: 100 * time.Millisecond}))
		if _, after := ends(t, begin(t, addr), 1, 250*time.Millisecond); after > 2*time.Second {
			t.Errorf("%s", after)
		}
	})
	t.Run("newcomers", func(t *testing.T) {
		addr := s.onConns(t, 1, most(web.Lingering{Bytes: 1 << 30, Time: time.Minute, Idle: time.Minute})) // eight connections
		for range 8 {
			begin(t, addr)
		}
		for range 8 {
			if status, body, err := upload(addr, "GET /v1/nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", 0, false); err != nil || status != 404 {
				t.Errorf("%d %s %v", status, body, err)
			}
		}
	})
}
