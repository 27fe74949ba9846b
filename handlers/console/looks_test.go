package console_test

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/handlers"
)

// A look is a page in one state.
type look struct {
	name  string // of its pictures
	path  string
	form  url.Values // what is sent to the path; nil = the path is opened
	file  string     // sent with the form, as users.csv
	click string     // what is clicked then; empty = nothing
	anew  bool       // the page loads itself again and again; the look is at what has come first
}

// TestPagesAreAccessible holds each page, in each of its states, to all rules of axe-core: light and dark, on a desk and on a
// phone. A route without a look fails the test. Nothing on a page sticks out of a phone.
func TestPagesAreAccessible(t *testing.T) {
	t.Parallel()
	full := furnish(t, embeddedStores(t))
	e := newEye(t, full.URL)
	e.logIn(full.site)
	full.sessions(e)
	for _, one := range full.looks() {
		e.look(full.site, one)
	}
	empty := newSite(t, embeddedStores(t))
	e.logIn(empty)
	for _, path := range []string{"/", "/campaigns", "/schedules", "/schedules/calendar", "/users", "/groups", "/queue", "/events", "/search", "/pause"} {
		e.look(empty, look{name: "empty" + strings.ReplaceAll(path, "/", "-"), path: path})
	}
	away := newSite(t, embeddedStores(t), func(a *handlers.API) {
		a.Ready = func(context.Context) []handlers.Problem {
			return []handlers.Problem{{What: "database", Detail: "connection refused"}, {What: "redis", Detail: "connection refused"}}
		}
	})
	e.logIn(away)
	if err := away.Store.Close(); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"away-overview": "/", "away-campaigns": "/campaigns"} {
		e.look(away, look{name: name, path: path})
	}
	e.missed()
}

// sessions are the states of the log-in page.
func (f *furnished) sessions(e *eye) {
	e.look(f.site, look{name: "login-logged-in", path: "/login"})
	e.logOut()
	e.look(f.site, look{name: "login", path: "/login"})
	e.look(f.site, look{name: "login-refused", path: "/login", form: url.Values{"token": {"wrong"}}})
	e.look(f.site, look{name: "login-form-kept", path: "/pause/campaigns", form: url.Values{"a": {"b"}}})
	e.logIn(f.site)
}

