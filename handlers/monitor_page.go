package handlers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"html"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"carillon/handlers/web"
	"carillon/models"
)

// monitorAPI begins the paths that the monitor's page asks for figures.
const monitorAPI = "/monitor/api/"

// monitorPage serves asynq's monitor at /monitor, to look at only: campaigns are controlled through the API, and
// a task that somebody deleted here would be enqueued again anyway.
//
// The page stays blank when its scripts find no Redis. So Redis is asked first, and a page of ours says that it is away.
func (a *API) monitorPage() http.Handler {
	api := a.AdminPage(nil, a.serveMonitor)
	page := a.AdminPage(a.PageError, func(in *web.In) error {
		in.W.Header().Set("Cache-Control", "private, no-cache") // the page's own files may be kept, and are asked for again
		if !strings.HasPrefix(in.R.URL.Path, "/monitor/static/") {
			if _, err := within(in.Context(), queueTime, func() (string, error) { return a.Redis.Ping(in.Context()).Result() }); err != nil {
				return errQueue(err)
			}
		}
		return a.serveMonitor(in)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, monitorAPI) {
			api.ServeHTTP(w, r)
		} else {
			page.ServeHTTP(w, r)
		}
	})
}

// serveMonitor lets the monitor answer. A monitor that panics is an error.
func (a *API) serveMonitor(in *web.In) (err error) {
	if in.R.Method != http.MethodGet && in.R.Method != http.MethodHead {
		return web.NotAllowed(in, []string{http.MethodGet, http.MethodHead})
	}
	monitor := a.monitor.open(a.RedisConn, a.Path("/monitor"), a.Describe)
	if monitor == nil {
		return web.ErrClosing
	}
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler { //nolint:errorlint // the standard library compares it so
				panic(p)
			}
			a.Log.Error("the monitor panicked", "panic", p, "stack", string(debug.Stack()))
			err = models.Errorf(models.CodeInternal, "the monitor has failed; the log says how")
		}
	}()
	get := *in.R
	get.Method = http.MethodGet // the monitor knows no HEAD, and the server leaves the body out
	asked := *get.URL
	asked.Path = a.Path(asked.Path)
	if asked.RawPath != "" {
		asked.RawPath = a.Path(asked.RawPath)
	}
	get.URL = &asked
	web.PageHeaders(in.W.Header(), monitorPolicy(nil))
	w := &indexWriter{ResponseWriter: in.W}
	monitor.ServeHTTP(w, &get)
	return w.finish(a.Path("/queue"))
}

// indexWriter holds back the monitor's one HTML page, and lets all other answers pass.
type indexWriter struct {
	http.ResponseWriter
	status int
	begun  bool
	holds  bool
	page   bytes.Buffer
}

func (w *indexWriter) WriteHeader(status int) { w.status = status }

func (w *indexWriter) Write(p []byte) (int, error) {
	if !w.begun {
		w.begun = true
		media := w.Header().Get("Content-Type")
		w.holds = media == "" && isHTML(p) || strings.HasPrefix(media, "text/html")
		if !w.holds && w.status != 0 {
			w.ResponseWriter.WriteHeader(w.status)
		}
	}
	if w.holds {
		return w.page.Write(p)
	}
	return w.ResponseWriter.Write(p)
}

func isHTML(p []byte) bool { return strings.HasPrefix(http.DetectContentType(p), "text/html") }

var (
	inlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)
	outsideStyle = regexp.MustCompile(`<link rel="stylesheet" href="https?://[^"]*"/?>`)
	bodyBegin    = regexp.MustCompile(`<body[^>]*>`)
)

// finish sends the page that was held back: with a way back to the console, without fonts from another site, and with a
// policy that names its scripts.
func (w *indexWriter) finish(back string) error {
	if !w.begun {
		if w.status != 0 {
			w.ResponseWriter.WriteHeader(w.status)
		}
		return nil
	}
	if !w.holds {
		return nil
	}
	page := outsideStyle.ReplaceAll(w.page.Bytes(), nil)
	var sums []string
	for _, script := range inlineScript.FindAllSubmatch(page, -1) {
		sum := sha256.Sum256(script[1])
		sums = append(sums, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	}
	if at := bodyBegin.FindIndex(page); at != nil {
		page = append(append(append([]byte{}, page[:at[1]]...), wayBack(back)...), page[at[1]:]...)
	}
	h := w.Header()
	web.PageHeaders(h, monitorPolicy(sums))
	h.Set("Content-Type", "text/html; charset=utf-8")
	if w.status != 0 {
		w.ResponseWriter.WriteHeader(w.status)
	}
	_, _ = w.ResponseWriter.Write(page) // a client that is gone needs no page
	return nil
}

// wayBack is a link over the monitor's page, and a heading for those who do not see it.
func wayBack(path string) string {
	return `<nav aria-label="Carillon"><h1 style="position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)">The queue’s monitor</h1>` +
		`<a href="` + html.EscapeString(path) + `" style="position:fixed;right:1rem;bottom:1rem;z-index:2000;padding:.5rem .9rem;border-radius:.35rem;` +
		`background:#1f5fbf;color:#fff;font:600 1rem system-ui,sans-serif;text-decoration:none">← Carillon</a></nav>`
}

// within waits for f no longer than limit, for clients that take no context. f goes on by itself.
func within[T any](ctx context.Context, limit time.Duration, f func() (T, error)) (value T, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	type answer struct {
		value T
		err   error
	}
	asked := make(chan answer, 1)
	go func() {
		v, err := f()
		asked <- answer{v, err}
	}()
	select {
	case got := <-asked:
		return got.value, got.err
	case <-ctx.Done():
		return value, ctx.Err()
	}
}
