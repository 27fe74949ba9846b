package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/mux"

	"carillon/handlers"
	"carillon/handlers/console"
)

// TestAllPagesAreMeasured: each route that the console answers to GET is asked for, or is a stream that is watched.
func TestAllPagesAreMeasured(t *testing.T) {
	t.Parallel()
	r := mux.NewRouter()
	console.New(new(handlers.API)).Add(r)
	var routes []string
	err := r.Walk(func(route *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := route.GetPathTemplate()
		methods, _ := route.GetMethods()
		if slices.Contains(methods, http.MethodGet) {
			routes = append(routes, path)
		}
		return err
	})
	if err != nil || len(routes) < 20 {
		t.Fatal(routes, err)
	}
	known := slices.Clone(consoleStreams)
	for _, p := range consolePages {
		known = append(known, p.route)
		if !slices.Contains(routes, p.route) {
			t.Errorf("the console has no %s", p.route)
		}
		if left := (consolePlaces{users: 1}).fill(p.ask(), 1); strings.Contains(left, "{") {
			t.Errorf("%s: nothing fills in %s", p.route, left)
		}
	}
	for _, path := range routes {
		if !slices.Contains(known, path) {
			t.Errorf("%s is not measured", path)
		}
	}
}
