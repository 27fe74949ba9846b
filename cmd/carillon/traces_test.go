package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"carillon/internal/testkit"
	"carillon/internal/testkit/collector"
)

// traced is a provider that notes the trace of each request. The first ones fail.
type traced struct {
	fails int

	mu      sync.Mutex
	parents []string
}

func (p *traced) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parents = append(p.parents, r.Header.Get("Traceparent"))
	if len(p.parents) <= p.fails {
		http.Error(w, "not now", http.StatusInternalServerError)
	}
}

func (p *traced) sorted() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(slices.Values(p.parents))
}

// withTraces starts carillon with a collector and a provider: on servers as two processes, the API's and
// the worker's. It returns the API's URL.
func withTraces(t *testing.T, s testkit.Stores, collectorURL, providerURL string) (base string) {
	t.Helper()
	more := []string{"--channel", "webhook", "--webhook-url", providerURL, "--webhook-batch", "100", "--otel-exporter-otlp-endpoint", collectorURL,
		"--webhook-secret", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}
	if s.Name == "embedded" {
		return serve(t, append([]string{"--data-dir", filepath.Join(t.TempDir(), "data"), "--secret", testSecret}, more...)...).ready()
	}
	flags := append(external(migrated(t, s.DatabaseURL), s.RedisURL), more...)
	spawn(t, append([]string{"serve", "--roles", "worker,scheduler"}, flags...)...)
	return spawn(t, append([]string{"serve", "--roles", "api"}, flags...)...)
}

// postTraced posts as a caller whose own trace goes on in ours.
func postTraced(t *testing.T, url, traceparent, body string) (id string) {
	t.Helper()
	req := must(http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body)))
	for name, value := range map[string]string{"operationID": "op-of-the-trace", "token": adminToken(t), "traceparent": traceparent} {
		req.Header.Set(name, value)
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw := must(io.ReadAll(res.Body))
	var got struct {
		Data struct{ CampaignID, ID string }
	}
	err = json.Unmarshal(raw, &got)
	if id = cmp.Or(got.Data.CampaignID, got.Data.ID); err != nil || id == "" {
		t.Fatalf("%d %s", res.StatusCode, raw)
	}
	return id
}

func awaitCompleted(t *testing.T, base, id string) {
	t.Helper()
	var c reply
	testkit.Eventually(t, "the campaign is completed", patience, func() bool {
		c = get(t, base+"/v1/campaigns/"+id, adminToken(t))
		return c.data["status"] == "completed"
	}, func() any { return c.body })
}

// users makes n users and stores them.
func storedUsers(t *testing.T, base string, n int) {
	t.Helper()
	for from := 0; from < n; from += 1000 {
		var users []string
		for i := from; i < min(n, from+1000); i++ {
			users = append(users, fmt.Sprintf(`{"userID":"person-%04d"}`, i))
		}
		if r := call(t, http.MethodPost, base+"/v1/users", adminToken(t), `{"users":[`+strings.Join(users, ",")+`]}`); r.status != http.StatusOK {
			t.Fatal(r.body)
		}
	}
}

const (
	callersTrace = "0af7651916cd43dd8448eb211c80319c"
	callersSpan  = "b7ad6b7169203331"
)

// One POST to three pages is one trace: the caller's. Under the POST stands the plan, under the plan each visit to a page, and
// under the visits the requests that the provider got. A page whose request failed leaves the window, and comes back by a task
// that no span has enqueued.
func TestAPostIsOneTrace(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		c, provider := collector.Start(t), &traced{fails: 1}
		hook := httptest.NewServer(provider)
		t.Cleanup(hook.Close)
		base := withTraces(t, s, c.URL, hook.URL+"/a-token-in-the-path")
		storedUsers(t, base, 2500)
		id := postTraced(t, base+"/v1/campaigns", "00-"+callersTrace+"-"+callersSpan+"-01",
			`{"message":{"sendID":"imAdmin","content":{"content":"between us"},"contentType":101},"audience":{"all":true}}`)
		awaitCompleted(t, base, id)

		spans := wholeTrace(t, c, provider)
		posted := onlyOne(t, spans, "POST /v1/campaigns")
		plan := onlyOne(t, spans, "plan")
		if posted.Parent != callersSpan || plan.Parent != posted.ID {
			t.Errorf("the POST %+v\nthe plan %+v", posted, plan)
		}
		pages, visits := map[string]bool{}, map[string]bool{}
		for _, v := range spansNamed(spans, "visit") {
			if v.Parent != plan.ID {
				t.Errorf("not under the plan: %+v", v)
			}
			pages[v.Attributes["carillon.page"]], visits[v.ID] = true, true
		}
		if got := slices.Sorted(maps.Keys(pages)); !slices.Equal(got, []string{"0", "1", "2"}) {
			t.Errorf("the pages visited are %v", got)
		}
		requestsOf(t, spans, visits, provider)
		for _, one := range append(spansNamed(spans, "visit"), posted, plan) {
			if one.Attributes["operationID"] != "op-of-the-trace" {
				t.Errorf("without the operationID: %+v", one)
			}
		}
		nothingPersonal(t, c)
	})
}

