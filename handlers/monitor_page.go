package handlers

import (
	"net/http"
	"strings"

	"carillon/handlers/web"
)

// monitorPage serves asynq's monitor at /monitor, to look at only: campaigns are controlled through the API, and
// a task that somebody deleted here would be enqueued again anyway.
func (a *API) monitorPage() http.Handler {
	return a.AdminPage(nil, func(in *web.In) error {
		h := in.W.Header()
		web.PageHeaders(h, monitorPolicy)
		if !strings.HasPrefix(in.R.URL.Path, "/monitor/api/") { // the page's own files may be kept, and are asked for again
			h.Set("Cache-Control", "private, no-cache")
		}
		if in.R.Method != http.MethodGet && in.R.Method != http.MethodHead {
			return web.NotAllowed(in, []string{http.MethodGet, http.MethodHead})
		}
		page := a.monitor.open(a.RedisConn, a.Path("/monitor"), a.Describe)
		if page == nil {
			return web.ErrClosing
		}
		get := *in.R
		get.Method = http.MethodGet // the monitor knows no HEAD, and the server leaves the body out
		asked := *get.URL
		asked.Path = a.Path(asked.Path)
		if asked.RawPath != "" {
			asked.RawPath = a.Path(asked.RawPath)
		}
		get.URL = &asked
		page.ServeHTTP(in.W, &get)
		return nil
	})
}
