// Package tracing tells an OpenTelemetry collector what a campaign went through: the POST, its plan,
// the visits to its pages and the requests to the provider are one trace.
//
//   - A process has one Tracer. It is nil where traces are off; then nothing below does anything.
//   - From process to process a trace goes as a traceparent (W3C Trace Context): in the headers of a
//     task, in the campaign's row, and in requests to providers. Nothing else goes with it.
//   - Spans hold no personal data: no user, no content, no part of a URL but its host.
//
// docs/adr/0022 has the reasons. docs/operations.md shows the spans.
package tracing

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// closeTime bounds the last export: a process that stops has little time.
const closeTime = time.Second

const serviceName = "carillon"

// Tracer begins the spans of one process. Any goroutine may call it. A nil Tracer begins none.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	log      *slog.Logger
}

// Open makes a Tracer that sends spans to the collector at endpoint, over HTTP as protobuf. It opens
// no connection yet. An empty endpoint has no Tracer (nil).
//
// Everything else follows OpenTelemetry's own variables of the environment, for example
// OTEL_EXPORTER_OTLP_HEADERS and OTEL_TRACES_SAMPLER.
func Open(ctx context.Context, endpoint, version string, log *slog.Logger) (*Tracer, error) {
	if endpoint == "" {
		return nil, nil
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, errors.New("the collector's address cannot be read")
	}
	// OpenTelemetry's own log would go to stderr as it likes.
	otel.SetLogger(logr.FromSlogHandler(log.Handler()))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("OpenTelemetry reports a fault", "err", err) }))
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(u.JoinPath("v1", "traces").String()))
	if err != nil {
		return nil, err
	}
	// Later ones win: OTEL_SERVICE_NAME may give another name.
	about, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", serviceName), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		log.Warn("a part of OTEL_RESOURCE_ATTRIBUTES is left out", "err", err)
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(&quiet{SpanExporter: exporter, log: log}), sdk.WithResource(about))
	return &Tracer{provider: provider, tracer: provider.Tracer(serviceName), log: log}, nil
}

// Close sends the spans that have ended, as far as the collector takes them within closeTime. Spans
// that end later are lost.
func (t *Tracer) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.Info("the last traces were not sent", "err", cause(err))
	}
}

// quiet is an exporter that says once that the collector does not take spans, and once that it does
// again. Spans that it does not take are lost.
type quiet struct {
	sdk.SpanExporter
	log  *slog.Logger
	away atomic.Bool
}

// ExportSpans never fails.
func (q *quiet) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := q.SpanExporter.ExportSpans(ctx, spans)
	switch was := q.away.Swap(err != nil); {
	case err != nil && !was:
		q.log.Warn("the collector does not take traces, so they are lost until it does", "err", cause(err))
	case err == nil && was:
		q.log.Info("the collector takes traces again")
	}
	return nil
}

// cause is an error without the collector's URL, which may hold a token.
func cause(err error) error {
	if of := (*url.Error)(nil); errors.As(err, &of) {
		return of.Err
	}
	return err
}