// A list of one page has no plan: its visits stand under the POST.
func TestAListIsOneTrace(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		c, provider := collector.Start(t), &traced{}
		hook := httptest.NewServer(provider)
		t.Cleanup(hook.Close)
		base := withTraces(t, s, c.URL, hook.URL)
		id := postTraced(t, base+"/msg/batch_send_msg", "00-"+callersTrace+"-"+callersSpan+"-01",
			`{"sendID":"imAdmin","content":{"content":"between us"},"contentType":101,"sessionType":1,"recvIDs":["person-1","person-2"]}`)
		awaitCompleted(t, base, id)
		spans := wholeTrace(t, c, provider)
		posted := onlyOne(t, spans, "POST /msg/batch_send_msg")
		visit := onlyOne(t, spans, "visit")
		if posted.Parent != callersSpan || visit.Parent != posted.ID {
			t.Errorf("the POST %+v\nthe visit %+v", posted, visit)
		}
		requestsOf(t, spans, map[string]bool{visit.ID: true}, provider)
		nothingPersonal(t, c)
	})
}

// wholeTrace waits until the collector has all of the caller's trace.
func wholeTrace(t *testing.T, c *collector.Collector, p *traced) (spans []collector.Span) {
	t.Helper()
	testkit.Eventually(t, "the collector has the trace", patience, func() bool {
		spans = c.Spans(callersTrace)
		missing := map[string]bool{}
		for _, s := range spans {
			missing[s.Parent] = true
		}
		for _, s := range spans {
			delete(missing, s.ID)
		}
		delete(missing, callersSpan)
		return len(missing) == 0 && len(spansNamed(spans, "POST")) == len(p.sorted())
	}, func() any { return spans })
	return spans
}

func spansNamed(spans []collector.Span, name string) (found []collector.Span) {
	for _, s := range spans {
		if s.Name == name {
			found = append(found, s)
		}
	}
	return found
}

func onlyOne(t *testing.T, spans []collector.Span, name string) collector.Span {
	t.Helper()
	found := spansNamed(spans, name)
	if len(found) != 1 {
		t.Fatalf("%d spans %q in %+v", len(found), name, spans)
	}
	return found[0]
}

// requestsOf checks that the requests stand under the visits, and that the provider was told of each.
func requestsOf(t *testing.T, spans []collector.Span, visits map[string]bool, p *traced) {
	t.Helper()
	var want []string
	failed := 0
	for _, r := range spansNamed(spans, "POST") {
		status := map[bool]string{false: "200", true: "500"}[r.Failed]
		if !visits[r.Parent] || r.Attributes["http.response.status_code"] != status || r.Attributes["server.address"] != "127.0.0.1" {
			t.Errorf("a request: %+v", r)
		}
		if r.Failed {
			failed++
		}
		want = append(want, r.Traceparent())
	}
	if failed != p.fails {
		t.Errorf("%d requests failed, not %d", failed, p.fails)
	}
	slices.Sort(want)
	if got := p.sorted(); len(got) == 0 || !slices.Equal(got, want) {
		t.Errorf("the provider saw\n%v\nnot\n%v", got, want)
	}
}

// nothingPersonal checks everything that the collector got, of all traces.
func nothingPersonal(t *testing.T, c *collector.Collector) {
	t.Helper()
	for _, s := range c.Spans("") {
		text := fmt.Sprintf("%+v", s)
		for _, secret := range []string{"person-", "imAdmin", "between us", "a-token", "whsec_"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in %s", secret, text)
			}
		}
		if s.Service != "carillon" {
			t.Errorf("the service of %s", text)
		}
	}
	if refused := c.Refused(); len(refused) > 0 {
		t.Error(refused)
	}
}
