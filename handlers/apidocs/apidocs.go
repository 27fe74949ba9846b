// Package apidocs serves the contract of the API, and a page that shows it and tries it. Nothing here
// is secret, so anybody may read it.
package apidocs

import (
	"bytes"
	_ "embed"

	"carillon/docs"
	"carillon/handlers/web"
)

var (
	//go:embed docs.html
	pageHTML []byte
	// viewerGzip is RapiDoc; README.md says which, and where from.
	//
	//go:embed rapidoc.js.gz
	viewerGzip []byte
)

// policy lets the page load the viewer and the contract, and ask this server. The viewer styles its
// elements by attributes, and by style elements whose text depends on its settings. So inline styles
// are allowed. A style can reach no other site, because nothing may be loaded from there.
const policy = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self'; img-src data:; " +
	"form-action 'none'; frame-ancestors 'none'; base-uri 'none'"

// Contract serves docs/openapi.yaml at /openapi.yaml. base is the path below which the server stands;
// empty = at the root.
func Contract(base string) web.Handler {
	contract := docs.OpenAPI
	if base != "" {
		contract = bytes.Replace(contract, []byte("\n  - url: /\n"), []byte("\n  - url: "+base+"\n"), 1)
	}
	return web.Compressed("application/yaml", contract).Serve
}

// Viewer serves the page's script at /docs/rapidoc.js.
func Viewer() web.Handler {
	return web.Packed("text/javascript; charset=utf-8", viewerGzip).Serve
}

// Page serves the page at /docs.
func Page() web.Handler {
	f := web.Compressed("text/html; charset=utf-8", pageHTML)
	return func(in *web.In) error {
		web.PageHeaders(in.W.Header(), policy)
		return f.Serve(in)
	}
}
