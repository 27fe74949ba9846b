package console_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"carillon/channels"
	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/internal/testkit"
	"carillon/models"
)

// oddTexts are texts that must come back as they are, and never as a part of the page.
var oddTexts = []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `{{.}}`, `a/b%2F..`, "\u202Ertl", `';--`, `javascript:alert(1)`}

// put puts a user with all of its texts into the directory.
func (s *site) put(users ...models.UserChange) {
	s.t.Helper()
	if _, err := s.Store.UpsertUsers(s.t.Context(), users); err != nil {
		s.t.Fatal(err)
	}
}

func call() web.Call {
	return web.Call{Caller: web.Caller{UserID: admin, Admin: true}, OperationID: "test", Route: "test"}
}

// addresses are where the selected links lead.
func (p seen) addresses(selector string) (list []string) {
	for _, a := range p.Find(selector).EachIter() {
		list = append(list, a.AttrOr("href", ""))
	}
	return list
}

// upload sends a form with a file.
func (s *site) upload(name, content string, options url.Values) seen {
	s.t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for option := range options {
		_ = w.WriteField(option, options.Get(option))
	}
	part, err := w.CreateFormFile("file", name)
	if err != nil {
		s.t.Fatal(err)
	}
	_, _ = io.WriteString(part, content)
	_ = w.Close()
	return s.read(s.sendBody("/import", w.FormDataContentType(), &body), "/import")
}

func (s *site) sendBody(path, contentType string, body io.Reader) *http.Response {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.URL+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	res, err := s.browser.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	return res
}

func TestUserPages(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		if p := s.get("/users"); !strings.Contains(p.text(".empty"), "carillon users import") || !slices.Contains(p.addresses("main a"), "/import") {
			t.Errorf("%s", p.text("main"))
		}
		zone, ex, yes := "Asia/Kathmandu", `{"a":"<b>"}`, true
		for _, text := range oddTexts {
			s.put(models.UserChange{UserID: text, Nickname: &text, FaceURL: &text, Ex: &ex, Timezone: &zone, Refuses: &yes})
		}
		name, small := "Maria", "maria"
		s.put(models.UserChange{UserID: "u1", Nickname: &name}, models.UserChange{UserID: "u2", Nickname: &small})
		id := s.campaign(func(b *handlers.CampaignBody) { b.Name = oddTexts[0] })

		p := s.get("/users")
		if p.text(".head .soft") != "9 users" || p.Find("tbody tr").Length() != 9 {
			t.Errorf("%s", p.text("main"))
		}
		for _, text := range oddTexts {
			p := s.get("/users/" + url.PathEscape(text))
			if p.text("h1") != text || p.Status != http.StatusOK || !strings.Contains(p.text(".facts"), ex) || !strings.Contains(p.text(".facts"), zone) {
				t.Errorf("%d %s", p.Status, p.text("main"))
			}
			for _, to := range []string{"/campaigns/new?user=" + url.QueryEscape(text), "/try?user=" + url.QueryEscape(text)} {
				if !slices.ContainsFunc(p.addresses(".head a"), func(a string) bool { return sameAddress(a, to) }) {
					t.Errorf("%q: %q leads not to %s", text, p.addresses(".head a"), to)
				}
			}
		}
		for query, want := range map[string][]string{
			"?search=u": {"u1", "u2"}, "?search=u2": {"u2"}, "?nickname=Mar": {"u1"}, "?nickname=mar": {"u2"}, "?nickname=%3Cscript": {oddTexts[0]}, "?search=x": nil, "?nickname=ann": nil,
		} {
			var ids []string
			p := s.get("/users" + query)
			for _, a := range p.Find("tbody th").EachIter() {
				ids = append(ids, a.Text())
			}
			if !slices.Equal(ids, want) {
				t.Errorf("%s: %q", query, ids)
			}
		}
		if p := s.get("/users?nickname=ann"); !slices.Contains(p.addresses(".empty a"), "/users?nickname=Ann") {
			t.Errorf("%q", p.addresses(".empty a"))
		}
		if p := s.get("/users?limit=4&search=u&limit=1"); p.Status != http.StatusOK {
			t.Errorf("%d", p.Status)
		}
		if p := s.get("/users?nickname=a&search=b"); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("%d", p.Status)
		}
		first := s.get("/users?limit=5")
		if next := s.get("/users" + first.addresses(".more a")[0]); next.Find("tbody tr").Length() != 4 || first.Find("tbody tr").Length() != 5 {
			t.Errorf("%s", next.text("main"))
		}

		p = s.get("/users/u1")
		if row := p.Find("section.table tbody tr"); row.Length() != 1 || row.Find("a").AttrOr("href", "") != "/campaigns/"+id || p.text("section.table tbody th") != oddTexts[0] {
			t.Errorf("%s", p.text("main"))
		}
		if p := s.get("/users/nobody"); p.Status != http.StatusNotFound || !strings.Contains(p.text(".note"), "No user with this ID") || p.Find("form[action$='/delete'], main a[href^='/try']").Length() != 0 {
			t.Errorf("%d %s", p.Status, p.text("main"))
		}
		for range 2 { // a second click finds nobody
			if p := s.post("/users/u2/delete", url.Values{}); p.Status != http.StatusSeeOther || p.Header.Get("Location") != "/users?done=user-deleted" {
				t.Errorf("%d %s", p.Status, p.text("main"))
			}
		}
		if _, err := s.Store.User(t.Context(), "u2"); models.AsError(err).Code != models.CodeRecordNotFound {
			t.Errorf("%v", err)
		}
		if _, err := s.Store.User(t.Context(), "u1"); err != nil {
			t.Errorf("%v", err)
		}
	})
}

