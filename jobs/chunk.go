package jobs

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"carillon/internal/pacing"
	"carillon/models"
)

const (
	usualChunk = 250         // recipients
	maxChunk   = 500         // recipients; what a kill can leave ambiguous is counted in chunks
	gatherFor  = time.Second // attempts of one page that are due within this time are made together
)

// inFlight is how many recipients of a page its worker may have sent to without the ledger knowing:
// two chunks on the channel; see models.Store.TakeOver. All processes are taken to have the same
// settings. A channel that this process has not is taken to have the largest chunks.
func (o Options) inFlight(channel string) int {
	chunk := max(o.ChunkSize, maxChunk)
	for _, ch := range o.Channels {
		if t := ch.Traits(); t.Name == channel {
			chunk = chunkSize(o.ChunkSize, t.MaxBatch)
		}
	}
	return 2 * chunk
}

// chunkSize is how many recipients are sent between two writes on a channel whose requests carry up
// to batch recipients: whole requests, as far as possible. set is Options.ChunkSize.
func chunkSize(set, batch int) int {
	if set > 0 {
		return set
	}
	return min(max(usualChunk/batch*batch, batch), maxChunk)
}

// tried is a member that has a row.
func (d *delivery) tried(id string, a models.Attempt) member {
	m := member{id: id, hasRow: true, maybeSent: a.MaybeSent, attempts: a.Attempts, due: a.NextAttemptAt, failingSince: a.FailingSince}
	if a.FailingSince != 0 {
		m.counted = a.Attempts % d.attempts.maxAttempts
		m.failingFrom = time.Now().Add(-time.Duration(d.visit.Now()-a.FailingSince) * time.Millisecond)
	}
	return m
}

// recipient is what pacing knows of the member.
func (m member) recipient() pacing.Recipient {
	return pacing.Recipient{ID: m.id, Counted: m.counted, FailingSince: m.failingFrom}
}

// recipients are the same of a chunk.
func recipients(chunk []member) []pacing.Recipient {
	all := make([]pacing.Recipient, len(chunk))
	for i, m := range chunk {
		all[i] = m.recipient()
	}
	return all
}

// readDirectory asks the directory once per visit whether all of the page still stand in it. If not, or
// if users refuse messages, it asks for each.
func (d *delivery) readDirectory(ctx context.Context) (err error) {
	c, traits := d.visit.Campaign, d.channel.Traits()
	refusals := traits.SyncsUsers && d.visit.Refusing > 0
	if c.Kind != models.KindUser || c.AudienceType != models.AudienceAll && !traits.KnowsUsers && !refusals {
		return nil
	}
	if !refusals {
		all, err := d.store.AllKnown(ctx, d.visit)
		if err != nil || all {
			return err
		}
	}
	d.directory, err = d.store.KnownUsers(ctx, d.visit.Members)
	return err
}

// nextChunk is the next chunk. The first of these that is not empty:
//   - members whose next attempt is late: see models.LateRetry;
//   - members that the cursor has not reached;
//   - members whose next attempt is due.
func (d *delivery) nextChunk() []member {
	untried := d.visit.Untried(d.chunkSize)
	dueBy := d.visit.Now()
	if len(untried) > 0 {
		dueBy -= models.LateRetry
	}
	var chunk []member
	for id, a := range d.visit.Attempts {
		if a.NextAttemptAt <= dueBy && !d.late.members[id] {
			chunk = append(chunk, d.tried(id, a))
		}
	}
	if len(chunk) > 0 {
		// While a provider is away it is tried with one recipient at a time: the one that waits
		// longest, not always the same.
		slices.SortFunc(chunk, func(a, b member) int {
			return cmp.Or(cmp.Compare(a.counted, b.counted), cmp.Compare(a.due, b.due), cmp.Compare(a.id, b.id))
		})
		return chunk[:min(len(chunk), d.chunkSize)]
	}
	chunk = make([]member, 0, len(untried))
	for i, id := range untried {
		chunk = append(chunk, member{id: id, maybeSent: d.visit.MaybeSent(d.visit.Pos + i)})
	}
	return chunk
}

// untilDue is how long until the page's next attempts are due. Attempts that are due within
// gatherFor of the first one are made in one visit.
func (d *delivery) untilDue() time.Duration {
	first := models.Millis(math.MaxInt64)
	for _, a := range d.visit.Attempts {
		first = min(first, a.NextAttemptAt)
	}
	due := first
	for _, a := range d.visit.Attempts {
		if a.NextAttemptAt-first <= models.Millis(gatherFor.Milliseconds()) {
			due = max(due, a.NextAttemptAt)
		}
	}
	return max(0, time.Duration(due-d.visit.Now())*time.Millisecond)
}

// passedOver reports whether a member is not sent at all, and its row.
func (d *delivery) passedOver(m member) (models.RecipientOutcome, bool) {
	if d.attempts.triedTooLong(m) {
		return d.attempts.givenUp(m), true
	}
	o := models.RecipientOutcome{UserID: m.id, Attempts: m.attempts, HasRow: m.hasRow, MaybeSent: m.maybeSent}
	if d.directory == nil {
		return o, false
	}
	c, traits := d.visit.Campaign, d.channel.Traits()
	user, known := d.directory[m.id]
	switch {
	case c.AudienceType == models.AudienceAll && (!known || user.AddedRev > c.Mark):
		o.Status, o.ErrMsg = models.RecipientSkipped, "deleted"
		return o, true
	case user.Refuses && traits.SyncsUsers:
		o.Status, o.ErrMsg = models.RecipientSkipped, "refuses messages"
		return o, true
	case !known && traits.KnowsUsers:
		o.Status, o.ErrCode, o.ErrMsg = models.RecipientFailed, models.CodeRecordNotFound, "the user is not in the directory"
		return o, true
	}
	return o, false
}

// takeTokens cuts the chunk to what the rates grant now. It keeps the order, because the cursor
// moves past all of the chunk. Members that are passed over need no token. When no member is left,
// the grant says when to ask again.
//
// A member who may have been sent to needs one token, as all do, for the question to the provider
// and the message that may follow. So the rate of messages is never exceeded, and a question alone
// is held back like a message: by a provider that is away, and by one that asked for rest.
func (d *delivery) takeTokens(ctx context.Context, chunk []member) ([]member, pacing.Grant, error) {
	need, first := 0, member{}
	for _, m := range chunk {
		if _, over := d.passedOver(m); over {
			continue
		}
		if need == 0 {
			first = m
		}
		need++
	}
	if need == 0 {
		return chunk, pacing.Grant{}, nil
	}
	grant, err := d.pacer.Rates.Take(ctx, &d.visit.Campaign, need, first.recipient())
	d.probe = grant.Probe
	if err != nil || grant.N >= need {
		return chunk, grant, err
	}
	used := 0
	for i, m := range chunk {
		if _, over := d.passedOver(m); over {
			continue
		}
		if used == grant.N {
			return chunk[:i], grant, nil
		}
		used++
	}
	return chunk, grant, nil
}

// sleep waits in the slot, unless the process is to end.
func (d *delivery) sleep(wait time.Duration) {
	select {
	case <-d.drain.Done():
	case <-time.After(wait):
	}
}
