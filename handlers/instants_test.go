package handlers

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"carillon/handlers/web"
	"carillon/internal/testkit"
	"carillon/models"
)

// TestInstantsBeyondAnswers: an instant that no answer could hold is refused wherever it comes in,
// and stores nothing.
func TestInstantsBeyondAnswers(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("u1")
		campaign := func(more string) string { return `{"message":` + aMessage + `,"audience":{"all":true},` + more + `}` }
		_, got := s.do("POST", "/v1/campaigns", campaign(`"sendAt":"9999-12-31T23:59:59Z"`))
		var c CampaignView
		if got.into(t, &c); *c.SendAt != "9999-12-31T23:59:59Z" {
			t.Fatalf("%s", got.Raw)
		}
		_, got = s.do("POST", "/v1/campaigns", campaign(`"localTime":true,"sendAt":"9999-12-31T23:59:59"`))
		var wall CampaignView
		if got.into(t, &wall); *wall.SendAt != "9999-12-31T23:59:59" {
			t.Fatalf("%s", got.Raw)
		}
		sch := s.schedule("POST", "/v1/schedules", okSchedule(jsonFields{}).body(), http.StatusCreated)
		for _, at := range []string{"9999-12-31T23:59:59-01:00", "1970-01-01T00:00:00Z", "0000-01-01T00:00:00+23:00", "1969-12-31T23:59:59.999Z"} {
			for _, in := range []struct{ method, path, field, body string }{
				{"POST", "/v1/campaigns", "sendAt", campaign(`"sendAt":"%s"`)},
				{"POST", "/v1/campaigns", "expireAt", campaign(`"expireAt":"%s"`)},
				{"PATCH", "/v1/campaigns/" + c.ID, "sendAt", `{"sendAt":"%s"}`},
				{"PATCH", "/v1/campaigns/" + c.ID, "expireAt", `{"expireAt":"%s"}`},
				{"POST", "/v1/schedules", "startAt", okSchedule(jsonFields{"startAt": `"%s"`}).body()},
				{"POST", "/v1/schedules", "endAt", okSchedule(jsonFields{"endAt": `"%s"`}).body()},
				{"PATCH", "/v1/schedules/" + sch.ID, "startAt", `{"startAt":"%s"}`},
				{"PATCH", "/v1/schedules/" + sch.ID, "endAt", `{"endAt":"%s"}`},
				{"POST", "/v1/schedules/preview", "from", `{"cron":"0 9 * * 1","from":"%s"}`},
			} {
				body := fmt.Sprintf(in.body, at)
				status, got := s.do(in.method, in.path, body)
				if status != http.StatusUnprocessableEntity || !strings.Contains(got.fields(t)[in.field], "must be from 1970-01-02T00:00:00Z") {
					t.Errorf("%s %s %s: %d %s", in.method, in.path, body, status, got.Raw)
				}
			}
		}
		if status, got := s.do("PATCH", "/v1/campaigns/"+wall.ID, `{"sendAt":"0000-01-01T00:00:00"}`); status != http.StatusUnprocessableEntity {
			t.Errorf("%d %s", status, got.Raw)
		}
		if status, got := s.do("GET", "/v1/inbox/u1/messages?after="+web.EncodeCursor("253402300800000.1"), nil); status != http.StatusUnprocessableEntity {
			t.Errorf("%d %s", status, got.Raw)
		}
		if n := s.stored(); n != 2 {
			t.Errorf("%d campaigns are stored", n)
		}
	})
}

// TestSlotsEndWithTheCalendar: slots behind the last instant are none, instead of an answer that
// cannot be written.
func TestSlotsEndWithTheCalendar(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		for _, more := range []string{`,"localTime":true`, `,"timezone":"Pacific/Kiritimati"`, `,"timezone":"America/Los_Angeles"`} {
			var got struct{ Slots []SlotView }
			status, r := s.do("POST", "/v1/schedules/preview", `{"cron":"0 9 1 * *","from":"9999-10-15T00:00:00Z","n":100`+more+`}`)
			if r.into(t, &got); status != http.StatusOK || len(got.Slots) != 2 {
				t.Errorf("%s: %d %s", more, status, r.Raw)
			}
		}
		if status, got := s.do("POST", "/v1/schedules", okSchedule(jsonFields{"startAt": `"9999-12-31T23:59:59Z"`}).body()); status != http.StatusUnprocessableEntity || got.fields(t)["cron"] == "" {
			t.Errorf("%d %s", status, got.Raw)
		}
	})
}

// TestRowsFromBeforeTheBound: one row that holds what is refused today spoils neither its own
// answer nor a list.
func TestRowsFromBeforeTheBound(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("u1")
		_, got := s.do("POST", "/v1/campaigns", `{"message":`+aMessage+`,"audience":{"all":true}}`)
		var c CampaignView
		got.into(t, &c)
		late := models.MaxInstant + 1
		if _, err := s.Store.UpdateCampaign(t.Context(), c.ID, models.CampaignChange{ExpireAt: &late}); err != nil {
			t.Fatal(err)
		}
		var list struct{ Campaigns []CampaignView }
		_, got = s.do("GET", "/v1/campaigns", nil)
		if got.into(t, &list); len(list.Campaigns) != 1 || *list.Campaigns[0].ExpireAt != "9999-12-31T23:59:59.999Z" {
			t.Errorf("%s", got.Raw)
		}
		if status, got := s.do("PATCH", "/v1/campaigns/"+c.ID, `{"expireAt":""}`); status != http.StatusOK {
			t.Errorf("%d %s", status, got.Raw)
		}
	})
}

// TestEveryRowCanBeRendered: no number in a row keeps its view from being encoded.
func TestEveryRowCanBeRendered(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var c models.CampaignView
		var sch models.Schedule
		var o models.Occurrence
		var rec models.Recipient
		for _, row := range []any{&c, &sch, &o, &rec} {
			scramble(rt, reflect.ValueOf(row).Elem())
		}
		web.Success([]any{campaignJSON(c), scheduleJSON(sch), occurrenceJSON(sch, o), recipientJSON(c.Campaign, rec, true), why(c, rec)})
	})
}

// scramble puts any number into every field that holds one.
func scramble(rt *rapid.T, v reflect.Value) {
	switch v.Kind() { //nolint:exhaustive // the others stay as they are
	case reflect.Struct:
		for _, field := range v.Fields() {
			scramble(rt, field)
		}
	case reflect.Pointer:
		if v.Type().Elem().Kind() == reflect.Int64 && rapid.Bool().Draw(rt, "given") {
			v.Set(reflect.New(v.Type().Elem()))
			scramble(rt, v.Elem())
		}
	case reflect.Int, reflect.Int64:
		if v.Type() != reflect.TypeFor[models.RecipientStatus]() {
			v.SetInt(rapid.Int64().Draw(rt, v.Type().Name()))
		}
	}
}