// sameAddress compares addresses whatever they escape.
func sameAddress(a, b string) bool {
	one, err := url.Parse(a)
	two, other := url.Parse(b)
	return err == nil && other == nil && one.Path == two.Path && one.Query().Encode() == two.Query().Encode()
}

// asBrowser is the path of the site that a browser asks for when a page names an address: it goes up a step for each ".." in
// the address, however that is escaped.
func (s *site) asBrowser(page, address string) string {
	s.t.Helper()
	here, err := url.Parse(s.URL + page)
	if err != nil {
		s.t.Fatal(err)
	}
	to, err := here.Parse(strings.NewReplacer("%2e", ".", "%2E", ".").Replace(address))
	if err != nil {
		s.t.Fatal(err)
	}
	return to.RequestURI()
}

// TestStepsAsIDs: users and groups whose IDs browsers take for steps in a path have their pages, forms and inboxes all the same.
func TestStepsAsIDs(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		s.users(".", "..", "-")
		if p := s.get("/users/-"); p.text("h1") != "-" {
			t.Errorf("%q", p.text("h1"))
		}
		for _, id := range []string{".", ".."} {
			link := s.get("/users").Find("a.id").FilterFunction(func(_ int, a *goquery.Selection) bool { return a.Text() == id }).AttrOr("href", "")
			path := s.asBrowser("/users", link)
			user := s.get(path)
			if user.Status != http.StatusOK || user.text("h1") != id {
				t.Fatalf("%s: %d %s", path, user.Status, user.text("h1"))
			}
			try := s.get("/try?user=" + id)
			live := s.ask(s.asBrowser("/try", try.Find("#inbox").AttrOr("hx-sse:connect", "")), nil)
			if err := live.Body.Close(); live.StatusCode != http.StatusOK || live.Header.Get("Content-Type") != "text/event-stream" || err != nil {
				t.Errorf("the inbox of %s: %d %v", id, live.StatusCode, err)
			}

			made := s.post("/new-group", url.Values{"id": {id}, "members": {id}})
			group := s.get(s.asBrowser("/new-group", made.Header.Get("Location")))
			if group.text("h1") != id || group.text(".many") != id || group.text(".note.good") == "" || s.get(s.asBrowser("/groups/-", group.Find(".many a").AttrOr("href", ""))).text("h1") != id {
				t.Errorf("the group %s: %s", id, group.text("body"))
			}
			edit := s.asBrowser("/groups/-", group.Find("a[href*='/edit']").AttrOr("href", ""))
			form := s.get(edit).Find("form[method=post][action*='/edit']")
			changed := s.post(s.asBrowser(edit, form.AttrOr("action", "")), url.Values{"members": {"-"}, "version": {form.Find("[name=version]").AttrOr("value", "")}})
			if to := s.asBrowser(edit, changed.Header.Get("Location")); changed.Status != http.StatusSeeOther || s.get(to).text(".many") != "-" {
				t.Errorf("the group %s is changed: %d to %s", id, changed.Status, to)
			}
			for list, p := range map[string]seen{"/users": user, "/groups": group} {
				gone := s.post(s.asBrowser(list+"/-", p.Find("form[action*='/delete']").AttrOr("action", "")), url.Values{})
				if again := s.get(list + "/-?id=" + id); gone.Header.Get("Location") != list+"?done="+strings.TrimSuffix(list[1:], "s")+"-deleted" || again.Status != http.StatusNotFound {
					t.Errorf("%s of %s is deleted: %d, and then %d", list, id, gone.Status, again.Status)
				}
			}
		}
	})
}

// TestUsersWithoutStores: the page of an error stands whatever fails.
func TestUsersWithoutStores(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		if err := s.Store.Close(); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/users", "/users/u1", "/groups", "/groups/g", "/schedules", "/schedules/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/schedules/calendar"} {
			if p := s.get(path); p.Status < http.StatusInternalServerError || p.text("h1") == "" {
				t.Errorf("%s: %d %s", path, p.Status, p.text("main"))
			}
		}
	})
}

