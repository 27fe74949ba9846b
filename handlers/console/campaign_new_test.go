package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"carillon/handlers"
	"carillon/internal/testkit"
	"carillon/models"
)

// filled is the page's own form as a browser would send it.
func filled(p seen) url.Values {
	values := url.Values{}
	p.Find("main form").Last().Find("input, textarea, select").Each(func(_ int, one *goquery.Selection) {
		name, _ := one.Attr("name")
		switch kind, _ := one.Attr("type"); {
		case kind == "radio" || kind == "checkbox":
			if _, checked := one.Attr("checked"); checked {
				values.Set(name, one.AttrOr("value", "on"))
			}
		case one.Is("select"):
			option := one.Find("option[selected]")
			if option.Length() == 0 {
				option = one.Find("option").First()
			}
			values.Set(name, option.AttrOr("value", option.Text()))
		case one.Is("textarea"):
			values.Set(name, one.Text())
		default:
			values.Set(name, one.AttrOr("value", ""))
		}
	})
	return values
}

// press is a form sent with one of its buttons.
func (s *site) press(step string, form url.Values) seen {
	s.t.Helper()
	form.Set("step", step)
	return s.post("/campaigns/new", form)
}

func (s *site) campaignCount() int {
	s.t.Helper()
	list, err := s.Store.Campaigns(s.t.Context(), models.CampaignFilter{Limit: 100})
	if err != nil {
		s.t.Fatal(err)
	}
	return len(list)
}

// TestNewCampaignToAll: the form, the check, the typed number, and a form that is sent twice.
func TestNewCampaignToAll(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		s.users("u1", "u2", foulID)
		form := filled(s.get("/campaigns/new"))
		form.Set("name", foul[:60])
		form.Set("audience", "all")
		form.Set("text", foul+"\nsecond line")
		check := s.press("check", form)
		clean(t, check)
		if check.Status != http.StatusOK || check.text("h1") != "Check before it goes" || !strings.Contains(check.text(".figures"), "Recipients3") {
			t.Fatalf("%d %s", check.Status, check.text("main"))
		}
		if s.campaignCount() != 0 {
			t.Error("the check has made a campaign")
		}
		sent := filled(check)
		if got := sent.Get("text"); got != foul+"\nsecond line" {
			t.Errorf("the check hands on %q", got)
		}
		for _, typed := range []string{"", "2", "many"} {
			sent.Set("typed", typed)
			again := s.press("send", sent)
			if again.Status != http.StatusUnprocessableEntity || again.Find("[name=typed][aria-invalid]").Length() != 1 || s.campaignCount() != 0 {
				t.Errorf("typed %q: %d %s", typed, again.Status, again.text("main"))
			}
		}
		without := url.Values{}
		for name := range form {
			without.Set(name, form.Get(name))
		}
		if again := s.press("send", without); again.Status != http.StatusUnprocessableEntity || s.campaignCount() != 0 {
			t.Errorf("without a check: %d", again.Status)
		}
		sent.Set("typed", "3")
		done := s.press("send", sent)
		to := done.Header.Get("Location")
		if done.Status != http.StatusSeeOther || s.campaignCount() != 1 {
			t.Fatalf("%d %s", done.Status, done.text("main"))
		}
		if twice := s.press("send", sent); twice.Header.Get("Location") != to || s.campaignCount() != 1 {
			t.Errorf("sent twice: %d to %s, %d campaigns", twice.Status, twice.Header.Get("Location"), s.campaignCount())
		}
		made := s.get(to)
		clean(t, made)
		if made.text("main > .note") != "The campaign was created." || made.text("h1") != foul[:60] {
			t.Errorf("%s", made.text("main"))
		}
		sent.Set("text", "another")
		other := s.press("send", sent)
		if other.Status != http.StatusUnprocessableEntity || !strings.Contains(other.text(".note.bad"), "has made a campaign already") || filled(other).Get("key") == sent.Get("key") || filled(other).Get("text") != "another" {
			t.Errorf("changed and sent again: %d %s", other.Status, other.text("main"))
		}
	})
}

