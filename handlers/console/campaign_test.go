package console_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/internal/testkit"
	"carillon/models"
)

// foul is what every name, text and ID of other people may hold.
const foul = `<script>alert(1)</script>"'&<img src=x onerror=alert(2)>{{.}}`

// foulID may be an ID: it has all that a path or a page could trip over.
const foulID = "a/%2e..<b>\"'&"

// clean fails when a page holds an element that only a text could have put there.
func clean(t *testing.T, p seen) {
	t.Helper()
	if n := p.Find("script:not([src]), main img, main b, main script, [onerror]").Length(); n > 0 {
		t.Errorf("%d elements of a text stand in the page", n)
	}
}

// callAs is a call of the operator with this name.
func (s *site) callAs(who string) (context.Context, web.Call) {
	ctx := models.WithActor(s.t.Context(), models.Actor{ID: who, Via: models.ViaConsole})
	return ctx, web.Call{Caller: web.Caller{UserID: who, Admin: true}, OperationID: "other", Route: "other"}
}

// finish gives each of a campaign's recipients an outcome, in their order.
func (s *site) finish(id string, outcomes ...models.RecipientOutcome) {
	s.t.Helper()
	c, err := s.Store.Campaign(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	v, err := s.Store.ClaimPage(s.t.Context(), models.PageTask{Campaign: c.ID, Epoch: 1})
	if err != nil || v == nil {
		s.t.Fatal(err, v)
	}
	if err := s.Store.WriteChunk(s.t.Context(), v.Close(models.Chunk{State: models.PageDone, Outcomes: outcomes})); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.Store.FinishCampaign(s.t.Context(), c.ID); err != nil {
		s.t.Fatal(err)
	}
}

// listedUsers is a campaign for named users.
func listedUsers(ids ...string) func(*handlers.CampaignBody) {
	return func(b *handlers.CampaignBody) { b.Audience = &handlers.AudienceBody{UserIDs: &ids} }
}

func TestCampaignListFilters(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		s.users("u1")
		for i := range 52 {
			s.campaign(func(b *handlers.CampaignBody) { b.Name = fmt.Sprintf("spring %d", i) })
		}
		s.campaign(func(b *handlers.CampaignBody) { b.Name = foul[:60] })
		first := s.get("/campaigns")
		clean(t, first)
		if n := first.Find("tbody tr").Length(); n != 50 {
			t.Errorf("%d rows", n)
		}
		if first.Find("#campaigns").AttrOr("hx-get", "") != "/campaigns?part=1" {
			t.Error("running campaigns do not move")
		}
		next, _ := first.Find(".more a").Attr("href")
		if second := s.get("/campaigns" + next); second.Find("tbody tr").Length() != 3 || second.Find(".more a").AttrOr("href", "") != "?" {
			t.Errorf("the second page: %s", second.text("main"))
		}
		if part := s.get("/campaigns?part=1&name=spring+51"); part.Find("html head link, h1").Length() != 0 || part.Find("tbody tr").Length() != 1 {
			t.Errorf("the part: %s", part.Raw)
		}
		today := time.Now().UTC()
		for query, want := range map[string]int{
			"name=SPRING+5":   3, // 5, 50 and 51
			"status=paused":   0,
			"schedule=none":   0,
			"from=2000-01-01": 50,
			"to=2000-01-01":   0,
			"from=" + today.AddDate(0, 0, -1).Format(time.DateOnly) + "&to=" + today.AddDate(0, 0, 1).Format(time.DateOnly): 50,
		} {
			page := s.get("/campaigns?" + query)
			if n := page.Find("tbody tr").Length(); n != want {
				t.Errorf("%s: %d rows", query, n)
			}
			if want == 0 && page.text(".empty h2") != "No campaign fits" {
				t.Errorf("%s: %s", query, page.text("main"))
			}
		}
		if p := s.get("/campaigns?from=yesterday"); p.text("h1") != "This was refused" || p.Find("[role=alert]").Children().Length() != 1 {
			t.Errorf("the refusal has another heading, or stands there twice: %s", p.text("main"))
		}
		for _, query := range []string{"from=yesterday", "status=x", "cursor=x", "name=" + strings.Repeat("x", 256)} {
			if page := s.get("/campaigns?" + query); page.Status != http.StatusUnprocessableEntity {
				t.Errorf("%s: %d", query, page.Status)
			}
		}
	})
}

