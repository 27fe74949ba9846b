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
	failedAt time.Time
}

// NewTrial begins a chunk of c; probe is the Grant's.
func (h *Health) NewTrial(c *models.Campaign, probe bool, recipients []Recipient) *Trial {
	return &Trial{h: h, channel: c.Channel, campaign: c.ID, probe: probe, recipients: recipients}
}

// Part is the trial of the recipients at some places of the chunk.
func (t *Trial) Part(at []int) *Trial {
	part := &Trial{h: t.h, channel: t.channel, campaign: t.campaign, probe: t.probe, recipients: make([]Recipient, len(at))}
	for k, i := range at {
		part.recipients[k] = t.recipients[i]
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	part.failedAt = t.failedAt
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
		t.mu.Lock()
		t.failedAt = time.Now()
		t.mu.Unlock()
	}
}

// Blame says who is to blame for the failures of a chunk.
type Blame int

const (
	BlameRecipient Blame = iota // the provider served others after the failures
	BlameUnknown                // nobody was served since, and nobody else failed
	BlameProvider               // the provider fails with others too, or serves nobody
)

// Judge decides who is to blame for the chunk's failures.
//
//   - If the breaker is open, or about to open: the provider.
//   - If the provider served anybody else after them: the recipients.
//   - Otherwise it is not known.
//
// It waits up to JudgeWithin for evidence. That the provider asked for rest, of one recipient, says
// nothing of the failures of others. An error means that the shared state is not known; then nobody
// but the provider is blamed.
func (t *Trial) Judge(ctx context.Context, of []channels.Outcome) (Blame, error) {
	faults, unclear := 0, false
	for i, o := range of {
		if o.Fault != channels.NoFault || o.RetryAfter > 0 {
			faults++
			unclear = unclear || o.Fault == channels.Stumble && t.recipients[i].Counted == 0
		}
	}
	if faults == 0 && !t.probe {
		return BlameRecipient, nil
	}
	t.mu.Lock()
	failedAt := t.failedAt
	t.mu.Unlock()
	for {
		view, err := t.h.publish(ctx, t.channel)
		t.h.mu.Lock()
		asked := t.h.of(t.channel).asked // an answer to an earlier request may only have been on its way
		t.h.mu.Unlock()
		switch {
		case err != nil:
			return BlameProvider, err
		case view.state == suspect, view.state == away:
			return BlameProvider, nil
		case asked.After(failedAt), view.served.Add(-t.h.PublishEvery).After(failedAt):
			return BlameRecipient, nil
		case !unclear, time.Since(failedAt) > t.h.JudgeWithin:
			return BlameUnknown, nil
		}
		select {
		case <-ctx.Done():
			return BlameUnknown, nil
		case <-time.After(t.h.PublishEvery):
		}
	}
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
	return o.Fault == channels.Away && t.h.unproven(c, r)
}
