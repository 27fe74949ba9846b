package tracing

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Header is the name of the header in which a trace goes on: of HTTP and of tasks.
const Header = "traceparent"

// Traces is true where ctx has a span.
func Traces(ctx context.Context) bool { return trace.SpanContextFromContext(ctx).IsValid() }

// Traceparent names the span of ctx for another process, in 55 bytes; "" without a span.
func Traceparent(ctx context.Context) string {
	return traceparent(trace.SpanContextFromContext(ctx))
}

func traceparent(of trace.SpanContext) string {
	if !of.IsValid() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(trace.ContextWithSpanContext(context.Background(), of), carrier)
	return carrier[Header]
}

// Headers are those of a task that ctx enqueues; nil without a span.
func Headers(ctx context.Context) map[string]string {
	if parent := Traceparent(ctx); parent != "" {
		return map[string]string{Header: parent}
	}
	return nil
}

// Under is ctx under the span that traceparent names. It is ctx itself where that has a span already
// or traceparent names none. A Tracer that is nil reads nothing.
func (t *Tracer) Under(ctx context.Context, traceparent string) context.Context {
	if t == nil || traceparent == "" || Traces(ctx) {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{Header: traceparent})
}

// Detached holds the span of ctx and nothing else of it: no end, no value.
func Detached(ctx context.Context) context.Context {
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() {
		return context.Background()
	}
	return trace.ContextWithRemoteSpanContext(context.Background(), span)
}
