package contract

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"gopkg.in/yaml.v3"

	"carillon/docs"
)

// TestExamples: the contract is good OpenAPI 3.1, and each of its examples is what it stands for.
func TestExamples(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromData(docs.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	if !doc.IsOpenAPI31OrLater() {
		t.Errorf("the contract is of %s", doc.OpenAPI)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestOldKeywordsOnly: the checker that Transport uses reads over the keywords that came with JSON
// Schema 2020-12, so the contract has none of them.
func TestOldKeywordsOnly(t *testing.T) {
	t.Parallel()
	unknown := []string{"$defs", "$dynamicRef", "const", "contains", "contentSchema", "dependentRequired", "dependentSchemas", "else", "if",
		"patternProperties", "prefixItems", "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties"}
	var root yaml.Node
	if err := yaml.Unmarshal(docs.OpenAPI, &root); err != nil {
		t.Fatal(err)
	}
	keys := 0
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		for i, child := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 {
				keys++
				if slices.Contains(unknown, child.Value) {
					t.Errorf("line %d: the tests do not check %s", child.Line, child.Value)
				}
			}
			walk(child)
		}
	}
	if walk(&root); keys < 1000 {
		t.Errorf("%d keys", keys)
	}
}

// heard is a testing.TB that keeps what is said to it.
type heard struct {
	testing.TB
	said []string
}

func (h *heard) Errorf(format string, args ...any) {
	h.said = append(h.said, fmt.Sprintf(format, args...))
}

// answers is a server that gives one answer to everything.
type answers http.Response

func (a *answers) RoundTrip(*http.Request) (*http.Response, error) {
	res := http.Response(*a)
	return &res, nil
}

const refusal = `{"errCode":1004,"errMsg":"RecordNotFoundError","errDlt":"campaign not found"}`

// TestTransport: what does not hold is found, and nothing else.
func TestTransport(t *testing.T) {
	t.Parallel()
	const group = `{"errCode":0,"errMsg":"","errDlt":"","data":{"groupID":"g","name":"","memberCount":1}}`
	const asJSON = "application/json; charset=utf-8"
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		media, answer            string
		found                    string // empty = nothing is wrong
	}{
		{"good", "GET", "/v1/groups/g", "", 200, asJSON, group, ""},
		{"key left out", "GET", "/v1/groups/g", "", 200, asJSON, strings.Replace(group, `"name":"",`, "", 1), "name"},
		{"other type", "GET", "/v1/groups/g", "", 200, asJSON, strings.Replace(group, `"memberCount":1`, `"memberCount":"1"`, 1), "memberCount"},
		{"key too much", "GET", "/v1/groups/g", "", 200, asJSON, strings.Replace(group, `"name"`, `"size":1,"name"`, 1), "size"},
		{"null", "GET", "/v1/groups/g", "", 200, asJSON, strings.Replace(group, `"name":""`, `"name":null`, 1), "name"},
		{"no data", "GET", "/v1/groups/g", "", 200, asJSON, `{"errCode":0,"errMsg":"","errDlt":""}`, "data"},
		{"no body", "GET", "/v1/groups/g", "", 200, asJSON, "", "body"},
		{"HEAD", "HEAD", "/v1/groups/g", "", 200, asJSON, "", ""},
		{"other status", "GET", "/v1/groups/g", "", 202, asJSON, group, "status is not supported"},
		{"other media type", "GET", "/v1/groups/g", "", 200, "text/html", group, "text/html"},
		{"code of success", "GET", "/v1/groups/g", "", 404, asJSON, strings.Replace(refusal, "1004", "0", 1), "errCode"},
		{"refused", "GET", "/v1/groups/g", "", 404, asJSON, refusal, ""},
		{"503 without Retry-After", "GET", "/v1/groups/g", "", 503, asJSON, refusal, "Retry-After"},
		{"encoded ID", "GET", "/v1/groups/a%2Fb", "", 200, asJSON, group, ""},
		{"no route", "GET", "/v1/nothing", "", 404, asJSON, refusal, ""},
		{"route of no contract", "GET", "/v1/nothing", "", 200, asJSON, group, "no such route"},
		{"405 without Allow", "DELETE", "/v1/groups", "", 405, asJSON, refusal, "Allow"},
		{"body taken", "PUT", "/v1/groups/g", `{"memberIDs":["a"]}`, 200, asJSON, group, ""},
		{"null taken", "PUT", "/v1/groups/g", `{"name":null,"memberIDs":["a"]}`, 200, asJSON, group, ""},
		{"wrong body taken", "PUT", "/v1/groups/g", `{"memberIDs":[1]}`, 200, asJSON, group, "the contract refuses"},
		{"wrong body refused", "PUT", "/v1/groups/g", `{"memberIDs":[1]}`, 404, asJSON, refusal, "status is not supported"},
		{"null in PATCH taken", "PATCH", "/v1/campaigns/c", `{"name":null}`, 422, asJSON, refusal, ""},
		{"parameter taken", "GET", "/v1/groups?limit=0", "", 200, asJSON, `{"errCode":0,"errMsg":"","errDlt":"","data":{"groups":[],"nextCursor":""}}`, "the contract refuses"},
		{"empty parameter", "GET", "/v1/groups?limit=&cursor=", "", 200, asJSON, `{"errCode":0,"errMsg":"","errDlt":"","data":{"groups":[],"nextCursor":""}}`, ""},
		{"no operationID taken", "POST", "/auth/get_admin_token", `{"secret":"s","userID":"u"}`, 200, asJSON,
			`{"errCode":0,"errMsg":"","errDlt":"","data":{"token":"t","expireTimeSeconds":1}}`, "the contract refuses"},
		{"no operationID refused with 200", "POST", "/auth/get_admin_token", `{"secret":"s","userID":"u"}`, 200, asJSON, refusal, ""},
		{"stream", "GET", "/v1/inbox/u/stream", "", 200, "text/event-stream", "event: x\n\n", ""},
		{"stream as JSON", "GET", "/v1/inbox/u/stream", "", 200, asJSON, "{}", "application/json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var from io.Reader
			if c.body != "" {
				from = strings.NewReader(c.body)
			}
			req, err := http.NewRequestWithContext(t.Context(), c.method, "http://carillon"+c.path, from)
			if err != nil {
				t.Fatal(err)
			}
			h := &heard{TB: t}
			server := &answers{StatusCode: c.status, Header: http.Header{"Content-Type": {c.media}}, Body: io.NopCloser(strings.NewReader(c.answer))}
			res, err := Transport(h, server).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if got, err := io.ReadAll(res.Body); err != nil || string(got) != c.answer {
				t.Fatalf("the reader gets %q, %v", got, err)
			}
			if (len(h.said) > 0) != (c.found != "") || !strings.Contains(strings.Join(h.said, "\n"), c.found) {
				t.Errorf("found %q, not %q", h.said, c.found)
			}
		})
	}
}

// BenchmarkTransport is what the check of one request and its answer costs.
func BenchmarkTransport(b *testing.B) {
	const group = `{"errCode":0,"errMsg":"","errDlt":"","data":{"groupID":"g","name":"","memberCount":1}}`
	for b.Loop() {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPut, "http://carillon/v1/groups/g", strings.NewReader(`{"memberIDs":["a"]}`))
		if err != nil {
			b.Fatal(err)
		}
		server := &answers{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(group))}
		res, err := Transport(b, server).RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
}
