package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// maxChecked is the longest body that is checked. The bodies behind it are long lists of the same.
const maxChecked = 1 << 20

const contentType = "Content-Type"

// Transport sends through base, and checks what it sends and gets against the contract. What does not
// hold is an error of t. The body of an answer is checked when it has been read to its end. Of files
// and streams the headers alone are checked, and so is a request whose body cannot be read twice.
func Transport(t testing.TB, base http.RoundTripper) http.RoundTripper {
	t.Helper()
	d, err := load()
	if err != nil {
		t.Fatalf("docs/openapi.yaml: %v", err)
	}
	return &transport{t: t, base: base, document: d}
}

type transport struct {
	document
	t    testing.TB
	base http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (tr *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.Path, "/monitor") { // asynq's own, which promises nothing
		return tr.base.RoundTrip(r)
	}
	c := &check{document: tr.document, head: r.Method == http.MethodHead}
	c.request(r)
	res, err := tr.base.RoundTrip(r)
	if err != nil {
		return res, err
	}
	c.fail = func(what string) {
		tr.t.Errorf("docs/openapi.yaml: %s %s, status %d: %s", r.Method, c.name(r), res.StatusCode, what)
	}
	c.status, c.header = res.StatusCode, res.Header
	if !c.isJSON() || c.head {
		c.answer(nil)
		return res, nil
	}
	res.Body = &body{ReadCloser: res.Body, whole: c.answer}
	return res, nil
}

// check is one request and its answer.
type check struct {
	document
	head    bool
	input   *openapi3filter.RequestValidationInput // nil: the contract has no such route
	refused error                                  // why the contract refuses the request; nil = it does not
	status  int
	header  http.Header
	fail    func(what string)
}

func (c *check) name(r *http.Request) string {
	if c.input == nil {
		return r.URL.Path
	}
	return c.input.Route.Path
}

func (c *check) isJSON() bool {
	media, _, err := mime.ParseMediaType(c.header.Get(contentType))
	return err == nil && media == "application/json"
}

// request asks the contract about a request. It reads a copy.
func (c *check) request(r *http.Request) {
	route, vars := c.find(r)
	if route == nil {
		return
	}
	asRead, options := asRead(r, route.Operation)
	c.input = &openapi3filter.RequestValidationInput{Request: asRead, PathParams: vars, Route: route, Options: options}
	c.refused = openapi3filter.ValidateRequest(r.Context(), c.input)
}

// asRead is a request as the API reads it, by the rules that the contract states at its top: an empty
// parameter is an absent one, a body is of the one type that the route takes, and a null in a body is
// an absent field, but for the fields of a PATCH itself.
func asRead(r *http.Request, op *openapi3.Operation) (*http.Request, *openapi3filter.Options) {
	options := &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, SkipSettingDefaults: true}
	read := r.Clone(r.Context())
	read.URL.RawQuery = withoutEmpty(read.URL.RawQuery)
	read.Body, read.GetBody, options.ExcludeRequestBody = http.NoBody, nil, true
	if op.RequestBody == nil || len(op.RequestBody.Value.Content) > 1 || r.GetBody == nil && r.Body != nil && r.Body != http.NoBody {
		return read, options // a file, or a body that this test sends as it comes
	}
	raw, ok := bodyOf(r)
	if !ok {
		return read, options
	}
	options.ExcludeRequestBody = false
	for media := range op.RequestBody.Value.Content {
		if read.Header.Set(contentType, media); media == "application/json" {
			raw = withoutNulls(raw, r.Method == http.MethodPatch)
		}
	}
	read.Body, read.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
	return read, options
}

// bodyOf is the body of a request, of which the request keeps its own. ok is false for a long one.
func bodyOf(r *http.Request) (raw []byte, ok bool) {
	if r.GetBody == nil {
		return nil, true
	}
	if r.ContentLength > maxChecked {
		return nil, false
	}
	again, err := r.GetBody()
	if err != nil {
		return nil, false
	}
	defer again.Close()
	raw, err = io.ReadAll(again)
	return raw, err == nil
}