// TestCampaignPage: a campaign that has failed for some says why, and they can be tried again.
func TestCampaignPage(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		s.users("u1", "u2", foulID)
		id := s.campaign(func(b *handlers.CampaignBody) {
			listedUsers("u1", "u2", foulID)(b)
			b.Name = foul[:60]
			b.Message.SenderNickname = foul
			b.Message.Content = []byte(`{"content":"<script>alert(3)</script>\n\u202eabc"}`)
		})
		page := s.get("/campaigns/" + id)
		clean(t, page)
		if page.text("h1") != foul[:60] || !strings.Contains(page.text(".bubble"), "<script>alert(3)</script>") {
			t.Errorf("%s", page.text("main"))
		}
		if to := page.Find("#live").AttrOr("hx-sse:connect", ""); to != "/campaigns/"+id+"/live" {
			t.Errorf("it moves by %q", to)
		}
		if page.Find("#live form[action$='/pause'] input[name=was]").AttrOr("value", "") != "running" {
			t.Error("the button does not say how the campaign stood")
		}
		s.finish(id,
			models.RecipientOutcome{UserID: foulID, Status: models.RecipientFailed, Attempts: 5, ErrCode: 80000, ErrMsg: foul},
			models.RecipientOutcome{UserID: "u1", Status: models.RecipientSent, Attempts: 1},
			models.RecipientOutcome{UserID: "u2", Status: models.RecipientFailed, Attempts: 2, ErrCode: 90004, ErrMsg: "no answer"},
		)
		page = s.get("/campaigns/" + id)
		clean(t, page)
		if page.Find("#live").AttrOr("hx-sse:connect", "") != "" || page.Find("#failures[hx-get]").Length() != 1 {
			t.Errorf("over: %s", page.text("main"))
		}
		if history := page.text("ol.events"); !strings.Contains(history, "Completed") || !strings.Contains(history, "Made") {
			t.Errorf("history: %s", history)
		}
		report := s.get("/campaigns/" + id + "/report")
		clean(t, report)
		if report.Find("main form").Length() != 0 || !strings.Contains(report.text("main"), "Report of the campaign") {
			t.Errorf("report: %s", report.text("main"))
		}
		if v := s.get("/campaigns/" + id + "/verify"); !strings.Contains(v.text(".note.good"), "Everything fits") {
			t.Errorf("verify: %s", v.text("main"))
		}

		failures := s.get("/campaigns/" + id + "/failures?part=1")
		clean(t, failures)
		if failures.Find("tbody tr").Length() != 2 || failures.Find("html head link").Length() != 0 {
			t.Errorf("failures: %s", failures.Raw)
		}
		s.get("/campaigns/" + id + "/failures")
		form := url.Values{"was": {"completed"}, "status": {"failed"}, "errCode": {"90004"}}
		if res := s.post("/campaigns/"+id+"/retry", form); res.Header.Get("Location") != "/campaigns/"+id+"?done=retried" {
			t.Errorf("retry: %d %s", res.Status, res.text("main"))
		}
		again, err := s.Store.Campaign(t.Context(), id)
		if err != nil || again.Status != models.StatusRunning || !strings.Contains(again.Retry, `"recipients":1`) {
			t.Errorf("%v: %s %s", err, again.Status, again.Retry)
		}
		if res := s.post("/campaigns/"+id+"/retry", form); res.Status != http.StatusConflict || !strings.Contains(res.text(".note.bad"), "Somebody has changed this campaign") || !strings.Contains(res.text(".note.bad"), "Retried") {
			t.Errorf("the second retry: %d %s", res.Status, res.text("main"))
		}
	})
}

// TestRecipientsOfACampaign: the list, its filter, and what became of one user, in a sentence.
func TestRecipientsOfACampaign(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		s.users("u1", "other", foulID)
		id := s.campaign(listedUsers("u1", foulID))
		s.finish(id,
			models.RecipientOutcome{UserID: foulID, Status: models.RecipientFailed, Attempts: 5, ErrCode: 80000, ErrMsg: foul},
			models.RecipientOutcome{UserID: "u1", Status: models.RecipientSent, Attempts: 1},
		)
		list := s.get("/campaigns/" + id + "/recipients")
		clean(t, list)
		if list.Find("tbody tr").Length() != 2 {
			t.Errorf("%s", list.text("main"))
		}
		to, _ := list.Find("tbody a").First().Attr("href")
		one := s.get(to)
		clean(t, one)
		if why := one.text("section p"); one.Status != http.StatusOK || !strings.Contains(why, "Failed for good after 5 attempts: <script>") {
			t.Errorf("%s: %d %s", to, one.Status, why)
		}
		if failed := s.get("/campaigns/" + id + "/recipients?status=failed"); failed.Find("tbody tr").Length() != 1 {
			t.Errorf("%s", failed.text("main"))
		}
		if none := s.get("/campaigns/" + id + "/recipients?status=expired"); none.text(".empty h2") != "Nobody is expired" {
			t.Errorf("%s", none.text("main"))
		}
		for user, says := range map[string]string{"other": "Not in this campaign’s list", "nobody": "Not in this campaign’s list", "a\x01": "The ID must not hold control characters"} {
			page := s.get("/campaigns/" + id + "/recipients?user=" + url.QueryEscape(user))
			if page.Status != http.StatusNotFound || !strings.Contains(strings.ReplaceAll(page.text(".note"), "'", "’"), says) {
				t.Errorf("%q: %d %s", user, page.Status, page.text("main"))
			}
		}
		for _, file := range []string{"recipients.csv?bom=1", "recipients.ndjson"} { // by the session's cookie
			if got := s.get("/v1/campaigns/" + id + "/" + file); got.Status != http.StatusOK || !strings.Contains(got.Raw, "u1") {
				t.Errorf("%s: %d %s", file, got.Status, got.Raw)
			}
		}
	})
}

