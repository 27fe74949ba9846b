package console_test

import (
	"bufio"
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"carillon/channels"
	"carillon/channels/openim"
	"carillon/handlers"
	"carillon/internal/testkit"
	"carillon/models"
)

// delivering delivers campaigns to few as soon as they are posted, as a worker of the inbox does.
func delivering(a *handlers.API) {
	a.Enqueue = func(ctx context.Context, c models.Created) error {
		for _, task := range c.Tasks {
			v, err := a.Store.ClaimPage(ctx, task)
			if err != nil {
				return err
			}
			outcomes := make([]models.RecipientOutcome, len(v.Members))
			for i, id := range v.Members {
				outcomes[i] = models.RecipientOutcome{UserID: id, Status: models.RecipientSent, Attempts: 1}
			}
			if err := a.Store.WriteChunk(ctx, v.Close(models.Chunk{Outcomes: outcomes, State: models.PageRunning})); err != nil {
				return err
			}
		}
		_, err := a.Store.FinishCampaign(ctx, c.Tasks[0].Campaign)
		return err
	}
}

func TestTryTeachesAndRefuses(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		if page := s.get("/try"); page.text(".empty h2") != "Nobody's inbox is open" {
			t.Errorf("%d %s", page.Status, page.text("main"))
		}
		for _, id := range append([]string{"nobody", "a\x01b", strings.Repeat("x", 65)}, markupTexts...) {
			page := s.get("/try?" + url.Values{"user": {id}}.Encode())
			harmless(t, page)
			if page.Status != http.StatusUnprocessableEntity || page.Find("#user[aria-invalid=true]").AttrOr("value", "") != id || page.text("#user-error") == "" || page.Find("#inbox, main form[method=post]").Length() != 0 {
				t.Errorf("%q: %d %s", id, page.Status, page.text("main"))
			}
		}
		s.users(markupTexts...)
		for _, id := range markupTexts {
			page := s.get("/try?" + url.Values{"user": {id}}.Encode())
			harmless(t, page)
			if page.Status != http.StatusOK || page.Find("#inbox-of").Text() != "Inbox of "+id || !strings.Contains(page.text("#inbox"), "No message within a day") {
				t.Errorf("%q: %d %s", id, page.Status, page.text("main"))
			}
		}
	})
}

// TestTrySendsOnce: a text goes out as a campaign to one user, once for each form, and what is refused is kept.
func TestTrySendsOnce(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores, delivering)
		s.users("u/1")
		page := s.get("/try?user=u%2F1")
		form := url.Values{"user": {"u/1"}, "key": {page.Find("input[name=key]").AttrOr("value", "")}, "text": {" "}}
		refused := s.post("/try", form)
		if refused.Status != http.StatusUnprocessableEntity || refused.Find("#text[aria-invalid=true][aria-describedby=text-error]").Length() != 1 || refused.text("#text-error") == "" {
			t.Fatalf("%d %s", refused.Status, refused.text("main"))
		}
		form.Set("text", "Hello & <b>you</b>\nsecond line")
		for range 2 {
			if done := s.post("/try", form); done.Status != http.StatusSeeOther || done.Header.Get("Location") != "/try?done=sent&user=u%2F1" {
				t.Fatalf("%d %s %s", done.Status, done.Header.Get("Location"), done.text("main"))
			}
		}
		list, err := s.Store.Campaigns(t.Context(), models.CampaignFilter{Limit: 10})
		if err != nil || len(list) != 1 || list[0].Campaign.Total != 1 {
			t.Fatalf("%v %+v", err, list)
		}
		page = s.get("/try?user=u%2F1&done=sent")
		if got := page.Find(".bubble pre").Text(); got != "Hello & <b>you</b>\nsecond line" || !strings.Contains(page.text("[role=status]"), "on its way") {
			t.Errorf("%q %s", got, page.text("main"))
		}
		if href := page.Find(".bubble a").AttrOr("href", ""); href != "/campaigns/"+list[0].PublicID {
			t.Errorf("%s", href)
		}
		form.Set("text", "x")
		form.Set("user", "nobody")
		form.Set("key", "another")
		if none := s.post("/try", form); none.Status != http.StatusUnprocessableEntity || none.text("#user-error") == "" {
			t.Errorf("%d %s", none.Status, none.text("main"))
		}
	})
}

// TestTryWithoutAnInbox: where no channel stores here, the page says where messages go.
func TestTryWithoutAnInbox(t *testing.T) {
	t.Parallel()
	s := newSite(t, embeddedStores(t), func(a *handlers.API) { a.Channels = []channels.Traits{{Name: openim.Name}} })
	s.users("u1")
	if page := s.get("/try?user=u1"); page.Find("main form[method=post]").Length() != 0 || !strings.Contains(page.text(".warn"), "They go to your provider") {
		t.Errorf("%s", page.text("main"))
	}
}

// TestMessagesArriveOnThePage: the stream sends the inbox again when a message has come, each message once, and as a text.
func TestMessagesArriveOnThePage(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores, delivering)
		s.users("u1", "u2")
		say := func(text string) {
			content, err := models.JSON(map[string]string{"content": text})
			if err != nil {
				t.Fatal(err)
			}
			s.campaign(func(b *handlers.CampaignBody) {
				b.Message.Content = content
				b.Audience = &handlers.AudienceBody{UserIDs: &[]string{"u1"}}
			})
		}
		say("before")
		res := s.send(s.browser, http.MethodGet, "/try/u1/live", nil)
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
			t.Fatalf("%d", res.StatusCode)
		}
		events := make(chan string)
		go func() {
			defer close(events)
			lines := bufio.NewScanner(res.Body)
			var data strings.Builder
			for lines.Scan() {
				switch line := lines.Text(); {
				case strings.HasPrefix(line, "data: "):
					data.WriteString(strings.TrimPrefix(line, "data: ") + "\n")
				case line == "" && data.Len() > 0:
					events <- data.String()
					data.Reset()
				}
			}
		}()
		say(markupTexts[0])
		timeout := time.After(testkit.Patience)
		select {
		case html := <-events:
			doc, err := goquery.NewDocumentFromReader(strings.NewReader(html))
			if err != nil {
				t.Fatal(err)
			}
			harmless(t, seen{Document: doc})
			if got := doc.Find(".bubble pre").Text(); got != "before"+markupTexts[0] {
				t.Errorf("%q", got)
			}
		case <-timeout:
			t.Fatal("no message has arrived")
		}
		for path, status := range map[string]int{"/try/nobody/live": http.StatusNotFound, "/try/%01/live": http.StatusUnprocessableEntity} {
			if page := s.get(path); page.Status != status && page.Status != http.StatusBadRequest {
				t.Errorf("%s: %d", path, page.Status)
			}
		}
	})
}
