package main

import (
	"context"
	"net/http"

	"carillon/handlers/web"
	"carillon/internal/tracing"
)

// traceRequests makes the spans of requests; nil where traces are off. Requests that only read have
// none: pages and tools ask again and again, and no campaign comes of that.
func traceRequests(t *tracing.Tracer) web.Tracer {
	if t == nil {
		return nil
	}
	return func(r *http.Request, route, method string) (context.Context, func(string, int)) {
		ctx := r.Context()
		if method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions {
			return ctx, func(string, int) {}
		}
		ctx, span := t.Start(t.Under(ctx, r.Header.Get(tracing.Header)), tracing.Server, method+" "+route)
		span.Text("http.request.method", method)
		span.Text("http.route", route)
		return ctx, func(operationID string, code int) {
			span.Text("operationID", operationID)
			span.Number("http.response.status_code", code)
			if code >= http.StatusInternalServerError {
				span.Fail("")
			}
			span.End()
		}
	}
}
