package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"carillon/handlers"
	"carillon/internal/testkit"
	"carillon/models"
)

// markupTexts are texts that must stay texts, wherever a user, an operator or a provider puts them.
var markupTexts = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `</title><svg/onload=alert(1)>`,
	`javascript:alert(1)`, `{{.}}`, `&lt;b&gt;`, "\u202eevil", `a/b%2f..?x=1#y`,
}

// embeddedStores are for tests of what depends on no store.
func embeddedStores(t *testing.T) testkit.Stores {
	return testkit.Stores{Name: "embedded", DatabaseURL: "sqlite:" + t.TempDir() + "/carillon.db", RedisURL: testkit.EmbeddedRedisURL(t)}
}

// harmless fails the test if one of the markupTexts texts has become more than a text.
func harmless(t *testing.T, p seen) {
	t.Helper()
	if n := p.Find("script:not([src]), img[src=x], svg[onload], [onmouseover], [onerror], [onload], a[href^='javascript:']").Length(); n > 0 {
		t.Errorf("a text has become %d elements", n)
	}
}

func TestEventsAreSentences(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		if page := s.get("/events?kind=campaign.failed"); page.Status != http.StatusOK || page.text(".empty h2") != "No such event" {
			t.Errorf("%d %s", page.Status, page.text("main"))
		}
		s.users("u1")
		id := s.campaign(nil)
		if res := s.post("/campaigns/"+id+"/pause", url.Values{}); res.Status != http.StatusSeeOther {
			t.Fatal(res.Status)
		}
		page := s.get("/events?campaign=" + id)
		first := page.Find(".log li").First()
		if got := strings.Join(strings.Fields(first.Find("div > p").First().Text()), " "); got != "imAdmin paused campaign spring in the console" {
			t.Errorf("%q", got)
		}
		if first.Find(".hint").Length() > 0 {
			t.Errorf("who paused it stands there twice: %s", first.Text())
		}
		if href := first.Find("p a").AttrOr("href", ""); href != "/campaigns/"+id {
			t.Errorf("%s", href)
		}
		if n := page.Find(".log li").Length(); n != 2 {
			t.Errorf("%d events", n)
		}
		if page := s.get("/events?kind=login.accepted&actor=" + admin); !strings.Contains(page.text(".log"), "imAdmin logged in") {
			t.Errorf("%s", page.text("main"))
		}
		if page := s.get("/events?schedule=" + id); page.Find(".log").Length() != 0 {
			t.Errorf("%s", page.text("main"))
		}
	})
}

// TestEventsCount: a number in a sentence has the noun of one, or that of many.
func TestEventsCount(t *testing.T) {
	t.Parallel()
	s := newSite(t, embeddedStores(t))
	for _, one := range []struct {
		event models.Event
		want  string
	}{
		{models.Event{Kind: models.EventLoginRefused, Data: models.EventData{"refused": 1}}, "1 log-in was refused"},
		{models.Event{Kind: models.EventLoginRefused, Data: models.EventData{"refused": 1200}}, "1,200 log-ins were refused"},
		{models.Event{Kind: models.EventScheduleMissed, Data: models.EventData{"slots": 1}}, "A schedule missed 1 slot"},
		{models.Event{Kind: models.EventScheduleMissed, Data: models.EventData{"slots": 2}}, "A schedule missed 2 slots"},
		{models.Event{Kind: models.EventDirectorySynced, Data: models.EventData{"created": 1, "changed": 0, "vanished": 0}}, "The directory was synced: 1 new user, 0 changed, 0 gone"},
	} {
		if err := s.Store.Record(t.Context(), one.event); err != nil {
			t.Fatal(err)
		}
		if got := s.get("/events?limit=1").text(".log p"); got != one.want {
			t.Errorf("%q instead of %q", got, one.want)
		}
	}
}

// TestEventsPageByPage: each page goes on where the one before ended, with the filter kept.
func TestEventsPageByPage(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		for i := range 5 {
			e := models.Event{Kind: models.EventUserDeleted, Data: models.EventData{"userID": fmt.Sprint("u", i)}}
			if err := s.Store.Record(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		path := "/events?kind=user.deleted&limit=2"
		for pages := 0; path != "" && pages < 5; pages++ {
			page := s.get(path)
			got = append(got, strings.Fields(page.text(".log p a"))...)
			next := page.Find(".more span:last-child a").AttrOr("href", "")
			path = ""
			if next != "" {
				path = "/events" + next
			}
		}
		if want := "u4u3 u2u1 u0"; strings.Join(got, " ") != want {
			t.Errorf("%v", got)
		}
	})
}

func TestEventFiltersAreRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, embeddedStores(t))
	for query, field := range map[string]string{"kind=none": "kind", "actor=" + strings.Repeat("x", 65): "actor", "cursor=!": "cursor", "limit=0": "limit"} {
		page := s.get("/events?" + query)
		if page.Status != http.StatusUnprocessableEntity || page.text("[role=alert] strong") != field {
			t.Errorf("%s: %d %s", query, page.Status, page.text("main"))
		}
		if name, value, _ := strings.Cut(query, "="); name == "actor" && page.Find("input[name=actor][aria-invalid=true]").AttrOr("value", "") != value {
			t.Errorf("%s: what was typed is lost", query)
		}
	}
}

// TestNoEventIsMarkup: every text of an event stays a text.
func TestNoEventIsMarkup(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		s.users("u1")
		for _, text := range markupTexts {
			name := text
			id := s.campaign(func(b *handlers.CampaignBody) { b.Name = name })
			ctx := models.WithActor(t.Context(), models.Actor{ID: text, Via: models.ViaAPI, OperationID: text})
			for _, kind := range []models.EventKind{models.EventUserDeleted, models.EventGroupPut, models.EventServeStarted, models.EventScheduleEdited} {
				e := models.Event{Kind: kind, CampaignID: id, Reason: text, Data: models.EventData{"userID": text, "groupID": text, "version": text, "changed": map[string]any{text: 1}}}
				if err := s.Store.Record(ctx, e); err != nil {
					t.Fatal(err)
				}
			}
		}
		page := s.get("/events?limit=1000")
		harmless(t, page)
		for _, text := range markupTexts {
			if !strings.Contains(page.Find(".log").Text(), text) {
				t.Errorf("%q is not shown as it is", text)
			}
		}
		if page := s.get("/events?actor=" + url.QueryEscape(markupTexts[0])); page.Find("input[name=actor]").AttrOr("value", "") != markupTexts[0] {
			t.Errorf("%s", page.text("main"))
		}
	})
}

// TestEveryKindHasASentence: no kind is left to its name.
func TestEveryKindHasASentence(t *testing.T) {
	t.Parallel()
	s := newSite(t, embeddedStores(t))
	for _, kind := range models.EventKinds {
		if err := s.Store.Record(t.Context(), models.Event{Kind: kind, CampaignID: "01J9ZQ4X000000000000000000"}); err != nil {
			t.Fatal(err)
		}
		page := s.get("/events?limit=1&kind=" + string(kind))
		if got := page.text(".log p"); got == "" || strings.Contains(got, string(kind)) || strings.ContainsAny(got, "{}") {
			t.Errorf("%s: %q", kind, got)
		}
	}
}
