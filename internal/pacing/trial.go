package pacing

import (
	"context"
	"sync"
	"time"

	"carillon/channels"
	"carillon/models"
)

// Trial is one chunk on its way through a channel.
type Trial struct {
	h          *Health
	channel    string
	campaign   int64
	probe      bool
	recipients []Recipient

	mu       sync.Mutex
	failedAt []time.Time // by place; zero = no request for the recipient failed
}

// NewTrial begins a chunk of c; probe is the Grant's.
func (h *Health) NewTrial(c *models.Campaign, probe bool, recipients []Recipient) *Trial {
	return &Trial{
		h: h, channel: c.Channel, campaign: c.ID, probe: probe, recipients: recipients, failedAt: make([]time.Time, len(recipients)),
	}
}

// Part is the trial of the recipients at some places of the chunk.
func (t *Trial) Part(at []int) *Trial {
	part := &Trial{
		h: t.h, channel: t.channel, campaign: t.campaign, probe: t.probe, recipients: make([]Recipient, len(at)), failedAt: make([]time.Time, len(at)),
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, i := range at {
		part.recipients[k], part.failedAt[k] = t.recipients[i], t.failedAt[i]
	}
	return part
}

// MayStart is asked before each request.
func (t *Trial) MayStart() bool {
	t.h.mu.Lock()
	defer t.h.mu.Unlock()
	c := t.h.of(t.channel)
	return t.probe || !c.open && !t.h.single(c)
}

// Record takes in what the channel says of one request: the outcomes of its recipients, from a
// place of the chunk on.
func (t *Trial) Record(from int, of []channels.Outcome, took time.Duration) {
	switch {
	case len(of) == 0, of[0].Result == channels.NotTried:
		return
	case of[0].Stopped:
		return
	}
	if t.h.record(t.channel, t.campaign, t.recipients[from:from+len(of)], of, took) {
		now := time.Now()
		t.mu.Lock()
		defer t.mu.Unlock()
		for i := range of {
			t.failedAt[from+i] = now
		}
	}
}

// Blame says who is to blame for a recipient's failure.
type Blame int

const (
	BlameRecipient Blame = iota // the provider served others after the failure
	BlameUnknown                // nobody was served since, and nobody else failed
	BlameProvider               // the provider fails with others too, or serves nobody
)

// Judge decides for each recipient of the chunk who is to blame for its failure.
//
//   - If the breaker is open, or about to open: the provider.
//   - If the provider served anybody else after the failure: the recipient.
//   - Otherwise it is not known.
//
// It waits up to JudgeWithin for evidence. That the provider asked for rest, of one recipient, says
// nothing of the failures of others. An error means that the shared state is not known; then nobody
// but the provider is blamed.
func (t *Trial) Judge(ctx context.Context, of []channels.Outcome) ([]Blame, error) {
	blames := make([]Blame, len(of))
	var failed []int // places
	var last time.Time
	t.mu.Lock()
	for i, o := range of {
		if o.Fault != channels.NoFault || o.RetryAfter > 0 {
			failed, last = append(failed, i), later(last, t.failedAt[i])
		}
	}
	t.mu.Unlock()
	if len(failed) == 0 && !t.probe {
		return blames, nil
	}
	for {
		view, err := t.h.publish(ctx, t.channel)
		switch {
		case err != nil, view.state == suspect, view.state == away:
			for _, i := range failed {
				blames[i] = BlameProvider
			}
			return blames, err
		case !t.blame(blames, failed, of, view), time.Since(last) > t.h.JudgeWithin:
			return blames, nil
		}
		select {
		case <-ctx.Done():
			return blames, nil
		case <-time.After(t.h.PublishEvery):
		}
	}
}

// blame blames the recipients at some places, as far as answers that others got show that the
// failures are theirs. It reports whether more evidence would be of use.
func (t *Trial) blame(blames []Blame, failed []int, of []channels.Outcome, view sharedView) (unclear bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.h.mu.Lock()
	defer t.h.mu.Unlock()
	c := t.h.of(t.channel)
	// An answer to an earlier request may only have been on its way.
	served := later(c.asked, view.served.Add(-t.h.PublishEvery))
	for _, i := range failed {
		if served.After(t.failedAt[i]) {
			blames[i] = BlameRecipient
			continue
		}
		blames[i] = BlameUnknown
		unclear = unclear || t.h.mayBeOwn(c, of[i]) && t.recipients[i].Counted == 0
	}
	return unclear
}

// Excuses says whether the outcome of the recipient at a place of the chunk is a failure that costs
// the recipient no attempt.
func (t *Trial) Excuses(b Blame, at int, o channels.Outcome) bool {
	if o.Refused() {
		return true
	}
	r := t.recipients[at]
	t.h.mu.Lock()
	defer t.h.mu.Unlock()
	c := t.h.of(t.channel)
	switch {
	case o.RetryAfter > 0: // to be asked to wait is no attempt
		return t.h.countsAgainstProvider(c, t.campaign, r)
	case o.Fault == channels.NoFault, b == BlameRecipient:
		return false
	case b == BlameProvider:
		return t.h.countsAgainstProvider(c, t.campaign, r)
	}
	return !t.h.mayBeOwn(c, o) && t.h.unproven(c, r)
}
