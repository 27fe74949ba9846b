package apidocs

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"carillon/docs"
	"carillon/handlers/web"
)

func unpack(t *testing.T, packed []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// TestTheViewerIsTheOneOfTheReadme: the script is the file whose sum README.md names.
func TestTheViewerIsTheOneOfTheReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(unpack(t, viewerGzip))
	if !strings.Contains(string(readme), "`"+hex.EncodeToString(sum[:])+"`") {
		t.Errorf("README.md does not name the sum %x", sum)
	}
}

// TestFiles: a file comes packed to whoever takes that, as it is to others, and not again to whoever has it.
func TestFiles(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]struct {
		handler web.Handler
		media   string
		content []byte
	}{
		"contract":              {Contract(""), "application/yaml", docs.OpenAPI},
		"contract below a path": {Contract("/carillon"), "application/yaml", bytes.Replace(docs.OpenAPI, []byte("- url: /"), []byte("- url: /carillon"), 1)},
		"page":                  {Page(), "text/html; charset=utf-8", pageHTML},
		"viewer":                {Viewer(), "text/javascript; charset=utf-8", unpack(t, viewerGzip)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ask := func(headers ...string) *httptest.ResponseRecorder {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
				for i := 0; i < len(headers); i += 2 {
					r.Header.Set(headers[i], headers[i+1])
				}
				w := httptest.NewRecorder()
				if err := f.handler(&web.In{W: w, R: r}); err != nil {
					t.Error(err)
				}
				return w
			}
			plain, packed := ask(), ask("Accept-Encoding", "br;q=1.0, gzip;q=0.8")
			if plain.Code != http.StatusOK || !bytes.Equal(plain.Body.Bytes(), f.content) || plain.Header().Get("Content-Type") != f.media {
				t.Errorf("%d %v", plain.Code, plain.Header())
			}
			if packed.Header().Get("Content-Encoding") != "gzip" || !bytes.Equal(unpack(t, packed.Body.Bytes()), f.content) {
				t.Errorf("packed: %d %v", packed.Code, packed.Header())
			}
			if refused := ask("Accept-Encoding", "gzip;q=0"); refused.Header().Get("Content-Encoding") != "" {
				t.Error("packed for a client that does not take it")
			}
			tag := packed.Header().Get("ETag")
			if tag == "" || tag == plain.Header().Get("ETag") {
				t.Errorf("tags %q and %q", tag, plain.Header().Get("ETag"))
			}
			again := ask("Accept-Encoding", "gzip", "If-None-Match", tag)
			if again.Code != http.StatusNotModified || again.Body.Len() > 0 {
				t.Errorf("again: %d", again.Code)
			}
		})
	}
}
