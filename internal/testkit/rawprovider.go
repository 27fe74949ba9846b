package testkit

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
)

// RawProvider accepts connections and hands each request to answer, with its number from 1 up; a request
// counts once its head has arrived. When answer returns false the connection is closed.
type RawProvider struct {
	URL      string
	Requests atomic.Int32 // so far
	Conns    atomic.Int32 // so far
}

// NewRawProvider serves on a free loopback port until the test ends.
func NewRawProvider(tb testing.TB, answer func(c net.Conn, no int32, r *http.Request) bool) *RawProvider {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &RawProvider{URL: "http://" + ln.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.Conns.Add(1)
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				br := bufio.NewReader(c)
				for {
					r, err := http.ReadRequest(br)
					if err != nil || !answer(c, p.Requests.Add(1), r) {
						return
					}
				}
			})
		}
	})
	tb.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return p
}

// ReadAll reads a request to its end.
func ReadAll(r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }
