package provider

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"carillon/channels"
)

// channel is the least that a channel over a Client can be: a 2xx is Sent, whatever its body says, and every other
// status Failed.
type channel struct {
	client *Client
	head   []byte
	batch  int
}

type setup struct {
	batch   int
	timeout time.Duration
}

// channelAt is a channel that sends to target; change may set more.
func channelAt(t testing.TB, target string, change ...func(*setup)) *channel {
	t.Helper()
	s := setup{1, 5 * time.Second}
	for _, f := range change {
		f(&s)
	}
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	client, head, err := New(u, s.timeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &channel{client, head, s.batch}
}

func withBatch(n int) func(*setup) { return func(s *setup) { s.batch = n } }

func withTimeout(d time.Duration) func(*setup) { return func(s *setup) { s.timeout = d } }

// batchOf is n users, u0 up.
func batchOf(n int) (b channels.Batch) {
	for i := range n {
		b.Recipients = append(b.Recipients, channels.Recipient{UserID: fmt.Sprintf("u%d", i), ClientMsgID: fmt.Sprintf("msg%d", i)})
	}
	return b
}

// Send is that of a channel.
func (c *channel) Send(ctx context.Context, b channels.Batch) []channels.Outcome {
	out := make([]channels.Outcome, len(b.Recipients))
	part := func(i int) (lo, hi int) { return i * c.batch, min((i+1)*c.batch, len(out)) }
	c.client.Send(ctx, (len(out)+c.batch-1)/c.batch, b.MayStart, func(i int) Exchange {
		lo, hi := part(i)
		return &exchange{c, b.Recipients[lo], out[lo:hi]}
	}, func(int, time.Duration) bool { return false })
	return out
}

type exchange struct {
	*channel
	first channels.Recipient
	out   []channels.Outcome
}

func (x *exchange) Write(w io.Writer, _ time.Time, _ string) error {
	_, err := fmt.Fprintf(w, "%sIdempotency-Key: %s\r\nContent-Length: 2\r\n\r\n{}", x.head, x.first.ClientMsgID)
	return err
}

func (*exchange) Read(Answer) {}

func (x *exchange) Answered(a Answer) bool {
	o := channels.Outcome{Result: channels.Failed, HTTP: a.Status()}
	if a.Good() {
		o = channels.Outcome{Result: channels.Sent}
	}
	x.Failed(o)
	return true
}

func (x *exchange) Failed(o channels.Outcome) {
	for i := range x.out {
		x.out[i] = o
	}
}

func sendOne(t *testing.T, c *channel) channels.Outcome {
	t.Helper()
	out := c.Send(t.Context(), batchOf(1))
	if len(out) != 1 {
		t.Fatalf("%d outcomes for one recipient", len(out))
	}
	return out[0]
}

// answering is a provider that answers every request with 200.
func answering(t *testing.T) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	t.Cleanup(srv.Close)
	return srv
}
