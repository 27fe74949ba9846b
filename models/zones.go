package models

import (
	"cmp"
	"context"
	"slices"
)

// cutZones cuts members into pages, with at most one open page per time zone. The audience is
// walked once for all zones, so that nobody is met twice. An open page is released:
//
//   - when it is full;
//   - when the walk ends;
//   - in a campaign by local time, when the time of its zone has come: those users must not wait
//     for the walk.
func (s *Store) cutZones(ctx context.Context, c *Campaign, found []audienceMember, now Millis, zoneStart func(zone string) ZoneStart, done bool) (planChanges, error) {
	byZone := map[string][]string{}
	for _, m := range found {
		zone := cmp.Or(m.Timezone, c.Zone)
		byZone[zone] = append(byZone[zone], m.UserID)
	}
	release := func(p *packedPage) bool {
		t := zoneStart(p.Zone)
		if p.Size < PageSize && !done && (c.WallAt == 0 || !t.Missed && t.Due > now) {
			return false
		}
		if t.Missed {
			p.State, p.AheadStatus, p.Skipped = PageDone, RecipientSkipped, p.Size
		} else {
			p.State, p.DueAt = PageNew, t.Due
		}
		return true
	}
	open, err := s.openPages(ctx, c.ID)
	if err != nil {
		return planChanges{}, err
	}
	var out planChanges
	for i := range open {
		p := &open[i]
		changed, err := s.fillPage(ctx, p, byZone)
		if err != nil {
			return planChanges{}, err
		}
		if release(p) || changed {
			out.updates = append(out.updates, *p)
		}
	}
	for _, zone := range sortedKeys(byZone) {
		for _, p := range cutPages(c.ID, c.Pages+len(out.inserts), byZone[zone]) {
			p.Zone, p.State = zone, PageOpen
			release(&p)
			out.inserts = append(out.inserts, p)
		}
	}
	return out, nil
}

// openPages reads the pages that are being filled, at most one per zone, without their members.
func (s *Store) openPages(ctx context.Context, campaignID int64) ([]packedPage, error) {
	var pages []Page
	err := s.db.WithContext(ctx).Where("campaign_id = ? AND state = ?", campaignID, PageOpen).Order("no").Find(&pages).Error
	open := make([]packedPage, len(pages))
	for i, p := range pages {
		open[i].Page = p
	}
	return open, err
}

// fillPage moves members of the page's zone into the page, as far as there is room.
func (s *Store) fillPage(ctx context.Context, p *packedPage, byZone map[string][]string) (changed bool, err error) {
	more := byZone[p.Zone]
	n := min(len(more), PageSize-p.Size)
	if n == 0 {
		return false, nil
	}
	members, err := s.members(s.db.WithContext(ctx), p.CampaignID, p.No)
	if err != nil {
		return false, err
	}
	p.members = new(packer).pack(append(members, more[:n]...))
	p.Size += n
	byZone[p.Zone] = more[n:]
	if n == len(more) {
		delete(byZone, p.Zone)
	}
	return true, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// CampaignsToAdvance returns the running campaigns with pages outside the window (time zones,
// retries) whose time has come since they were planned or last visited.
func (s *Store) CampaignsToAdvance(ctx context.Context) (ids []int64, err error) {
	err = s.db.WithContext(ctx).Raw("SELECT id FROM campaigns c WHERE status=? AND EXISTS(SELECT 1 FROM pages p WHERE p.campaign_id=c.id AND p.state=? AND p.due_at>0 AND p.due_at<="+s.d.now+")",
		StatusRunning, PageNew).Scan(&ids).Error
	return ids, err
}

// ZoneThatEnds is a zone in which somebody is pending, of a campaign whose end counts from each
// zone's own time.
type ZoneThatEnds struct {
	Campaign
	PageZone string
}

// ZonesThatEnd returns those zones. Their campaigns come without messages.
func (s *Store) ZonesThatEnd(ctx context.Context) (zones []ZoneThatEnds, err error) {
	err = s.db.WithContext(ctx).Raw("SELECT c.id, c.kind, c.channel, c.delivery, c.wall_at, c.expire_after, c.zone, p.zone AS page_zone FROM campaigns c JOIN pages p ON p.campaign_id=c.id AND p.state IN ?"+
		" WHERE c.status IN ? AND c.expire_after>0 GROUP BY c.id, c.kind, c.channel, c.delivery, c.wall_at, c.expire_after, c.zone, p.zone",
		[]PageState{PageNew, PageQueued, PageRunning, PageParked, PageWaiting}, []Status{StatusRunning, StatusPaused}).Scan(&zones).Error
	return zones, err
}

// ExpireZone expires the pending recipients in one zone of a campaign, as CloseCampaign does for
// all.
//
//   - A page under a live lease is put back by its worker.
//   - A page whose lease has ended is closed if dead is set.
func (s *Store) ExpireZone(ctx context.Context, c Campaign, zone string, dead bool) error {
	return s.closeFree(ctx, c, RecipientExpired, dead, "campaign_id=? AND zone=?", c.ID, zone)
}

// ZoneStart says when the pages of one time zone may go out.
type ZoneStart struct {
	Due    Millis // the time from which its pages may go out
	Missed bool   // never: the local time has passed, and its recipients are skipped
}
