package handlers

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"carillon/internal/slots"
	"carillon/internal/testkit"
	"carillon/models"
)

const (
	aMessage  = `{"sendID":"imAdmin","content":{"content":"x"},"contentType":101}`
	aTemplate = `{"message":` + aMessage + `,"audience":{"all":true}}`
)

// okSchedule is a schedule's body, with fields changed as in jsonFields.
func okSchedule(change jsonFields) jsonFields {
	return jsonFields{"name": `"n"`, "cron": `"0 9 * * 1"`, "timezone": `"Europe/Berlin"`, "campaign": aTemplate}.but(change)
}

// TestScheduleBadInput: each is refused when the schedule is made, with the field and the reason, and stores nothing.
func TestScheduleBadInput(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("u1")
		template := func(change jsonFields) jsonFields {
			return jsonFields{"campaign": jsonFields{"message": aMessage, "audience": `{"all":true}`}.but(change).body()}
		}
		for name, c := range map[string]struct {
			change        jsonFields
			field, reason string
		}{
			"no cron":                {jsonFields{"cron": ""}, "cron", "is required"},
			"never fires":            {jsonFields{"cron": `"0 0 31 2 *"`}, "cron", "never fires"},
			"CRON_TZ":                {jsonFields{"cron": `"CRON_TZ=UTC 0 9 * * *"`}, "cron", "timezone"},
			"CRON_TZ alone":          {jsonFields{"cron": `"CRON_TZ=UTC"`}, "cron", "timezone"},
			"TZ":                     {jsonFields{"cron": `"TZ=UTC 0 9 * * *"`}, "cron", "timezone"},
			"six fields":             {jsonFields{"cron": `"0 0 9 * * 1"`}, "cron", "five fields"},
			"four fields":            {jsonFields{"cron": `"0 9 * *"`}, "cron", "five fields"},
			"out of range":           {jsonFields{"cron": `"61 9 * * *"`}, "cron", "61"},
			"every 1ns":              {jsonFields{"cron": `"@every 1ns"`}, "cron", "1s"},
			"every 1.5s":             {jsonFields{"cron": `"@every 1.5s"`}, "cron", "whole seconds"},
			"every -1h":              {jsonFields{"cron": `"@every -1h"`}, "cron", "1s"},
			"every what":             {jsonFields{"cron": `"@every"`}, "cron", ""},
			"reboot":                 {jsonFields{"cron": `"@reboot"`}, "cron", ""},
			"NUL":                    {jsonFields{"cron": `"0 9 * * 1\u0001"`}, "cron", "control"},
			"too long":               {jsonFields{"cron": asJSON(strings.Repeat("0,", 200) + "0 9 * * 1")}, "cron", "255"},
			"unknown zone":           {jsonFields{"timezone": `"Mars/Olympus"`}, "timezone", "IANA"},
			"local zone":             {jsonFields{"timezone": `"Local"`}, "timezone", "IANA"},
			"end before start":       {jsonFields{"startAt": `"2999-01-02T00:00:00Z"`, "endAt": `"2999-01-01T00:00:00Z"`}, "endAt", "after startAt"},
			"end is over":            {jsonFields{"endAt": `"2001-01-01T00:00:00Z"`}, "endAt", "no slot"},
			"no slot before the end": {jsonFields{"startAt": `"2027-01-05T00:00:00Z"`, "endAt": `"2027-01-06T00:00:00Z"`}, "endAt", "no slot"},
			"start is no time":       {jsonFields{"startAt": `"monday"`}, "startAt", "time like"},
			"missed":                 {jsonFields{"missed": `"later"`}, "missed", "skip or once"},
			"grace":                  {jsonFields{"missedGrace": `"-1m"`}, "missedGrace", "duration"},
			"grace a number":         {jsonFields{"missedGrace": "10"}, "missedGrace", "string"},
			"overlap":                {jsonFields{"overlap": `"queue"`}, "overlap", "skip or allow"},
			"name too long":          {jsonFields{"name": asJSON(strings.Repeat("n", 256))}, "name", "255"},
			"unknown field":          {jsonFields{"crontab": `"x"`}, "crontab", "not a field"},
			"no campaign":            {jsonFields{"campaign": ""}, "campaign", "is required"},
			"interval by local time": {jsonFields{"localTime": "true", "cron": `"@every 1h"`}, "cron", "interval"},
			"star by local time":     {jsonFields{"localTime": "true", "cron": `"0 * * * *"`}, "cron", "interval"},
			"sendAt":                 {template(jsonFields{"sendAt": `"2999-01-01T00:00:00Z"`}), "campaign.sendAt", "slots"},
			"sendAt empty":           {template(jsonFields{"sendAt": `""`}), "campaign.sendAt", "slots"},
			"expireAt":               {template(jsonFields{"expireAt": `"2999-01-01T00:00:00Z"`}), "campaign.expireAt", "expireAfter"},
			"expireAfter at night":   {jsonFields{"cron": `"0 9,23 * * *"`, "localTime": "true", "campaign": jsonFields{"message": aMessage, "audience": `{"all":true}`, "expireAfter": `"2h"`, "quietHours": `{"from":"22:00","to":"08:00"}`}.body()}, "campaign.expireAfter", "23:00:00"},
			"expireAfter":            {template(jsonFields{"expireAfter": `"0s"`}), "campaign.expireAfter", "duration"},
			"no message":             {template(jsonFields{"message": ""}), "campaign.message", "is required"},
			"no audience":            {template(jsonFields{"audience": ""}), "campaign.audience", "is required"},
			"content":                {template(jsonFields{"message": `{"sendID":"imAdmin","content":{},"contentType":101}`}), "campaign.message.content.content", "required"},
			"recvIDs in message":     {template(jsonFields{"message": `{"sendID":"imAdmin","content":{"content":"x"},"contentType":101,"recvIDs":[]}`}), "campaign.message.recvIDs", "audience.userIDs"},
			"channel":                {template(jsonFields{"channel": `"pigeon"`}), "campaign.channel", "set up"},
			"sender":                 {template(jsonFields{"message": `{"sendID":"nobody","content":{"content":"x"},"contentType":101}`}), "campaign.message.sendID", "neither"},
			"group":                  {template(jsonFields{"audience": `{"groupID":"none"}`}), "campaign.audience.groupID", "exist"},
			"quiet hours":            {template(jsonFields{"quietHours": `{"from":"1","to":"08:00"}`}), "campaign.quietHours.from", "HH:MM"},
			"priority":               {template(jsonFields{"priority": `"transactional"`}), "campaign.priority", "bulk"},
		} {
			status, got := s.do(http.MethodPost, "/v1/schedules", okSchedule(c.change).body())
			reason, found := got.fields(t)[c.field]
			if status != http.StatusUnprocessableEntity || !found || !strings.Contains(reason, c.reason) {
				t.Errorf("%s: %d %s", name, status, got.Raw)
			}
		}
		if status, got := s.do(http.MethodPost, "/v1/schedules", `{"name":`); status != http.StatusBadRequest || got.ErrCode != models.CodeArgs {
			t.Errorf("cut off: %d %s", status, got.Raw)
		}
		var list struct{ Schedules []ScheduleView }
		_, got := s.do(http.MethodGet, "/v1/schedules?status=active", nil)
		if got.into(t, &list); len(list.Schedules) != 0 {
			t.Errorf("stored: %s", got.Raw)
		}
	})
}

