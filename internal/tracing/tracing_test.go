package tracing_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.uber.org/goleak"

	"carillon/internal/testkit"
	"carillon/internal/testkit/collector"
	"carillon/internal/tracing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// logged is a log that tests read.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func open(t *testing.T, endpoint string) (*tracing.Tracer, *logged) {
	t.Helper()
	out := &logged{}
	tracer, err := tracing.Open(t.Context(), endpoint, "v1", slog.New(slog.NewTextHandler(out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return tracer, out
}

// Close sends what has ended; nothing waits for the next round of the exporter.
func TestCloseSendsTheLastSpans(t *testing.T) {
	c := collector.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20key")
	tracer, _ := open(t, c.URL+"/")
	ctx, outer := tracer.Start(tracer.Under(context.Background(), parent), tracing.Server, "outer")
	inner := tracing.Child(ctx, tracing.Client, "inner")
	told := inner.Traceparent()
	inner.Text("empty", "")
	inner.Number("n", 7)
	inner.Fail("why")
	inner.End()
	outer.End()
	tracer.Close()
	spans := c.Spans("0af7651916cd43dd8448eb211c80319c")
	if len(spans) != 2 || spans[0].Name != "inner" || spans[1].Name != "outer" {
		t.Fatalf("%+v, refused %v", spans, c.Refused())
	}
	in, out := spans[0], spans[1]
	if out.Parent != "b7ad6b7169203331" || in.Parent != out.ID || told != in.Traceparent() || !in.Failed || out.Failed || in.Service != "carillon" {
		t.Errorf("%+v\ntold %s", spans, told)
	}
	if _, has := in.Attributes["empty"]; has || in.Attributes["n"] != "7" {
		t.Errorf("%+v", in)
	}
	if h := c.Headers()[0]; h.Get("Authorization") != "Bearer key" || h.Get("Content-Type") != "application/x-protobuf" {
		t.Error(h)
	}
}

// OTEL_TRACES_SAMPLER decides; a trace that is not kept still goes on, marked as such.
func TestTheSamplerIsOpenTelemetrys(t *testing.T) {
	c := collector.Start(t)
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	tracer, _ := open(t, c.URL)
	ctx, span := tracer.Start(tracer.Under(context.Background(), parent), tracing.Server, "outer")
	told := tracing.Traceparent(ctx)
	span.End()
	tracer.Close()
	if !strings.HasPrefix(told, parent[:36]) || !strings.HasSuffix(told, "-00") || len(c.Spans("")) != 0 {
		t.Errorf("%s, %v", told, c.Spans(""))
	}
}

// A collector that is away, or takes requests and answers none, costs the spans and one line of the log.
func TestACollectorThatIsAway(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = nobody.Close()
	release := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(silent.Close)
	t.Cleanup(func() { close(release) })
	for name, url := range map[string]string{"nobody": "http://" + nobody.Addr().String(), "silent": silent.URL} {
		t.Run(name, func(t *testing.T) {
			tracer, out := open(t, url+"/a-token")
			_, span := tracer.Start(context.Background(), tracing.Server, "lost")
			span.End()
			tracer.Close() // returns, though nobody takes the span
			testkit.Eventually(t, "the log says so", testkit.Patience, func() bool { return out.String() != "" })
			if text := out.String(); strings.Contains(text, "a-token") || strings.Contains(text, "ERROR") {
				t.Error(text)
			}
		})
	}
}

// A collector that comes back is told of once, and takes what comes from then on.
func TestACollectorThatComesBack(t *testing.T) {
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
	c := collector.Start(t)
	var away sync.Map
	away.Store("now", true)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, now := away.Load("now"); now {
			http.Error(w, "no", http.StatusBadRequest) // which the exporter does not repeat
			return
		}
		c.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	tracer, out := open(t, front.URL)
	t.Cleanup(tracer.Close)
	spans := func(until func() bool, what string) {
		testkit.Eventually(t, what, testkit.Patience, func() bool {
			_, span := tracer.Start(context.Background(), tracing.Server, "one")
			span.End()
			return until()
		}, func() any { return out.String() })
	}
	spans(func() bool { return strings.Contains(out.String(), "does not take traces") }, "away")
	away.Delete("now")
	spans(func() bool { return strings.Contains(out.String(), "takes traces again") && len(c.Spans("")) > 1 }, "back")
	if n := strings.Count(out.String(), "does not take traces"); n != 1 {
		t.Errorf("said %d times:\n%s", n, out)
	}
}

// OpenTelemetry's own reports go to our log.
func TestFaultsOfTheLibraryAreLogged(t *testing.T) {
	tracer, out := open(t, collector.Start(t).URL)
	t.Cleanup(tracer.Close)
	otel.Handle(context.DeadlineExceeded)
	if !strings.Contains(out.String(), "OpenTelemetry reports a fault") {
		t.Error(out)
	}
}

// Without an endpoint everything may be called, and nothing comes of that: no span, no header, no allocation.
func TestOff(t *testing.T) {
	off, out := open(t, "")
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	allocated := testing.AllocsPerRun(100, func() {
		in, span := off.Start(off.Under(ctx, parent), tracing.Server, "x")
		child := tracing.Child(in, tracing.Client, "y")
		for _, s := range []*tracing.Span{span, child} {
			s.Text("a", "b")
			s.Number("c", 1)
			s.Fail("d")
			s.End()
			if s.Traceparent() != "" {
				t.Error("no span has a name")
			}
		}
		if in != ctx || span != nil || child != nil || tracing.Traces(in) || tracing.Traceparent(in) != "" || tracing.Headers(in) != nil || tracing.Detached(in) != context.Background() {
			t.Error("there is a span")
		}
	})
	off.Close()
	if allocated != 0 || off != nil || out.String() != "" {
		t.Errorf("%v allocations, %v, %q", allocated, off, out)
	}
}

// What names no span begins a trace of its own.
func TestTraceparentsThatAreNone(t *testing.T) {
	tracer, _ := open(t, collector.Start(t).URL)
	t.Cleanup(tracer.Close)
	for _, bad := range []string{"", "x", "00-00000000000000000000000000000000-b7ad6b7169203331-01", parent + "-more", strings.Repeat("0", 4096), "00-\r\n"} {
		if ctx := tracer.Under(context.Background(), bad); tracing.Traces(ctx) {
			t.Errorf("%.80q names a span", bad)
		}
	}
	ctx := tracer.Under(context.Background(), parent)
	if tracing.Traceparent(ctx) != parent || tracing.Traceparent(tracing.Detached(ctx)) != parent || tracing.Headers(ctx)["traceparent"] != parent {
		t.Error(tracing.Traceparent(ctx))
	}
	if again := tracer.Under(ctx, strings.Replace(parent, "b7", "c8", 1)); again != ctx {
		t.Error("a context that has a span got another")
	}
}
