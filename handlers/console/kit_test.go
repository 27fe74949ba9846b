package console_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"carillon/channels"
	"carillon/channels/inbox"
	"carillon/handlers"
	"carillon/handlers/console"
	"carillon/handlers/web"
	"carillon/internal/testkit"
	"carillon/models"
)

const (
	secret = "a secret for tests only"
	admin  = "imAdmin"
)

// site is the console on fresh stores, behind a real HTTP server, and a browser without JavaScript that is logged in.
type site struct {
	*handlers.API
	t       testing.TB
	URL     string
	browser *http.Client
}

// newSite serves the API and its console until the test ends. No worker runs: what is posted stays as it is. change may
// replace any part before it serves.
func newSite(t testing.TB, stores testkit.Stores, change ...func(*handlers.API)) *site {
	t.Helper()
	conn, err := asynq.ParseRedisURI(stores.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	rdb, ok := conn.MakeRedisClient().(redis.UniversalClient)
	if !ok {
		t.Fatal("asynq makes another client")
	}
	t.Cleanup(func() { _ = rdb.Close() })
	api := &handlers.API{
		Gate: web.Gate{
			Store: testkit.OpenStore(t, stores.DatabaseURL), Redis: rdb, Patience: testkit.Patience, Secret: secret, Admins: []string{admin, "openIMAdmin"},
			Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		},
		RedisConn: conn,
		Enqueue:   func(context.Context, models.Created) error { return nil },
		Describe:  func([]byte) string { return "" },
		Ready:     func(context.Context) []handlers.Problem { return nil },
		Channels:  []channels.Traits{inbox.New(nil).Traits()},
		Zone:      "UTC",
	}
	for _, f := range change {
		f(api)
	}
	server := httptest.NewServer(api.Routes(console.New(api).Add))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		api.Close()
	})
	s := &site{API: api, t: t, URL: server.URL + api.BasePath}
	s.browser = s.newBrowser()
	s.logIn(s.browser)
	return s
}

// newBrowser has cookies of its own, and follows no redirect.
func (s *site) newBrowser() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (s *site) adminToken() string {
	s.t.Helper()
	token, err := web.AdminToken(secret, admin)
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

func (s *site) logIn(browser *http.Client) {
	s.t.Helper()
	res := s.send(browser, http.MethodPost, "/login", url.Values{"token": {s.adminToken()}})
	if res.StatusCode != http.StatusSeeOther {
		s.t.Fatalf("log-in: %d", res.StatusCode)
	}
}

// seen is a page as it came.
type seen struct {
	*goquery.Document
	Status int
	Header http.Header
	Raw    string
}

// text is what the selected elements show, its white space folded.
func (p seen) text(selector string) string {
	return strings.Join(strings.Fields(p.Find(selector).Text()), " ")
}

// get opens a page and holds it to what all pages must keep.
func (s *site) get(path string) seen {
	s.t.Helper()
	return s.read(s.send(s.browser, http.MethodGet, path, nil), path)
}

// post sends a form. A page that comes back is held to what all pages must keep.
func (s *site) post(path string, form url.Values) seen {
	s.t.Helper()
	return s.read(s.send(s.browser, http.MethodPost, path, form), path)
}

func (s *site) send(browser *http.Client, method, path string, form url.Values) *http.Response {
	s.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.URL+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	res, err := browser.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	return res
}

// ask is a GET with headers of its own.
func (s *site) ask(path string, headers http.Header) *http.Response {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.URL+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	maps.Copy(req.Header, headers)
	res, err := s.browser.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	return res
}

func (s *site) read(res *http.Response, path string) seen {
	s.t.Helper()
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	doc, err := goquery.NewDocumentFromReader(strings.NewReader(string(raw)))
	if err != nil {
		s.t.Fatal(err)
	}
	p := seen{doc, res.StatusCode, res.Header, string(raw)}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") && len(raw) > 0 && doc.Find("main#main").Length() > 0 {
		for _, fault := range faults(p) {
			s.t.Errorf("%s (%d): %s", path, res.StatusCode, fault)
		}
	}
	return p
}

