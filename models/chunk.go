package models

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm"
)

// RecipientOutcome is the row of one recipient as a chunk is to write it.
type RecipientOutcome struct {
	UserID       string // or the group's ID
	Status       RecipientStatus
	Attempts     int
	ErrCode      Code
	ErrMsg       string
	ServerMsgID  string
	RetryIn      time.Duration // until the next attempt, when still pending
	FailingSince Millis        // of the first try that failed, when still pending; 0 = none did
	HasRow       bool          // its row stands already, from an earlier attempt
	// MaybeSent: a request may have been accepted, in this attempt or an earlier one. It means nothing when Status is sent.
	MaybeSent bool
}

// Chunk is what a worker writes after sending: the outcomes, and the state that the page is to have.
type Chunk struct {
	Outcomes []RecipientOutcome // those without a row yet in key order
	// State is PageRunning or PageParked when the visit goes on, PageWaiting or PageNew when it ends.
	// A page with nothing left becomes PageDone whatever stands here.
	State   PageState
	ReadyIn time.Duration // with PageWaiting and PageNew: until the page's DueAt. A new page with 0 comes before all others
}

// ClosedChunk is a chunk ready to be written: the page as it will stand, whose revision also says which one it must find.
type ClosedChunk struct {
	page             Page // its Rev is the one after the write
	kind             int
	inbox            int
	readyIn          Millis // from now to the page's DueAt
	first            bool   // DueAt is 0 instead
	inserts, updates []RecipientOutcome
	channel          string
	settled          Counts // what the outcomes add to the page's counters
}

// Close applies a chunk to the visit, before WriteChunk writes it to the ledger:
//
//   - The cursor moves past all outcomes that are new rows.
//   - The counters include all outcomes.
//   - The revision rises by one.
//
// From then on v equals the ledger as it will be after WriteChunk. So the next chunk can be sent while this one is
// being written. If the write fails, v must not be used any more.
func (v *Visit) Close(c Chunk) ClosedChunk {
	w := ClosedChunk{kind: v.Campaign.Kind, inbox: v.Campaign.Inbox, readyIn: WorkLease, channel: v.Campaign.Channel}
	before := v.Page
	v.Rev++
	v.State = c.State
	w.inserts, w.updates = splitByRow(c.Outcomes)
	v.Pos += len(w.inserts)
	v.PendingRows -= len(w.updates)
	for _, o := range c.Outcomes {
		v.count(o.Status)
	}
	w.settled = v.settledSince(&before)
	if v.PendingRows == 0 && (v.Pos == v.Size || v.AheadStatus != RecipientPending) {
		v.State = PageDone
	}
	if v.State == PageWaiting || v.State == PageNew {
		w.readyIn = Millis(c.ReadyIn.Milliseconds())
		w.first = v.State == PageNew && w.readyIn == 0
	}
	v.noteAttempts(c.Outcomes)
	w.page = v.Page
	return w
}

// splitByRow separates the outcomes that are new rows (inserts) from those whose rows exist already (updates). Nearly
// every chunk holds only one of the two kinds.
func splitByRow(outcomes []RecipientOutcome) (inserts, updates []RecipientOutcome) {
	switch {
	case !slices.ContainsFunc(outcomes, func(o RecipientOutcome) bool { return o.HasRow }):
		return outcomes, nil
	case !slices.ContainsFunc(outcomes, func(o RecipientOutcome) bool { return !o.HasRow }):
		return nil, outcomes
	}
	for _, o := range outcomes {
		if o.HasRow {
			updates = append(updates, o)
		} else {
			inserts = append(inserts, o)
		}
	}
	return inserts, updates
}

func (p *Page) count(status RecipientStatus) {
	switch status {
	case RecipientPending, RecipientClaimed:
		p.PendingRows++
	case RecipientSent:
		p.Sent++
	case RecipientFailed:
		p.Failed++
	case RecipientSkipped:
		p.Skipped++
	case RecipientUnknown:
		p.Unknown++
	case RecipientExpired:
		p.Expired++
	case RecipientCancelled:
		p.Cancelled++
	}
}

