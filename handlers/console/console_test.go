package console_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carillon/internal/testkit"
)

// TestNoSuchPage: an address that is none is said to be no page, and not no route.
func TestNoSuchPage(t *testing.T) {
	t.Parallel()
	s := newSite(t, embeddedStores(t))
	if p := s.read(s.ask("/nothing/here", http.Header{"Accept": {"text/html"}}), "/nothing/here"); p.Status != http.StatusNotFound || p.text(".note.bad") != "There is no such page." {
		t.Errorf("%d %s", p.Status, p.text("main"))
	}
}

// TestAssetsAreTheOnesOfTheReadme: the files of others are those whose sums the README beside them names.
func TestAssetsAreTheOnesOfTheReadme(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"assets", "../../internal/testkit/axe"} {
		holdSums(t, dir)
	}
}

func holdSums(t *testing.T, dir string) {
	readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.min.*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v %v", files, err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(content)
		if !strings.Contains(string(readme), hex.EncodeToString(sum[:])) {
			t.Errorf("%s has the sum %x", name, sum)
		}
	}
}

// TestAssetsAreSmall: all files of the console take at most 120 KB together, as they are sent. Pages are sent compressed, too.
func TestAssetsAreSmall(t *testing.T) {
	t.Parallel()
	s := newSite(t, embeddedStores(t))
	packed := func(path string) int64 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", "gzip")
		res, err := s.browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		n, err := io.Copy(io.Discard, res.Body)
		if err != nil || res.StatusCode != http.StatusOK || res.Header.Get("Content-Encoding") != "gzip" || res.ContentLength != n || res.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: %d, %d bytes, %v %v", path, res.StatusCode, n, res.Header, err)
		}
		return n
	}
	files, err := filepath.Glob("assets/*.[jcs]*")
	if err != nil || len(files) < 7 {
		t.Fatalf("%v %v", files, err)
	}
	var all int64
	for _, name := range files {
		all += packed("/" + name)
	}
	if all > 120<<10 {
		t.Errorf("the files take %d bytes", all)
	}
	if page := packed("/campaigns/new"); page > 10<<10 {
		t.Errorf("a form takes %d bytes", page)
	}
	t.Logf("%d bytes in all", all)
}

// TestNobodyIsLoggedIn: without a session each page leads to the log-in page, and back to the page.
func TestNobodyIsLoggedIn(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		for _, path := range []string{"/", "/campaigns?status=paused", "/campaigns/01"} {
			res := s.send(s.newBrowser(), http.MethodGet, path, nil)
			if to := res.Header.Get("Location"); res.StatusCode != http.StatusSeeOther || to != "/login?next="+url.QueryEscape(path) {
				t.Errorf("%s: %d to %q", path, res.StatusCode, to)
			}
			_ = res.Body.Close()
		}
	})
}

// TestAFormOutlivesTheSession: a form that comes after the session's end is not lost, and acts once it is sent again.
func TestAFormOutlivesTheSession(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		s.users("u1")
		id := s.campaign(nil)
		s.browser = s.newBrowser() // as after the session's end
		page := s.post("/campaigns/"+id+"/pause", url.Values{"text": {"a <b> & \"c\"\nd"}})
		if page.Status != http.StatusUnauthorized {
			t.Fatalf("%d", page.Status)
		}
		fields := url.Values{"token": {s.adminToken()}}
		for _, name := range []string{"next", "kept"} {
			fields.Set(name, page.Find("input[name="+name+"]").AttrOr("value", ""))
		}
		again := s.post("/login", fields)
		form := again.Find("form")
		if action := form.AttrOr("action", ""); again.Status != http.StatusOK || action != "/campaigns/"+id+"/pause" {
			t.Fatalf("%d: the form goes to %q", again.Status, action)
		}
		if text := form.Find("input[name=text]").AttrOr("value", ""); text != "a <b> & \"c\"\nd" {
			t.Errorf("the form holds %q", text)
		}
		if c, err := s.Store.Campaign(t.Context(), id); err != nil || c.Status == "paused" {
			t.Errorf("%v: the campaign is %s before the form is sent again", err, c.Status)
		}
		if done := s.post("/campaigns/"+id+"/pause", url.Values{}); done.Status != http.StatusSeeOther {
			t.Errorf("%d", done.Status)
		}
	})
}

func TestCampaignPages(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		if page := s.get("/campaigns"); !strings.Contains(page.text(".empty"), "No campaign yet") {
			t.Errorf("%d %s", page.Status, page.text("main"))
		}
		s.users("u1", "u2")
		id := s.campaign(nil)
		if page := s.get("/campaigns"); page.Find("tbody a").AttrOr("href", "") != "/campaigns/"+id {
			t.Errorf("%s", page.text("main"))
		}
		if page := s.get("/campaigns/" + id); page.text("h1") != "spring" {
			t.Errorf("%s", page.text("main"))
		}
		if page := s.get("/campaigns/none"); page.Status != http.StatusNotFound || page.text(".note") != "There is no such campaign." {
			t.Errorf("%d %s", page.Status, page.text("main"))
		}
		if page := s.get("/"); page.Status != http.StatusOK {
			t.Errorf("%d %s", page.Status, page.text("main"))
		}
	})
}
