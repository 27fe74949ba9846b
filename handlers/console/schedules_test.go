package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/handlers"
	"carillon/internal/testkit"
	"carillon/models"
)

// schedule makes a schedule over the operation that the API has, and returns its ID.
func (s *site) schedule(name, cron string, change func(*handlers.ScheduleBody)) string {
	s.t.Helper()
	all := true
	body := handlers.ScheduleBody{Name: &name, Cron: &cron, Campaign: &handlers.CampaignBody{
		Audience: &handlers.AudienceBody{All: &all}, Message: &handlers.MessageBody{SendID: admin, SessionType: 1, ContentType: 101, Content: []byte(`{"content":"hello"}`)},
	}}
	if change != nil {
		change(&body)
	}
	ctx, by := s.callAs(admin)
	made, err := s.CreateSchedule(ctx, by, body)
	if err != nil {
		s.t.Fatal(err, models.AsError(err).Fields)
	}
	return made.PublicID
}

func TestSchedulePages(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		s.users("u1")
		if p := s.get("/schedules"); !strings.Contains(p.text(".empty"), "carillon schedules create") || !slices.Contains(p.addresses(".empty a"), "/schedules/new") {
			t.Errorf("%s", p.text("main"))
		}
		zone := "Europe/Berlin"
		for _, name := range oddTexts {
			s.schedule(name, "0 9 * * *", func(b *handlers.ScheduleBody) { b.Timezone = &zone })
		}
		minutely := s.schedule("minutely", "* * * * *", nil)
		yes := true
		local := s.schedule("local", "30 8 * * *", func(b *handlers.ScheduleBody) { b.LocalTime = &yes })
		id := s.schedule("daily", "0 9 * * *", func(b *handlers.ScheduleBody) { b.Timezone = &zone })

		list := s.get("/schedules")
		if list.Find("tbody tr").Length() != len(oddTexts)+3 || list.Find("tbody tr:first-child time").Length() != 3 || !strings.Contains(list.text("tbody"), "60 times an hour, 1440 times a day") {
			t.Errorf("%s", list.text("main"))
		}
		if p := s.get("/schedules?status=paused"); !strings.Contains(p.text(".empty"), "No schedule is paused") {
			t.Errorf("%s", p.text("main"))
		}
		if p := s.get("/schedules?status=x"); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("%d", p.Status)
		}

		// One of the next slots is left out. The others stay.
		p := s.get("/schedules/" + id)
		skips := p.Find("form[action$='/skip']")
		if p.text("h1") != "daily" || skips.Length() != 10 {
			t.Fatalf("%d %s", p.Status, p.text("main"))
		}
		slot := skips.Eq(1).Find("input[name=slot]").AttrOr("value", "")
		for range 2 {
			if p := s.post("/schedules/"+id+"/skip", url.Values{"slot": {slot}}); p.Status != http.StatusSeeOther || p.Header.Get("Location") != "/schedules/"+id+"?done=skipped" {
				t.Errorf("%d %s", p.Status, p.text("main"))
			}
		}
		p = s.get("/schedules/" + id + "?done=skipped")
		if p.Find("form[action$='/skip']").Length() != 9 || p.text(".slots .badge") != "skipped" || p.Find(".slots br").Length() != 0 || p.text(".note.good") == "" || !strings.Contains(p.text(".log"), "schedule.skipped") {
			t.Errorf("%s", p.text("main"))
		}
		wall := s.get("/schedules/"+local).Find("input[name=slot]").First().AttrOr("value", "")
		if _, err := time.Parse(models.WallClock, wall); err != nil {
			t.Error(err)
		}
		if p := s.post("/schedules/"+local+"/skip", url.Values{"slot": {wall}}); p.Status != http.StatusSeeOther {
			t.Errorf("%d %s", p.Status, p.text("main"))
		}
		if p := s.post("/schedules/"+id+"/skip", url.Values{"slot": {oddTexts[0]}}); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("%d %s", p.Status, p.text("main"))
		}

		// Run now: a form that is sent twice makes one campaign.
		key := p.Find("input[name=key]").AttrOr("value", "")
		var made []string
		for range 2 {
			p := s.post("/schedules/"+id+"/run", url.Values{"key": {key}})
			if to := p.Header.Get("Location"); p.Status != http.StatusSeeOther || !strings.HasPrefix(to, "/campaigns/") || !strings.HasSuffix(to, "?done=ran") {
				t.Fatalf("%d %q %s", p.Status, to, p.text("main"))
			}
			made = append(made, p.Header.Get("Location"))
		}
		if all, err := s.Store.Campaigns(t.Context(), models.CampaignFilter{Limit: 10}); len(all) != 1 || made[0] != made[1] || err != nil {
			t.Errorf("%d campaigns, %q, %v", len(all), made, err)
		}
		p = s.get("/schedules/" + id)
		if !strings.Contains(p.text("#past + table"), "run by hand") || len(p.addresses("#past + table a")) != 1 {
			t.Errorf("%s", p.text("main"))
		}
		if key == p.Find("input[name=key]").AttrOr("value", "") {
			t.Error("two forms have the same key")
		}

		for _, c := range []struct{ do, status, done string }{
			{"pause", "paused", "schedule-paused"}, {"pause", "paused", "schedule-paused"}, {"resume", "active", "schedule-resumed"}, {"delete", "deleted", "schedule-deleted"}, {"delete", "deleted", "schedule-deleted"},
		} {
			p := s.post("/schedules/"+id+"/"+c.do, url.Values{})
			if to := p.Header.Get("Location"); p.Status != http.StatusSeeOther || to != "/schedules/"+id+"?done="+c.done {
				t.Errorf("%s: %d %q", c.do, p.Status, to)
			}
			if p := s.get("/schedules/" + id + "?done=" + c.done); p.text(".head .badge") != c.status || p.text(".note.good") == "" {
				t.Errorf("%s: %s", c.do, p.text("main"))
			}
		}
		if p := s.get("/schedules/" + id); p.Find("main form").Length() != 0 {
			t.Errorf("a deleted schedule has forms: %s", p.text("main"))
		}
		if p := s.get("/schedules/" + minutely); !strings.Contains(p.text("main"), "No slot has come yet") {
			t.Errorf("%s", p.text("main"))
		}
		for _, odd := range []string{"none", url.PathEscape(oddTexts[3]), url.PathEscape(oddTexts[0])} {
			if p := s.get("/schedules/" + odd); p.Status != http.StatusNotFound {
				t.Errorf("%s: %d", odd, p.Status)
			}
		}
	})
}

