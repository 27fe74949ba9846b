package pacing

import (
	"context"
	"math/rand/v2"
	"time"

	"carillon/models"
)

// Rates hold the rates of campaigns and channels over all processes, by Redis' clock. A token is a
// recipient.
//
//   - A grant is worth at most 50 ms of the rate, and a bucket holds no more, so a rate holds
//     within every second.
//   - A new bucket is empty.
//   - Below 10/s the bucket holds up to 2 − rate/10 tokens, so a late page can catch up. No 1.1 s
//     window ever sees more than rate + 1 recipients.
//   - A grant is worth at least 25 ms of the rate, if that many are asked for. Many pages that wait
//     for one rate would otherwise send chunks of one or two recipients, each with its own commit.
//   - A provider that slowed down has a ceiling below the channel's rate. A provider that is away
//     is probed now and then (health.go).
//   - Without Redis there is no grant, and nothing is sent.
type Rates struct {
	*sharedState
	health   *Health
	channels map[string]int // recipients a second; 0 or none = no limit
}

// Grant is what may be sent now.
type Grant struct {
	N     int           // recipients
	Wait  time.Duration // with N = 0: when to ask again
	Open  bool          // the channel's breaker is open
	Probe bool          // what is granted is one recipient, who is tried although the provider fails: see Trial
}

// Take asks for up to n tokens for one chunk of c. first is the chunk's first recipient, who would
// be the probe of a provider that is away. While this process meets failures only, Take grants one
// recipient at a time.
func (r *Rates) Take(ctx context.Context, c *models.Campaign, n int, first Recipient) (Grant, error) {
	n, single, wait := r.health.throttle(c.Channel, n)
	if wait > 0 {
		return Grant{Wait: wait}, nil
	}
	g, err := r.take(ctx, c, r.channels[c.Channel], n, first)
	if err != nil {
		return g, err
	}
	r.health.hearOpen(c.Channel, g.Open)
	g.Probe = g.Probe || single
	if g.Open && g.N == 0 { // so that not all pages come at the same instant
		g.Wait += r.probeSpread()
	}
	return g, nil
}

// PageWait is how long a page waits outside its slot after a grant of nothing.
//
//   - The page returns RequeueLatency before its token is due and waits the remainder in the slot.
//     Returning exactly on time would make it late by the queue's latency each time.
//   - It waits for no longer than WindowWait: it would leave the window, and other pages would come
//     in to wait beside it.
func (r *Rates) PageWait(g Grant) time.Duration {
	wait := g.Wait
	if wait > r.SlotWait && !g.Open {
		wait -= r.RequeueLatency
	}
	return min(wait, r.ProbeEvery+r.probeSpread())
}

// probeSpread is a random time, by which a wait of ProbeEvery still stays within WindowWait.
func (r *Rates) probeSpread() time.Duration { return rand.N(r.WindowWait - r.ProbeEvery) }

// take is Take, by what all processes together know. channelRate is the channel's, in recipients a
// second.
func (s *sharedState) take(ctx context.Context, c *models.Campaign, channelRate, n int, first Recipient) (Grant, error) {
	keys := []string{healthKey(c.Channel), channelBucketKey(c.Channel), campaignBucketKey(c), limitedByKey(c), waitingKey(c.Channel), waitingUntilKey(c.Channel)}
	got, err := s.takeScript.Run(ctx, s.rdb, keys, n, channelRate, c.RatePerSecond, flag(c.Priority == models.PriorityTransactional),
		s.clock(), c.ID, recipientHash(first.ID), flag(!first.FailingSince.IsZero())).Int64Slice()
	if err != nil {
		return Grant{}, err
	}
	open := got[2] == 1
	return Grant{N: int(got[0]), Wait: time.Duration(got[1]) * time.Millisecond, Open: open, Probe: open && got[0] == 1}, nil
}

// flag is 1 for true, as scripts take it.
func flag(set bool) int {
	if set {
		return 1
	}
	return 0
}
