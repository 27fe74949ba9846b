// Package apidocs serves the contract of the API, and a page that shows it and tries it. Nothing here
// is secret, so anybody may read it.
package apidocs

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"

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

// Contract serves docs/openapi.yaml at /openapi.yaml.
func Contract() web.Handler { return compressed("application/yaml", docs.OpenAPI).serve }

// Viewer serves the page's script at /docs/rapidoc.js.
func Viewer() web.Handler {
	f := file{media: "text/javascript; charset=utf-8", gzip: viewerGzip}
	f.tag = tagOf(viewerGzip)
	return f.serve
}

// Page serves the page at /docs.
func Page() web.Handler {
	f := compressed("text/html; charset=utf-8", pageHTML)
	return func(in *web.In) error {
		h := in.W.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		return f.serve(in)
	}
}

// file is one that never changes while the program runs.
type file struct {
	media string
	gzip  []byte
	tag   string // of its content, without quotes
}

func compressed(media string, content []byte) file {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(content) // a buffer takes everything
	_ = z.Close()
	return file{media, packed.Bytes(), tagOf(content)}
}

func tagOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:8])
}

// serve answers with the file. A browser may keep the file, and asks each time whether it still stands.
func (f file) serve(in *web.In) error {
	w, r := in.W, in.R
	packed := takesGzip(r.Header.Get("Accept-Encoding"))
	tag := `"` + f.tag + `"`
	if packed {
		tag = `"` + f.tag + `-gzip"`
	}
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", tag)
	h.Set("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", f.media)
	if packed {
		h.Set("Content-Encoding", "gzip")
		h.Set("Content-Length", strconv.Itoa(len(f.gzip)))
		_, _ = w.Write(f.gzip) // a client that is gone needs no file
		return nil
	}
	if z, err := gzip.NewReader(bytes.NewReader(f.gzip)); err == nil { // it is our own
		_, _ = io.Copy(w, z) //nolint:gosec // its size is known
	}
	return nil
}

// takesGzip reads Accept-Encoding.
func takesGzip(accepted string) bool {
	for one := range strings.SplitSeq(accepted, ",") {
		name, quality, _ := strings.Cut(one, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			q, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(quality), "q="), 64)
			return err != nil || q > 0
		}
	}
	return false
}
