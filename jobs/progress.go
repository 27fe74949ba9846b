package jobs

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"carillon/models"
)

const (
	progressEvery = time.Second
	rateOver      = 5 * time.Second // what the current rate is measured over
)

// progress watches the counters of running campaigns. It reads them from the ledger, so each
// process sees what all of them do.
type progress struct {
	store   *models.Store
	mu      sync.Mutex
	samples map[int64][]sample // by campaign, the oldest first
	moved   map[int64]movement // by campaign
}

// movement is when a campaign's counts were last seen to change.
type movement struct {
	at      time.Time
	pending int64
}

type sample struct {
	at    time.Time
	tried int64
}

// measure takes a sample of every running campaign.
func (p *progress) measure(ctx context.Context) error {
	views, err := p.store.RunningCounts(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	running, moved := map[int64][]sample{}, map[int64]movement{}
	for _, c := range views {
		last, known := p.moved[c.ID]
		if !known || last.pending != c.Pending {
			last = movement{now, c.Pending}
		}
		moved[c.ID] = last
		running[c.ID] = addSample(p.samples[c.ID], sample{now, p.store.Tried(c)})
	}
	p.samples, p.moved = running, moved
	return nil
}

// addSample adds a sample and drops those that are too old for the rate. A retry takes outcomes
// back: then everything measured before is dropped.
func addSample(samples []sample, s sample) []sample {
	if len(samples) > 0 && s.tried < samples[len(samples)-1].tried {
		samples = nil
	}
	samples = append(samples, s)
	for len(samples) > 2 && s.at.Sub(samples[1].at) >= rateOver {
		samples = samples[1:]
	}
	return samples
}

// rate is how many recipients per second the channel had of a running campaign, over the last 5 s.
// ok is false while that is not known. Recipients who were passed over do not count.
func (p *progress) rate(campaignID int64) (perSecond float64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	samples := p.samples[campaignID]
	if len(samples) < 2 {
		return 0, false
	}
	last := samples[len(samples)-1]
	first := samples[0]
	for _, s := range samples {
		if last.at.Sub(s.at) >= rateOver {
			first = s
		}
	}
	return float64(last.tried-first.tried) / last.at.Sub(first.at).Seconds(), true
}

// still is a campaign whose counts have not changed for a time.
type still struct {
	id    int64
	since time.Duration
}

// still lists the running campaigns whose counts have not changed for at least a time, the longest
// first.
func (p *progress) still(least time.Duration) (list []still) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, m := range p.moved {
		if since := time.Since(m.at); since >= least {
			list = append(list, still{id, since})
		}
	}
	slices.SortFunc(list, func(a, b still) int { return cmp.Compare(b.since, a.since) })
	return list
}

// excuse counts a campaign's time anew: until now it waited for a time to come.
func (p *progress) excuse(id int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m, known := p.moved[id]; known {
		p.moved[id] = movement{time.Now(), m.pending}
	}
}