func (s *server) schedule(method, path string, body any, want int, headers ...string) ScheduleDetails {
	s.t.Helper()
	status, got := s.do(method, path, body, headers...)
	if status != want {
		s.t.Fatalf("%s %s: %d %s", method, path, status, got.Raw)
	}
	var v ScheduleDetails
	if status < 300 {
		got.into(s.t, &v)
	}
	return v
}

// TestScheduleLife: made, listed, changed, paused, resumed, run by hand, deleted, and its history stays.
func TestScheduleLife(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("u1", "u2")
		made := s.schedule("POST", "/v1/schedules", okSchedule(jsonFields{}).body(), http.StatusCreated)
		next, err := time.Parse(time.RFC3339, *made.NextSlot)
		if err != nil || next.In(mustZone(t, "Europe/Berlin")).Format("Mon 15:04") != "Mon 09:00" || made.Missed != models.MissedOnce || made.MissedGrace != "10m0s" || made.Overlap != models.OverlapSkip {
			t.Fatalf("%+v, %v", made, err)
		}
		path := "/v1/schedules/" + made.ID
		if v := s.schedule("GET", path, nil, 200); v.Campaign.Message.SendID != "imAdmin" || v.Campaign.Audience.All == nil || len(v.Occurrences) != 0 {
			t.Errorf("%+v", v)
		}
		if v := s.schedule("PATCH", path, `{"cron":"30 8 * * 1","timezone":"Asia/Tokyo","missed":"skip","name":"m"}`, 200); !strings.HasSuffix(*v.NextSlot, "T23:30:00Z") || v.Missed != models.MissedSkip || v.MissedGrace != "10m0s" || v.Name != "m" {
			t.Errorf("%+v, %s", v, *v.NextSlot)
		}
		s.schedule("PATCH", path, `{"cron":"0 0 31 2 *"}`, 422)
		s.schedule("PATCH", path, `{"endAt":null}`, 422)
		s.schedule("PATCH", path, `{"campaign":{"message":`+aMessage+`,"audience":{"groupID":"none"}}}`, 422)
		if v := s.schedule("POST", path+"/pause", nil, 200); v.Status != models.SchedulePaused || v.NextSlot != nil {
			t.Errorf("%+v", v)
		}
		s.schedule("POST", path+"/pause", nil, 200)
		if v := s.schedule("POST", path+"/resume", nil, 200); v.Status != models.ScheduleActive || v.NextSlot == nil {
			t.Errorf("%+v", v)
		}
		s.schedule("POST", path+"/resume", nil, 200)

		var first, again CampaignView
		status, got := s.do("POST", path+"/run", nil, "Idempotency-Key", "k")
		got.into(t, &first)
		if status != http.StatusAccepted || first.ScheduleID != made.ID || first.Slot != nil || got.Header.Get("Location") != "/v1/campaigns/"+first.ID || first.Counts.Total != 2 {
			t.Errorf("%d %s", status, got.Raw)
		}
		_, got = s.do("POST", path+"/run", nil, "Idempotency-Key", "k")
		if got.into(t, &again); again.ID != first.ID {
			t.Errorf("run twice: %s", got.Raw)
		}
		if v := s.schedule("GET", path, nil, 200); len(v.Occurrences) != 1 || v.Occurrences[0].Slot != nil || v.Occurrences[0].CampaignID != first.ID {
			t.Errorf("%+v", v.Occurrences)
		}
		if v := s.schedule("DELETE", path, nil, 200); v.Status != models.ScheduleDeleted {
			t.Errorf("%+v", v)
		}
		s.schedule("DELETE", path, nil, 200)
		s.schedule("POST", path+"/run", nil, 409)
		s.schedule("POST", path+"/resume", nil, 409)
		s.schedule("PATCH", path, `{"name":"x"}`, 409)
		if v := s.schedule("GET", path, nil, 200); v.Status != models.ScheduleDeleted || len(v.Occurrences) != 1 {
			t.Errorf("%+v", v)
		}
		var list struct{ Schedules []ScheduleView }
		_, got = s.do("GET", "/v1/schedules", nil)
		if got.into(t, &list); len(list.Schedules) != 0 {
			t.Errorf("%s", got.Raw)
		}
		s.schedule("GET", "/v1/schedules/none", nil, 404)
		s.schedule("POST", "/v1/schedules/none/pause", nil, 404)
		s.schedule("POST", "/v1/schedules/none/run", nil, 404)
	})
}

