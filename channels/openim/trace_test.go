package openim

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"

	"carillon/channels"
	"carillon/internal/testkit/collector"
	double "carillon/internal/testkit/openim"
	"carillon/internal/tracing"
	"carillon/models"
)

// Each request for a recipient carries a span of its own: a send, and the question about a send without an answer. The
// request for the token carries the span of the visit.
func TestOpenIMSeesTheTrace(t *testing.T) {
	t.Parallel()
	k := newKit(t, 3, double.Fault{Kind: double.Closed, Delivers: true, Users: "u000002"})
	target, err := url.Parse(k.URL)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	saw := map[string][]string{} // traceparents by route
	behind := httputil.NewSingleHostReverseProxy(target)
	behind.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) } // no answer is no answer
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		saw[r.URL.Path] = append(saw[r.URL.Path], r.Header.Get("traceparent"))
		mu.Unlock()
		behind.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	c := collector.Start(t)
	tracer, err := tracing.Open(t.Context(), c.URL, "v1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ch, err := New(k.client(nil, func(cfg *Config) { cfg.URL = front.URL }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ch.Close)

	ctx, visit := tracer.Start(context.Background(), tracing.Consumer, "visit")
	b := channels.Batch{CampaignID: "01JZZZZZZZZZZZZZZZZZZZZZZZ", OperationID: "op", Message: &models.Message{SendID: "imAdmin", ContentType: 101, SessionType: 1, Content: []byte(`{"content":"x"}`)}}
	for _, id := range []string{"u000001", "u000002", "u000003"} {
		b.Recipients = append(b.Recipients, channels.Recipient{UserID: id, ClientMsgID: models.ClientMsgID(b.CampaignID, models.KindUser, id), Attempt: 1})
	}
	for i, o := range ch.Send(ctx, b) {
		if o.Result != channels.Sent {
			t.Errorf("%d: %+v", i, o)
		}
	}
	own := tracing.Traceparent(ctx)
	visit.End()
	tracer.Close()

	var want []string
	failed := 0
	for _, s := range c.Spans("") {
		if s.Name == "visit" {
			continue
		}
		if s.Trace != own[3:35] || s.Parent != own[36:52] {
			t.Errorf("not under the visit: %+v", s)
		}
		if s.Failed {
			failed++
		}
		want = append(want, s.Traceparent())
	}
	got := append(slices.Clone(saw[routeSend]), saw[routeCheck]...)
	slices.Sort(want)
	slices.Sort(got)
	if len(saw[routeSend]) != 3 || len(saw[routeCheck]) != 1 || !slices.Equal(got, want) || failed != 1 {
		t.Errorf("OpenIM saw\n%v\nnot\n%v; %d failed", saw, want, failed)
	}
	if token := saw[routeAdminToken]; !slices.Equal(token, []string{own}) {
		t.Errorf("the token's request: %v, not %s", token, own)
	}
}
