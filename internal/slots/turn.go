package slots

import (
	"time"

	"carillon/internal/zones"
	"carillon/models"
)

// Turn says when a zone's pages of a campaign may go out: at its local time, and not in its quiet
// hours. The planner and the estimate go by it.
func Turn(c *models.Campaign, zone string, now models.Millis) models.ZoneStart {
	loc, _ := zones.Of(zone, c.Zone)
	var t models.ZoneStart
	if c.WallAt != 0 { // guard: zone-clock
		t.Due = models.Millis(Instant(c.WallAt.Time(), loc).UnixMilli())
		t.Missed = c.MissedAt(t.Due, now)
	}
	until, quiet := QuietUntil(c, loc, max(t.Due, now))
	if quiet {
		t.Due = until
	}
	return t
}

// closeWithin is how long a page of a zone whose end has come is left to the finisher, which closes
// it.
const closeWithin models.Millis = 2_000

// ZoneEnd is when a zone's own time ends, in a campaign by local time whose end counts from that
// time.
func ZoneEnd(c *models.Campaign, loc *time.Location) (end models.Millis, ends bool) {
	if c.ExpireAfter == 0 || c.WallAt == 0 {
		return 0, false
	}
	return models.Millis(Instant(c.WallAt.Time(), loc).UnixMilli()) + c.ExpireAfter, true
}

// QuietUntil says whether nothing may be sent in a zone at an instant, and when to look again.
// Nothing may be sent in the zone's quiet hours, and once its end has come.
func QuietUntil(c *models.Campaign, loc *time.Location, at models.Millis) (until models.Millis, quiet bool) {
	end, ends := ZoneEnd(c, loc)
	if ends && at >= end {
		return at + closeWithin, true
	}
	if !c.Quiet() {
		return 0, false
	}
	over, quiet := Quiet{From: c.QuietFrom, To: c.QuietTo}.Until(at.Time(), loc)
	return models.Millis(over.UnixMilli()), quiet
}