func mustZone(t *testing.T, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// TestScheduleTwiceUnderOneKey: a POST that is repeated makes one schedule, and its answer comes again byte for byte.
func TestScheduleTwiceUnderOneKey(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("u1")
		body := okSchedule(jsonFields{}).body()
		_, first := s.do("POST", "/v1/schedules", body, "Idempotency-Key", "k")
		status, again := s.do("POST", "/v1/schedules", body, "Idempotency-Key", "k")
		if status != http.StatusCreated || string(first.Raw) != string(again.Raw) {
			t.Errorf("%d %s, not %s", status, again.Raw, first.Raw)
		}
		if status, got := s.do("POST", "/v1/schedules", okSchedule(jsonFields{"name": `"other"`}).body(), "Idempotency-Key", "k"); status != 422 || got.ErrCode != models.CodeIdempotencyMismatch {
			t.Errorf("%d %s", status, got.Raw)
		}
		list, err := s.Store.Schedules(t.Context(), models.ScheduleFilter{Limit: 10})
		if err != nil || len(list) != 1 {
			t.Errorf("%d schedules, %v", len(list), err)
		}
	})
}

// TestPreview: coming slots by both clocks, with a note on days on which they change.
func TestPreview(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		var got struct{ Slots []SlotView }
		status, r := s.do("POST", "/v1/schedules/preview", `{"cron":"30 2 * * *","timezone":"Europe/Berlin","from":"2027-03-27T00:00:00Z","n":3}`)
		r.into(t, &got)
		want := []string{"2027-03-27T02:30:00+01:00", "2027-03-28T03:00:00+02:00", "2027-03-29T02:30:00+02:00"}
		if status != 200 || len(got.Slots) != 3 {
			t.Fatalf("%d %s", status, r.Raw)
		}
		for i, slot := range got.Slots {
			at, _ := time.Parse(time.RFC3339, want[i])
			if slot.Local != want[i] || slot.UTC != at.UTC().Format(time.RFC3339) || (slot.Note != "") != (i == 1) {
				t.Errorf("%+v, not %s", slot, want[i])
			}
		}
		for _, bad := range []string{`{"cron":"x"}`, `{"cron":"0 9 * * *","n":0}`, `{"cron":"0 9 * * *","n":101}`, `{"cron":"0 9 * * *","from":"now"}`, `{"cron":"0 9 * * *","from":""}`, `{"cron":"0 9 * * *","timezone":"x"}`, `{}`} {
			if status, r := s.do("POST", "/v1/schedules/preview", bad); status != 422 || len(r.fields(t)) == 0 {
				t.Errorf("%s: %d %s", bad, status, r.Raw)
			}
		}
		s.users("u1")
		made := s.schedule("POST", "/v1/schedules", okSchedule(jsonFields{"localTime": "true", "cron": `"0 9 * * 1"`}).body(), http.StatusCreated)
		_, r = s.do("GET", "/v1/schedules/"+made.ID+"/next?n=2", nil)
		if r.into(t, &got); len(got.Slots) != 2 || !strings.HasSuffix(got.Slots[0].Local, "T09:00:00") || !strings.HasSuffix(got.Slots[0].UTC, "T19:00:00Z") {
			t.Errorf("%s", r.Raw)
		}
		if *made.NextSlot != got.Slots[0].Local {
			t.Errorf("%s, then %s", *made.NextSlot, got.Slots[0].Local)
		}
	})
}

