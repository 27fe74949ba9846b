package console_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"carillon/handlers"
	"carillon/internal/testkit"
	"carillon/models"
)

// typedSchedule is a form of a new schedule that is right.
func typedSchedule(key string) url.Values {
	return url.Values{
		"key": {key}, "name": {oddTexts[0]}, "cron": {"0 9 * * *"}, "timezone": {"Europe/Berlin"}, "startAt": {"2030-01-02T09:00"}, "endAt": {"2031-01-02T09:00"}, "missed": {"skip"}, "overlap": {"allow"},
		"audience": {"users"}, "audience.userIDs": {"u1\r\n" + oddTexts[3]}, "kind": {"101"}, "text": {oddTexts[1]}, "message.sendID": {admin}, "groupMode": {"2"},
		"expireAfter": {"12h"}, "delivery": {"atLeastOnce"}, "quietHours.from": {"22:00"}, "quietHours.to": {"07:00"}, "offlinePushInfo.title": {"news"}, "step": {"save"},
	}
}

func TestScheduleForm(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		s.users("u1", oddTexts[3])
		p := s.get("/schedules/new")
		key := p.Find("input[name=key]").AttrOr("value", "")
		if p.Status != http.StatusOK || key == "" || p.Find("#f-timezone").AttrOr("value", "") != "UTC" || p.Find("[name=when]").Length() != 0 {
			t.Fatalf("%d %s", p.Status, p.text("main"))
		}

		// Without JavaScript a button shows the slots, and nothing is made.
		form := typedSchedule(key)
		form.Set("step", "preview")
		if p := s.post("/schedules/new", form); p.Status != http.StatusOK || !strings.Contains(p.text("#preview"), "It fires once a day.") || p.Find("#preview li").Length() != 8 ||
			!strings.Contains(p.text("#preview li:first-child"), "Wed 2 Jan 09:00 +01:00") || p.Find("#f-text").Text() != oddTexts[1] || p.Find("#f-name").AttrOr("value", "") != oddTexts[0] {
			t.Errorf("%d %s", p.Status, p.text("#preview"))
		}
		// With it a part of the page comes while the times are typed.
		for _, c := range []struct{ cron, zone, words string }{
			{"* 9 * * *", "UTC", "60 times an hour, 60 times a day"}, {"30 2 * * *", "Europe/Berlin", "once a day"}, {"x", "UTC", "When it fires: "}, {"0 9 * * *", oddTexts[0], "Time zone: "}, {"", "UTC", "appear here"},
		} {
			p := s.post("/schedules/preview", url.Values{"cron": {c.cron}, "timezone": {c.zone}})
			if p.Status != http.StatusOK || !strings.Contains(p.text("body"), c.words) || p.Find("main, script").Length() != 0 {
				t.Errorf("%v: %d %s", c, p.Status, p.text("body"))
			}
		}
		gap := s.post("/schedules/preview", url.Values{"cron": {"30 2 * 3 *"}, "timezone": {"Europe/Berlin"}, "startAt": {"2030-03-30T00:00"}})
		if !strings.Contains(gap.text(".badge.warn"), "clocks go forward this day") {
			t.Errorf("%s", gap.text("body"))
		}
		if n, err := s.Store.Schedules(t.Context(), models.ScheduleFilter{Limit: 1}); len(n) != 0 || err != nil {
			t.Errorf("%d schedules, %v", len(n), err)
		}

		// A refused form keeps what was typed, and names the controls.
		bad := typedSchedule(key)
		for name, text := range map[string]string{"cron": oddTexts[0], "timezone": "Mars", "text": "", "expireAfter": "soon", "startAt": "then"} {
			bad.Set(name, text)
		}
		p = s.post("/schedules/new", bad)
		for _, control := range []string{"f-startAt"} {
			if p.Find("#"+control+"[aria-invalid=true]").Length() != 1 {
				t.Errorf("%s is not marked: %s", control, p.text(".note.bad"))
			}
		}
		if p.Status != http.StatusUnprocessableEntity || p.Find("#f-cron").AttrOr("value", "") != oddTexts[0] || p.Find("#f-expireAfter").AttrOr("value", "") != "soon" {
			t.Errorf("%d %s", p.Status, p.text("main"))
		}
		bad = typedSchedule(key)
		bad.Set("expireAfter", "soon")
		bad.Set("cron", "61 * * * *")
		for _, control := range []string{"f-cron", "f-expireAfter"} {
			if p := s.post("/schedules/new", bad); p.Find("#"+control+"[aria-invalid=true]").Length() != 1 {
				t.Errorf("%s is not marked: %s", control, p.text(".note.bad"))
			}
			bad.Set("cron", "0 9 * * *")
		}

		// Sent twice it makes one schedule.
		var to string
		for range 2 {
			p := s.post("/schedules/new", typedSchedule(key))
			if p.Status != http.StatusSeeOther || to != "" && to != p.Header.Get("Location") {
				t.Fatalf("%d %q %s", p.Status, p.Header.Get("Location"), p.text("main"))
			}
			to = p.Header.Get("Location")
		}
		list, err := s.Store.Schedules(t.Context(), models.ScheduleFilter{Limit: 10})
		if len(list) != 1 || err != nil {
			t.Fatalf("%d schedules, %v", len(list), err)
		}
		id := list[0].PublicID
		if !strings.HasPrefix(to, "/schedules/"+id) {
			t.Errorf("%q", to)
		}
		if p := s.get(to); !strings.Contains(p.text(".bubble"), oddTexts[1]) || !strings.Contains(p.text("main"), "2 listed users") {
			t.Errorf("%s", p.text("main"))
		}

		// The form of a change holds all of it. Saved as it is, it changes nothing.
		edit := func() (form url.Values) {
			form = url.Values{"step": {"save"}}
			for _, el := range s.get("/schedules/" + id + "/edit").Find("main form [name]").EachIter() {
				name, typ := el.AttrOr("name", ""), el.AttrOr("type", "")
				switch {
				case name == "step" || (typ == "radio" || typ == "checkbox") && el.AttrOr("checked", "-") == "-":
				case el.Is("select"):
					chosen := el.Find("option[selected]")
					if chosen.Length() == 0 {
						chosen = el.Find("option").First()
					}
					form.Set(name, chosen.AttrOr("value", chosen.Text()))
				case el.Is("textarea"):
					form.Set(name, el.Text())
				default:
					form.Set(name, el.AttrOr("value", ""))
				}
			}
			return form
		}
		before, err := s.Store.Schedule(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		form = edit()
		if p := s.post("/schedules/"+id+"/edit", form); p.Status != http.StatusSeeOther {
			t.Fatalf("%d %s", p.Status, p.text("main"))
		}
		after, err := s.Store.Schedule(t.Context(), id)
		after.Version = before.Version
		one, wrong := json.Marshal(before)
		other, odd := json.Marshal(after)
		if err = errors.Join(err, wrong, odd); string(one) != string(other) || err != nil {
			t.Errorf("%v\n%s\n%s", err, one, other)
		}

		// Two operators: the second sees that there was another change, and may then save.
		first, second := edit(), edit()
		first.Set("cron", "0 10 * * *")
		second.Set("name", "two")
		if p := s.post("/schedules/"+id+"/edit", first); p.Status != http.StatusSeeOther {
			t.Errorf("%d %s", p.Status, p.text("main"))
		}
		p = s.post("/schedules/"+id+"/edit", second)
		if p.Status != http.StatusConflict || !strings.Contains(p.text(".note.bad"), "omebody changed this schedule while you typed") || p.Find("#f-name").AttrOr("value", "") != "two" {
			t.Errorf("%d %s", p.Status, p.text("main"))
		}
		second.Set("seen", p.Find("input[name=seen]").AttrOr("value", ""))
		if p := s.post("/schedules/"+id+"/edit", second); p.Status != http.StatusSeeOther {
			t.Errorf("%d %s", p.Status, p.text("main"))
		}
		if now, err := s.Store.Schedule(t.Context(), id); now.Name != "two" || now.Cron != "0 9 * * *" || err != nil {
			t.Errorf("%+v %v", now, err)
		}
		if p := s.get("/schedules/none/edit"); p.Status != http.StatusNotFound {
			t.Errorf("%d", p.Status)
		}
	})
}

