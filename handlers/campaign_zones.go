package handlers

import (
	"cmp"
	"context"
	"slices"
	"time"

	"carillon/handlers/web"
	"carillon/internal/slots"
	"carillon/internal/zones"
	"carillon/models"
)

// CampaignZone is a campaign in one time zone.
type CampaignZone struct {
	Zone     string
	StartsAt string // when its recipients get the message, with the zone's offset; empty = at no fixed time
	Clock    string // the time there now
	models.Counts
}

// CampaignZones shows a campaign by time zone, the earliest first. A campaign that does not go by its recipients' clocks, or is
// not planned yet, has none.
func (a *API) CampaignZones(ctx context.Context, _ web.Call, id string) ([]CampaignZone, error) {
	c, err := a.Store.Campaign(ctx, id)
	if err != nil || !c.Zoned() {
		return nil, err
	}
	found, err := a.Store.CampaignZones(ctx, c.Campaign)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	starts := map[string]time.Time{}
	list := make([]CampaignZone, len(found))
	for i, z := range found {
		loc, _ := zones.Of(z.Zone, c.Zone)
		list[i] = CampaignZone{Zone: z.Zone, Clock: now.In(loc).Format("15:04"), Counts: z.Counts}
		if c.WallAt != 0 {
			at := slots.Instant(c.WallAt.Time(), loc)
			starts[z.Zone], list[i].StartsAt = at, at.In(loc).Format(time.RFC3339)
		}
	}
	slices.SortStableFunc(list, func(x, y CampaignZone) int {
		return cmp.Or(starts[x.Zone].Compare(starts[y.Zone]), cmp.Compare(x.Zone, y.Zone))
	})
	return list, nil
}