// TestScheduledCampaign: sendAt is shown, moved and kept from the past; a local time stays a local time.
func TestScheduledCampaign(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("u1")
		post := func(more string) CampaignView {
			status, got := s.do("POST", "/v1/campaigns", `{"message":`+aMessage+`,"audience":{"all":true},`+more+`}`)
			var c CampaignView
			if got.into(t, &c); status != http.StatusAccepted || c.Status != models.StatusScheduled || c.StartedAt != nil {
				t.Fatalf("%d %s", status, got.Raw)
			}
			return c
		}
		c := post(`"sendAt":"2999-01-01T09:00:00+01:00","expireAt":"2999-01-02T00:00:00Z","quietHours":{"from":"22:00","to":"08:00"}`)
		if *c.SendAt != "2999-01-01T08:00:00Z" || c.QuietHours.From != "22:00" || c.QuietHours.To != "08:00" || c.LocalTime {
			t.Errorf("%+v", c)
		}
		l := post(`"sendAt":"2999-01-01T09:00:00","localTime":true`)
		if *l.SendAt != "2999-01-01T09:00:00" || !l.LocalTime || l.Missed != models.MissedOnce || l.MissedGrace != "10m0s" {
			t.Errorf("%+v", l)
		}
		past := time.Now().Add(-2 * time.Minute).UTC().Format(time.RFC3339)
		for _, step := range []struct {
			id, body string
			status   int
			sendAt   string
		}{
			{c.ID, `{"sendAt":"2999-01-01T10:00:00Z"}`, 200, "2999-01-01T10:00:00Z"},
			{c.ID, `{"sendAt":"` + past + `"}`, 422, ""},
			{c.ID, `{"sendAt":"2999-01-03T10:00:00Z"}`, 422, ""}, // after its expireAt
			{c.ID, `{"expireAt":"2999-01-01T09:00:00Z"}`, 422, ""},
			{c.ID, `{"sendAt":"2999-01-03T10:00:00Z","expireAt":""}`, 200, "2999-01-03T10:00:00Z"},
			{c.ID, `{"sendAt":"soon"}`, 422, ""},
			{l.ID, `{"sendAt":"2999-02-01T09:30:00"}`, 200, "2999-02-01T09:30:00"},
			{l.ID, `{"sendAt":"2001-02-01T09:30:00"}`, 422, ""},
		} {
			status, got := s.do("PATCH", "/v1/campaigns/"+step.id, step.body)
			var v CampaignView
			if status == 200 {
				got.into(t, &v)
			}
			if status != step.status || status == 200 && *v.SendAt != step.sendAt {
				t.Errorf("%s: %d %s", step.body, status, got.Raw)
			}
		}
		if status, got := s.do("POST", "/v1/campaigns/"+c.ID+"/pause", nil); status != 200 {
			t.Errorf("%d %s", status, got.Raw)
		}
		_, got := s.do("POST", "/v1/campaigns/"+c.ID+"/resume", nil)
		if got.into(t, &c); c.Status != models.StatusScheduled {
			t.Errorf("resumed: %s", got.Raw)
		}
	})
}

