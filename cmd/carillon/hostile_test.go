package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/hibiken/asynq"

	"carillon/internal/testkit"
	"carillon/internal/testkit/browser"
)

const (
	hostileTag  = "<img src=pwned onerror=window.pwned=1>"
	hostileText = "<script>window.pwned=1</script>\"'>" + hostileTag + "{{.}}\u202e</title></textarea><svg onload=window.pwned=1>"
	hostileID   = `"'>` + hostileTag
	oddID       = "../%2F..//a?b#c&d=7" // the provider refuses what ends with 7
)

// shownPage is what the walk looks for on each page.
type shownPage struct {
	Links   []string
	Pwned   bool
	Bad     []string // links that are no addresses of pages
	Shows   bool     // the page shows one of the texts as a text
	Heading string
}

const look = `({
	Links: [...document.querySelectorAll("a[href]:not([download])")].map(a => a.href).filter(to => to.startsWith(location.origin + "/")),
	Bad: [...document.querySelectorAll("a[href], img[src], form[action]")].map(e => e.href || e.src || e.action).filter(to => !/^(https?|data:image\/)/.test(to)),
	Pwned: window.pwned !== undefined,
	Shows: /<script>window|<img src=pwned|\.\.\/%2F\.\./.test(document.body.innerText),
	Heading: document.querySelector("h1")?.innerText || "",
})`

// TestHostileNames: names, IDs, messages and error texts that hold HTML stay texts, in the console and in the queue's monitor.
// Another site can neither post to the console nor show it in a frame.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	_, flags := newGate(t, hostileText)
	redis := testkit.RedisURL(t)
	site := serve(t, append(flags, external(migrated(t, testkit.MySQLURL(t)), redis)...)...).ready()
	post := func(method, path string, body any) reply {
		t.Helper()
		r := call(t, method, site+path, adminToken(t), string(must(json.Marshal(body))))
		if r.status >= 300 {
			t.Fatalf("%s: %d %s", path, r.status, r.body)
		}
		return r
	}
	type object map[string]any
	post(http.MethodPost, "/v1/users", object{"users": []object{
		{"userID": hostileID, "nickname": hostileText, "faceURL": "javascript:window.pwned=1", "ex": hostileText}, {"userID": oddID, "nickname": hostileText},
	}})
	post(http.MethodPut, "/v1/groups/"+url.PathEscape(hostileID), object{"name": hostileText, "memberIDs": []string{hostileID, oddID}})
	post(http.MethodPut, "/v1/groups/"+url.PathEscape(oddID), object{"name": hostileText, "memberIDs": []string{oddID}})
	message := object{"sendID": "imAdmin", "senderNickname": hostileText, "contentType": 101, "sessionType": 2, "content": object{"content": hostileText}}
	group := object{"groupID": hostileID}
	id, _ := post(http.MethodPost, "/v1/campaigns", object{"name": hostileText, "channel": "webhook", "audience": group, "message": message}).data["id"].(string)
	stored, _ := post(http.MethodPost, "/v1/campaigns", object{"name": hostileText, "channel": "inbox", "audience": group, "message": message}).data["id"].(string)
	post(http.MethodPost, "/v1/schedules", object{"name": hostileText, "cron": "0 9 * * *", "timezone": "UTC", "campaign": object{"audience": object{"groupID": oddID}, "message": message}})
	notice := object{"sendID": "imAdmin", "contentType": 1400, "sessionType": 4, "content": object{
		"notificationName": hostileText, "notificationType": 1, "text": hostileText, "url": "javascript:window.pwned=1", "mixType": 0,
	}}
	later, _ := post(http.MethodPost, "/v1/campaigns", object{"name": hostileText, "audience": object{"all": true}, "message": notice, "sendAt": "2040-01-01T00:00:00Z"}).data["id"].(string)
	conn, err := asynq.ParseRedisURI(redis)
	if err != nil {
		t.Fatal(err)
	}
	queue := asynq.NewClient(conn) // nobody works on the queue below, and the task stays in it
	t.Cleanup(func() { _ = queue.Close() })
	if _, err := queue.Enqueue(asynq.NewTask(hostileText, []byte(hostileText)), asynq.TaskID(hostileID), asynq.Queue("odd")); err != nil {
		t.Fatal(err)
	}
	var view string
	for id, counts := range map[string][]string{id: {`"sent":1`, `"failed":1`}, stored: {`"sent":2`}} {
		testkit.Eventually(t, "each has an outcome", patience, func() bool {
			view = get(t, site+"/v1/campaigns/"+id, adminToken(t)).body
			return !slices.ContainsFunc(counts, func(count string) bool { return !strings.Contains(view, count) })
		}, func() any { return view })
	}

	p := logIn(t, site)
	p.Go("/import")
	p.Upload("file", write(t, hostileTag+".csv", "userID,nickname,timezone\nu1,n,"+hostileTag+"\n<b>,"+hostileTag+",\n"))
	p.Click("Import")
	p.Sees("1 of 2 rows are taken.")
	safe(t, p, "what an import has done")
	p.Allow("422") // which the browser calls a failure, and is the answer to a filter that is refused
	walkAll(t, p, site, "/", "/campaigns/"+id, "/campaigns/"+id+"/failures", "/campaigns/"+later, "/campaigns/new?copy="+later,
		"/search?q="+url.QueryEscape(hostileID), "/search?q="+url.QueryEscape(oddID), "/try?user="+url.QueryEscape(hostileID),
		"/users?search="+url.QueryEscape(hostileTag), "/users?nickname="+url.QueryEscape(hostileText+"x"), "/campaigns?name="+url.QueryEscape(hostileText+"x"),
		"/events?actor="+url.QueryEscape(hostileID), "/events?kind="+url.QueryEscape(hostileText))
	for path, words := range map[string]string{ // whose words come after the page itself
		"/campaigns/" + id: "Retry the one that failed", "/monitor/": "bulk", "/monitor/servers": "transactional", "/monitor/schedulers": "Scheduler", "/monitor/redis": "Redis",
		"/monitor/queues/odd?status=pending": "<script>window", "/monitor/queues/odd/tasks/" + url.PathEscape(hostileID): "<script>window",
	} {
		p.Go(path)
		p.Sees(words)
		safe(t, p, path)
	}
	fromAnotherSite(t, p, site)
	for _, asked := range p.Asked() {
		if strings.HasSuffix(asked, "/pwned") {
			t.Errorf("a page asks for %s", asked)
		}
	}
}