// TestNewCampaignRefused: a refusal stands beside its control, and all that was typed is kept.
func TestNewCampaignRefused(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		s.users("u1")
		base := filled(s.get("/campaigns/new"))
		for name, c := range map[string]struct {
			set   []string
			field string
			says  string
		}{
			"nobody":         {[]string{"text", "hi"}, "audience", "must be chosen"},
			"no text":        {[]string{"audience", "all"}, "text", "is required"},
			"no users":       {[]string{"audience", "users", "text", "hi"}, "audience.userIDs", "must name at least one"},
			"a bad ID":       {[]string{"audience", "users", "audience.userIDs", "u1, u2\na\x01b", "text", "hi"}, "audience.userIDs", "ID number 3 "},
			"no such group":  {[]string{"audience", "group", "audience.groupID", "g", "text", "hi"}, "audience.groupID", "does not exist"},
			"no such sender": {[]string{"audience", "all", "text", "hi", "message.sendID", "nobody"}, "message.sendID", "neither a user"},
			"a picture":      {[]string{"audience", "all", "kind", "102", "picture.url", "https://example.com/a.png", "picture.type", "png", "picture.width", "wide", "picture.height", "5"}, "picture.width", "must be an integer"},
			"a list of none": {[]string{"audience", "all", "kind", "114", "quote.text", "x", "quote.message", "[1"}, "quote.message", "must be an object"},
			"raw":            {[]string{"audience", "all", "kind", "raw", "raw.type", "101", "raw.content", `{"content":1}`}, "raw.content", "content must be a string"},
			"a raw type":     {[]string{"audience", "all", "kind", "raw", "raw.type", "999", "raw.content", `{}`}, "raw.type", "must be one of"},
			"a rate":         {[]string{"audience", "all", "text", "hi", "ratePerSecond", "1.5"}, "ratePerSecond", "must be an integer"},
			"no time":        {[]string{"audience", "all", "text", "hi", "when", "at"}, "sendAt", "is required"},
			"a zone":         {[]string{"audience", "all", "text", "hi", "when", "at", "sendAt", "2099-01-01T09:00", "zone", "Mars"}, "sendAt", "needs a time zone"},
			"past":           {[]string{"audience", "all", "text", "hi", "when", "at", "sendAt", "2001-01-01T09:00"}, "sendAt", "must not be in the past"},
			"an end":         {[]string{"audience", "all", "text", "hi", "expireAt", "2001-01-01T09:00"}, "expireAt", "must be in the future"},
			"quiet":          {[]string{"audience", "all", "text", "hi", "quietHours.from", "22:00"}, "quietHours.to", "must be"},
		} {
			form := url.Values{}
			for field := range base {
				form.Set(field, base.Get(field))
			}
			for i := 0; i < len(c.set); i += 2 {
				form.Set(c.set[i], c.set[i+1])
			}
			page := s.press("check", form)
			if reason := page.text("#f-" + strings.ReplaceAll(c.field, ".", "-") + "-error"); page.Status != http.StatusUnprocessableEntity || !strings.Contains(reason, c.says) {
				t.Errorf("%s: %d %q %s", name, page.Status, reason, page.text(".note"))
			}
			kept := filled(page)
			for i := 0; i < len(c.set); i += 2 {
				if got := kept.Get(c.set[i]); got != c.set[i+1] {
					t.Errorf("%s: %s is %q, not %q", name, c.set[i], got, c.set[i+1])
				}
			}
		}
		many := url.Values{"kind": {"101"}, "text": {"hi"}, "when": {"now"}, "zone": {"UTC"}, "message.sendID": {admin}, "audience": {"users"}, "audience.userIDs": {strings.Repeat("u\n", 100_001)}}
		if page := s.press("check", many); page.Status != http.StatusRequestEntityTooLarge || !strings.Contains(page.text("#f-audience-userIDs-error"), "at most 100000") || len(filled(page).Get("audience.userIDs")) != 200_002 {
			t.Errorf("%d %s", page.Status, page.text(".error"))
		}
		many.Set("audience.userIDs", strings.Repeat("u", 16<<20))
		if page := s.press("check", many); page.Status != http.StatusRequestEntityTooLarge || !strings.Contains(page.text("main"), "Send it in parts") {
			t.Errorf("%d %s", page.Status, page.text("main"))
		}
		if s.campaignCount() != 0 {
			t.Errorf("%d campaigns were made", s.campaignCount())
		}
	})
}

