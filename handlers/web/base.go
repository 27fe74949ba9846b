package web

import (
	"net/http"
	"strings"
)

// Path is where a browser finds a path of this server.
func (g *Gate) Path(path string) string { return g.BasePath + path }

// below takes BasePath from the paths of requests. A proxy may have taken it already, and the server's own neighbours ask
// without it: such requests go on as they are.
func (g *Gate) below(next http.Handler) http.Handler {
	if g.BasePath == "" {
		return next
	}
	stripped := http.StripPrefix(g.BasePath, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == g.BasePath:
			http.Redirect(w, r, g.BasePath+"/", http.StatusPermanentRedirect)
		case strings.HasPrefix(r.URL.Path, g.BasePath+"/"):
			stripped.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// Path is where a browser finds a path of this server.
func (in *In) Path(path string) string { return in.gate.Path(path) }
