package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"carillon/internal/testkit"
	"carillon/models"
)

func TestGroupPages(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		if p := s.get("/groups"); !slices.Contains(p.addresses(".empty a"), "/new-group") {
			t.Errorf("%s", p.text("main"))
		}
		for _, text := range oddTexts {
			if models.CheckNewID(text) != "" { // of the one with a mark that cannot be seen
				if p := s.post("/new-group", url.Values{"id": {text}}); p.Status != http.StatusUnprocessableEntity || p.Find("#id").AttrOr("value", "") != text || p.text("#id-error") == "" {
					t.Errorf("%d %s", p.Status, p.text("main"))
				}
				continue
			}
			form := url.Values{"id": {text}, "name": {text}, "members": {"u1\r\n\r\n  u2 \r\nu1\r\n" + text}}
			for range 2 { // a form that is sent twice makes one group
				p := s.post("/new-group", form)
				if to := p.Header.Get("Location"); p.Status != http.StatusSeeOther || to != "/groups/"+url.PathEscape(text)+"?done=group" {
					t.Fatalf("%d %q %s", p.Status, to, p.text("main"))
				}
			}
			p := s.get("/groups/" + url.PathEscape(text))
			if p.text("h1") != text || p.Find(".many li").Length() != 3 || p.Find(".many li a[href='/users/u2']").Length() != 1 {
				t.Errorf("%s", p.text("main"))
			}
			if !slices.ContainsFunc(p.addresses(".head a"), func(a string) bool { return sameAddress(a, "/campaigns/new?group="+url.QueryEscape(text)) }) {
				t.Errorf("%q", p.addresses(".head a"))
			}
			edit := s.get("/groups/" + url.PathEscape(text) + "/edit")
			if edit.Find("#name").AttrOr("value", "") != text || len(strings.Fields(edit.Find("#members").Text())) < 3 {
				t.Errorf("%s", edit.text("main"))
			}
		}
		if p := s.get("/groups"); p.Find("tbody tr").Length() != len(oddTexts)-1 {
			t.Errorf("%s", p.text("main"))
		}

		// A refused form comes back as it was typed, and names the lines.
		p := s.post("/new-group", url.Values{"id": {""}, "name": {oddTexts[1]}, "members": {"ok\n\n" + strings.Repeat("x", 65)}})
		if p.Status != http.StatusUnprocessableEntity || !strings.Contains(p.text("#members-error"), "Line 3 ") || p.text("#id-error") == "" || p.Find("#name").AttrOr("value", "") != oddTexts[1] ||
			p.Find("#members").Text() != "ok\n\n"+strings.Repeat("x", 65) {
			t.Errorf("%d %s", p.Status, p.text("main"))
		}
		if p := s.post("/new-group", url.Values{"id": {oddTexts[0]}, "name": {"other"}, "members": {"u1"}}); p.Status != http.StatusUnprocessableEntity || !strings.Contains(p.text("#id-error"), "exists") {
			t.Errorf("%d %s", p.Status, p.text("main"))
		}

		// Two operators: the second sees that the group has changed, and may then save.
		path := "/groups/" + url.PathEscape(oddTexts[0]) + "/edit"
		version := s.get(path).Find("input[name=version]").AttrOr("value", "")
		if p := s.post(path, url.Values{"name": {"one"}, "members": {"u9"}, "version": {version}}); p.Status != http.StatusSeeOther {
			t.Errorf("%d %s", p.Status, p.text("main"))
		}
		p = s.post(path, url.Values{"name": {"two"}, "members": {"u8"}, "version": {version}})
		if p.Status != http.StatusUnprocessableEntity || !strings.Contains(p.text(".note.bad"), "Somebody changed this group while you typed: it has 1 member now") || p.Find("#members").Text() != "u8" {
			t.Errorf("%d %s", p.Status, p.text("main"))
		}
		if p := s.post(path, url.Values{"name": {"two"}, "members": {"u8"}, "version": {p.Find("input[name=version]").AttrOr("value", "")}}); p.Status != http.StatusSeeOther {
			t.Errorf("%d %s", p.Status, p.text("main"))
		}
		if g, err := s.Store.Group(t.Context(), oddTexts[0]); g.Name != "two" || err != nil {
			t.Errorf("%+v %v", g, err)
		}

		// No members is a group, and the page says what that means.
		s.post("/new-group", url.Values{"id": {"none"}, "members": {" \n"}})
		if p := s.get("/groups/none"); !strings.Contains(p.text(".empty"), "reaches nobody") {
			t.Errorf("%d %s", p.Status, p.text("main"))
		}
		many := make([]string, 5001)
		for i := range many {
			many[i] = fmt.Sprintf("m%05d", i)
		}
		s.post("/new-group", url.Values{"id": {"many"}, "members": {strings.Join(many, "\n")}})
		if p := s.get("/groups/many/edit"); !strings.Contains(p.text(".note.warn"), "5,001 members") || p.Find("#members").Text() != "" {
			t.Errorf("%d %s", p.Status, p.text("main"))
		}
		first := s.get("/groups/many?limit=3")
		if next := s.get("/groups/many" + first.addresses(".more a")[0]); next.text(".many li:first-child") != "m00003" {
			t.Errorf("%s", next.text(".many"))
		}
		for range 2 {
			if p := s.post("/groups/many/delete", url.Values{}); p.Status != http.StatusSeeOther || p.Header.Get("Location") != "/groups?done=group-deleted" {
				t.Errorf("%d %s", p.Status, p.text("main"))
			}
		}
		if p := s.get("/groups/many"); p.Status != http.StatusNotFound {
			t.Errorf("%d", p.Status)
		}
	})
}