// TestEachKindOfMessage: the form of each content type makes its message, the message shows, and its copy is the same form.
func TestEachKindOfMessage(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		s.users("u1")
		base := filled(s.get("/campaigns/new"))
		for kind, c := range map[string]struct {
			set  []string
			want string // in the preview
			copy string // the kind of the copy; empty = the same
		}{
			"101":  {set: []string{"text", foul}, want: "<script>alert(1)</script>"},
			"118":  {set: []string{"markdown", "**hello**"}, want: "**hello**"},
			"102":  {set: []string{"picture.url", "https://example.com/<b>/a.png?x=1", "picture.type", "png", "picture.width", "800", "picture.height", "600"}, want: "a.png800 × 600", copy: "102"},
			"103":  {set: []string{"voice.url", "javascript:alert(1)", "voice.duration", "67"}, want: "1 min 7 s"},
			"104":  {set: []string{"video.url", "https://example.com/a.mp4", "video.type", "mp4", "video.size", "1048576", "video.duration", "12", "video.picture", "https://example.com/a.jpg", "video.width", "3", "video.height", "4"}, want: "a.mp412 s, 1.0 MiB"},
			"105":  {set: []string{"file.url", "https://example.com/a.pdf", "file.name", foul, "file.size", "20480"}, want: "20.0 KiB"},
			"106":  {set: []string{"at.text", "@Anna look", "at.users", "anna\nbob"}, want: "anna, bob"},
			"114":  {set: []string{"quote.text", "as I said", "quote.message", `{"content":"hello"}`}, want: "hello"},
			"1400": {set: []string{"notification.name", "News", "notification.text", "We open", "notification.url", "https://example.com/n"}, want: "News"},
			"110":  {set: []string{"custom.data", `{"order":"` + foul + `"}`, "custom.description", "an order"}, want: "an order"},
			"raw":  {set: []string{"raw.type", "101", "raw.content", `{"content":"more","sub":{"a":[1]}}`}, want: "more"},
		} {
			form := url.Values{}
			for field := range base {
				form.Set(field, base.Get(field))
			}
			form.Set("kind", kind)
			form.Set("key", "kind "+kind)
			form.Set("audience", "users")
			form.Set("audience.userIDs", "u1")
			for i := 0; i < len(c.set); i += 2 {
				form.Set(c.set[i], c.set[i+1])
			}
			check := s.press("check", form)
			clean(t, check)
			if bubble := check.text(".bubble"); check.Status != http.StatusOK || !strings.Contains(bubble, c.want) {
				t.Errorf("%s: %d %q %s", kind, check.Status, bubble, check.text(".note, .error"))
				continue
			}
			if bad := check.Find("main a[href^=javascript], main [src]").Length(); bad > 0 {
				t.Errorf("%s: %d links to scripts", kind, bad)
			}
			made := s.press("send", filled(check))
			if made.Status != http.StatusSeeOther {
				t.Errorf("%s: %d %s", kind, made.Status, made.text("main"))
				continue
			}
			to, _, _ := strings.Cut(strings.TrimPrefix(made.Header.Get("Location"), "/campaigns/"), "?")
			clean(t, s.get("/campaigns/"+to))
			again := s.get("/campaigns/new?copy=" + to)
			clean(t, again)
			copied := filled(again)
			if copied.Get("kind") != kind || copied.Get("audience.userIDs") != "u1" {
				t.Errorf("%s: the copy is a %s to %q", kind, copied.Get("kind"), copied.Get("audience.userIDs"))
			}
			for i := 0; i < len(c.set); i += 2 {
				if got := copied.Get(c.set[i]); got != c.set[i+1] {
					t.Errorf("%s: %s of the copy is %q, not %q", kind, c.set[i], got, c.set[i+1])
				}
			}
		}
	})
}

