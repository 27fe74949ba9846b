package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"carillon/channels"
)

// benchProvider answers every POST with 200 and {} after delay.
func benchProvider(b *testing.B, delay time.Duration) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := &fasthttp.Server{Handler: func(c *fasthttp.RequestCtx) {
		time.Sleep(delay)
		c.SetBodyString("{}")
	}}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	b.Cleanup(func() {
		_ = ln.Close()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	return "http://" + ln.Addr().String() + "/hook"
}

// bareLoop posts one and the same body from a few goroutines, each on its own connection: the least that so
// many requests can cost with a client of the shelf.
func bareLoop(b *testing.B, url string, body []byte) (send func(n int)) {
	client := &fasthttp.Client{MaxConnsPerHost: 1024}
	b.Cleanup(client.CloseIdleConnections)
	return func(n int) {
		var wg sync.WaitGroup
		var next atomic.Int64
		for range 6 { // as many as a Client begins with
			wg.Go(func() {
				req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
				defer fasthttp.ReleaseRequest(req)
				defer fasthttp.ReleaseResponse(resp)
				req.SetRequestURI(url)
				req.Header.SetMethod("POST")
				req.Header.SetContentType("application/json")
				req.Header.Set("Idempotency-Key", "0123456789abcdef0123456789abcdef")
				req.SetBody(body)
				for next.Add(1) <= int64(n) {
					if err := client.Do(req, resp); err != nil || resp.StatusCode() != 200 {
						b.Errorf("%v, status %d", err, resp.StatusCode())
					}
				}
			})
		}
		wg.Wait()
	}
}

// sendPages sends chunks of 250 recipients, pages of them at once.
func sendPages(b *testing.B, url string, pages int) (send func(n int)) {
	w, err := New(Config{URL: url, Secret: testSecret})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(w.Close)
	const chunk = 250
	batch := batchOf(chunk)
	batch.MayStart = func() bool { return true }
	return func(n int) {
		var wg sync.WaitGroup
		var next atomic.Int64
		for range pages {
			wg.Go(func() {
				for {
					lo := int(next.Add(chunk)) - chunk
					if lo >= n {
						return
					}
					part := batch
					part.Recipients = batch.Recipients[:min(chunk, n-lo)]
					for _, o := range w.Send(b.Context(), part) {
						if o.Result != channels.Sent {
							b.Errorf("outcome %+v", o)
						}
					}
				}
			})
		}
		wg.Wait()
	}
}

func benchBody(b *testing.B) []byte {
	batch := batchOf(1)
	body, err := json.Marshal(map[string]any{
		"campaignID": batch.CampaignID, "operationID": batch.OperationID, "message": batch.Message,
		"recipients": []map[string]string{{"recvID": "u0", "clientMsgID": "msg0"}},
	})
	if err != nil {
		b.Fatal(err)
	}
	return body
}

// BenchmarkSend is a request's whole cost, the provider's share in the same process included.
func BenchmarkSend(b *testing.B) {
	url := benchProvider(b, 0)
	for name, send := range map[string]func(int){"bare": bareLoop(b, url, benchBody(b)), "webhook": sendPages(b, url, 8)} {
		b.Run(name, func(b *testing.B) {
			send(1000)
			b.ReportAllocs()
			b.ResetTimer()
			send(b.N)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
		})
	}
}

// BenchmarkSendRatio lets the two take turns, so that what else the machine does meets both: 1 = as fast as
// the bare loop.
func BenchmarkSendRatio(b *testing.B) {
	url := benchProvider(b, 0)
	bare, webhook := bareLoop(b, url, benchBody(b)), sendPages(b, url, 8)
	const turn = 2000
	took := func(send func(int)) time.Duration {
		begun := time.Now()
		send(turn)
		return time.Since(begun)
	}
	took(bare)
	took(webhook)
	var bares, webhooks time.Duration
	for b.Loop() {
		bares += took(bare)
		webhooks += took(webhook)
	}
	b.ReportMetric(float64(bares)/float64(webhooks), "of-bare")
	b.ReportMetric(float64(b.N)*turn/webhooks.Seconds(), "req/s")
}

// BenchmarkSendSlow is one process at a provider that takes 50 ms; the first second, in which the connections
// grow, counts.
func BenchmarkSendSlow(b *testing.B) {
	send := sendPages(b, benchProvider(b, 50*time.Millisecond), 16)
	const turn = 20_000
	for b.Loop() {
		send(turn)
	}
	b.ReportMetric(float64(b.N)*turn/b.Elapsed().Seconds(), "req/s")
}

// BenchmarkAnswer is what an answer costs behind its arrival.
func BenchmarkAnswer(b *testing.B) {
	for _, n := range []int{1, 500} {
		items := batchOf(n).Recipients
		var list strings.Builder
		for i, it := range items {
			if i > 0 {
				list.WriteByte(',')
			}
			fmt.Fprintf(&list, `{"recvID":%q,"status":"sent"}`, it.UserID)
		}
		for name, body := range map[string]string{"empty": "", "object": "{}", "ok": `{"ok":true}`, "results": `{"results":[` + list.String() + `]}`} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				out := make([]channels.Outcome, n)
				raw := []byte(body)
				b.ReportAllocs()
				r := newAnswerReader()
				var body bytes.Reader
				for b.Loop() {
					body.Reset(raw)
					r.outcomes(&body, "", items, out)
					r.reset()
				}
			})
		}
	}
}
