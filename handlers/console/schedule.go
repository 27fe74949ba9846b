package console

import (
	"context"
	"strings"
	"time"

	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/models"
)

// schedulePage is what the page of one schedule shows.
type schedulePage struct {
	handlers.ScheduleDetails
	Slots   []handlers.SlotView
	Often   string      // how often it fires, in words; empty = this program cannot read when
	History []eventLine // who did what, the newest first
	Key     string      // of a form that runs the schedule
	More    more
}

const (
	slotsInPage   = 10
	historyInPage = 20
)

// schedule shows one schedule, its coming slots, and what became of the former ones.
func (c *Console) schedule(in *web.In) error {
	id, err := in.Known("schedule")
	if err != nil {
		return err
	}
	before, limit, err := web.ParseBeforePage(in.R)
	if err != nil {
		return err
	}
	p := schedulePage{Key: newKey()}
	if p.ScheduleDetails, err = c.api.GetSchedule(in.Context(), in.Call, handlers.OlderPage{ID: id, Before: before, Limit: limit}); err != nil {
		return err
	}
	coming, err := c.api.NextSlots(in.Context(), in.Call, handlers.SlotsOf{ID: id, N: slotsInPage})
	if err != nil && models.AsError(err).Code != models.CodeIllegalTransition { // which this program cannot read: a warning says so
		return err
	}
	done, err := c.api.ScheduleHistory(in.Context(), in.Call, handlers.OlderPage{ID: id, Limit: historyInPage})
	if err != nil {
		return err
	}
	if p.History, err = c.eventLines(in, done.Events); err != nil {
		return err
	}
	one := 1
	if often, err := c.api.PreviewSchedule(in.Context(), in.Call, handlers.PreviewBody{Cron: p.Cron, Timezone: p.Timezone, LocalTime: p.LocalTime, N: &one}); err == nil {
		p.Often = often.Fires
	}
	p.Slots, p.More = coming.Slots, pageOf(in.R.URL.Query(), p.NextCursor)
	return c.show(in, "schedule.html", page{Title: scheduleName(p.ScheduleView), Here: "schedules", Data: p})
}

func scheduleName(v handlers.ScheduleView) string {
	if v.Name == "" {
		return "Schedule " + v.ID
	}
	return v.Name
}

// changeSchedule serves a button that changes a schedule's state.
func (c *Console) changeSchedule(do func(context.Context, web.Call, string) (handlers.ScheduleView, error), did string) web.Handler {
	return func(in *web.In) error {
		id, err := in.Known("schedule")
		if err != nil {
			return err
		}
		v, err := do(in.Context(), in.Call, id)
		if err != nil {
			return err
		}
		return c.next(in, c.pages.path("/schedules/", v.ID), did)
	}
}

// skipSlot leaves one coming slot out.
func (c *Console) skipSlot(in *web.In) error {
	id, err := in.Known("schedule")
	if err != nil {
		return err
	}
	values, err := form(in, web.ControlBody)
	if err != nil {
		return err
	}
	if _, err := c.api.SkipSlot(in.Context(), in.Call, handlers.Skip{ID: id, Slot: values.Get("slot")}); err != nil {
		return err
	}
	return c.next(in, c.pages.path("/schedules/", id), "skipped")
}

// runSchedule makes a campaign of the schedule now. A form that is sent twice makes one.
func (c *Console) runSchedule(in *web.In) error {
	id, err := in.Known("schedule")
	if err != nil {
		return err
	}
	values, err := form(in, web.ControlBody)
	if err != nil {
		return err
	}
	made, err := c.api.RunSchedule(in.Context(), in.WithKey(values.Get("key"), nil), id)
	if err != nil {
		return err
	}
	return c.next(in, c.pages.path("/campaigns/", made.ID), "ran")
}

// outcomeWords say what became of a slot.
var outcomeWords = map[models.Outcome]string{
	models.OutcomeFired:   "A campaign was made.",
	models.OutcomeMissed:  "No campaign: Carillon was not there at the time.",
	models.OutcomeSkipped: "No campaign: somebody left this slot out.",
	models.OutcomeOverlap: "No campaign: the one before had not ended.",
	models.OutcomeRefused: "No campaign: it could not be made.",
}

// slotTime is a slot as the API takes it: an instant, or by each user's own time a date and clock.
func slotTime(s handlers.SlotView, local bool) string {
	if local {
		return s.Local
	}
	return s.UTC
}

// skipped says whether somebody leaves the slot out.
func skipped(s handlers.SlotView) bool { return strings.HasPrefix(s.Note, handlers.SkippedNote) }

// zoned is a slot by the clocks of its schedule's zone.
func zoned(local string) string {
	at, err := time.Parse(time.RFC3339, local)
	if err != nil { // a date and clock without a zone
		return strings.Replace(local, "T", " ", 1)
	}
	return at.Format("Mon 2 Jan 15:04 -07:00")
}

// lasts is a duration of the API as people say it: 10 min.
func lasts(text string) string {
	d, err := time.ParseDuration(text)
	if err != nil {
		return text
	}
	return duration(d)
}

// span is a duration of the API as people write it in a field: 10m, not 10m0s.
func span(text string) string {
	if _, err := time.ParseDuration(text); err != nil {
		return text
	}
	if rest, ok := strings.CutSuffix(text, "m0s"); ok {
		text = rest + "m"
	}
	if rest, ok := strings.CutSuffix(text, "h0m"); ok {
		text = rest + "h"
	}
	return text
}
