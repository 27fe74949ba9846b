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

// RecipientOutcome is one recipient's row as a chunk leaves it.
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
}

// Chunk is what a worker writes after sending: the outcomes, and where the page stands now.
type Chunk struct {
	Outcomes []RecipientOutcome // those without a row yet in key order
	State    PageState          // PageRunning or PageParked to go on, PageWaiting or PageNew to end the visit; a page with nothing left becomes PageDone by itself
	ReadyIn  time.Duration      // with PageWaiting and PageNew; a new page with 0 comes before all others
}

// ClosedChunk is a chunk as it is to be written: the revision it must meet, and the page as it leaves it.
type ClosedChunk struct {
	page             Page // its Rev is the one after the write
	kind             int
	inbox            int
	readyIn          Millis // from now to the page's DueAt
	first            bool   // DueAt is 0 instead
	inserts, updates []RecipientOutcome
}

// Close takes a chunk in: the cursor passes all first-time outcomes and the counters take them in. v stands from then
// on as the ledger will after WriteChunk, so the next chunk can be sent meanwhile; if it cannot be written, v is void.
func (v *Visit) Close(c Chunk) ClosedChunk {
	w := ClosedChunk{kind: v.Campaign.Kind, inbox: v.Campaign.Inbox, readyIn: WorkLease}
	v.Rev++
	v.State = c.State
	w.inserts, w.updates = splitByRow(c.Outcomes)
	v.Pos += len(w.inserts)
	v.PendingRows -= len(w.updates)
	for _, o := range c.Outcomes {
		v.count(o.Status)
	}
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

// splitByRow tells the outcomes that are new rows from those whose rows stand. A chunk is nearly always all the one or the other.
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

// noteAttempts keeps the visit's picture of the stored pending rows true without reading them again.
func (v *Visit) noteAttempts(outcomes []RecipientOutcome) {
	for _, o := range outcomes {
		if o.Status != RecipientPending {
			delete(v.Attempts, o.UserID)
			continue
		}
		if v.Attempts == nil {
			v.Attempts = map[string]Attempt{}
		}
		v.Attempts[o.UserID] = Attempt{o.Attempts, v.Now() + Millis(o.RetryIn.Milliseconds()), o.FailingSince}
	}
}

// WriteChunk writes a chunk in one transaction whose first statement is the fence: the page moves on by its rev.
// ErrFenced: another worker has the page and nothing was written. After any other error it is to be called again with
// the same chunk, until it is known to stand: a COMMIT may have got no answer and be in force.
func (s *Store) WriteChunk(ctx context.Context, c ClosedChunk) error {
	err := s.writeChunk(ctx, c)
	if err != nil {
		err = s.reread(ctx, c, err)
	}
	return err
}

func (s *Store) writeChunk(ctx context.Context, c ClosedChunk) error {
	p, from := c.page, s.d.keepNow()
	if p.PendingRows < 0 || p.Pos > p.Size {
		return errNegative
	}
	if c.first {
		from = "0*" + from
	}
	return s.tx(ctx, func(tx *gorm.DB) error {
		// guard: fence
		res, err := tx.Statement.ConnPool.ExecContext(ctx, "UPDATE pages SET rev=rev+1, state=?, due_at="+from+"+?, pos=?, pending_rows=?, sent=?, failed=?, skipped=?, unknown=? WHERE campaign_id=? AND no=? AND epoch=? AND rev=?",
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

// insertFailing is insertRecipients with the column that only pending rows fill. Most chunks have none, and do without.
var insertFailing = strings.Replace(insertRecipients, ")", ",failing_since)", 1)

// writeOutcomes is the hot statement: one multi-row insert, written out by hand and given to the connection as it is.
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

// statement is SQL being written out. Only texts are arguments: most rows have none, and the driver then has nothing to
// put in.
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
		q.WriteString(",NULL,")
		q.WriteString(q.now)
		q.WriteByte('+')
		q.number(o.RetryIn.Milliseconds())
	case RecipientFailed, RecipientSkipped, RecipientExpired, RecipientCancelled, RecipientUnknown, RecipientClaimed:
		q.WriteString(",NULL,NULL")
	}
	q.WriteByte(',')
	if o.ErrCode == 0 {
		q.WriteString("NULL") // which spares the row what says nothing
	} else {
		q.number(int64(o.ErrCode))
	}
	q.WriteByte(',')
	q.text(o.ErrMsg)
	q.WriteString(",NULL")
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

// noteInbox adds the way to a small campaign's messages.
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

// hexID writes an ID as MySQL's hexadecimal literal, which is a byte string whatever the session's character set and
// SQL mode, and holds nothing that the driver could take for a placeholder.
func hexID(q *strings.Builder, id string) {
	const digits = "0123456789ABCDEF"
	q.WriteString("X'")
	for i := range len(id) {
		q.WriteByte(digits[id[i]>>4])
		q.WriteByte(digits[id[i]&15])
	}
	q.WriteByte('\'')
}

// quoteID writes an ID as SQLite's text literal, in which the quote alone is special. IDs hold no NUL.
func quoteID(q *strings.Builder, id string) {
	q.WriteByte('\'')
	q.WriteString(strings.ReplaceAll(id, "'", "''"))
	q.WriteByte('\'')
}

// reread settles a chunk that could not be written: it stands (nil), by this try or by an earlier one, since within an
// epoch only its holder moves rev; it does not (the cause is returned as it was); or ErrFenced.
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
