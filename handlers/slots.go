package handlers

import (
	"context"
	"strconv"
	"time"

	"carillon/handlers/web"
	"carillon/internal/slots"
	"carillon/models"
)

const (
	defaultSlots = 10
	maxSlots     = 100
)

// SlotList are coming slots.
type SlotList struct {
	Slots []SlotView `json:"slots"`
}

// SlotsOf is how many coming slots of which schedule are asked for.
type SlotsOf struct {
	ID string
	N  int
}

func slotsOf(in *web.In) (of SlotsOf, err error) {
	if of.ID, err = in.Known("schedule"); err != nil {
		return of, err
	}
	of.N = defaultSlots
	if text := in.Query("n"); text != "" {
		if of.N, err = strconv.Atoi(text); err != nil || of.N < 1 || of.N > maxSlots {
			return of, web.Refuse("n", "must be from 1 to "+strconv.Itoa(maxSlots))
		}
	}
	return of, nil
}

// NextSlots shows the coming slots of a schedule.
func (a *API) NextSlots(ctx context.Context, _ web.Call, of SlotsOf) (SlotList, error) {
	sch, err := a.Store.Schedule(ctx, of.ID)
	if err != nil {
		return SlotList{}, err
	}
	now, err := a.Store.Now(ctx)
	if err != nil {
		return SlotList{}, err
	}
	table, err := slots.Of(sch)
	if err != nil {
		return SlotList{}, err
	}
	if sch.Status != models.ScheduleActive && sch.Status != models.SchedulePaused {
		of.N = 0
	}
	return SlotList{slotsJSON(table, sch, now, of.N)}, nil
}

// PreviewBody is the body of POST /v1/schedules/preview.
type PreviewBody struct {
	Cron      string  `json:"cron"`
	Timezone  string  `json:"timezone"`
	LocalTime bool    `json:"localTime"`
	From      *string `json:"from"` // absent = now
	N         *int    `json:"n"`    // default 10
}

// Preview is when a cron text would fire.
type Preview struct {
	Fires       string     `json:"fires"`       // in words
	FiresPerDay float64    `json:"firesPerDay"` // on average
	Slots       []SlotView `json:"slots"`
	Warnings    []string   `json:"warnings"`
}

// PreviewSchedule shows the slots that a cron text would have.
func (a *API) PreviewSchedule(_ context.Context, _ web.Call, b PreviewBody) (Preview, error) {
	var c checker
	from := models.Millis(time.Now().UnixMilli())
	if b.From != nil {
		from, _ = c.instant("from", *b.From)
	}
	n := defaultSlots
	set(&n, b.N)
	if n < 1 || n > maxSlots {
		c.add("n", "must be from 1 to %d", maxSlots)
	}
	if b.Timezone == "" {
		b.Timezone = a.Zone
	}
	table := c.timetable(models.Schedule{Cron: b.Cron, Timezone: b.Timezone, LocalTime: b.LocalTime, Anchor: from})
	if err := c.err(); err != nil {
		return Preview{}, err
	}
	perDay, words := table.Often()
	return Preview{words, perDay, slotsJSON(table, models.Schedule{}, from, n), table.Warnings()}, nil
}

// PreviewTimes shows the next n slots that a schedule with these times would have, as CreateSchedule would make it now. The other
// fields of the body do not count.
func (a *API) PreviewTimes(ctx context.Context, _ web.Call, b ScheduleBody, n int) (Preview, error) {
	now, err := a.Store.Now(ctx)
	if err != nil {
		return Preview{}, err
	}
	times := ScheduleBody{Cron: b.Cron, Timezone: b.Timezone, LocalTime: b.LocalTime, StartAt: b.StartAt, EndAt: b.EndAt}
	sch := models.Schedule{Timezone: a.Zone, Anchor: now}
	var c checker
	times.apply(&c, &sch)
	if sch.StartAt != 0 {
		sch.Anchor = sch.StartAt
	}
	table := c.timetable(sch)
	if err := c.err(); err != nil {
		return Preview{}, err
	}
	perDay, words := table.Often()
	return Preview{words, perDay, slotsJSON(table, sch, now, n), table.Warnings()}, nil
}