// noteAttempts updates Attempts, so that it equals the stored pending rows without reading them again.
func (v *Visit) noteAttempts(outcomes []RecipientOutcome) {
	for _, o := range outcomes {
		if o.Status != RecipientPending {
			delete(v.Attempts, o.UserID)
			continue
		}
		if v.Attempts == nil {
			v.Attempts = map[string]Attempt{}
		}
		v.Attempts[o.UserID] = Attempt{o.Attempts, v.Now() + Millis(o.RetryIn.Milliseconds()), o.FailingSince, o.MaybeSent}
	}
}

// WriteChunk writes a chunk in one transaction. Its first statement is the fence: it updates the page only if epoch and
// revision are still those of the visit. Errors:
//
//   - ErrFenced: another worker has the page. Nothing was written.
//   - Any other error: call WriteChunk again with the same chunk until it returns nil or ErrFenced. The transaction may
//     have been committed although the answer to COMMIT was lost.
func (s *Store) WriteChunk(ctx context.Context, c ClosedChunk) error {
	err := s.writeChunk(ctx, c)
	if err != nil {
		err = s.reread(ctx, c, err)
	}
	if err == nil {
		s.tellSettled(c.channel, c.settled)
	}
	return err
}

func (s *Store) writeChunk(ctx context.Context, c ClosedChunk) error {
	p, due := c.page, s.d.keepNow()+"+?"
	if p.PendingRows < 0 || p.Pos > p.Size {
		return errNegative
	}
	if c.first {
		// due_at is to be 0. But keepNow must run all the same: on MySQL it also sets @carillon_now, which the outcomes'
		// rows below read. So the clock is multiplied by 0, and readyIn, which is 0 for such a page, is added.
		due = "0*" + due
	}
	return s.tx(ctx, func(tx *gorm.DB) error {
		// guard: fence
		res, err := tx.Statement.ConnPool.ExecContext(ctx, "UPDATE pages SET rev=rev+1, state=?, due_at="+due+", pos=?, pending_rows=?, sent=?, failed=?, skipped=?, unknown=? WHERE campaign_id=? AND no=? AND epoch=? AND rev=?",
			int(p.State), int64(c.readyIn), p.Pos, p.PendingRows, p.Sent, p.Failed, p.Skipped, p.Unknown, p.CampaignID, p.No, p.Epoch, p.Rev-1)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return cmp.Or(err, ErrFenced)
		}
		if err := s.writeOutcomes(ctx, tx, c, c.inserts, ""); err != nil {
			return err
		}
		return s.writeOutcomes(ctx, tx, c, c.updates, s.d.onRetry)
	})
}

const insertRecipients = "INSERT INTO recipients (campaign_id,kind,user_id,status,attempts,sent_at,next_attempt_at,err_code,err_msg,server_msg_id) VALUES "

// insertFailing is insertRecipients with failing_since, a column that only pending rows fill. Most chunks have no such
// row and leave the column out.
var insertFailing = strings.Replace(insertRecipients, ")", ",failing_since)", 1)

// writeOutcomes is the hot statement: one multi-row insert. Its text is built by hand and goes to the driver directly,
// past gorm.
func (s *Store) writeOutcomes(ctx context.Context, tx *gorm.DB, c ClosedChunk, outcomes []RecipientOutcome, onConflict string) error {
	if len(outcomes) == 0 {
		return nil
	}
	q := statement{dialect: s.d, now: s.d.kept(), failing: slices.ContainsFunc(outcomes, func(o RecipientOutcome) bool { return o.FailingSince > 0 })}
	q.Grow(len(insertFailing) + len(outcomes)*(len(q.now)+100) + len(onConflict))
	if q.failing {
		q.WriteString(insertFailing)
	} else {
		q.WriteString(insertRecipients)
	}
	row := fmt.Sprintf("(%d,%d,", c.page.CampaignID, c.kind)
	for i, o := range outcomes {
		if i > 0 {
			q.WriteByte(',')
		}
		q.WriteString(row)
		q.outcome(o)
		q.since(o.FailingSince)
	}
	q.WriteString(onConflict)
	if _, err := tx.Statement.ConnPool.ExecContext(ctx, q.String(), q.args...); err != nil {
		return err
	}
	return s.noteInbox(tx, c, outcomes)
}