func TestImportPage(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		if p := s.get("/import"); p.Status != http.StatusOK || p.Find("form[enctype='multipart/form-data'] input[type=file]").Length() != 1 {
			t.Errorf("%d %s", p.Status, p.text("main"))
		}
		file := func(rows, bad int) string {
			var b strings.Builder
			b.WriteString("userID,timezone\n")
			for i := range rows {
				zone := "Europe/Berlin"
				if i < bad {
					zone = "<script>Mars</script>"
				}
				fmt.Fprintf(&b, "u%d,%s\n", i, zone)
			}
			return b.String()
		}
		for _, c := range []struct {
			rows, bad, status int
			words             []string
		}{
			{1000, 0, 200, []string{"All 1,000 rows are taken."}},
			{1, 0, 200, []string{"The one row is taken."}},
			{1000, 1, 200, []string{"999 of 1,000 rows are taken. 1 row was refused (0.1 %)", "Correct these lines"}},
			{1000, 10, 200, []string{"990 of 1,000 rows are taken. 10 rows were refused (1.0 %)", "Correct these lines", "Most often: timezone"}},
			{1000, 300, 200, []string{"700 of 1,000 rows are taken. 300 rows were refused (30.0 %)", "more than some slips", "Most often: timezone", "These are the first. 300 rows were refused in all."}},
			{2, 2, 422, []string{"None of the 2 rows was taken.", "No user was changed."}},
			{0, 0, 200, []string{"The file has no rows."}},
		} {
			p := s.upload("users.csv", file(c.rows, c.bad), nil)
			for _, words := range c.words {
				if !strings.Contains(p.text("main"), words) {
					t.Errorf("%d of %d: %q is not in %s", c.bad, c.rows, words, p.text("main"))
				}
			}
			if n := p.Find("section[aria-labelledby=refused] tbody tr").Length(); p.Status != c.status || n != min(c.bad, 100) {
				t.Errorf("%d of %d: %d, %d lines", c.bad, c.rows, p.Status, n)
			}
		}
		p := s.upload("users.csv", "userID,timezone\n<b>4711</b>,Mars\n,UTC\n", nil)
		if users := p.text("section[aria-labelledby=refused] td[data-head=User]"); users != "<b>4711</b>–" {
			t.Errorf("refused are %q", users)
		}
		p = s.upload("users.csv", "name,<i>age\nAnn,5\n", nil)
		const wrong = "The column “name” is not a column of users; the columns are userID, nickname, faceURL, timezone, ex, separated by commas, semicolons or tabs; " +
			"name it under “Other names of columns”, or leave out columns that Carillon does not know. The column “<i>age” is not a column of users."
		if why := p.text("#file-error"); why != wrong {
			t.Errorf("%q", why)
		}
		if n, err := s.Store.CountUsers(t.Context()); n != 1000 || err != nil {
			t.Errorf("%d users, %v", n, err)
		}
		if p := s.upload("x.jsonl", `{"userID":"n1","nickname":"Nick"}`, nil); p.Status != http.StatusOK || !strings.Contains(p.text(".note"), "The one row") {
			t.Errorf("%d %s", p.Status, p.text("main"))
		}
		if p := s.upload("data", `{"userID":"n2"}`, url.Values{"format": {"ndjson"}}); p.Status != http.StatusOK {
			t.Errorf("%d %s", p.Status, p.text("main"))
		}
		if p := s.upload("users.csv", "uid;Full name;more\nm1;Mia;x\n", url.Values{"map": {"uid=userID, Full name=nickname"}, "ignore": {"1"}}); p.Status != http.StatusOK {
			t.Errorf("%d %s", p.Status, p.text("main"))
		}
		if u, err := s.Store.User(t.Context(), "m1"); u.Nickname != "Mia" || err != nil {
			t.Errorf("%+v %v", u, err)
		}

		// What is refused names the control, and the other controls keep what was typed.
		for _, c := range []struct {
			name, content string
			options       url.Values
			control       string
		}{
			{"", "", url.Values{"map": {oddTexts[1]}}, "file"},
			{"users.xlsx", "", url.Values{"map": {oddTexts[1]}, "ignore": {"1"}}, "format"},
			{"users.csv", "userID\n", url.Values{"map": {oddTexts[1]}}, "map"},
			{"users.csv", oddTexts[0] + ",b\n1,2\n", url.Values{"raw": {"1"}}, "file"},
			{"users.csv", "", nil, "file"},
		} {
			p := s.upload(c.name, c.content, c.options)
			if p.Status != http.StatusUnprocessableEntity || p.Find("#"+c.control+"[aria-invalid=true]").Length() != 1 || p.text("#"+c.control+"-error") == "" {
				t.Errorf("%v: %d %s", c, p.Status, p.text("main"))
			}
			if p.Find("#map").AttrOr("value", "") != c.options.Get("map") || (p.Find("#ignore[checked]").Length() == 1) != c.options.Has("ignore") {
				t.Errorf("%v is not kept", c.options)
			}
		}
		if p := s.read(s.sendBody("/import", "application/x-www-form-urlencoded", strings.NewReader("file=x")), "/import"); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("%d", p.Status)
		}
		cut := "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"u.csv\"\r\n\r\nuserID\nc1\nc2\nc3"
		p = s.read(s.sendBody("/import", "multipart/form-data; boundary=b", strings.NewReader(cut)), "/import")
		if p.Status != http.StatusBadRequest || !strings.Contains(p.text(".note.bad"), "cut short") || !strings.Contains(p.text(".note.bad"), "2 users before that are imported") {
			t.Errorf("%d %s", p.Status, p.text("main"))
		}
	})
}

