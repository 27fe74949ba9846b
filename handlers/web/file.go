package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// packedFrom is from how many bytes on a page is compressed. A smaller one fits into one packet as it is.
const packedFrom = 1400

// packers are reused: a new one takes a megabyte.
var packers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is one that there is
	return z
}}

// SendPage answers with a page, compressed for whoever takes that. Compression tells nothing of a page to those who cannot read
// it: another site gets no answer of a session, and no page holds a secret beside what such a site can choose.
func SendPage(in *In, status int, body []byte) {
	h := in.W.Header()
	h.Add("Vary", "Accept-Encoding")
	if len(body) >= packedFrom && takesGzip(in.R.Header.Get("Accept-Encoding")) {
		var packed bytes.Buffer
		z, _ := packers.Get().(*gzip.Writer)
		z.Reset(&packed)
		_, _ = z.Write(body) // a buffer takes everything
		_ = z.Close()
		packers.Put(z)
		h.Set("Content-Encoding", "gzip")
		body = packed.Bytes()
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	in.W.WriteHeader(status)
	_, _ = in.W.Write(body) // a client that is gone needs no page
}

// File is one that never changes while the program runs.
type File struct {
	media string
	gzip  []byte
	tag   string // of its content, without quotes
}

// Compressed is a file that is sent compressed to whoever takes that.
func Compressed(media string, content []byte) *File {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(content) // a buffer takes everything
	_ = z.Close()
	return &File{media, packed.Bytes(), tagOf(content)}
}

func tagOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:8])
}

// Packed is a file whose content is compressed already, by gzip.
func Packed(media string, content []byte) *File { return &File{media, content, tagOf(content)} }

// Serve answers with the file. A browser may keep the file, and asks each time whether it still stands.
func (f *File) Serve(in *In) error {
	w, r := in.W, in.R
	packed := takesGzip(r.Header.Get("Accept-Encoding"))
	tag := `"` + f.tag + `"`
	if packed {
		tag = `"` + f.tag + `-gzip"`
	}
	h := w.Header()
	if in.Query("v") == f.tag { // a page names the file by its content
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
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

// Tag is of the file's content. With ?v= and the tag a browser keeps the file and does not ask again.
func (f *File) Tag() string { return f.tag }

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