// TestTheFormKeepsWhatItDoesNotShow: a phone's sound, a platform and a long list of recipients survive a change in the form.
func TestTheFormKeepsWhatItDoesNotShow(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		ids := make([]string, 5001)
		for i := range ids {
			ids[i] = fmt.Sprintf("m%05d", i)
		}
		id := s.schedule("long", "0 9 * * *", func(b *handlers.ScheduleBody) {
			b.Campaign.Audience = &handlers.AudienceBody{UserIDs: &ids}
			b.Campaign.Message.OfflinePushInfo = &models.OfflinePushInfo{Title: "t", IOSPushSound: "bell", Ex: "x"}
			b.Campaign.Message.SenderPlatformID = 3
		})
		p := s.get("/schedules/" + id + "/edit")
		if !strings.Contains(p.text(".note"), "5,001 listed users") {
			t.Errorf("%s", p.text("main"))
		}
		form := typedSchedule("")
		for _, name := range []string{"audience.userIDs", "startAt", "endAt"} {
			form.Del(name)
		}
		form.Set("seen", p.Find("input[name=seen]").AttrOr("value", ""))
		if p := s.post("/schedules/"+id+"/edit", form); p.Status != http.StatusSeeOther {
			t.Fatalf("%d %s", p.Status, p.text(".note"))
		}
		now, err := s.Store.Schedule(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		m := now.Campaign.Message
		if len(now.Campaign.Audience.UserIDs) != 5001 || m.SenderPlatformID != 3 || m.OfflinePushInfo.IOSPushSound != "bell" || m.OfflinePushInfo.Ex != "x" || m.OfflinePushInfo.Title != "news" {
			t.Errorf("%d %+v", len(now.Campaign.Audience.UserIDs), m)
		}
	})
}