// looks are all pages and states of a site that has something to show. What changes something stands at the end.
func (f *furnished) looks() []look {
	campaign, schedule := "/campaigns/", "/schedules/"+f.monday
	list := []look{
		{name: "overview", path: "/"}, {name: "search", path: "/search?q=demo-000"}, {name: "search-none", path: "/search?q=xyz"},
		{name: "not-found", path: "/campaigns/none"}, {name: "no-such-page", path: "/nothing/here"}, {name: "pause", path: "/pause"},
		{name: "campaigns", path: "/campaigns"}, {name: "campaigns-none", path: "/campaigns?name=xyz"}, {name: "campaigns-refused", path: "/campaigns?from=yesterday"},
		{name: "campaign-running", path: campaign + f.running}, {name: "campaign-paused", path: campaign + f.paused}, {name: "campaign-scheduled", path: campaign + f.scheduled},
		{name: "campaign", path: campaign + f.completed}, {name: "campaign-cancelled", path: campaign + f.cancelled}, {name: "campaign-zones", path: campaign + f.zoned},
		{name: "campaign-report", path: campaign + f.completed + "/report"}, {name: "campaign-failures", path: campaign + f.completed + "/failures"},
		{name: "campaign-recipients", path: campaign + f.completed + "/recipients"}, {name: "campaign-recipient", path: campaign + f.completed + "/recipients?user=nobody-1"},
		{name: "campaign-no-recipient", path: campaign + f.completed + "/recipients?user=demo-0000099"}, {name: "campaign-recipients-none", path: campaign + f.scheduled + "/recipients"},
		{name: "campaign-verify", path: campaign + f.completed + "/verify"}, {name: "campaign-cancel", path: campaign + f.running + "/cancel"},
		{name: "campaigns-new-copy", path: "/campaigns/new?copy=" + f.completed + "&status=failed"},
		{name: "schedules", path: "/schedules"}, {name: "schedules-calendar", path: "/schedules/calendar"}, {name: "schedules-day", path: "/schedules/calendar?day=" + time.Now().Add(48*time.Hour).Format(time.DateOnly)},
		{name: "schedules-new", path: "/schedules/new"}, {name: "schedule", path: schedule}, {name: "schedule-edit", path: schedule + "/edit"},
		{name: "schedule-run", path: schedule, click: ".ask > summary"}, {name: "schedule-delete", path: schedule, click: ".ask:last-of-type > summary.danger"},
		{name: "users", path: "/users"}, {name: "users-none", path: "/users?search=xyz"}, {name: "user", path: "/users/demo-0000003"}, {name: "user-refuses", path: "/users/demo-0000004"},
		{name: "user-unknown", path: "/users/nobody-1"}, {name: "user-delete", path: "/users/demo-0000003", click: ".ask > summary"}, {name: "import", path: "/import"}, {name: "import-now", path: "/import/now", anew: true},
		{name: "groups", path: "/groups"}, {name: "group", path: "/groups/team"}, {name: "group-empty", path: "/groups/nobody-yet"}, {name: "group-new", path: "/new-group"}, {name: "group-edit", path: "/groups/team/edit"},
		{name: "queue", path: "/queue"}, {name: "events", path: "/events"}, {name: "events-details", path: "/events", click: ".log summary"}, {name: "events-none", path: "/events?actor=nobody"},
		{name: "try", path: "/try"}, {name: "try-inbox", path: "/try?user=demo-0000001"}, {name: "try-unknown", path: "/try?user=nobody"}, {name: "settings", path: "/settings"},
	}
	kinds := []string{"101", "102", "118", "103", "104", "105", "106", "114", "1400", "110", "raw"}
	if *pictures == "" {
		kinds = kinds[:3] // the others' controls are of the same kinds
	}
	for _, kind := range kinds {
		list = append(list, look{name: "campaigns-new-" + kind, path: "/campaigns/new", click: "#kind-" + kind},
			look{name: "campaigns-check-" + kind, path: "/campaigns/new", form: f.message(kind)})
	}
	list[slices.IndexFunc(list, func(l look) bool { return l.name == "campaigns-new-101" })].name = "campaigns-new"
	return append(list, f.changes()...)
}

// message is a filled form of a new campaign whose message is of a kind.
func (f *furnished) message(kind string) url.Values {
	form := url.Values{"key": {"check-" + kind}, "step": {"check"}, "kind": {kind}, "audience": {"all"}, "name": {"A " + kind}, "when": {"now"}, "zone": {"Europe/Berlin"}, "message.sendID": {admin}, "message.senderNickname": {"Carillon"}}
	for name, value := range map[string]string{
		"text": "Hello!\nHow are you?", "markdown": "# Hello\n\n**How** are you?", "picture.url": "https://cdn.example.com/sale.png", "picture.type": "png", "picture.width": "800", "picture.height": "600",
		"voice.url": "https://cdn.example.com/hello.mp3", "voice.duration": "12", "video.url": "https://cdn.example.com/film.mp4", "video.type": "mp4", "video.size": "1048576", "video.duration": "75",
		"video.picture": "https://cdn.example.com/film.png", "video.width": "640", "video.height": "360", "file.url": "https://cdn.example.com/a-file-with-quite-a-long-name-of-prices-for-the-year.pdf",
		"file.name": "prices.pdf", "file.size": "65536", "at.text": "Look at this, @Ann", "at.users": "demo-0000000", "quote.text": "Yes, it is.", "quote.message": `{"content":"Is it free?"}`,
		"notification.name": "Maintenance", "notification.text": "Tonight from 22:00 to 23:00.", "notification.type": "1", "notification.url": "https://status.example.com", "custom.data": `{"card":17}`,
		"custom.description": "A card", "custom.extension": "v2", "raw.type": "101", "raw.content": `{"content":"hello"}`,
	} {
		form.Set(name, value)
	}
	if kind == "118" {
		form.Set("when", "local")
		form.Set("sendAt", time.Now().Add(48*time.Hour).Format("2006-01-02T15:04"))
	}
	return form
}

