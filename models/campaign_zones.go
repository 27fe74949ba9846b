package models

import "context"

// ZoneCounts are a campaign's recipients in one time zone. Zone is empty where the campaign does not go by time zones.
type ZoneCounts struct {
	Zone string
	Counts
}

// CampaignZones counts the recipients of a campaign by time zone, as far as it is planned. The recipients of a purged campaign
// are gone, and so are these counts.
func (s *Store) CampaignZones(ctx context.Context, c Campaign) (zones []ZoneCounts, err error) {
	err = s.db.WithContext(ctx).Raw("SELECT zone, SUM(size) AS total, SUM(sent) AS sent, SUM(failed) AS failed, SUM(skipped) AS skipped, SUM(expired) AS expired,"+
		" SUM(cancelled) AS cancelled, SUM(unknown) AS unknown FROM pages WHERE campaign_id=? GROUP BY zone ORDER BY zone", c.ID).Scan(&zones).Error
	for i := range zones {
		n := &zones[i].Counts
		n.Pending = n.Total - n.Sent - n.Failed - n.Skipped - n.Expired - n.Cancelled - n.Unknown
	}
	return zones, err
}
