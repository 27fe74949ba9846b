package handlers

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/mux"

	"carillon/internal/testkit"
	"carillon/internal/testkit/contract"
)

// contractRoutes are the routes of the contract, with the names of their query's parameters.
func contractRoutes(t *testing.T) map[string][]string {
	t.Helper()
	doc, err := contract.Document()
	if err != nil {
		t.Fatal(err)
	}
	routes := map[string][]string{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			query := []string{}
			for _, p := range append(slices.Clone(op.Parameters), item.Parameters...) {
				if p.Value.In == "query" {
					query = append(query, p.Value.Name)
				}
			}
			slices.Sort(query)
			routes[method+" "+path] = query
		}
	}
	return routes
}

// tableRoutes are the routes of the table. A path that takes GET must take HEAD.
func tableRoutes(t *testing.T) map[string]bool {
	t.Helper()
	routes := map[string]bool{}
	err := new(API).router().Walk(func(r *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := r.GetPathTemplate()
		if err != nil {
			return err
		}
		if strings.HasPrefix(path, "/monitor") { // any method and path below it: they are the monitor's own
			return nil
		}
		methods, err := r.GetMethods()
		if slices.Contains(methods, http.MethodGet) != slices.Contains(methods, http.MethodHead) {
			t.Errorf("%s takes GET or HEAD, not both", path)
		}
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
	return routes
}

// TestContractHasTheRoutes: docs/openapi.yaml has each route of the table, and no other.
func TestContractHasTheRoutes(t *testing.T) {
	t.Parallel()
	said, routes := contractRoutes(t), tableRoutes(t)
	for _, route := range slices.Sorted(maps.Keys(routes)) {
		if _, ok := said[route]; !ok {
			t.Errorf("docs/openapi.yaml has no %s", route)
		}
	}
	for _, route := range slices.Sorted(maps.Keys(said)) {
		if !routes[route] {
			t.Errorf("there is no route %s", route)
		}
	}
}

var takes = regexp.MustCompile(`it takes ([^"]+)`)

// TestContractHasTheParameters: docs/openapi.yaml has the parameters of each route's query, as the
// route names them to a caller who gives an unknown one.
func TestContractHasTheParameters(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		for route, query := range contractRoutes(t) {
			method, path, _ := strings.Cut(route, " ")
			if !strings.HasPrefix(path, "/v1/") {
				continue
			}
			status, got := s.do(method, strings.NewReplacer("{", "", "}", "").Replace(path)+"?nonsense0123=1", nil)
			said := takes.FindStringSubmatch(got.fields(t)["nonsense0123"])
			if status != http.StatusUnprocessableEntity || said == nil {
				t.Errorf("%s: %d %s", route, status, got.Raw)
				continue
			}
			known := strings.Split(said[1], ", ")
			if slices.Sort(known); said[1] == "none" {
				known = []string{}
			}
			if !slices.Equal(known, query) {
				t.Errorf("%s takes %v; docs/openapi.yaml has %v", route, known, query)
			}
		}
	})
}

// TestContractHoldsRefusals: an answer of another form than the contract's is found.
func TestContractHoldsRefusals(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		if status, got := s.do(http.MethodGet, "/v1/campaigns/none", nil); status != http.StatusNotFound {
			t.Errorf("%d %s", status, got.Raw)
		}
	})
}
