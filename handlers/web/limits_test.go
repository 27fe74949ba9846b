package web

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/models"
)

// usersBody and batchBody are like the largest bodies of the routes.
type (
	usersBody struct {
		Users []models.UserChange `json:"users"`
	}
	batchBody struct {
		RecvIDs []string `json:"recvIDs"`
		Ex      string   `json:"ex"`
	}
)

func TestClientAddr(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, tt := range []struct{ remote, forwarded, want string }{
		{"192.0.2.1:5", "", "192.0.2.1"},
		{"192.0.2.1:5", "198.51.100.1", "192.0.2.1"}, // anybody can write that
		{"10.0.0.7:5", "198.51.100.1", "198.51.100.1"},
		{"10.0.0.7:5", "1.2.3.4, 198.51.100.1", "198.51.100.1"},
		{"10.0.0.7:5", "198.51.100.1, 10.0.0.9", "198.51.100.1"},
		{"10.0.0.7:5", "198.51.100.1:4711", "198.51.100.1"},
		{"10.0.0.7:5", "nonsense", "10.0.0.7"},
		{"10.0.0.7:5", "", "10.0.0.7"},
		{"10.0.0.7:5", "10.0.0.8", "10.0.0.8"},
		{"10.0.0.7:5", "198.51.100.1, nonsense, 10.0.0.9", "10.0.0.9"},
		{"[fd00::7]:5", "2001:db8::1, fd00::9", "2001:db8::1"},
		{"10.0.0.7:5", "[2001:db8::1]:4711", "2001:db8::1"},
		{"[fd00::1]:5", "2001:db8::1", "2001:db8::1"},
		{"[::ffff:10.0.0.7]:5", "198.51.100.1", "198.51.100.1"},
	} {
		r := &http.Request{RemoteAddr: tt.remote, Header: http.Header{}}
		if tt.forwarded != "" {
			r.Header.Set("X-Forwarded-For", tt.forwarded)
		}
		a := &Gate{Proxies: proxies}
		if got := a.clientAddr(r).String(); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
	r := func(addr string) *http.Request { return &http.Request{RemoteAddr: addr} }
	a := &Gate{Secret: "a secret for tests only"}
	if a.triesKey(r("[2001:db8::1]:1")) != a.triesKey(r("[2001:db8::ffff]:1")) || a.triesKey(r("[2001:db8:0:1::1]:1")) == a.triesKey(r("[2001:db8::1]:1")) {
		t.Error("of IPv6 a /64 is one customer")
	}
}

func TestForwardedProto(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		given  []string
		secure bool
	}{
		{nil, false}, {[]string{"https"}, true}, {[]string{"HTTPS"}, true}, {[]string{"http"}, false}, {[]string{"https,http"}, true}, {[]string{" https , http"}, true},
		{[]string{"http,https"}, false}, {[]string{"https", "http"}, true}, {[]string{""}, false}, {[]string{",https"}, false},
	} {
		r := &http.Request{Header: http.Header{"X-Forwarded-Proto": tt.given}}
		if got := (&Gate{}).sessionOf(r, "", 0).Secure; got != tt.secure {
			t.Errorf("%q: %v", tt.given, got)
		}
	}
}

// What a body costs when it is decoded is bounded by more than its bytes.
func TestBodiesOfManySmallValues(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"users": `{"users":[{}` + strings.Repeat(",{}", maxEntries) + `]}`, "where nobody reads": `{"x":{"y":[0` + strings.Repeat(",0", maxEntries) + `]}}`,
		"fields": manyFields(maxFields + 1),
	} {
		var b usersBody
		if err := Decode([]byte(body), &b, RefuseUnknown); err == nil || !strings.Contains(err.Error(), "must have at most") || b.Users != nil {
			t.Errorf("%s: %.200v", name, err)
		}
	}
}

func manyFields(n int) string {
	var b strings.Builder
	b.WriteString(`{"x":{"a":1`)
	for i := range n {
		fmt.Fprintf(&b, `,"%d":1`, i)
	}
	b.WriteString("}}")
	return b.String()
}

// An answer that nobody reads is given up, and with it the memory it holds.
func TestAReaderThatStopsIsDropped(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan time.Duration, 1)
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: new(Gate).timely(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		WritesWithin(w, 300*time.Millisecond)
		began := time.Now()
		_, _ = w.Write(make([]byte, 64<<20))
		ended <- time.Since(began)
	}))}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(testkit.Patience):
		t.Fatal("the answer is held for ever")
	}
}

func TestOneUserHasAShareOfTheRequests(t *testing.T) {
	t.Parallel()
	a := &Gate{Conns: NewConns(128, 1024, nil, nil)}
	var leave func()
	for range maxRequests {
		var err error
		if leave, err = a.enter(context.Background(), claims{UserID: "bob"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.enter(context.Background(), claims{UserID: "bob"}); err == nil {
		t.Error("more than the share")
	}
	if _, err := a.enter(context.Background(), claims{UserID: "eve"}); err != nil {
		t.Error(err)
	}
	leave()
	if _, err := a.enter(context.Background(), claims{UserID: "bob"}); err != nil {
		t.Error(err)
	}
	gives := 0
	for ; ; gives++ {
		if _, ok := a.TakeLong(); !ok {
			break
		}
	}
	if gives != a.Conns.max*3/4 {
		t.Errorf("%d of %d connections for what takes long", gives, a.Conns.max)
	}
}

// What decoding takes altogether is no more than what the body is weighed at. Not parallel: it counts what the
// whole process takes.
func TestABodyIsWeighedByWhatItCosts(t *testing.T) { //nolint:paralleltest // see above
	ids := `"` + strings.Repeat(strings.Repeat("x", 150)+`","`, 99_999) + `x"`
	user := `{"userID":"u","ex":"` + strings.Repeat(`\u00e9`, 2_600) + `"}`
	for name, body := range map[string]string{
		"many users":      `{"users":[{}` + strings.Repeat(",{}", ListBody/3-10) + `]}`,
		"large users":     `{"users":[` + user + strings.Repeat(","+user, 999) + `]}`,
		"many fields":     manyFields(1_000_000),
		"IDs":             `{"recvIDs":[` + ids + `]}`,
		"small IDs":       `{"recvIDs":["a"` + strings.Repeat(`,"a"`, 99_999) + `]}`,
		"one long text":   `{"ex":"` + strings.Repeat("x", ListBody-10) + `"}`,
		"escapes":         `{"ex":"` + strings.Repeat(`\u0041`, ListBody/6-10) + `"}`,
		"unknown numbers": `{"x":[0` + strings.Repeat(",0", 100_000) + `]}`,
	} {
		raw := []byte(body)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if strings.Contains(name, "users") {
			_ = Decode(raw, &usersBody{}, IgnoreUnknown)
		} else {
			_ = Decode(raw, &batchBody{}, IgnoreUnknown)
		}
		runtime.ReadMemStats(&after)
		took, weighed := int64(after.TotalAlloc-before.TotalAlloc)+int64(len(raw)), cost(int64(len(raw)))
		if took > weighed {
			t.Errorf("%s: %d MiB for %d MiB, weighed at %d", name, took>>20, len(raw)>>20, weighed>>20)
		}
	}
}
