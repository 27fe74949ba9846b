package webhook

import (
	"bytes"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"carillon/channels"
	"carillon/internal/testkit"
)

// What a provider says in the body of an error stands in the recipients' error texts.
func TestWordsOfAnError(t *testing.T) {
	t.Parallel()
	pack := func(text string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write([]byte(text))
		_ = z.Close()
		return b.String()
	}
	const said = "the provider answered "
	for name, c := range map[string]struct {
		status         int
		encoding, body string
		want           string
	}{
		"a text":                {403, "", "the signature is wrong\n", said + "403 Forbidden: the signature is wrong"},
		"none":                  {403, "", "", said + "403 Forbidden"},
		"white space":           {400, "", " \r\n\t ", said + "400 Bad Request"},
		"other JSON":            {422, "", `{"error":"no such template"}`, said + `422 Unprocessable Entity: {"error":"no such template"}`},
		"our JSON":              {403, "", `{"results":[{"recvID":"bob","status":"failed"}]}`, said + "403 Forbidden"},
		"a 500":                 {500, "", "<html>\n  <body>oh dear</body>\n</html>", said + "500 Internal Server Error: <html> <body>oh dear</body> </html>"},
		"a 503":                 {503, "", "down for maintenance", said + "503 Service Unavailable: down for maintenance"},
		"a 429":                 {429, "", "slow down", said + "429 Too Many Requests: slow down"},
		"control characters":    {403, "", "a\x00b\x1b[31mc\u202ed\u2028e\r\nf\u0085g", said + "403 Forbidden: a b [31mc d e f g"},
		"a byte order mark":     {403, "", "\xef\xbb\xbfno", said + "403 Forbidden: no"},
		"no UTF-8":              {403, "", "caf\xe9 closed for today", said + "403 Forbidden: caf\ufffd closed for today"},
		"no text":               {403, "", strings.Repeat("\xff\xfe\x80", 50), said + "403 Forbidden"},
		"gzip":                  {403, "gzip", pack("packed words"), said + "403 Forbidden: packed words"},
		"gzip that nobody says": {403, "", pack("packed words"), said + "403 Forbidden: packed words"},
		"gzip that is broken":   {403, "gzip", "\x1f\x8bnothing", said + "403 Forbidden"},
		"another encoding":      {403, "br", "????", said + "403 Forbidden"},
		"its length":            {403, "", strings.Repeat("é", 5000), said + "403 Forbidden: " + strings.Repeat("é", 200)},
		"a redirect":            {302, "", "moved", said + "302 Found; redirects are not followed"},
		"the secret":            {401, "", "bad key " + testSecret + " or " + strings.TrimPrefix(testSecret, "whsec_"), said + "401 Unauthorized: bad key … or …"},
		"the signature":         {401, "", "webhook-signature: v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4= is not ours", said + "401 Unauthorized: webhook-signature: … is not ours"},
		"the URL":               {404, "", "no route /hooks/s3cr3t-t0ken?key=qu3ry%2Ft0ken&a=1 (qu3ry/t0ken)", said + "404 Not Found: no route /hooks/…?key=…&a=1 (…)"},
		"a secret at its end":   {404, "", strings.Repeat("x", 190) + "s3cr3t-t0ken s3cr3t-t0ken", said + "404 Not Found: " + strings.Repeat("x", 190) + "… …"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				if c.encoding != "" {
					rw.Header().Set("Content-Encoding", c.encoding)
				}
				rw.WriteHeader(c.status)
				_, _ = rw.Write([]byte(c.body))
			}))
			t.Cleanup(srv.Close)
			w, err := New(Config{URL: srv.URL + "/hooks/s3cr3t-t0ken?key=qu3ry%2Ft0ken&a=1", Secret: testSecret, Batch: 10})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(w.Close)
			for range 2 { // the connection is kept, and its next answer is read anew
				for i, o := range w.Send(t.Context(), batchOf(2)) {
					if o.ErrMsg != c.want || utf8.RuneCountInString(o.ErrMsg) > 255 {
						t.Errorf("recipient %d: %q, want %q", i, o.ErrMsg, c.want)
					}
				}
			}
		})
	}
}

// A status that refuses is an answer, whatever happens to the rest of it.
func TestRefusalCutOff(t *testing.T) {
	p := testkit.NewRawProvider(t, func(c net.Conn, _ int32, r *http.Request) bool {
		testkit.ReadAll(r)
		_, _ = io.WriteString(c, "HTTP/1.1 404 hunter2\r\nContent-Length: 1000\r\n\r\nhalf")
		return false
	})
	if o := sendOne(t, channelAt(t, p.URL)); o.Result != channels.Failed || o.ErrMsg != "the provider answered 404 Not Found: half" {
		t.Errorf("outcome %+v", o)
	}
}
