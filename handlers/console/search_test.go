package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"carillon/handlers"
	"carillon/internal/testkit"
	"carillon/models"
)

func TestSearch(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		s.users("anna", "anton", "both", "a/b%2f", "x%")
		id := s.campaign(func(b *handlers.CampaignBody) { b.Name = "an offer" })
		other := s.campaign(func(b *handlers.CampaignBody) { b.Name = "An Offer" })
		zoe := "Zoe"
		s.put(models.UserChange{UserID: "c", Nickname: &zoe})
		if _, err := s.Store.PutGroup(t.Context(), "both", nil, []string{"anna"}); err != nil {
			t.Fatal(err)
		}
		find := func(q string) seen { return s.get("/search?" + url.Values{"q": {q}}.Encode()) }
		for q, path := range map[string]string{
			id: "/campaigns/" + id, strings.ToLower(id): "/campaigns/" + id, " anna ": "/users/anna", "a/b%2f": "/users/a%2Fb%252f",
		} {
			if page := find(q); page.Status != http.StatusSeeOther || page.Header.Get("Location") != path {
				t.Errorf("%q: %d to %s", q, page.Status, page.Header.Get("Location"))
			}
		}
		page := find("an")
		if got := page.text("#found-campaigns + ul"); got != "an offer "+id+"An Offer "+other {
			t.Errorf("%s", got)
		}
		for q, path := range map[string]string{"OFFER": other, "Offer": other, "n%": "", "f_er": ""} { // parts of names, and no patterns
			if page := find(q); page.Find("#found-campaigns a[href='/campaigns/"+path+"'], #found-campaigns + ul a[href='/campaigns/"+path+"']").Length() != len(path)/26 {
				t.Errorf("%q: %s", q, page.text("main"))
			}
		}
		for q, want := range map[string]string{"zo": "cZoe", "Zo": "cZoe", "oe": "", "both": "both"} { // nicknames by their beginning
			if got := find(q).text("#found-users + ul"); got != want && got != strings.Replace(want, "Zoe", " Zoe", 1) {
				t.Errorf("%q: %q", q, got)
			}
		}
		if got := page.text("#found-users + ul"); got != "annaanton" {
			t.Errorf("%s", got)
		}
		if page := find(id[:5]); page.Find("#found-campaigns + ul li").Length() != 2 {
			t.Errorf("%s", page.text("main"))
		}
		if page := find("both"); page.Status != http.StatusOK || page.Find("#found-users + ul li").Length() != 1 || page.Find("#found-groups + ul li").Length() != 1 {
			t.Errorf("%d %s", page.Status, page.text("main"))
		}
		for _, q := range append([]string{"%", "_", "an%", strings.Repeat("x", 300), "a\x00"}, markupTexts...) {
			page := find(q)
			harmless(t, page)
			if page.Status != http.StatusOK || !strings.Contains(page.text(".empty h2"), "Nothing was found for") || !strings.Contains(page.Find(".empty bdi").Text(), strings.TrimSuffix(q, "\x00")) {
				t.Errorf("%q: %d %s", q, page.Status, page.text("main"))
			}
		}
		if page := find(""); !strings.Contains(page.text(".empty h2"), "What are you looking for?") {
			t.Errorf("%s", page.text("main"))
		}
	})
}

// TestSearchFindsOddNames: names of markup are found by their beginning, and stay texts.
func TestSearchFindsOddNames(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		s.users("u1")
		for _, name := range markupTexts {
			odd := name + " end"
			s.campaign(func(b *handlers.CampaignBody) { b.Name = odd })
			page := s.get("/search?" + url.Values{"q": {name}}.Encode())
			harmless(t, page)
			if page.Find("#found-campaigns + ul bdi").Text() != odd {
				t.Errorf("%q: %d %s", name, page.Status, page.text("main"))
			}
		}
	})
}
