package handlers

import (
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/mux"
)

// TestDocsHaveTheRoutes: docs/api.md names each route of the table with its method, and no other. HEAD is GET without the body.
func TestDocsHaveTheRoutes(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)(?:`|^## )((?:GET|HEAD|POST|PUT|PATCH|DELETE) /[^` ?\n]*)").FindAllStringSubmatch(string(text), -1) {
		said[m[1]] = true
	}
	routes := map[string]bool{}
	err = new(API).router().Walk(func(r *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := r.GetPathTemplate()
		if err != nil {
			return err
		}
		if strings.HasPrefix(path, "/monitor") { // any method and path below it: they are the monitor's own
			return nil
		}
		methods, err := r.GetMethods()
		for _, method := range methods {
			if method != http.MethodHead {
				routes[method+" "+path] = true
			}
		}
		return err
	})
	if err != nil || len(routes) < 40 {
		t.Fatalf("%v, %d routes", err, len(routes))
	}
	for _, route := range slices.Sorted(maps.Keys(routes)) {
		if !said[route] {
			t.Errorf("docs/api.md does not name %s", route)
		}
	}
	for _, route := range slices.Sorted(maps.Keys(said)) {
		if !routes[route] {
			t.Errorf("there is no route %s", route)
		}
	}
}
