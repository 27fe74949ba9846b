package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Kind is what a span stands for.
type Kind = trace.SpanKind

// The kinds of spans.
const (
	Server   = trace.SpanKindServer   // a request that came in
	Client   = trace.SpanKindClient   // a request to a provider
	Consumer = trace.SpanKindConsumer // work that was queued
	Internal = trace.SpanKindInternal
)

// Span is one piece of work under way. A nil Span takes everything and does nothing.
type Span struct{ span trace.Span }

// Start begins a span under that of ctx; without one, the span begins a trace. The context that
// comes back holds the span.
func (t *Tracer) Start(ctx context.Context, kind Kind, name string) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(kind))
	return ctx, &Span{span}
}

// Child begins a span under the one that this process has begun in ctx. Without such a span it
// begins none.
func Child(ctx context.Context, kind Kind, name string) *Span {
	parent := trace.SpanFromContext(ctx)
	if !parent.SpanContext().IsValid() {
		return nil
	}
	_, span := parent.TracerProvider().Tracer(serviceName).Start(ctx, name, trace.WithSpanKind(kind))
	return &Span{span}
}

// Traceparent names the span for another process; "" without a span.
func (s *Span) Traceparent() string {
	if s == nil {
		return ""
	}
	return traceparent(s.span.SpanContext())
}

// Text sets an attribute.
func (s *Span) Text(name, value string) {
	if s != nil && value != "" {
		s.span.SetAttributes(attribute.String(name, value))
	}
}

// Number sets an attribute.
func (s *Span) Number(name string, value int) {
	if s != nil {
		s.span.SetAttributes(attribute.Int(name, value))
	}
}

// Fail marks the span as an error. why must hold nothing personal.
func (s *Span) Fail(why string) {
	if s != nil {
		s.span.SetStatus(codes.Error, why)
	}
}

// End ends the span.
func (s *Span) End() {
	if s != nil {
		s.span.End()
	}
}