// safe looks at the page for what a script of a name has done.
func safe(t *testing.T, p *browser.Page, what string) shownPage {
	t.Helper()
	s := browser.Run(p, chromedp.Evaluate[shownPage](look))
	if s.Pwned || len(s.Bad) > 0 {
		t.Errorf("%s, %q: a script has run: %t; links %q", what, s.Heading, s.Pwned, s.Bad)
	}
	return s
}

var (
	campaignID = regexp.MustCompile(`[0-9A-HJKMNP-TV-Z]{26}`)
	anyValue   = regexp.MustCompile(`(cursor|older|day)=[^&]*`)
	noPages    = regexp.MustCompile(`^/(monitor|v1|docs)/`)
)

// walkAll opens these pages, and all that can be reached from them: of campaigns and schedules one page of each kind.
func walkAll(t *testing.T, p *browser.Page, site string, todo ...string) {
	t.Helper()
	first, known, shows := len(todo), map[string]bool{}, 0
	for i := 0; i < len(todo); i++ {
		path := todo[i]
		kind := anyValue.ReplaceAllString(campaignID.ReplaceAllString(path, "ID"), "")
		if i >= first && known[kind] || noPages.MatchString(path) {
			continue
		}
		known[kind] = true
		status := p.Go(path)
		s := safe(t, p, path)
		if status != http.StatusOK && status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %q", path, status, s.Heading)
		}
		if s.Shows {
			shows++
		}
		for _, to := range s.Links {
			to, _, _ = strings.Cut(strings.TrimPrefix(to, site), "#")
			todo = append(todo, to)
		}
	}
	t.Logf("%d kinds of pages, and %d pages show the texts", len(known), shows)
	if shows < 25 {
		t.Errorf("%d pages show the texts, and %d kinds of pages were seen", shows, len(known))
	}
}

// fromAnotherSite lets a page of another site post to the console and show it.
func fromAnotherSite(t *testing.T, p *browser.Page, site string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<!doctype html><title>x</title><link rel="icon" href="data:,"><iframe src="%s/campaigns"></iframe><form method="post" action="%s/pause/campaigns"><button>Win</button></form>`, site, site)
	}))
	t.Cleanup(server.Close)
	p.Do(chromedp.Navigate(strings.Replace(server.URL, "127.0.0.1", "localhost", 1)))
	testkit.Eventually(t, "the browser shows no frame", testkit.Patience, func() bool { return strings.Contains(strings.Join(p.Faults(), "\n"), "frame-ancestors 'none'") })
	p.Allow("frame-ancestors 'none'")
	p.Allow("403 (Forbidden) " + site + "/pause/campaigns")
	p.Click("Win")
	p.At("/pause/campaigns")
	p.Sees("another site")
	if r := get(t, site+"/v1/campaigns?status=paused", adminToken(t)); !strings.Contains(r.body, `"campaigns":[]`) {
		t.Errorf("another site has paused %s", r.body)
	}
}