// TestTestOfACampaign: the test goes to the users that are named, once, and the campaign itself is not made.
func TestTestOfACampaign(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		s.users("u1", "u2")
		form := filled(s.get("/campaigns/new?user=u1&user=u2"))
		form.Set("text", "hi")
		check := filled(s.press("check", form))
		check.Set("testUsers", "u1\nnobody")
		refused := s.press("test", check)
		if reason := refused.text("#f-testUsers-error"); refused.Status != http.StatusUnprocessableEntity || !strings.Contains(reason, "ID number 2 is not in the directory") || s.campaignCount() != 0 {
			t.Errorf("%d %q %s", refused.Status, reason, refused.text("main"))
		}
		check.Set("testUsers", "u1")
		for range 2 {
			tested := s.press("test", check)
			if tested.Status != http.StatusOK || tested.Find(".note.good a[href^='/campaigns/']").Length() != 1 || s.campaignCount() != 1 {
				t.Fatalf("%d %s, %d campaigns", tested.Status, tested.text("main"), s.campaignCount())
			}
			if kept := filled(tested); kept.Get("text") != "hi" || kept.Get("testKey") == check.Get("testKey") {
				t.Errorf("after the test the form holds %v", kept)
			}
		}
		if edit := s.press("edit", check); filled(edit).Get("audience.userIDs") != "u1\nu2" {
			t.Errorf("back in the form: %v", filled(edit))
		}
	})
}

// TestCopiesAndPrefills: what the address of the form may say.
func TestCopiesAndPrefills(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		s.users("u1", "u2")
		if form := filled(s.get("/campaigns/new?user=" + url.QueryEscape(foulID))); form.Get("audience") != "users" || form.Get("audience.userIDs") != foulID {
			t.Errorf("user: %v", form)
		}
		if form := filled(s.get("/campaigns/new?group=" + url.QueryEscape(foulID))); form.Get("audience") != "group" || form.Get("audience.groupID") != foulID {
			t.Errorf("group: %v", form)
		}
		all := filled(s.get("/campaigns/new?copy=" + s.campaign(func(b *handlers.CampaignBody) {
			b.RatePerSecond, b.Delivery, b.QuietHours = 7, models.AtMostOnce, &handlers.QuietHours{From: "22:00", To: "08:00"}
			b.Message.Ex, b.Message.NotOfflinePush = "ex", true
		})))
		for name, want := range map[string]string{"audience": "all", "ratePerSecond": "7", "delivery": "atMostOnce", "quietHours.to": "08:00", "message.ex": "ex", "message.notOfflinePush": "1", "name": "spring", "text": "hello", "when": "now"} {
			if all.Get(name) != want {
				t.Errorf("%s of the copy is %q, not %q", name, all.Get(name), want)
			}
		}
		id := s.campaign(listedUsers("u1", "u2"))
		s.finish(id, models.RecipientOutcome{UserID: "u1", Status: models.RecipientSent, Attempts: 1}, models.RecipientOutcome{UserID: "u2", Status: models.RecipientFailed, Attempts: 1, ErrCode: 1004})
		if form := filled(s.get("/campaigns/new?copy=" + id + "&status=failed")); form.Get("audience.userIDs") != "u2" {
			t.Errorf("to those that failed: %v", form)
		}
		var ids []string
		for i := range 1001 {
			ids = append(ids, fmt.Sprintf("many%d", i))
		}
		if page := s.get("/campaigns/new?copy=" + s.campaign(listedUsers(ids...))); filled(page).Get("audience.userIDs") != "" || !strings.Contains(page.text(".note"), "not copied") {
			t.Errorf("%s", page.text(".note"))
		}
		if page := s.get("/campaigns/new?copy=none"); page.Status != http.StatusNotFound {
			t.Errorf("%d", page.Status)
		}
	})
}
