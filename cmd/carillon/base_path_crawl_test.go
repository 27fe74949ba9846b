package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/chromedp/cdproto/security"
	"github.com/chromedp/chromedp"

	"carillon/client"
	"carillon/internal/testkit"
	"carillon/internal/testkit/browser"
)

// belowUsers get a campaign at one a second, which runs until the test ends.
const belowUsers = 300

// pathReader goes through nginx, without JavaScript.
type pathReader struct {
	t      *testing.T
	site   string
	client *http.Client
}

// fetched is an answer that was read to its end.
type fetched struct {
	status int
	header http.Header
	body   string
}

func (b *pathReader) send(method, path string, form url.Values) fetched {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.site+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", b.site)
	}
	return b.do(req)
}

func (b *pathReader) do(req *http.Request) fetched {
	b.t.Helper()
	res, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Errorf("%s: %v", req.URL.Path, err)
	}
	return fetched{res.StatusCode, res.Header, string(raw)}
}

func (b *pathReader) read(path string, status int) string {
	b.t.Helper()
	res := b.send(http.MethodGet, path, nil)
	if res.status != status {
		b.t.Errorf("%s: %d", path, res.status)
	}
	return res.body
}

func (b *pathReader) leads(path, to string) {
	b.t.Helper()
	res := b.send(http.MethodGet, path, nil)
	if got := res.header.Get("Location"); strings.TrimPrefix(got, b.site) != to {
		b.t.Errorf("%s leads to %q, not %q", path, got, to)
	}
}

// made posts a body to the API. The answer says where the new object is, and the object is there.
func (b *pathReader) made(path, token, body string) (id string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.site+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Token", token)
	res := b.do(req)
	to := res.header.Get("Location")
	id, ok := strings.CutPrefix(to, path+"/")
	if !ok {
		b.t.Fatalf("POST %s: %d to %q", path, res.status, to)
	}
	b.read(to, http.StatusOK)
	return id
}

