package handlers

import (
	"cmp"
	"context"
	"slices"
	"time"

	"carillon/handlers/web"
	"carillon/internal/slots"
	"carillon/models"
)

// CalendarDays is which days of which zone are asked for.
type CalendarDays struct {
	From time.Time // the first day's midnight, in the zone
	N    int
	Most int // entries of a day that are wanted
}

// day is the midnight of the i-th day.
func (d CalendarDays) day(i int) time.Time {
	return time.Date(d.From.Year(), d.From.Month(), d.From.Day()+i, 0, 0, 0, 0, d.From.Location())
}

// CalendarDay is what is due on one day, in order.
type CalendarDay struct {
	Day     time.Time
	Entries []CalendarEntry
	Rest    int // how many entries are left out behind these
}

// add puts an entry on its day. Of more than most entries it keeps the first ones in order. Fewer are in no order.
func (d *CalendarDay) add(e CalendarEntry, most int) {
	e.place = e.minute()
	if len(d.Entries) < most {
		if d.Entries = append(d.Entries, e); len(d.Entries) == most {
			slices.SortFunc(d.Entries, CalendarEntry.compare)
		}
		return
	}
	d.Rest++
	if last := &d.Entries[most-1]; e.compare(*last) < 0 {
		*last = e
		slices.SortFunc(d.Entries, CalendarEntry.compare)
	}
}

// CalendarEntry is a campaign that waits for its time, or one or many slots of a schedule.
type CalendarEntry struct {
	At        time.Time // in the zone asked for, or with LocalTime a date and clock as if in UTC; of many slots the first
	LocalTime bool
	Many      string // how often the schedule fires, in words, where its slots of the day are one entry; empty = one slot
	Skipped   bool   // somebody leaves the slot out
	Name, ID  string
	Schedule  bool // ID is a schedule's
	place     int  // minute of the day
}

const (
	// slotsADay is how many slots a schedule may have on a day before they are one entry.
	slotsADay = 3
	// maxCalendar is how many schedules, and how many waiting campaigns, a calendar shows.
	maxCalendar = 1000
)

// Calendar shows what is due on some days. It reads at most 1,000 schedules, and at most 1,000 campaigns. cut says that there are
// more. How often a schedule fires makes no difference to the work.
func (a *API) Calendar(ctx context.Context, _ web.Call, asked CalendarDays) (days []CalendarDay, cut bool, err error) {
	now, err := a.Store.Now(ctx)
	if err != nil {
		return nil, false, err
	}
	schedules, err := a.Store.Schedules(ctx, models.ScheduleFilter{Status: models.ScheduleActive, Limit: maxCalendar + 1})
	if err != nil {
		return nil, false, err
	}
	campaigns, err := a.Store.Campaigns(ctx, models.CampaignFilter{Status: models.StatusScheduled, Limit: maxCalendar + 1})
	if err != nil {
		return nil, false, err
	}
	cut = len(schedules) > maxCalendar || len(campaigns) > maxCalendar
	return asked.days(schedules[:min(len(schedules), maxCalendar)], campaigns[:min(len(campaigns), maxCalendar)], now), cut, nil
}

// days are the days with what is due after now.
func (d CalendarDays) days(schedules []models.Schedule, campaigns []models.CampaignView, now models.Millis) []CalendarDay {
	days := make([]CalendarDay, d.N)
	for i := range days {
		days[i].Day = d.day(i)
	}
	for _, sch := range schedules {
		d.addSlots(days, sch, now)
	}
	for _, c := range campaigns {
		d.addCampaign(days, c)
	}
	for _, day := range days {
		slices.SortFunc(day.Entries, CalendarEntry.compare)
	}
	return days
}

// minute is the minute of the day that an entry shows, for its place. What fires often comes after all others.
func (e CalendarEntry) minute() int {
	if e.Many != "" {
		return 24 * 60
	}
	return e.At.Hour()*60 + e.At.Minute()
}

// compare is the order of the entries of a day.
func (e CalendarEntry) compare(b CalendarEntry) int {
	return cmp.Or(e.place-b.place, cmp.Compare(e.Name, b.Name), cmp.Compare(e.ID, b.ID))
}

// addSlots adds a schedule's slots after now. A schedule that this program cannot read has none.
func (d CalendarDays) addSlots(days []CalendarDay, sch models.Schedule, now models.Millis) {
	table, err := slots.Of(sch)
	if err != nil {
		return
	}
	own := func(midnight time.Time) models.Millis { // in the slots' own time
		if sch.LocalTime {
			midnight = time.Date(midnight.Year(), midnight.Month(), midnight.Day(), 0, 0, 0, 0, time.UTC)
		}
		return models.Millis(midnight.UnixMilli())
	}
	entry := func(slot models.Millis) CalendarEntry {
		e := CalendarEntry{Name: cmp.Or(sch.Name, sch.PublicID), ID: sch.PublicID, Schedule: true, LocalTime: sch.LocalTime}
		if e.At = slot.Time(); !sch.LocalTime {
			e.At = e.At.In(d.From.Location())
		}
		return e
	}
	often := "" // in words, once a day had too many slots
	slot, _ := table.Next(now)
	if begin := own(d.day(0)); slot != 0 && slot < begin {
		slot, _ = table.After(begin - 1)
	}
	for i := range days {
		end := own(d.day(i + 1))
		var found [slotsADay + 1]models.Millis
		n := 0
		for ; slot != 0 && slot < end && n < len(found); slot, _ = table.After(slot) {
			found[n] = slot
			n++
		}
		if n > slotsADay {
			if often == "" {
				_, often = table.Often()
			}
			e := entry(found[0])
			e.Many = often
			days[i].add(e, d.Most)
			slot, _ = table.After(end - 1)
			continue
		}
		for _, slot := range found[:n] {
			e := entry(slot)
			e.Skipped = sch.Skips(slot)
			days[i].add(e, d.Most)
		}
	}
}

func (d CalendarDays) addCampaign(days []CalendarDay, c models.CampaignView) {
	e := CalendarEntry{Name: cmp.Or(c.Name, c.PublicID), ID: c.PublicID, LocalTime: c.WallAt != 0}
	if e.At = c.SendAt.Time().In(d.From.Location()); e.LocalTime {
		e.At = c.WallAt.Time().UTC()
	}
	date := e.At.Format(time.DateOnly)
	if i := slices.IndexFunc(days, func(day CalendarDay) bool { return day.Day.Format(time.DateOnly) == date }); i >= 0 {
		days[i].add(e, d.Most)
	}
}
