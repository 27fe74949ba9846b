package handlers

import (
	"net/http"
	"strings"

	"carillon/handlers/web"
)

// monitorPage serves asynq's monitor at /monitor, to look at only: campaigns are controlled through the API, and
// a task that somebody deleted here would be enqueued again anyway.
func (a *API) monitorPage() http.Handler {
	refused := a.Public(func(in *web.In) error {
		return web.NotAllowed(in, []string{http.MethodGet, http.MethodHead})
	})
	closing := a.Public(func(*web.In) error { return web.ErrClosing })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		web.PageHeaders(h, monitorPolicy)
		if !strings.HasPrefix(r.URL.Path, "/monitor/api/") { // the page's own files may be kept, and are asked for again
			h.Set("Cache-Control", "private, no-cache")
		}
		page := a.monitor.open(a.RedisConn, a.Describe)
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			refused.ServeHTTP(w, r)
		case page == nil:
			closing.ServeHTTP(w, r)
		default:
			get := *r
			get.Method = http.MethodGet // the monitor knows no HEAD, and the server leaves the body out
			page.ServeHTTP(w, &get)
		}
	})
}