// statement is the text of an SQL statement being built. Only free texts are arguments. Most rows have none, and the
// driver then has nothing to fill in.
type statement struct {
	strings.Builder
	dialect dialect
	now     string
	failing bool // with the column failing_since
	args    []any
	num     [20]byte
}

// outcome writes what follows the campaign and the kind in a recipient's row, up to failing_since.
func (q *statement) outcome(o RecipientOutcome) {
	q.dialect.id(&q.Builder, o.UserID)
	q.WriteByte(',')
	q.number(int64(o.Status))
	q.WriteByte(',')
	q.number(int64(o.Attempts))
	switch o.Status {
	case RecipientSent:
		q.WriteByte(',')
		q.WriteString(q.now)
		q.WriteString(",NULL,NULL,NULL,")
		q.text(o.ServerMsgID)
		return
	case RecipientPending:
		q.maybeSent(o)
		q.WriteByte(',')
		q.WriteString(q.now)
		q.WriteByte('+')
		q.number(o.RetryIn.Milliseconds())
	case RecipientFailed, RecipientSkipped, RecipientExpired, RecipientCancelled, RecipientUnknown, RecipientClaimed:
		q.maybeSent(o)
		q.WriteString(",NULL")
	}
	q.WriteByte(',')
	if o.ErrCode == 0 {
		q.WriteString("NULL") // 0 says nothing, and NULL takes no room
	} else {
		q.number(int64(o.ErrCode))
	}
	q.WriteByte(',')
	q.text(o.ErrMsg)
	q.WriteString(",NULL")
}

// maybeSent writes sent_at of a recipient that is not sent.
func (q *statement) maybeSent(o RecipientOutcome) {
	q.WriteByte(',')
	if o.MaybeSent { // guard: maybe-sent
		q.WriteString(q.now)
		return
	}
	q.WriteString("NULL")
}

// since writes failing_since, where the statement has that column, and the end of the row.
func (q *statement) since(at Millis) {
	switch {
	case q.failing && at > 0:
		q.WriteByte(',')
		q.number(int64(at))
	case q.failing:
		q.WriteString(",NULL")
	}
	q.WriteByte(')')
}

func (q *statement) number(n int64) { q.Write(strconv.AppendInt(q.num[:0], n, 10)) }

func (q *statement) text(t string) {
	if t == "" {
		q.WriteString("NULL")
		return
	}
	q.WriteByte('?')
	q.args = append(q.args, t)
}

// noteInbox adds a row per sent recipient to inbox_small, by which a user finds the messages of small campaigns.
func (s *Store) noteInbox(tx *gorm.DB, c ClosedChunk, outcomes []RecipientOutcome) error {
	if c.inbox != inboxSmall {
		return nil
	}
	var sent []string
	for _, o := range outcomes {
		if o.Status == RecipientSent {
			sent = append(sent, o.UserID)
		}
	}
	if len(sent) == 0 {
		return nil
	}
	return tx.Exec("INSERT INTO inbox_small (kind,user_id,sent_at,campaign_id) SELECT kind,user_id,sent_at,campaign_id FROM recipients WHERE campaign_id=? AND kind=? AND user_id IN ?",
		c.page.CampaignID, c.kind, sent).Error
}

// reread finds out what became of a chunk whose write returned the error cause. Within an epoch only the worker that
// holds the page changes its revision. So:
//
//   - the page has the epoch and the chunk's revision: the chunk was written, now or by an earlier call. nil.
//   - the page has the epoch and the revision before: the chunk was not written. reread returns cause.
//   - anything else: another worker has the page. ErrFenced.
func (s *Store) reread(ctx context.Context, c ClosedChunk, cause error) error {
	var now Page
	if err := s.db.WithContext(ctx).Where("campaign_id = ? AND no = ?", c.page.CampaignID, c.page.No).Take(&now).Error; err != nil {
		return fenced(err)
	}
	switch {
	case now.Epoch == c.page.Epoch && now.Rev == c.page.Rev:
		return nil
	case now.Epoch == c.page.Epoch && now.Rev == c.page.Rev-1:
		return cause
	}
	return ErrFenced
}
