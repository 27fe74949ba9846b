package jobs

import (
	"time"

	"carillon/internal/slots"
	"carillon/models"
)

// turn says when a zone's pages of a campaign may go out: at its local time, and not in its quiet hours. A zone
// that nobody knows any more goes by UTC.
func turn(c *models.Campaign, zone string, now models.Millis) models.Turn {
	loc := zoneOf(zone)
	var t models.Turn
	if c.WallAt != 0 {
		t.Due = models.Millis(slots.Instant(c.WallAt.Time(), loc).UnixMilli())
		late := now - t.Due
		t.Missed = late > models.OnTime && (c.Missed != models.MissedOnce || late > c.MissedGrace)
	}
	if end, quiet := quietUntil(c, loc, max(t.Due, now)); quiet {
		t.Due = end
	}
	return t
}

func quietUntil(c *models.Campaign, loc *time.Location, at models.Millis) (end models.Millis, quiet bool) {
	if !c.Quiet() {
		return 0, false
	}
	until, quiet := slots.Quiet{From: c.QuietFrom, To: c.QuietTo}.Until(at.Time(), loc)
	return models.Millis(until.UnixMilli()), quiet
}

func zoneOf(name string) *time.Location {
	loc, err := slots.Zone(name)
	if err != nil {
		return time.UTC
	}
	return loc
}
