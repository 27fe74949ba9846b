package handlers

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"carillon/internal/testkit"
	"carillon/models"
)

// next are the coming slots of a schedule, by a field of theirs, and their notes.
func (s *server) next(path string, local bool) (slots, notes []string) {
	s.t.Helper()
	var list SlotList
	_, got := s.do("GET", path+"/next?n=3", nil)
	got.into(s.t, &list)
	for _, slot := range list.Slots {
		if local {
			slot.UTC = slot.Local
		}
		slots, notes = append(slots, slot.UTC), append(notes, slot.Note)
	}
	if len(slots) != 3 {
		s.t.Fatalf("%s", got.Raw)
	}
	return slots, notes
}

func skipBody(slot string) string { return `{"slot":` + asJSON(slot) + `}` }

// TestSkipSlot: a slot that is left out is marked, nextSlot passes it over, and one event says who
// asked. A change of the slots drops what was left out.
func TestSkipSlot(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("u1")
		made := s.schedule("POST", "/v1/schedules", okSchedule(jsonFields{}).body(), http.StatusCreated)
		path := "/v1/schedules/" + made.ID
		coming, _ := s.next(path, false)
		for range 2 {
			if v := s.schedule("POST", path+"/skip", skipBody(coming[0]), 200); *v.NextSlot != coming[1] {
				t.Errorf("next is %s of %v", *v.NextSlot, coming)
			}
		}
		if v := s.schedule("POST", path+"/skip", skipBody(coming[2]), 200); *v.NextSlot != coming[1] {
			t.Errorf("next is %s of %v", *v.NextSlot, coming)
		}
		if _, notes := s.next(path, false); !strings.HasPrefix(notes[0], SkippedNote) || strings.HasPrefix(notes[1], SkippedNote) || !strings.HasPrefix(notes[2], SkippedNote) {
			t.Errorf("%q", notes)
		}
		var list ScheduleList
		_, got := s.do("GET", "/v1/schedules", nil)
		if got.into(t, &list); *list.Schedules[0].NextSlot != coming[1] {
			t.Errorf("%s", got.Raw)
		}
		events := s.events("/v1/events?kind=schedule.skipped")
		if len(events) != 2 || events[1].Actor != "imAdmin" || events[1].ReasonCode != models.ReasonSkippedByHand || events[1].ScheduleID != made.ID || events[1].Data["slot"] != coming[0] {
			t.Errorf("%+v", events)
		}

		if v := s.schedule("PATCH", path, `{"endAt":"2999-01-01T00:00:00Z","name":"m"}`, 200); *v.NextSlot != coming[1] || v.Slots[0].Note != SkippedNote {
			t.Errorf("the end changed: next is %s, %+v", *v.NextSlot, v.Slots)
		}
		s.schedule("PATCH", path, `{"cron":"30 8 * * 1"}`, 200)
		s.schedule("PATCH", path, `{"cron":"0 9 * * 1"}`, 200)
		if v := s.schedule("GET", path, nil, 200); *v.NextSlot != coming[0] {
			t.Errorf("the cron text changed: next is %s of %v", *v.NextSlot, coming)
		}
		if edits := s.events("/v1/events?kind=schedule.edited"); fmt.Sprint(edits[1].Data["skipsDropped"]) != "2" || edits[0].Data["skipsDropped"] != nil {
			t.Errorf("%+v", edits)
		}

		made = s.schedule("POST", "/v1/schedules", okSchedule(jsonFields{"localTime": "true"}).body(), http.StatusCreated)
		coming, _ = s.next("/v1/schedules/"+made.ID, true)
		if v := s.schedule("POST", "/v1/schedules/"+made.ID+"/skip", skipBody(coming[0]), 200); *v.NextSlot != coming[1] {
			t.Errorf("by local time: next is %s of %v", *v.NextSlot, coming)
		}
	})
}

// TestSkipRefused: what is no coming slot, and a schedule that has none, with the field and the fix.
func TestSkipRefused(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("u1")
		made := s.schedule("POST", "/v1/schedules", okSchedule(jsonFields{}).body(), http.StatusCreated)
		path := "/v1/schedules/" + made.ID
		for body, want := range map[string]string{
			skipBody("2999-01-01T00:00:00Z"):        "coming slots; see GET /v1/schedules/{id}/next",
			skipBody("2024-01-01T09:00:00+01:00"):   "coming slots", // a Monday that has passed
			skipBody("Monday"):                      "time like",
			`{}`:                                    "is required",
			`{"slot":"2999-01-01T00:00:00Z","n":1}`: "not a field",
		} {
			if status, got := s.do("POST", path+"/skip", body); status < 400 || !strings.Contains(string(got.Raw), want) {
				t.Errorf("%s: %d %s", body, status, got.Raw)
			}
		}
		if n := len(s.events("/v1/events?kind=schedule.skipped")); n != 0 {
			t.Errorf("%d events", n)
		}
		coming, _ := s.next(path, false)
		s.schedule("POST", path+"/pause", nil, 200)
		s.schedule("POST", path+"/skip", skipBody(coming[1]), 200)
		if v := s.schedule("POST", path+"/resume", nil, 200); *v.NextSlot != coming[0] {
			t.Errorf("next is %s of %v", *v.NextSlot, coming)
		}
		s.schedule("DELETE", path, nil, 200)
		s.schedule("POST", path+"/skip", skipBody(coming[1]), http.StatusConflict)
		s.schedule("POST", "/v1/schedules/none/skip", skipBody(coming[1]), http.StatusNotFound)
	})
}