// TestCalendar: each slot and each waiting campaign stands on its day of the zone asked for, and what fires often stands once.
func TestCalendar(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		s.users("u1")
		if p := s.get("/schedules/calendar"); !strings.Contains(p.text(".note"), "Nothing is due") || p.Find("tbody td").Length() != 35 {
			t.Errorf("%s", p.text("main"))
		}
		today := time.Now().UTC()
		day := func(n int) string { return today.AddDate(0, 0, n).Format(time.DateOnly) }
		at := today.AddDate(0, 0, 3)
		s.schedule("<b>once</b>", fmt.Sprintf("30 20 %d %d *", at.Day(), at.Month()), nil)
		yes, zone := true, "Asia/Tokyo"
		s.schedule("own", fmt.Sprintf("30 23 %d %d *", at.Day(), at.Month()), func(b *handlers.ScheduleBody) { b.LocalTime = &yes })
		s.schedule("often", "* * * * *", nil)
		tokyo := s.schedule("tokyo", fmt.Sprintf("0 1 %d %d *", at.Day(), at.Month()), func(b *handlers.ScheduleBody) { b.Timezone = &zone })
		send := day(4) + "T10:00:00Z"
		later := s.campaign(func(b *handlers.CampaignBody) { b.Name, b.SendAt = "later", &send })

		entries := func(day, zone string) (list []string) {
			p := s.get("/schedules/calendar?day=" + day + "&zone=" + url.QueryEscape(zone))
			if p.Status != http.StatusOK {
				t.Errorf("%s %s: %d", day, zone, p.Status)
			}
			for _, li := range p.Find(".due li").EachIter() {
				list = append(list, strings.Join(strings.Fields(li.Text()), " "))
			}
			return list
		}
		const often = "often often (60 times an hour, 1440 times a day)"
		for _, c := range []struct {
			day, zone string
			want      []string
		}{
			{day(3), "UTC", []string{"20:30 <b>once</b>", "23:30 local own", often}},
			{day(2), "UTC", []string{"16:00 tokyo", often}},
			{day(3), "Asia/Tokyo", []string{"01:00 tokyo", "23:30 local own", often}},
			{day(4), "Asia/Tokyo", []string{"05:30 <b>once</b>", "19:00 later", often}},
			{day(4), "UTC", []string{"10:00 later", often}},
			{day(-1), "UTC", nil},
		} {
			if got := entries(c.day, c.zone); !slices.Equal(got, c.want) {
				t.Errorf("%s in %s: %q", c.day, c.zone, got)
			}
		}
		p := s.get("/schedules/calendar")
		if links := p.addresses(".due a"); !slices.Contains(links, "/campaigns/"+later) || !slices.Contains(links, "/schedules/"+tokyo) || p.Find(".note").Length() != 0 {
			t.Errorf("%q", links)
		}
		if n := p.Find(".due a[href='/schedules/" + tokyo + "']").Length(); n != 1 {
			t.Errorf("tokyo stands %d times", n)
		}
		if _, err := s.SkipSlot(t.Context(), call(), handlers.Skip{ID: tokyo, Slot: day(2) + "T16:00:00Z"}); err != nil {
			t.Fatal(err)
		}
		if got := entries(day(2), "UTC"); !slices.Contains(got, "16:00 tokyo skipped") {
			t.Errorf("%q", got)
		}
		for _, bad := range []string{"zone=Mars", "day=tomorrow", "zone=" + url.QueryEscape(oddTexts[0])} {
			if p := s.get("/schedules/calendar?" + bad); p.Status != http.StatusUnprocessableEntity {
				t.Errorf("%s: %d", bad, p.Status)
			}
		}
		for i := range 200 {
			s.schedule(fmt.Sprintf("s%03d", i), fmt.Sprintf("%d * * * *", i%60), nil)
		}
		p = s.get("/schedules/calendar")
		if rest := p.addresses("td > p > a"); len(rest) < 28 || !sameAddress(rest[1], "/schedules/calendar?day="+day(1)+"&zone=UTC") {
			t.Errorf("%q", rest)
		}
		if got := entries(day(5), "UTC"); len(got) != 201 {
			t.Errorf("%d entries", len(got))
		}
		if p := s.get("/schedules?limit=1000"); p.Find("tbody tr").Length() != 204 {
			t.Errorf("%d", p.Find("tbody tr").Length())
		}
		seven := s.schedule("every seven hours", "@every 7h", nil) // four times on some days, and three times on the others
		three := 0
		for _, td := range s.get("/schedules/calendar").Find("tbody td").EachIter() {
			if td.Find(".due a[href='/schedules/"+seven+"']").Length() == 3 {
				three++
			}
		}
		if three < 10 {
			t.Errorf("%d days have three slots of a schedule that fires every seven hours", three)
		}
	})
}