// wrongPlural is one of something, with the noun of many.
var wrongPlural = regexp.MustCompile(`(^|[^\d.,:/-])1 (more )?(campaigns|groups|lines|log-ins|members|messages|pages|recipients|rows|schedules|slots|users)\b`)

// faults are what no page may have.
func faults(p seen) (found []string) {
	fault := func(what string, selected *goquery.Selection) {
		selected.Each(func(_ int, one *goquery.Selection) {
			html, err := goquery.OuterHtml(one)
			found = append(found, what+": "+html[:min(len(html), 160)])
			if err != nil {
				found = append(found, err.Error())
			}
		})
	}
	for _, leak := range []string{"<no value>", "ZgotmplZ", "%!", "&lt;nil&gt;", "0001-01-01"} {
		if strings.Contains(p.Raw, leak) {
			found = append(found, "the page shows "+leak)
		}
	}
	for _, wrong := range wrongPlural.FindAllString(p.Find("main").Text(), -1) {
		found = append(found, "a wrong plural: "+wrong)
	}
	fault("a row of buttons without a button", p.Find(".actions").FilterFunction(func(_ int, one *goquery.Selection) bool { return one.Children().Length() == 0 }))
	fault("an inline style", p.Find("[style], style"))
	fault("an inline script", p.Find("script:not([src]), [onclick], [onload], [onerror]"))
	fault("from another site", p.Find("[src^='http'], link[href^='http'], [src^='//']"))
	if n := p.Find("h1").Length(); n != 1 {
		found = append(found, "not exactly one h1")
	}
	ids := map[string]bool{}
	p.Find("[id]").Each(func(_ int, one *goquery.Selection) {
		id := one.AttrOr("id", "")
		if ids[id] {
			found = append(found, "two elements with the id "+id)
		}
		ids[id] = true
	})
	p.Find("label[for], [aria-describedby]").Each(func(_ int, one *goquery.Selection) {
		for id := range strings.FieldsSeq(one.AttrOr("for", "") + " " + one.AttrOr("aria-describedby", "")) {
			if !ids[id] {
				fault("it names no element", one)
			}
		}
	})
	labelled := p.Find("label input, label select, label textarea, [aria-label], [type=hidden]")
	fault("a control without a label", p.Find("input, select, textarea").NotSelection(labelled).FilterFunction(func(_ int, one *goquery.Selection) bool {
		return p.Find("label[for='"+one.AttrOr("id", "?")+"']").Length() == 0
	}))
	fault("a form that can only be sent with JavaScript", p.Find("form[hx-post], form[hx-get]").Not("[action]"))
	return found
}

// users puts users with these IDs into the directory.
func (s *site) users(ids ...string) {
	s.t.Helper()
	users := make([]models.UserChange, len(ids))
	for i, id := range ids {
		users[i].UserID = id
	}
	if _, err := s.Store.UpsertUsers(s.t.Context(), users); err != nil {
		s.t.Fatal(err)
	}
}

// campaign posts a campaign over the operation that the API has, and returns its ID.
func (s *site) campaign(change func(*handlers.CampaignBody)) string {
	s.t.Helper()
	all := true
	body := handlers.CampaignBody{
		Name: "spring", Audience: &handlers.AudienceBody{All: &all},
		Message: &handlers.MessageBody{SendID: admin, SessionType: 1, ContentType: 101, Content: []byte(`{"content":"hello"}`)},
	}
	if change != nil {
		change(&body)
	}
	ctx, _ := s.callAs(admin)
	made, err := s.CreateCampaign(ctx, web.Call{Caller: web.Caller{UserID: admin, Admin: true}, OperationID: "test", Route: "test"}, body)
	if err != nil {
		var refused *models.Error
		if errors.As(err, &refused) {
			s.t.Fatalf("%v %v", err, refused.Fields)
		}
		s.t.Fatal(err)
	}
	return made.ID
}