// TestTwoOperators: who decides by a page that is old sees what the other has done, and does nothing.
func TestTwoOperators(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		s.users("u1")
		id := s.campaign(nil)
		change := func(values ...string) url.Values {
			form := url.Values{"name": {"spring"}, "was-name": {"spring"}, "was-ratePerSecond": {""}, "ratePerSecond": {""}, "was-expireAt": {""}, "expireAt": {""}, "zone": {"Europe/Berlin"}}
			for i := 0; i < len(values); i += 2 {
				form.Set(values[i], values[i+1])
			}
			return form
		}
		ctx, call := s.callAs("openIMAdmin")
		rate := 50
		if _, err := s.PatchCampaign(ctx, call, handlers.CampaignChange{ID: id, CampaignPatch: handlers.CampaignPatch{RatePerSecond: &rate}}); err != nil {
			t.Fatal(err)
		}
		refused := s.post("/campaigns/"+id+"/change", change("ratePerSecond", "100"))
		note := refused.text(".note.bad")
		if refused.Status != http.StatusConflict || !strings.Contains(note, "the rate from no limit to 50 a second") || !strings.Contains(note, "by openIMAdmin") {
			t.Errorf("%d %s", refused.Status, note)
		}
		form := refused.Find("form[action$='/change']")
		if typed, was := form.Find("[name=ratePerSecond]").AttrOr("value", ""), form.Find("[name=was-ratePerSecond]").AttrOr("value", ""); typed != "100" || was != "50" {
			t.Errorf("the form comes back with %q, made from %q", typed, was)
		}
		if c, _ := s.Store.Campaign(t.Context(), id); c.RatePerSecond != 50 {
			t.Errorf("the rate is %d", c.RatePerSecond)
		}
		// Another field is no conflict, and the same form with its new values goes through.
		for _, values := range [][]string{{"name", "summer", "was-ratePerSecond", "50", "ratePerSecond", "50"}, {"name", "summer", "was-name", "summer", "was-ratePerSecond", "50", "ratePerSecond", "100"}} {
			if done := s.post("/campaigns/"+id+"/change", change(values...)); done.Status != http.StatusSeeOther {
				t.Errorf("%v: %d %s", values, done.Status, done.text("main"))
			}
		}
		end := s.post("/campaigns/"+id+"/change", change("was-name", "summer", "name", "summer", "was-ratePerSecond", "100", "ratePerSecond", "100", "expireAt", "2099-07-01T12:00"))
		if c, _ := s.Store.Campaign(t.Context(), id); end.Status != http.StatusSeeOther || c.ExpireAt.Shown(time.RFC3339) != "2099-07-01T10:00:00Z" || c.Name != "summer" || c.RatePerSecond != 100 {
			t.Errorf("%d: %s %q %d", end.Status, c.ExpireAt.Shown(time.RFC3339), c.Name, c.RatePerSecond)
		}
		for _, values := range [][]string{{"ratePerSecond", "many"}, {"expireAt", "tomorrow"}, {"expireAt", "2099-07-01T12:00", "zone", "Moon/Base"}, {"expireAt", "2001-07-01T12:00"}, {"name", strings.Repeat("x", 256)}} {
			form := change("was-name", "summer", "name", "summer", "was-ratePerSecond", "100", "ratePerSecond", "100", "was-expireAt", "2099-07-01T10:00:00Z")
			for i := 0; i < len(values); i += 2 {
				form.Set(values[i], values[i+1])
			}
			page := s.post("/campaigns/"+id+"/change", form)
			if page.Status != http.StatusUnprocessableEntity || page.Find("[aria-invalid=true]").AttrOr("name", "") != values[0] || page.Find("[name="+values[0]+"][id]").AttrOr("value", "") != values[1] {
				t.Errorf("%v: %d %s", values[0], page.Status, page.text(".error"))
			}
		}

		if _, err := s.PauseCampaign(ctx, call, id); err != nil {
			t.Fatal(err)
		}
		for _, action := range []string{"pause", "cancel"} {
			page := s.post("/campaigns/"+id+"/"+action, url.Values{"was": {"running"}})
			if note := page.text(".note.bad"); page.Status != http.StatusConflict || !strings.Contains(note, "Paused") || !strings.Contains(note, "openIMAdmin") {
				t.Errorf("%s: %d %s", action, page.Status, note)
			}
		}
		ask := s.get("/campaigns/" + id + "/cancel")
		if c, _ := s.Store.Campaign(t.Context(), id); c.Status != models.StatusPaused {
			t.Errorf("the question alone has made it %s", c.Status)
		}
		was := ask.Find("main form [name=was]").AttrOr("value", "")
		if done := s.post("/campaigns/"+id+"/cancel", url.Values{"was": {was}}); done.Header.Get("Location") != "/campaigns/"+id+"?done=cancelled" {
			t.Errorf("%d %s", done.Status, done.text("main"))
		}
		if late := s.post("/campaigns/"+id+"/pause", url.Values{}); late.Status != http.StatusConflict || !strings.Contains(late.text(".note.bad"), "cannot become paused") {
			t.Errorf("%d %s", late.Status, late.text("main"))
		}
	})
}

