package jobs

import (
	"cmp"
	"time"

	"carillon/channels"
	"carillon/internal/pacing"
	"carillon/models"
)

const (
	// The most that a row can count. Attempts that a provider's absence costs have no other end.
	maxAttempts = 127
	maxBackoff  = 5 * time.Minute  // between two attempts that count against the recipient
	maxUnproven = 10 * time.Second // the longest wait after a failure that may be the provider's
	// From a recipient's first failed try. It also ends tries that cost no attempt.
	maxTrying = 72 * time.Hour
)

// attemptRules says what a try makes of a recipient's row: its end, or when it is tried again.
type attemptRules struct {
	maxAttempts int           // of one run of the campaign
	backoff     time.Duration // before the second attempt; doubles with each further one
	pacing      pacing.Params
	visit       *models.Visit
	asks        bool    // the channel can ask whether a request was accepted
	jitter      float64 // 0 to 1; of all waits of the visit
}

// row is a member's row after one try.
//   - excused: the failure costs no attempt. But if the request may have been taken, the attempt is
//     counted, and still does not end the recipient's attempts.
//   - unclear: nobody knows who is to blame for the failure.
func (r *attemptRules) row(m member, o channels.Outcome, excused, unclear bool) models.RecipientOutcome {
	row := models.RecipientOutcome{
		UserID: m.id, HasRow: m.hasRow, Attempts: min(m.attempts+1, maxAttempts), ErrCode: o.ErrCode, ErrMsg: models.CutText(o.ErrMsg, models.MaxTextChars),
		MaybeSent: m.maybeSent || mayBeAccepted(o), // what a later answer says is said of the later request
	}
	switch o.Result {
	case channels.Sent:
		row.Status, row.ServerMsgID, row.ErrCode, row.ErrMsg = models.RecipientSent, o.ServerMsgID, 0, ""
	case channels.Failed:
		row.Status = models.RecipientFailed
	case channels.Skipped:
		row.Status = models.RecipientSkipped
	case channels.NotTried:
		row.Status, row.Attempts, row.FailingSince = models.RecipientPending, m.attempts, m.failingSince
	case channels.Retry, channels.Ambiguous:
		row.Status, row.FailingSince = models.RecipientPending, cmp.Or(m.failingSince, r.visit.Now())
		r.afterFailure(&row, m, o, excused, unclear)
		row.RetryIn = max(row.RetryIn, o.RetryAfter)
	}
	if row.Status != models.RecipientPending {
		row.FailingSince, row.RetryIn = 0, 0
	}
	return row
}

// afterFailure ends a recipient whose try failed, or says when the next attempt is due.
func (r *attemptRules) afterFailure(row *models.RecipientOutcome, m member, o channels.Outcome, excused, unclear bool) {
	switch {
	case mayBeAccepted(o) && r.atMostOnce() && !r.asksNext(m, row): // guard: ambiguous-is-unknown
		row.Status = models.RecipientUnknown // otherwise it goes out again under the same clientMsgID
	case o.Foreign: // nothing went out
		row.Attempts, row.RetryIn = m.attempts, r.jittered(max(r.backoff, illegibleFor))
	case o.Unread() && (m.attempts > 0 || row.Attempts >= r.maxAttempts): // another attempt would be no better
		row.Status = models.RecipientUnknown
	case o.Unread():
		row.RetryIn = r.jittered(max(r.backoff, illegibleFor))
	case r.triedTooLong(m):
		row.Status = r.lost(row.MaybeSent)
	case excused: // guard: excused
		// The longer a recipient has failed, the rarer its tries: others come first.
		failingFor := time.Duration(r.visit.Now()-row.FailingSince) * time.Millisecond
		row.RetryIn = r.jittered(min(max(2*r.pacing.ProbeEvery, failingFor), maxUnproven))
		if o.Result == channels.Retry {
			row.Attempts = m.attempts
		}
	case r.used(row.Attempts):
		row.Status = r.lost(row.MaybeSent)
	default:
		row.RetryIn = r.jittered(min(r.backoff<<min((row.Attempts-1)%r.maxAttempts, 20), maxBackoff))
		if unclear { // by the next attempt it shows who is to blame
			row.RetryIn = max(row.RetryIn, r.pacing.UnprovenBackoff)
		}
	}
}

// mayBeAccepted reports whether the provider may have accepted the request of an attempt that failed.
func mayBeAccepted(o channels.Outcome) bool { return o.Result == channels.Ambiguous || o.Unsure }

func (r *attemptRules) atMostOnce() bool { return r.visit.Campaign.Delivery == models.AtMostOnce }

// asksNext reports whether the channel asks, at the next attempt, what became of a request that may
// have been accepted. It asks once: an answer that leaves the matter open is the end.
func (r *attemptRules) asksNext(m member, row *models.RecipientOutcome) bool {
	return r.asks && !m.maybeSent && !r.used(row.Attempts) && !r.triedTooLong(m)
}

// lost is the status of a recipient whose tries end without success. With atMostOnce and a channel
// that asks, one who may have been sent to could not be asked about in all that time.
func (r *attemptRules) lost(maybeSent bool) models.RecipientStatus {
	if maybeSent && r.asks && r.atMostOnce() {
		return models.RecipientUnknown
	}
	return models.RecipientFailed
}

// triedTooLong reports whether a recipient's tries end, whatever they cost: they have failed for
// maxTrying.
func (r *attemptRules) triedTooLong(m member) bool {
	return m.failingSince != 0 && r.visit.Now()-m.failingSince > models.Millis(maxTrying.Milliseconds())
}

// givenUp is the row of a recipient that was tried for too long.
func (r *attemptRules) givenUp(m member) models.RecipientOutcome {
	return models.RecipientOutcome{
		UserID: m.id, Attempts: m.attempts, HasRow: m.hasRow, MaybeSent: m.maybeSent,
		Status: r.lost(m.maybeSent), ErrCode: models.CodeNetwork, ErrMsg: "given up: all tries of " + maxTrying.String() + " failed",
	}
}

// used reports whether a recipient's attempts are used. A retry of the campaign keeps the attempts
// that were made, and goes on to the next multiple of what one run allows.
func (r *attemptRules) used(attempts int) bool {
	return attempts%r.maxAttempts == 0 || attempts >= maxAttempts
}

// jittered is a wait within a fifth more or less, the same for all of a visit: the retries of
// different pages do not come in step, and those of one page come together.
func (r *attemptRules) jittered(wait time.Duration) time.Duration {
	return wait*4/5 + time.Duration(r.jitter*float64(wait)*2/5)
}

// member is one recipient of the next chunk.
type member struct {
	id       string
	hasRow   bool // in the ledger, from an earlier attempt or a claim
	attempts int  // made before
	// maybeSent: an earlier request may have been accepted.
	maybeSent bool
	// counted is how many of those count against the member: since the last retry, as far as known.
	counted      int
	due          models.Millis // with a row: when the next attempt is due
	failingSince models.Millis // its first try that failed, by the database's clock; 0 = none did
	failingFrom  time.Time     // the same by this process' clock
}
