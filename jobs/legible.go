package jobs

import (
	"sync"
	"time"

	"carillon/channels"
)

const (
	// illegibleAt is the score at which a campaign's answers count as unreadable. Each answer
	// changes the score:
	//   - An answer that cannot be read for most of its recipients adds the difference of the two
	//     parts, up to illegibleAt.
	//   - Any other answer takes one away.
	illegibleAt = 3
	// The lowest score: a good time does not hide for long that answers have become unreadable.
	legibleMost = -10
	legibleKept = 10_000 // campaigns; when there are more, all are forgotten
	// The least time until a recipient is sent again. By then a campaign to be paused is paused.
	illegibleFor = 5 * time.Second

	illegibleReason = "paused itself as the provider's answers cannot be read; mend them, then resume: "
)

// legible stops a campaign after its first few answers that cannot be read. If it went on,
// everybody would be sent again, and the answers would be no better. Each process judges by the
// answers it gets, and pauses the campaign for all processes.
type legible struct {
	mu        sync.Mutex
	campaigns map[int64]*legibility
}

type legibility struct {
	score int
	why   string    // the last answer could not be read
	since time.Time // requests that started earlier do not count
	// One visit pauses. A second might pause the campaign once more, after a resume.
	pausing bool
}

func newLegible() *legible { return &legible{campaigns: map[int64]*legibility{}} }

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
	state := l.campaigns[campaign]
	if state == nil {
		if len(l.campaigns) >= legibleKept {
			clear(l.campaigns)
		}
		state = &legibility{}
		l.campaigns[campaign] = state
	}
	if time.Now().Add(-took).Before(state.since) {
		return
	}
	short := unread - (len(of) - unread)
	if short > 0 {
		state.score, state.why = state.score+min(short, illegibleAt), why
	} else {
		state.score = max(state.score-1, legibleMost)
	}
}

// stopped reports whether the campaign's answers cannot be read.
func (l *legible) stopped(campaign int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	state := l.campaigns[campaign]
	return state != nil && state.score >= illegibleAt
}

// toPause is why the campaign must be paused. ok is true for one caller, who is to pause it.
func (l *legible) toPause(campaign int64) (why string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	state := l.campaigns[campaign]
	if state == nil || state.score < illegibleAt || state.pausing {
		return "", false
	}
	state.pausing = true
	return state.why, true
}

// notPaused lets the next caller of toPause try.
func (l *legible) notPaused(campaign int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if state := l.campaigns[campaign]; state != nil {
		state.pausing = false
	}
}

// renew judges the campaign anew, by requests that start from now on.
func (l *legible) renew(campaign int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.campaigns[campaign] = &legibility{since: time.Now()}
}
