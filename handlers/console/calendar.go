package console

import (
	"cmp"
	"math"
	"strings"
	"time"

	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/internal/zones"
)

const (
	calendarWeeks = 5
	// entriesInDay is how many entries of a day the month shows. The day has a page with all of them.
	entriesInDay = 8
)

// calendarPage is what the calendar shows: weeks, or one day whole.
type calendarPage struct {
	Zone string
	One  *calendarDay // nil = weeks
	Week [][]calendarDay
	Some bool // there is something in the weeks
	Cut  bool // there is more than a calendar shows
}

type calendarDay struct {
	handlers.CalendarDay
	Past bool // before today
}

// calendar shows all slots and all waiting campaigns of the weeks ahead, or of one day.
func (c *Console) calendar(in *web.In) error {
	zone := cmp.Or(strings.TrimSpace(in.Query("zone")), c.api.Zone)
	loc, err := zones.Load(zone)
	if err != nil {
		return web.Refuse("zone", err.Error())
	}
	now, err := c.api.Store.Now(in.Context())
	if err != nil {
		return err
	}
	today := midnight(now.Time().In(loc))
	p := calendarPage{Zone: zone}
	asked := handlers.CalendarDays{From: today.AddDate(0, 0, -(int(today.Weekday())+6)%7), N: calendarWeeks * 7, Most: entriesInDay} // weeks begin on Monday
	if day := in.Query("day"); day != "" {
		if asked.From, err = time.ParseInLocation(time.DateOnly, day, loc); err != nil {
			return web.Refuse("day", "must be a date such as 2026-12-04")
		}
		asked.N, asked.Most = 1, math.MaxInt
	}
	days, cut, err := c.api.Calendar(in.Context(), in.Call, asked)
	if err != nil {
		return err
	}
	p.Cut = cut
	if asked.N == 1 {
		p.One = &calendarDay{CalendarDay: days[0]}
		return c.show(in, "calendar.html", page{Title: days[0].Day.Format("Monday 2 January 2006"), Here: "schedules", Data: p})
	}
	for i, day := range days {
		if i%7 == 0 {
			p.Week = append(p.Week, nil)
		}
		d := calendarDay{CalendarDay: day, Past: day.Day.Before(today)}
		p.Some = p.Some || len(day.Entries) > 0
		p.Week[i/7] = append(p.Week[i/7], d)
	}
	return c.show(in, "calendar.html", page{Title: "Calendar", Here: "schedules", Data: p})
}

func midnight(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, t.Location())
}