func withoutEmpty(query string) string {
	parts := strings.Split(query, "&")
	parts = slices.DeleteFunc(parts, func(part string) bool {
		_, value, _ := strings.Cut(part, "=")
		return value == ""
	})
	return strings.Join(parts, "&")
}

// withoutNulls leaves fields out that are null, of a PATCH those within its fields alone. What is no JSON
// stays as it is.
func withoutNulls(raw []byte, patch bool) []byte {
	if !bytes.Contains(raw, []byte("null")) {
		return raw
	}
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return raw
	}
	if fields, ok := v.(map[string]any); ok && patch {
		for _, value := range fields {
			dropNulls(value)
		}
	} else {
		dropNulls(v)
	}
	if less, err := json.Marshal(v); err == nil {
		return less
	}
	return raw
}

func dropNulls(v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if value == nil {
				delete(v, key)
			}
			dropNulls(value)
		}
	case []any:
		for _, value := range v {
			dropNulls(value)
		}
	}
}

// answer checks an answer. raw is its body, which is JSON, or nil.
func (c *check) answer(raw []byte) {
	if c.fromServer() {
		return
	}
	if c.input == nil {
		c.routeless(raw)
		return
	}
	if c.refused != nil && c.taken(raw) {
		c.fail(fmt.Sprintf("the API takes a request that the contract refuses: %v", c.refused))
	}
	err := openapi3filter.ValidateResponse(c.input.Request.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: c.input, Status: c.status, Header: c.header, Body: io.NopCloser(bytes.NewReader(raw)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: raw == nil},
	})
	if err == nil && raw == nil {
		err = c.mediaType()
	}
	if err != nil {
		c.fail(fmt.Sprintf("%v\n%s", err, raw))
	}
}

// fromServer says that net/http has answered, before the API got to see the request.
func (c *check) fromServer() bool {
	return c.status == http.StatusRequestHeaderFieldsTooLarge || c.status == http.StatusBadRequest && !c.isJSON()
}

// taken says that a request was not refused. The routes of OpenIM refuse with 200 and a code.
func (c *check) taken(raw []byte) bool {
	var body struct{ ErrCode int }
	_ = json.Unmarshal(raw, &body)
	return c.status < http.StatusBadRequest && body.ErrCode == 0
}

// routeless checks the answer where the contract has no such route: there is none, or not for this method.
func (c *check) routeless(raw []byte) {
	name := map[int]string{http.StatusNotFound: "NotFound", http.StatusMethodNotAllowed: "MethodNotAllowed", http.StatusForbidden: "Forbidden",
		http.StatusUnprocessableEntity: "Unprocessable"}[c.status]
	if name == "" {
		c.fail("the contract has no such route")
		return
	}
	responses := openapi3.NewResponses(openapi3.WithStatus(c.status, c.doc.Components.Responses[name]))
	c.refused = nil
	c.input = &openapi3filter.RequestValidationInput{Request: &http.Request{Method: http.MethodGet}, Route: &routers.Route{
		Spec: c.doc, Path: "(no route)", Operation: &openapi3.Operation{Responses: responses}}}
	c.answer(raw)
}

// mediaType checks the type of an answer whose body is not checked.
func (c *check) mediaType() error {
	content := c.input.Route.Operation.Responses.Status(c.status).Value.Content
	given := c.header.Get(contentType)
	if len(content) > 0 && content.Get(given) == nil {
		return fmt.Errorf("the answer is of type %q", given)
	}
	return nil
}

// body hands an answer's body over as it comes. It calls whole with all of it at its end.
type body struct {
	io.ReadCloser
	read  bytes.Buffer
	whole func(raw []byte)
}

func (b *body) Read(p []byte) (n int, err error) {
	n, err = b.ReadCloser.Read(p)
	b.read.Write(p[:n])
	if err == io.EOF && b.whole != nil {
		b.whole(append([]byte{}, b.read.Bytes()...))
		b.whole = nil
	}
	return n, err
}
