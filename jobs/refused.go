package jobs

import (
	"context"
	"sync"
	"time"

	"carillon/channels"
	"carillon/models"
)

// refusedFor is how long a refusal of a whole campaign is remembered while the ledger cannot be told. Later answers say
// it again if it is still true.
const refusedFor = time.Minute

// refused fails a campaign whose channel refuses it as a whole: its sender, its content, or the right to send. If it
// went on, everybody would be refused one by one.
type refused struct {
	mu        sync.Mutex
	campaigns map[int64]refusal
}

type refusal struct {
	why string // the channel's words
	at  time.Time
}

func newRefused() *refused { return &refused{campaigns: map[int64]refusal{}} }

// note takes in the outcomes of one request.
func (r *refused) note(campaign int64, of []channels.Outcome) {
	for _, o := range of {
		if o.Campaign {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.campaigns[campaign] = refusal{o.ErrMsg, time.Now()}
			return
		}
	}
}

// of is why the campaign is refused; "" = it is not.
func (r *refused) of(campaign int64) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	one, ok := r.campaigns[campaign]
	if ok && time.Since(one.at) > refusedFor {
		delete(r.campaigns, campaign)
		return ""
	}
	return one.why
}

func (r *refused) forget(campaign int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.campaigns, campaign)
}

// failRefused fails the delivery's campaign when the channel refuses it as a whole. Until the ledger knows, no request of
// it starts here.
func (d *delivery) failRefused(ctx context.Context) {
	c := &d.visit.Campaign
	why := d.refused.of(c.ID)
	if why == "" {
		return
	}
	failed, err := d.store.FailCampaign(ctx, c.ID, models.CutText(why, models.MaxTextChars))
	if failed {
		d.log.Warn("the campaign failed: the channel refuses it as a whole", "id", c.PublicID, "why", why)
	}
	if err == nil {
		err = d.control.refresh(ctx, []int64{c.ID})
	}
	if err != nil {
		d.log.Warn("the campaign could not be failed, though the channel refuses it as a whole", "err", err)
		return
	}
	d.refused.forget(c.ID)
}
