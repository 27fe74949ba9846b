package jobs

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"carillon/channels"
	"carillon/internal/pacing"
	"carillon/models"
)

const (
	usualChunk  = 250              // recipients
	maxChunk    = 500              // the same; what a kill can leave ambiguous is counted in chunks
	maxAttempts = 127              // a row can count; those that the provider's absence costs have no other end
	maxErrMsg   = 255              // characters of a stored text
	maxRetry    = 5 * time.Minute  // the longest backoff
	maxTrying   = 72 * time.Hour   // from a recipient's first try that failed; the end also of tries that cost no attempt
	maxUnproven = 10 * time.Second // the longest wait after a failure that may be the provider's
	gatherFor   = time.Second      // attempts of one page that are due within this time are made together
)

// member is one recipient of the next chunk.
type member struct {
	id       string
	attempts int           // made before
	own      int           // of those, the ones that speak against the member itself: since the last retry, as far as can be told
	again    bool          // its row stands already
	due      models.Millis // of a row that stands
	since    models.Millis // its first try that failed, by the database's clock; 0 = none did
	failing  time.Time     // the same by this process's clock
}

// recipient is what pacing knows of the member.
func (m member) recipient() pacing.Recipient {
	return pacing.Recipient{ID: m.id, Counted: m.own, FailingSince: m.failing}
}

// recipients are the same of a chunk.
func recipients(chunk []member) []pacing.Recipient {
	all := make([]pacing.Recipient, len(chunk))
	for i, m := range chunk {
		all[i] = m.recipient()
	}
	return all
}

// member is a recipient whose row stands.
func (d *delivery) member(id string, a models.Attempt) member {
	m := member{id: id, attempts: a.Attempts, again: true, due: a.NextAttemptAt, since: a.FailingSince}
	if a.FailingSince != 0 {
		m.own = a.Attempts % d.opts.MaxAttempts
		m.failing = time.Now().Add(-time.Duration(d.v.Now()-a.FailingSince) * time.Millisecond)
	}
	return m
}

// lookUp asks the directory once per visit whether all of the page still stand in it and, if not, who does.
func (d *delivery) lookUp(ctx context.Context) error {
	c := d.v.Campaign
	if c.Kind == models.KindUser && (c.AudienceType == models.AudienceAll || d.ch.Traits().KnowsUsers) {
		all, err := d.store.AllKnown(ctx, d.v)
		if err != nil || all {
			return err
		}
		d.known, err = d.store.KnownUsers(ctx, d.v.Members)
		return err
	}
	return nil
}

// chunkSize is how many recipients are sent between two writes on a channel whose requests carry up to batch: whole
// requests, as far as that goes. set is Options.ChunkSize.
func chunkSize(set, batch int) int {
	if set > 0 {
		return set
	}
	return min(max(usualChunk/batch*batch, batch), maxChunk)
}

// next is the next chunk: members that the cursor has not reached, and without any those whose next attempt is due. Attempts
// that are late come first: see LateRetry.
func (d *delivery) next() []member {
	fresh := d.v.Untried(d.size)
	by := d.v.Now()
	if len(fresh) > 0 {
		by -= models.LateRetry
	}
	var chunk []member
	for id, a := range d.v.Attempts {
		if a.NextAttemptAt <= by && !d.late[id] {
			chunk = append(chunk, d.member(id, a))
		}
	}
	if len(chunk) > 0 {
		// While a provider is away it is tried with one recipient at a time: the one that waits longest, not always the same.
		slices.SortFunc(chunk, func(a, b member) int {
			return cmp.Or(cmp.Compare(a.own, b.own), cmp.Compare(a.due, b.due), cmp.Compare(a.id, b.id))
		})
		return chunk[:min(len(chunk), d.size)]
	}
	chunk = make([]member, 0, len(fresh))
	for _, id := range fresh {
		chunk = append(chunk, member{id: id})
	}
	return chunk
}

// untilDue is how long until the page's next attempts are due. Attempts that are due within gatherFor of the first one
// share a visit.
func (d *delivery) untilDue() time.Duration {
	first := models.Millis(math.MaxInt64)
	for _, a := range d.v.Attempts {
		first = min(first, a.NextAttemptAt)
	}
	due := first
	for _, a := range d.v.Attempts {
		if a.NextAttemptAt-first <= models.Millis(gatherFor.Milliseconds()) {
			due = max(due, a.NextAttemptAt)
		}
	}
	return max(0, time.Duration(due-d.v.Now())*time.Millisecond)
}

// settled is the outcome of a member that is not sent at all, if it is one.
func (d *delivery) settled(m member) (models.RecipientOutcome, bool) {
	o := models.RecipientOutcome{UserID: m.id, Attempts: m.attempts, HasRow: m.again}
	if d.tooLong(m) {
		o.Status, o.ErrCode, o.ErrMsg = models.RecipientFailed, models.CodeNetwork, "given up: all tries of "+maxTrying.String()+" failed"
		return o, true
	}
	if d.known == nil {
		return o, false
	}
	c := d.v.Campaign
	added, here := d.known[m.id]
	switch {
	case c.AudienceType == models.AudienceAll && (!here || added > c.Mark):
		o.Status, o.ErrMsg = models.RecipientSkipped, "deleted"
		return o, true
	case !here:
		o.Status, o.ErrCode, o.ErrMsg = models.RecipientFailed, models.CodeRecordNotFound, "the user is not in the directory"
		return o, true
	}
	return o, false
}

