package models

import (
	"cmp"
	"container/heap"
	"context"
	"io"
)

// memberWalk reads the members of all pages of a campaign in byte order. The pages of one zone
// follow each other in that order. Pages of different zones interleave, so the walk holds one page
// of each zone.
type memberWalk struct {
	store *Store
	ctx   context.Context //nolint:containedctx // a memberWalk lives for one walk
	zones zoneHeap
}

type zoneWalk struct {
	pages   []Page
	members []string // what is left of pages[0]
}

type zoneHeap []*zoneWalk

func (h zoneHeap) Len() int           { return len(h) }
func (h zoneHeap) Less(i, j int) bool { return h[i].members[0] < h[j].members[0] }
func (h zoneHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *zoneHeap) Push(z any)        { *h = append(*h, z.(*zoneWalk)) }
func (h *zoneHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func (s *Store) walkMembers(ctx context.Context, campaignID int64) (*memberWalk, error) {
	var pages []Page
	if err := s.db.WithContext(ctx).Select("campaign_id", "no", "zone").Where("campaign_id = ?", campaignID).Order("no").Find(&pages).Error; err != nil {
		return nil, err
	}
	zones := map[string]*zoneWalk{}
	for _, p := range pages {
		if zones[p.Zone] == nil {
			zones[p.Zone] = &zoneWalk{}
		}
		zones[p.Zone].pages = append(zones[p.Zone].pages, p)
	}
	w := &memberWalk{store: s, ctx: ctx}
	for _, z := range zones {
		if w.load(z) {
			w.zones = append(w.zones, z)
		}
	}
	heap.Init(&w.zones)
	return w, nil
}

// load fetches the members of the zone's next readable page. A page that cannot be read is skipped:
// verifier.page reports it.
func (w *memberWalk) load(z *zoneWalk) bool {
	for ; len(z.pages) > 0; z.pages = z.pages[1:] {
		var err error
		if z.members, err = w.store.members(w.store.db.WithContext(w.ctx), z.pages[0].CampaignID, z.pages[0].No); err == nil && len(z.members) > 0 {
			return true
		}
	}
	return false
}

// next returns the next member, and io.EOF at the end.
func (w *memberWalk) next() (id string, err error) {
	if len(w.zones) == 0 {
		return "", cmp.Or(w.ctx.Err(), io.EOF)
	}
	z := w.zones[0]
	id = z.members[0]
	if z.members = z.members[1:]; len(z.members) == 0 {
		z.pages = z.pages[1:]
		if !w.load(z) {
			heap.Pop(&w.zones)
			return id, nil
		}
	}
	heap.Fix(&w.zones, 0)
	return id, nil
}
