package handlers

import (
	"net/http"

	"carillon/handlers/web"
)

// scrapers says who may read the metrics.
func (a *API) scrapers() func(web.Handler) http.Handler {
	if a.MetricsPublic {
		return a.Public
	}
	return func(h web.Handler) http.Handler { return a.Admin(h) }
}

// metrics answers a scrape in Prometheus' text form.
func (a *API) metrics(in *web.In) error {
	if a.Metrics == nil {
		return web.NoRoute(in)
	}
	a.Metrics.ServeHTTP(in.W, in.R)
	return nil
}
