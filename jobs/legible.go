package jobs

import (
	"context"
	"errors"
	"sync"
	"time"

	"carillon/channels"
	"carillon/models"
)

const (
	// illegibleAt is the score at which a campaign's answers count as unreadable. An answer that can be read for the
	// smaller part of its recipients adds as many as it is short of, up to illegibleAt; any other takes one away.
	illegibleAt  = 3
	legibleMost  = -10             // so that what went well for long does not hide what no longer does
	legibleKept  = 10_000          // campaigns; more are forgotten, and begin anew
	illegibleFor = 5 * time.Second // the least until a recipient is sent again; by then the campaign is paused, if it will be

	illegibleReason = "paused itself as the provider's answers cannot be read; mend them, then resume: "
)

// legible stops a campaign whose answers cannot be read, after the first few of them. Sent again, everybody would get the
// message again, and the answers would be no better. Each process judges by the answers it gets, and stops the campaign for all.
type legible struct {
	mu sync.Mutex
	on map[int64]*legibility
}

type legibility struct {
	score int
	why   string    // of the last answer that could not be read
	since time.Time // requests that began before it do not count any more

	pausing bool // by one visit, which is enough: another would do so once more, perhaps after a resume
}

func newLegible() *legible { return &legible{on: map[int64]*legibility{}} }

// note takes in the outcomes of one request, and how long it took.
func (l *legible) note(campaign int64, of []channels.Outcome, took time.Duration) {
	unread, sent, why := 0, 0, ""
	for _, o := range of {
		switch {
		case o.Unread():
			unread, why = unread+1, o.ErrMsg
		case o.Result == channels.Sent:
			sent++
		case o.Fault != channels.NoFault, o.Result == channels.NotTried:
			return // no answer to be read
		}
	}
	if unread+sent == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	here := l.on[campaign]
	if here == nil {
		if len(l.on) >= legibleKept {
			clear(l.on)
		}
		here = &legibility{}
		l.on[campaign] = here
	}
	if time.Now().Add(-took).Before(here.since) {
		return
	}
	if short := unread - (len(of) - unread); short > 0 {
		here.score, here.why = here.score+min(short, illegibleAt), why
	} else {
		here.score = max(here.score-1, legibleMost)
	}
}

// stopped says that the campaign's answers cannot be read.
func (l *legible) stopped(campaign int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	here := l.on[campaign]
	return here != nil && here.score >= illegibleAt
}

// toPause is why the campaign must be paused, for the one who is to do so.
func (l *legible) toPause(campaign int64) (why string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	here := l.on[campaign]
	if here == nil || here.score < illegibleAt || here.pausing {
		return "", false
	}
	here.pausing = true
	return here.why, true
}

// notPaused lets the next one try.
func (l *legible) notPaused(campaign int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if here := l.on[campaign]; here != nil {
		here.pausing = false
	}
}

// renew judges the campaign anew, by what is asked from now on.
func (l *legible) renew(campaign int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.on[campaign] = &legibility{since: time.Now()}
}

// stopIllegible pauses the delivery's campaign when its answers cannot be read. After a resume the answers are judged anew.
func (d *delivery) stopIllegible(ctx context.Context) {
	c := &d.v.Campaign
	why, ok := d.legible.toPause(c.ID)
	if !ok {
		return
	}
	var refused *models.Error
	switch _, err := d.store.PauseCampaign(ctx, c.PublicID, cutText(illegibleReason+why)); {
	case err == nil:
		d.log.Warn("the campaign paused itself: the provider's answers cannot be read", "id", c.PublicID, "why", why, "by", "guard")
	case !errors.As(err, &refused) || refused.Code != models.CodeIllegalTransition: // until it is paused no request starts here
		d.log.Warn("the campaign could not be paused, though the provider's answers cannot be read", "err", err)
		d.legible.notPaused(c.ID)
		return
	}
	// The process must know of the pause before it judges anew: else a request could begin in between, and its answer would
	// pause the campaign once more, after a resume.
	if err := d.control.refresh(ctx, []int64{c.ID}); err != nil {
		d.log.Warn("the campaign's control state cannot be read", "err", err)
	}
	d.legible.renew(c.ID)
}
