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
	Zone     string  `json:"zone"`
	StartsAt *string `json:"startsAt"` // when its recipients get the message, with the zone's offset; null = at no fixed time
	Clock    string  `json:"-"`        // the time there now
	models.Counts
}

// CampaignZoneList is a campaign in all its time zones.
type CampaignZoneList struct {
	Zones []CampaignZone `json:"zones"`
}

// CampaignZones shows a campaign by time zone, the earliest first. A campaign that does not go by its recipients' clocks, or is
// not planned yet, has none.
func (a *API) CampaignZones(ctx context.Context, _ web.Call, id string) (CampaignZoneList, error) {
	none := CampaignZoneList{[]CampaignZone{}}
	c, err := a.Store.Campaign(ctx, id)
	if err != nil || !c.Zoned() {
		return none, err
	}
	found, err := a.Store.CampaignZones(ctx, c.Campaign)
	if err != nil {
		return none, err
	}
	now := time.Now()
	starts := map[string]time.Time{}
	list := make([]CampaignZone, len(found))
	for i, z := range found {
		loc, _ := zones.Of(z.Zone, c.Zone)
		list[i] = CampaignZone{Zone: z.Zone, Clock: now.In(loc).Format("15:04"), Counts: z.Counts}
		if c.WallAt != 0 {
			at := slots.Instant(c.WallAt.Time(), loc)
			text := at.In(loc).Format(time.RFC3339)
			starts[z.Zone], list[i].StartsAt = at, &text
		}
	}
	slices.SortStableFunc(list, func(x, y CampaignZone) int {
		return cmp.Or(starts[x.Zone].Compare(starts[y.Zone]), cmp.Compare(x.Zone, y.Zone))
	})
	return CampaignZoneList{list}, nil
}