// TestChangeKeepsDueSlot: a slot whose time has come and that no scheduler has acted upon has its line in the history,
// whatever an operator does to the schedule in that moment.
func TestChangeKeepsDueSlot(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("u1")
		db, _, err := s.Store.Writer()
		if err != nil {
			t.Fatal(err)
		}
		const every = "@every 5s"
		for name, c := range map[string]struct {
			method, path, body string
			want               models.Outcome
			slots              int // due at that moment
		}{
			"the same cron":   {"PATCH", "", `{"cron":"` + every + `"}`, models.OutcomeFired, 1},
			"another cron":    {"PATCH", "", `{"cron":"0 9 * * 1"}`, models.OutcomeFired, 1},
			"two of them":     {"PATCH", "", `{"cron":"0 9 * * 1"}`, models.OutcomeFired, 2},
			"zone":            {"PATCH", "", `{"timezone":"Asia/Tokyo"}`, models.OutcomeFired, 1},
			"end":             {"PATCH", "", `{"endAt":"2099-01-01T00:00:00Z"}`, models.OutcomeFired, 1},
			"local time":      {"PATCH", "", `{"cron":"0 9 * * 1","localTime":true}`, models.OutcomeFired, 1},
			"overlap":         {"PATCH", "", `{"overlap":"skip"}`, models.OutcomeFired, 1},
			"template":        {"PATCH", "", `{"campaign":{"message":` + aMessage + `,"audience":{"userIDs":["u1"]}}}`, models.OutcomeFired, 1},
			"pause":           {"POST", "/pause", "", models.OutcomeMissed, 1},
			"pause, many due": {"POST", "/pause", "", models.OutcomeMissed, 4},
			"resume":          {"POST", "/resume", "", "", 1}, // it was active: nothing changes
			"delete":          {"DELETE", "", "", models.OutcomeMissed, 1},
			"all are paused":  {"", "", "", models.OutcomeMissed, 1},
			"all, many due":   {"", "", "", models.OutcomeMissed, 4},
		} {
			made := s.schedule("POST", "/v1/schedules", okSchedule(jsonFields{"cron": `"` + every + `"`, "overlap": `"allow"`, "timezone": `"UTC"`}).body(), http.StatusCreated)
			now, err := s.Store.Now(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			slot := now - models.Millis(5000*c.slots) + 4000
			if _, err := db.ExecContext(t.Context(), "UPDATE schedules SET anchor=?, next_slot=?, next_fire=? WHERE public_id=?", slot, slot/1000*1000, slot/1000*1000, made.ID); err != nil {
				t.Fatal(err)
			}
			if c.method == "" {
				if _, err := s.Store.PauseAllSchedules(t.Context(), slots.Forgo(slots.AllPaused)); err != nil {
					t.Fatal(err)
				}
			} else {
				s.schedule(c.method, "/v1/schedules/"+made.ID+c.path, c.body, 200)
			}
			v, n := s.schedule("GET", "/v1/schedules/"+made.ID, nil, 200), 0
			for _, o := range v.Occurrences {
				n += o.Slots
				if o.Outcome != c.want || (o.CampaignID != "") != (c.want == models.OutcomeFired) || c.want == models.OutcomeMissed && o.Reason == "" {
					t.Errorf("%s: %+v", name, o)
				}
			}
			if n != c.slots && c.want != "" || n != 0 && c.want == "" {
				t.Errorf("%s: the history has %d of %d slots: %+v", name, n, c.slots, v.Occurrences)
			}
			if status, got := s.do("PATCH", "/v1/schedules/"+made.ID, `{"cron":"0 0 31 2 *"}`); status == 200 {
				t.Errorf("%s", got.Raw)
			}
		}
	})
}