// furnish makes what the demo makes, so that pages have something to show.
func (b *pathReader) furnish(api, token string) {
	b.t.Helper()
	users := strings.Builder{}
	users.WriteString(`{"users":[{"userID":"below-1"}`)
	for i := range belowUsers {
		fmt.Fprintf(&users, `,{"userID":%q}`, userID(i))
	}
	if r := call(b.t, http.MethodPost, strings.TrimSuffix(api, "/carillon")+"/v1/users", token, users.String()+"]}"); r.status != http.StatusOK {
		b.t.Fatal(r.body)
	}
	c, err := client.New(client.Options{Server: api, MakeToken: func(context.Context) (string, error) { return token, nil }})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := (&show{users: belowUsers, api: c}).furnish(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

var userNumber = regexp.MustCompile(`demo-\d+`)

// crawl opens these addresses and all that their pages name, one of each kind. Each of them is there.
func (b *pathReader) crawl(todo ...string) {
	b.t.Helper()
	known, pages, streams := map[string]bool{}, 0, 0
	for i := 0; i < len(todo); i++ {
		kind := userNumber.ReplaceAllString(anyValue.ReplaceAllString(campaignID.ReplaceAllString(todo[i], "ID"), ""), "USER")
		if known[kind] {
			continue
		}
		known[kind] = true
		switch media, body, to := b.open(todo[i]); {
		case to != "":
			todo = append(todo, to)
		case strings.HasPrefix(media, "text/html"):
			pages++
			todo = append(todo, b.names(todo[i], body)...)
		case strings.HasPrefix(media, "text/event-stream"):
			streams++
		}
	}
	b.t.Logf("%d addresses, of which %d are pages and %d are streams", len(known), pages, streams)
	if pages < 40 || streams < 2 {
		b.t.Errorf("%d pages and %d streams alone: %v", pages, streams, known)
	}
}

// open asks for an address. Of a stream it reads nothing. to is where the answer leads.
func (b *pathReader) open(path string) (media, body, to string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.site+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
	res, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode >= http.StatusBadRequest {
		b.t.Errorf("%s: %d", path, res.StatusCode)
	}
	if to = res.Header.Get("Location"); to != "" && !strings.HasPrefix(to, "/carillon/") {
		b.t.Errorf("%s leads to %s", path, to)
	}
	media = res.Header.Get("Content-Type")
	if strings.HasPrefix(media, "text/event-stream") {
		return media, "", to
	}
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Errorf("%s: %v", path, err)
	}
	return media, string(raw), to
}

// holdsAddress are attributes that hold an address. What begins with a slash is one in any other attribute too.
var holdsAddress = map[string]bool{"href": true, "src": true, "action": true, "formaction": true, "spec-url": true, "hx-get": true, "hx-post": true, "hx-sse:connect": true}

// names lists what a page names and a GET asks for. All that it names stands below the path. What takes a POST is a route.
func (b *pathReader) names(path, body string) (list []string) {
	b.t.Helper()
	page, err := goquery.NewDocumentFromReader(strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	here := must(url.Parse(b.site + path))
	page.Find("*").Each(func(_ int, one *goquery.Selection) {
		for _, a := range one.Nodes[0].Attr {
			if strings.HasPrefix(a.Val, "data:") || strings.HasPrefix(a.Val, "#") || a.Key == "value" || !holdsAddress[a.Key] && !strings.HasPrefix(a.Val, "/") {
				continue
			}
			to, err := here.Parse(a.Val)
			switch {
			case err != nil:
				b.t.Errorf("%s: %q: %v", path, a.Val, err)
			case to.Host != here.Host:
				if goquery.NodeName(one) != "a" {
					b.t.Errorf("%s loads %s", path, a.Val)
				}
			case !strings.HasPrefix(to.Path, "/carillon/"):
				b.t.Errorf("%s leads out of the path: %s=%s", path, a.Key, a.Val)
			case a.Key == "hx-post" || one.AttrOr("method", "get") == "post":
				if status := b.send(http.MethodPatch, to.RequestURI(), nil).status; status != http.StatusMethodNotAllowed { // of a route, which takes no PATCH
					b.t.Errorf("%s posts to %s: %d", path, a.Val, status)
				}
			default:
				list = append(list, to.RequestURI())
			}
		}
	})
	return list
}

// tryUsers presses the button that asks for the users, when it has come.
const tryUsers = `document.querySelector("rapi-doc")?.shadowRoot.querySelector("[id='get-/v1/users'].expanded-endpoint-body api-request")
	?.shadowRoot.querySelector("[part~='btn-try']")?.click()`

// inBrowser lets scripts ask: on the page of a campaign that runs, on the contract's page and in the monitor.
func (b *pathReader) inBrowser(token, running string) {
	b.t.Helper()
	p := browser.Open(b.t, b.site+"/carillon")
	if _, err := chromedp.Call(p.Context(), security.SetIgnoreCertificateErrors, security.SetIgnoreCertificateErrorsParams{Ignore: true}); err != nil {
		b.t.Fatal(err)
	}
	p.Go("/campaigns/" + running)
	p.At("/login")
	p.Fill("Admin token", token)
	p.Click("Log in")
	p.At("/campaigns/" + running)
	mark(p)
	moves(p, b.t)
	stays(p, b.t)
	p.Go("/docs#get-/v1/users")
	testkit.Eventually(b.t, "the contract's page asks for the users", patience, func() bool {
		p.Do(chromedp.Evaluate[chromedp.Void](tryUsers))
		return strings.Contains(strings.Join(p.Asked(), " ")+" ", "/v1/users")
	}, func() any { return p.Asked() })
	p.Go("/")
	monitorAndBack(p)
	for _, asked := range p.Asked() {
		if !strings.HasPrefix(asked, b.site+"/carillon/") && !strings.HasPrefix(asked, "data:") {
			b.t.Errorf("the browser asks for %s", asked)
		}
	}
}