// TestImportIsNotBuffered: users are in the directory while the browser still sends the rest of the file.
func TestImportIsNotBuffered(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		body, to := io.Pipe()
		w := multipart.NewWriter(to)
		done := make(chan seen)
		go func() { done <- s.read(s.sendBody("/import", w.FormDataContentType(), body), "/import") }()
		part, err := w.CreateFormFile("file", "a <b>file.csv")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(part, "userID\n")
		for i := range 20_000 { // some batches, and what is on its way
			fmt.Fprintf(part, "user-%d\n", i)
		}
		testkit.Eventually(t, "users of a file that has not ended", testkit.Patience, func() bool {
			n, err := s.Store.CountUsers(t.Context())
			return err == nil && n > 0
		})
		other := newSite(t, stores) // another process
		for path, headers := range map[string]http.Header{"/import": nil, "/import/now": nil, "/import/now?part": {"Hx-Request": {"true"}}} {
			testkit.Eventually(t, "how far it is, on "+path, testkit.Patience, func() bool {
				p := other.read(other.ask(path, headers), path)
				got := p.text("#imports, main, section")
				if path == "/import/now" && p.Header.Get("Refresh") == "" || p.Status != http.StatusOK {
					t.Fatalf("%s: %d %v", path, p.Status, p.Header)
				}
				return strings.Contains(got, "a <b>file.csv: ") && strings.Contains(got, " rows taken") && !strings.Contains(got, " 0 rows") && strings.Contains(got, "By "+admin)
			})
		}
		_, _ = io.WriteString(part, "last\n")
		_ = w.Close()
		_ = to.Close()
		if p := <-done; !strings.Contains(p.text(".note"), "All 20,001 rows are taken") {
			t.Errorf("%s", p.text("main"))
		}
		testkit.Eventually(t, "its end", testkit.Patience, func() bool { return strings.Contains(other.get("/import/now").text("main"), "No import is under way.") })
	})
}

// TestSyncOnThePage: where the chat server's users are read, the page shows how far that is, and a button asks for it.
func TestSyncOnThePage(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		if p := newSite(t, stores).post("/sync", url.Values{}); p.Status != http.StatusNotFound {
			t.Errorf("%d %s", p.Status, p.text("main"))
		}
		s := newSite(t, stores, func(api *handlers.API) { api.Channels = []channels.Traits{{Name: "openim", SyncsUsers: true}} })
		if p := s.get("/users"); !strings.Contains(p.text("#sync-head"), "not read yet") || !strings.Contains(p.text("main"), "not read all of them yet") {
			t.Errorf("%s", p.text("main"))
		}
		if p := s.post("/sync", url.Values{"fewer": {"1"}}); p.Status != http.StatusSeeOther || p.Header.Get("Location") != "/users?done=sync" {
			t.Errorf("%d %s", p.Status, p.text("main"))
		}
		if p := s.get("/users?done=sync"); !strings.Contains(p.text("#sync-head"), "waiting") || p.text(".note.good") == "" {
			t.Errorf("%s", p.text("main"))
		}
	})
}

// TestAnotherSiteChangesNothing: what a browser sends from a page of another site is refused.
func TestAnotherSiteChangesNothing(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		s.users("u1")
		for _, path := range []string{"/users/u1/delete", "/import", "/new-group", "/schedules/x/run"} {
			req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.URL+path, strings.NewReader("id=g&members=u1"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Sec-Fetch-Site", "cross-site")
			res, err := s.browser.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusForbidden {
				t.Errorf("%s: %d", path, res.StatusCode)
			}
		}
		if _, err := s.Store.User(t.Context(), "u1"); err != nil {
			t.Error(err)
		}
	})
}
