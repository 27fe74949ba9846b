package pacing

import (
	"context"
	"maps"
	"sync"
	"time"

	"carillon/models"
)

// Places counts the pages that this process holds of each bulk campaign and each channel.
//
//   - One campaign holds at most half of the slots.
//   - One channel holds at most three quarters of the slots.
//   - Campaigns on a full channel come to hold the same number of places each.
type Places struct {
	Params
	slots int

	mu            sync.Mutex
	campaigns     map[int64]int
	channels      map[string]int
	refusedAt     map[string]map[int64]refusal // by channel, the campaigns that were refused a place on it
	releasedAt    map[int64]time.Time          // when a campaign last released a place
	waitingInSlot map[int64]bool               // the campaigns of which a page waits in its slot for a place
}

// refusal is when a campaign was first and last refused a place, since it last got one.
type refusal struct{ first, last time.Time }

// NewPlaces makes the places of a process with so many slots.
func NewPlaces(p Params, slots int) *Places {
	return &Places{
		Params: p, slots: slots, campaigns: map[int64]int{}, channels: map[string]int{}, refusedAt: map[string]map[int64]refusal{},
		releasedAt: map[int64]time.Time{}, waitingInSlot: map[int64]bool{},
	}
}

// of is a share of the slots, one slot at least.
func (p *Places) of(share float64) int { return max(1, int(float64(p.slots)*share)) }

// Acquire takes a place for a page of c. If there is no place it returns the state for the page:
//
//   - PageNew, first in line, when c already holds its maximum: the workers that hold those places
//     claim the page next.
//   - PageWaiting for PlaceRetry when the channel is full.
func (p *Places) Acquire(c models.Campaign) (instead models.Chunk, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.campaigns[c.ID] >= p.of(p.CampaignShare) {
		return models.Chunk{State: models.PageNew}, false
	}
	if p.free(c.Channel) <= p.waitingAhead(c) {
		p.refuse(c)
		return models.Chunk{State: models.PageWaiting, ReadyIn: p.PlaceRetry}, false
	}
	delete(p.refusedAt[c.Channel], c.ID)
	p.campaigns[c.ID]++
	p.channels[c.Channel]++
	return models.Chunk{}, true
}

// AcquireInSlot is Acquire for a page that waits in its slot. It tries for up to SlotWait, and
// gives up when drain ends.
func (p *Places) AcquireInSlot(drain context.Context, c models.Campaign) (ok bool) {
	for begun := time.Now(); !ok && time.Since(begun) < p.SlotWait && drain.Err() == nil; {
		time.Sleep(p.PlaceCheckEvery)
		_, ok = p.Acquire(c)
	}
	return ok
}

// BeginSlotWait reports whether a page of c may wait in its slot for a place. EndSlotWait must
// follow if it may.
//
//   - c must be slow, because its next token would be lost meanwhile. Faster campaigns gain nothing
//     from waiting in the slot, and would delay campaigns that already hold a place.
//   - c must hold no place in this process, and no other page of c may wait.
//   - At most an eighth of the slots wait at once, because the other slots are for other channels.
func (p *Places) BeginSlotWait(c models.Campaign) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	slow := c.RatePerSecond > 0 && c.RatePerSecond < p.SlowRate
	full := len(p.waitingInSlot) >= int(float64(p.slots)*p.SlotWaiters)
	if !slow || p.campaigns[c.ID] > 0 || p.waitingInSlot[c.ID] || full {
		return false
	}
	p.waitingInSlot[c.ID] = true
	return true
}

// EndSlotWait ends what BeginSlotWait began.
func (p *Places) EndSlotWait(c models.Campaign) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waitingInSlot, c.ID)
}

// Release gives a place of c back.
func (p *Places) Release(c models.Campaign) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.campaigns[c.ID]--; p.campaigns[c.ID] == 0 {
		delete(p.campaigns, c.ID)
	}
	p.channels[c.Channel]--
	p.releasedAt[c.ID] = time.Now()
}

// MustYield reports whether c must release a place. It must if more campaigns were refused a place
// on its channel within RefusedFor than places are free. Only these campaigns count:
//
//   - those that hold no place;
//   - those that hold at least two places fewer than c.
//
// A transactional campaign holds no places and never yields.
func (p *Places) MustYield(c models.Campaign) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.campaigns[c.ID] == 0 {
		return false
	}
	n := 0
	for id := range p.waiting(c.Channel) {
		if id != c.ID && p.campaigns[id] < max(1, p.campaigns[c.ID]-1) {
			n++
		}
	}
	return n > p.free(c.Channel)
}

func (p *Places) refuse(c models.Campaign) {
	now := time.Now()
	if p.refusedAt[c.Channel] == nil {
		p.refusedAt[c.Channel] = map[int64]refusal{}
	}
	r, ok := p.refusedAt[c.Channel][c.ID]
	if !ok {
		r.first = now
	}
	r.last = now
	p.refusedAt[c.Channel][c.ID] = r
}

// waiting are the campaigns that were refused a place on a channel within RefusedFor.
func (p *Places) waiting(channel string) map[int64]refusal {
	maps.DeleteFunc(p.refusedAt[channel], func(_ int64, r refusal) bool { return time.Since(r.last) > p.RefusedFor })
	return p.refusedAt[channel]
}

// waitingAhead counts the waiting campaigns that must get a place ahead of c:
//
//   - those that hold fewer places than c;
//   - if c released a place within RefusedFor, those that hold as many as c and have waited longer.
//
// No further place is reserved: a campaign that is not asking now would leave the place unused.
func (p *Places) waitingAhead(c models.Campaign) (n int) {
	waiting := p.waiting(c.Channel)
	own, waits := waiting[c.ID]
	maps.DeleteFunc(p.releasedAt, func(_ int64, at time.Time) bool { return time.Since(at) > p.RefusedFor })
	_, released := p.releasedAt[c.ID]
	for id, r := range waiting {
		fewer := p.campaigns[id] < p.campaigns[c.ID]
		longer := released && p.campaigns[id] == p.campaigns[c.ID] && (!waits || r.first.Before(own.first))
		if fewer || longer {
			n++
		}
	}
	return n
}

// free is how many more places a channel may have.
func (p *Places) free(channel string) int { return p.of(p.ChannelShare) - p.channels[channel] }
