package jobs

import (
	"time"

	"carillon/internal/slots"
	"carillon/internal/zones"
	"carillon/models"
)

// turn says when a zone's pages of a campaign may go out: at its local time, and not in its quiet hours.
func turn(c *models.Campaign, zone string, now models.Millis) models.ZoneStart {
	loc, _ := zones.Of(zone, c.Zone)
	var t models.ZoneStart
	if c.WallAt != 0 { // guard: zone-clock
		t.Due = models.Millis(slots.Instant(c.WallAt.Time(), loc).UnixMilli())
		t.Missed = c.MissedAt(t.Due, now)
	}
	if end, quiet := quietUntil(c, loc, max(t.Due, now)); quiet {
		t.Due = end
	}
	return t
}

// closing is how long a page of a zone whose end has come is left to the reconciler, which closes it.
const closing models.Millis = 2_000

// zoneEnd is when a zone's own time is over, in a campaign by local time whose end counts from there.
func zoneEnd(c *models.Campaign, loc *time.Location) (end models.Millis, ends bool) {
	if c.ExpireAfter == 0 || c.WallAt == 0 {
		return 0, false
	}
	return models.Millis(slots.Instant(c.WallAt.Time(), loc).UnixMilli()) + c.ExpireAfter, true
}

// quietUntil says whether nothing may be sent in a zone at an instant, and when to look again: in its quiet hours, and once
// its end has come.
func quietUntil(c *models.Campaign, loc *time.Location, at models.Millis) (end models.Millis, quiet bool) {
	if over, ends := zoneEnd(c, loc); ends && at >= over {
		return at + closing, true
	}
	if !c.Quiet() {
		return 0, false
	}
	until, quiet := slots.Quiet{From: c.QuietFrom, To: c.QuietTo}.Until(at.Time(), loc)
	return models.Millis(until.UnixMilli()), quiet
}