// tooLong says that a recipient's tries end, whatever they cost: they have failed for maxTrying.
func (d *delivery) tooLong(m member) bool {
	return m.since != 0 && d.v.Now()-m.since > models.Millis(maxTrying.Milliseconds())
}

// tokens cuts the chunk to what the rates grant now: members that need no token, and as many others as there
// are tokens, in order, since the cursor moves past all of it. With none of them left, the grant says when to come again.
func (d *delivery) tokens(ctx context.Context, chunk []member) ([]member, pacing.Grant, error) {
	need, first := 0, member{}
	for _, m := range chunk {
		if _, ok := d.settled(m); !ok {
			if need++; need == 1 {
				first = m
			}
		}
	}
	if need == 0 {
		return chunk, pacing.Grant{}, nil
	}
	c := &d.v.Campaign
	g, err := d.pacer.Rates.Take(ctx, c, need, first.recipient())
	d.single = g.Probe
	if err != nil || g.N >= need {
		return chunk, g, err
	}
	used := 0
	for i, m := range chunk {
		if _, ok := d.settled(m); ok {
			continue
		}
		if used == g.N {
			return chunk[:i], g, nil
		}
		used++
	}
	return chunk, g, nil
}

// mayStart is asked by the channel directly before each request.
func (d *delivery) mayStart() bool {
	now, fresh := d.control.get(d.v.CampaignID)
	return fresh && now.Status == models.StatusRunning && !d.legible.stopped(d.v.CampaignID) && d.lease.held() && d.drain.Err() == nil
}

// row is a member's row after one try. An excused failure costs no attempt; one after which the request may have been
// taken is counted, and still does not end the recipient's attempts. unclear: nobody knows whose the failure is.
func (d *delivery) row(m member, o channels.Outcome, excused, unclear bool) models.RecipientOutcome {
	r := models.RecipientOutcome{UserID: m.id, HasRow: m.again, Attempts: min(m.attempts+1, maxAttempts), ErrCode: o.ErrCode, ErrMsg: cutText(o.ErrMsg)}
	switch o.Result {
	case channels.Sent:
		r.Status, r.ServerMsgID, r.ErrCode, r.ErrMsg = models.RecipientSent, o.ServerMsgID, 0, ""
	case channels.Failed:
		r.Status = models.RecipientFailed
	case channels.Skipped:
		r.Status = models.RecipientSkipped
	case channels.NotTried:
		r.Status, r.Attempts, r.FailingSince = models.RecipientPending, m.attempts, m.since
	case channels.Retry, channels.Ambiguous:
		r.Status, r.FailingSince = models.RecipientPending, cmp.Or(m.since, d.v.Now())
		switch {
		case (o.Result == channels.Ambiguous || o.Unsure) && d.v.Campaign.Delivery == models.AtMostOnce: // guard: ambiguous-is-unknown
			r.Status = models.RecipientUnknown // otherwise it goes out again under the same clientMsgID
		case o.Unread() && (m.attempts > 0 || r.Attempts >= d.opts.MaxAttempts): // once more would be no better
			r.Status = models.RecipientUnknown
		case o.Unread():
			r.RetryIn = d.jittered(max(d.opts.Backoff, illegibleFor))
		case d.tooLong(m):
			r.Status = models.RecipientFailed
		case excused: // guard: excused
			// The longer a recipient has failed, the rarer its tries: others come first.
			r.RetryIn = d.jittered(min(max(2*d.pacer.ProbeEvery, time.Duration(d.v.Now()-r.FailingSince)*time.Millisecond), maxUnproven))
			if o.Result == channels.Retry {
				r.Attempts = m.attempts
			}
		case spent(r.Attempts, d.opts.MaxAttempts):
			r.Status = models.RecipientFailed
		default:
			r.RetryIn = d.jittered(min(d.opts.Backoff<<min((r.Attempts-1)%d.opts.MaxAttempts, 20), maxRetry))
			if unclear { // by the next attempt it shows whose it was
				r.RetryIn = max(r.RetryIn, d.pacer.UnprovenBackoff)
			}
		}
		r.RetryIn = max(r.RetryIn, o.RetryAfter)
	}
	if r.Status != models.RecipientPending {
		r.FailingSince, r.RetryIn = 0, 0
	}
	return r
}

// spent says whether a recipient's attempts are used. A retry keeps those that were made, and goes
// on to the next multiple of what one run allows.
func spent(attempts, limit int) bool { return attempts%limit == 0 || attempts >= maxAttempts }

// jittered is a wait within a fifth more or less, the same for all of a visit: the retries of different pages do not come
// in step, those of one page come together.
func (d *delivery) jittered(wait time.Duration) time.Duration {
	return wait*4/5 + time.Duration(d.jitter*float64(wait)*2/5)
}

func cutText(s string) string { return cutTo(s, maxErrMsg) }

func cutTo(s string, chars int) string {
	if utf8.RuneCountInString(s) <= chars {
		return s
	}
	return string([]rune(s)[:chars])
}