// TestAnswersSayHowOftenItFires: who writes a cron text reads at once what it means; one that was stored before a step was
// refused goes on, and is warned of.
func TestAnswersSayHowOftenItFires(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("u1")
		type fires struct {
			ID          string
			FiresPerDay float64
			Fires       string
			Slots       []struct{ UTC, Local, Note string }
			Warnings    []string
		}
		ask := func(method, path string, body any, want int) (f fires) {
			status, got := s.do(method, path, body)
			if got.into(t, &f); status != want {
				t.Fatalf("%s %s: %d %s", method, path, status, got.Raw)
			}
			return f
		}
		made := ask("POST", "/v1/schedules", okSchedule(jsonFields{"cron": `"0 22-2 * * FRI-MON"`}).body(), http.StatusCreated)
		if made.FiresPerDay != 2.8571 || made.Fires != "5 times a day, on 4 days of the week" || len(made.Slots) != 5 || made.Slots[0].Local == "" {
			t.Errorf("%+v", made)
		}
		path := "/v1/schedules/" + made.ID
		if v := ask("PATCH", path, `{"cron":"*/25 * * * *"}`, 200); v.FiresPerDay != 72 || v.Fires != "3 times an hour, 72 times a day" || len(v.Slots) != 5 || len(v.Warnings) != 1 {
			t.Errorf("%+v", v)
		}
		if v := ask("PATCH", path, `{"name":"x"}`, 200); v.Fires != "" || v.Slots != nil || len(v.Warnings) != 1 {
			t.Errorf("%+v", v)
		}
		if v := ask("POST", "/v1/schedules/preview", `{"cron":"@every 90m","n":5}`, 200); v.FiresPerDay != 16 || v.Fires != "every 1h30m, 16 times a day" || len(v.Slots) != 5 {
			t.Errorf("%+v", v)
		}
		for _, path := range []string{"/v1/schedules", "/v1/schedules/preview"} {
			status, got := s.do("POST", path, okSchedule(jsonFields{"cron": `"*/90 * * * *"`}).body())
			if path == "/v1/schedules/preview" {
				status, got = s.do("POST", path, `{"cron":"*/90 * * * *"}`)
			}
			if reason := got.fields(t)["cron"]; status != 422 || !strings.Contains(reason, "for every 90 minutes write @every 90m") {
				t.Errorf("%s: %d %s", path, status, got.Raw)
			}
		}
		db, _, err := s.Store.Writer()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "UPDATE schedules SET cron='*/90 * * * *'"); err != nil {
			t.Fatal(err)
		}
		if v := ask("PATCH", path, `{"name":"y"}`, 200); len(v.Warnings) != 1 || !strings.Contains(v.Warnings[0], "*/90 means 0 alone") {
			t.Errorf("%+v", v)
		}
		if v := ask("GET", path+"/next?n=2", nil, 200); len(v.Slots) != 2 {
			t.Errorf("%+v", v)
		}
		if status, got := s.do("PATCH", path, `{"timezone":"Europe/Berlin"}`); status != 422 || got.fields(t)["cron"] == "" {
			t.Errorf("%d %s", status, got.Raw)
		}
	})
}

// TestListHasNoTemplates: a list of schedules reads no template, and a very frequent schedule is warned of.
func TestListHasNoTemplates(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("u1")
		made := s.schedule("POST", "/v1/schedules", okSchedule(jsonFields{"cron": `"@every 1s"`}).body(), http.StatusCreated)
		if len(made.Warnings) != 1 || !strings.Contains(made.Warnings[0], "86400 campaigns a day") {
			t.Errorf("warnings %q", made.Warnings)
		}
		for cron, want := range map[string]int{"@every 59s": 1, "@every 1m": 0, "* * * * *": 0} {
			var preview struct{ Warnings []string }
			_, got := s.do("POST", "/v1/schedules/preview", map[string]any{"cron": cron})
			if got.into(t, &preview); len(preview.Warnings) != want {
				t.Errorf("%s: %s", cron, got.Raw)
			}
		}
		list, err := s.Store.Schedules(t.Context(), models.ScheduleFilter{Limit: 10})
		if err != nil || len(list) != 1 || list[0].PublicID != made.ID || list[0].Cron != "@every 1s" {
			t.Fatalf("%+v, %v", list, err)
		}
		if list[0].Campaign.Channel != "" || list[0].Campaign.Message.SendID != "" {
			t.Errorf("the list read a template: %+v", list[0].Campaign)
		}
	})
}