// TestZonesOfACampaign: a campaign by local time shows when it begins where, the earliest first.
func TestZonesOfACampaign(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		berlin, tokyo := "Europe/Berlin", "Asia/Tokyo"
		if _, err := s.Store.UpsertUsers(t.Context(), []models.UserChange{{UserID: "u1", Timezone: &berlin}, {UserID: "u2", Timezone: &tokyo}, {UserID: "u3"}}); err != nil {
			t.Fatal(err)
		}
		id := s.campaign(func(b *handlers.CampaignBody) {
			at := "2099-12-04T09:00:00"
			b.SendAt, b.LocalTime = &at, true
		})
		if page := s.get("/campaigns/" + id); !strings.Contains(page.text(".facts"), "2099-12-04 09:00 local") {
			t.Errorf("%s", page.text(".facts"))
		}
		if page := s.get("/campaigns/" + id + "/recipients"); !strings.Contains(page.text(".empty"), "listed when the campaign starts") {
			t.Errorf("%s", page.text("main"))
		}
		// By quiet hours it starts at once, and is planned zone by zone.
		var created models.Created
		s.Enqueue = func(_ context.Context, c models.Created) error { created = c; return nil }
		id = s.campaign(func(b *handlers.CampaignBody) { b.QuietHours = &handlers.QuietHours{From: "22:00", To: "08:00"} })
		for done := false; !done; {
			step, err := s.Store.PlanNext(t.Context(), *created.Plan, func(*models.Campaign, string, models.Millis) models.ZoneStart { return models.ZoneStart{Due: 1} })
			if err != nil {
				t.Fatal(err)
			}
			done = step.Done
		}
		page := s.get("/campaigns/" + id)
		for _, zone := range []string{berlin, tokyo, "UTC"} {
			row := page.Find("tbody tr").FilterFunction(func(_ int, one *goquery.Selection) bool { return one.Find("th").Text() == zone })
			if row.Length() != 1 || row.Find("[data-head=Recipients]").Text() != "1" || row.Find("[data-head=Pending]").Text() != "1" {
				t.Errorf("%s: %s", zone, row.Text())
			}
		}
	})
}

// TestCampaignsWhileTheDatabaseIsAway: each page says so, and a form that was posted is not lost.
func TestCampaignsWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		s.users("u1")
		id := s.campaign(nil)
		form := filled(s.get("/campaigns/new"))
		if err := s.Store.Close(); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/campaigns", "/campaigns/" + id, "/campaigns/" + id + "/recipients", "/campaigns/" + id + "/failures", "/campaigns/" + id + "/verify"} {
			if page := s.get(path); page.Status < 500 || page.Find("h1").Length() != 1 {
				t.Errorf("%s: %d %s", path, page.Status, page.text("main"))
			}
		}
		form.Set("step", "check")
		form.Set("audience", "all")
		form.Set("text", "kept")
		if page := s.post("/campaigns/new", form); page.Status < 500 || page.text("[name=text]") != "kept" {
			t.Errorf("%d %s", page.Status, page.text("main"))
		}
	})
}
