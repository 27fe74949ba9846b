// Package contract holds HTTP tests to docs/openapi.yaml. A test's client sends through Transport.
// The test fails when
//
//   - an answer is not one that the contract has for its route and status;
//   - the API takes a request that the contract refuses.
//
// The API may refuse more than the contract can say.
package contract

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"

	"carillon/docs"
)

// Document is the contract, read once in a process. An error says that the contract itself is wrong.
func Document() (*openapi3.T, error) {
	loaded, err := load()
	return loaded.doc, err
}

// document is the contract with what finds a request's route in it.
type document struct {
	doc   *openapi3.T
	paths []template
}

// template is a path of the contract, cut at its slashes.
type template struct {
	path     string
	item     *openapi3.PathItem
	segments []string
}

var load = sync.OnceValues(func() (document, error) {
	doc, err := openapi3.NewLoader().LoadFromData(docs.OpenAPI)
	if err != nil {
		return document{}, err
	}
	if err := doc.Validate(context.Background(), openapi3.DisableExamplesValidation()); err != nil {
		return document{}, err
	}
	// openapi3filter compiles a schema of 3.1 anew for each value: 150 times the work of the checker
	// for 3.0. The contract has no keyword that the latter does not know; see TestOldKeywordsOnly.
	doc.OpenAPI = "3.0.3"
	d := document{doc: doc}
	for _, path := range doc.Paths.InMatchingOrder() {
		d.paths = append(d.paths, template{path, doc.Paths.Value(path), strings.Split(path, "/")})
	}
	return d, nil
})

// find is the operation of a request, and what its path says. HEAD is GET without the body. route is
// nil where the contract has no such path, or not for this method.
func (d document) find(r *http.Request) (route *routers.Route, vars map[string]string) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	segments := strings.Split(r.URL.EscapedPath(), "/")
	for _, t := range d.paths {
		op := t.item.GetOperation(method)
		vars, ok := t.match(segments)
		if op != nil && ok {
			return &routers.Route{Spec: d.doc, Path: t.path, PathItem: t.item, Method: method, Operation: op}, vars
		}
	}
	return nil, nil
}

// match says whether a path has the template's form, and what stands at its names.
func (t template) match(segments []string) (vars map[string]string, ok bool) {
	if len(segments) != len(t.segments) {
		return nil, false
	}
	vars = map[string]string{}
	for i, want := range t.segments {
		if !strings.HasPrefix(want, "{") {
			if segments[i] != want {
				return nil, false
			}
			continue
		}
		said, err := url.PathUnescape(segments[i])
		if err != nil || said == "" {
			return nil, false
		}
		vars[strings.Trim(want, "{}")] = said
	}
	return vars, true
}