// changes are looks after a form that was refused, and after one that has acted.
func (f *furnished) changes() []look {
	campaign, schedule := "/campaigns/", "/schedules/"+f.monday
	refused, test := f.message("101"), f.message("101")
	for name, value := range map[string]string{"audience": "users", "text": "", "message.sendID": "nobody", "when": "at", "ratePerSecond": "fast", "quietHours.from": "22:00"} {
		refused.Set(name, value)
	}
	for name, value := range map[string]string{"step": "test", "testUsers": "demo-0000001", "testKey": "t1"} {
		test.Set(name, value)
	}
	refusedSchedule := url.Values{"step": {"save"}, "key": {"s1"}, "name": {""}, "cron": {"61 * * * *"}, "timezone": {"Mars"}, "kind": {"101"}, "text": {"x"}, "audience": {"all"}, "message.sendID": {admin}}
	sync := url.Values{"fewer": {"1"}}
	return []look{
		{name: "campaigns-new-refused", path: "/campaigns/new", form: refused}, {name: "campaigns-check-tested", path: "/campaigns/new", form: test},
		{name: "campaign-change-refused", path: campaign + f.running + "/change", form: url.Values{"name": {"x"}, "was-name": {"y"}, "ratePerSecond": {"fast"}, "was-ratePerSecond": {"1"}, "zone": {"UTC"}}},
		{name: "schedules-new-refused", path: "/schedules/new", form: refusedSchedule}, {name: "schedules-edit-refused", path: schedule + "/edit", form: refusedSchedule},
		{name: "import-done", path: "/import", form: url.Values{}, file: "userID,nickname,timezone\n4711,Ann,Europe/Berlin\n4712,Ben,Moon/Base\n,Carl,UTC\n4713,Dora,UTC\n"},
		{name: "import-refused", path: "/import", form: url.Values{}, file: "name,age\nAnn,5\n"},
		{name: "group-refused", path: "/new-group", form: url.Values{"id": {""}, "members": {"a\x01b"}}}, {name: "group-edit-refused", path: "/groups/team/edit", form: url.Values{"name": {"x"}, "members": {"a\x01b"}, "version": {"1"}}},
		{name: "try-refused", path: "/try", form: url.Values{"user": {"demo-0000001"}, "key": {"k"}, "text": {""}}}, {name: "try-sent", path: "/try", form: url.Values{"user": {"demo-0000001"}, "key": {"k"}, "text": {"Hello"}}},
		{name: "settings-checked", path: "/settings/channels/inbox/check", form: url.Values{}}, {name: "settings-resumed", path: "/settings/channels/webhook/resume", form: url.Values{}},
		{name: "users-sync", path: "/sync", form: sync},
		{name: "campaign-resumed", path: campaign + f.paused + "/resume", form: url.Values{}}, {name: "campaign-done-paused", path: campaign + f.paused + "/pause", form: url.Values{}},
		{name: "campaign-changed-meanwhile", path: campaign + f.paused + "/pause", form: url.Values{"was": {"running"}}},
		{name: "campaign-done-cancelled", path: campaign + f.paused + "/cancel", form: url.Values{}}, {name: "campaign-retried", path: campaign + f.completed + "/retry", form: url.Values{"status": {"failed"}}},
		{name: "schedule-skipped", path: schedule + "/skip", form: url.Values{"slot": {f.nextSlot()}}}, {name: "schedule-ran", path: schedule + "/run", form: url.Values{"key": {"r"}}},
		{name: "schedule-paused", path: schedule + "/pause", form: url.Values{}}, {name: "schedule-resumed", path: schedule + "/resume", form: url.Values{}}, {name: "schedule-deleted", path: schedule + "/delete", form: url.Values{}},
		{name: "schedule-gone", path: schedule},
		{name: "pause-campaigns", path: "/pause/campaigns", form: url.Values{}}, {name: "pause-schedules", path: "/pause/schedules", form: url.Values{}}, {name: "overview-paused", path: "/"},
		{name: "resume-campaigns", path: "/resume/campaigns", form: url.Values{}}, {name: "resume-schedules", path: "/resume/schedules", form: url.Values{}},
		{name: "user-deleted", path: "/users/demo-0000009/delete", form: url.Values{}}, {name: "group-deleted", path: "/groups/nobody-yet/delete", form: url.Values{}},
	}
}

// nextSlot is the next of the schedule's slots.
func (f *furnished) nextSlot() string {
	return f.get("/schedules/"+f.monday).Find("input[name=slot]").AttrOr("value", "")
}
