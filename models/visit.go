package models

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"
)

// RecipientStatus is what became of one recipient.
type RecipientStatus int

const (
	RecipientPending RecipientStatus = iota
	RecipientSent
	RecipientFailed
	RecipientSkipped
	RecipientExpired
	RecipientCancelled
	RecipientUnknown // it may or may not have been sent, and must not be tried again
	// RecipientClaimed is a pending one that an at-most-once worker is about to send; outside it reads pending.
	RecipientClaimed
)

// RecipientStatusNames are the names outside, by number.
var RecipientStatusNames = []string{"pending", "sent", "failed", "skipped", "expired", "cancelled", "unknown"}

func (r RecipientStatus) String() string {
	if r == RecipientClaimed {
		r = RecipientPending
	}
	return RecipientStatusNames[r]
}

// Visit is a page in a worker's hands.
type Visit struct {
	Page
	Campaign Campaign
	Members  []string
	// Attempts holds the stored pending rows of the page: tried before, to be tried again when due.
	Attempts map[string]Attempt
	now      Millis    // the database's clock at the claim
	read     time.Time // when that was, by the monotonic clock
}

// Now is the database's clock, reckoned from the claim.
func (v *Visit) Now() Millis { return v.now + Millis(time.Since(v.read).Milliseconds()) }

// Fresh are up to n members that the cursor has not reached; none when an earlier end of the campaign has closed them.
func (v *Visit) Fresh(n int) []string {
	if v.Rest != RecipientPending {
		return nil
	}
	return v.Members[v.Pos:min(v.Size, v.Pos+n)]
}

// Attempt is a recipient that was tried and is still pending.
type Attempt struct {
	Attempts      int
	NextAttemptAt Millis
}

// ClaimPage makes a queued page running under the caller's lease. It returns nil when the page is not
// queued at that epoch any more, or its campaign is not running.
func (s *Store) ClaimPage(ctx context.Context, task PageTask) (*Visit, error) {
	res := s.w.WithContext(ctx).Exec("UPDATE pages SET rev=rev+1, state=?, due_at="+s.d.now+"+? WHERE campaign_id=? AND no=? AND epoch=? AND state=?",
		PageRunning, WorkLease, task.Campaign, task.Page, task.Epoch, PageQueued)
	if res.Error != nil || res.RowsAffected == 0 {
		return nil, res.Error
	}
	db := s.db.WithContext(ctx)
	var row struct {
		Page
		Members []byte
		Now     Millis
	}
	err := db.Raw("SELECT p.*, m.members, "+s.d.now+" AS now FROM pages p JOIN page_members m ON m.campaign_id=p.campaign_id AND m.no=p.no WHERE p.campaign_id=? AND p.no=? AND p.epoch=?",
		task.Campaign, task.Page, task.Epoch).Take(&row).Error
	if err != nil {
		return nil, fenced(err)
	}
	v := &Visit{Page: row.Page, now: row.Now, read: time.Now()}
	if err := db.Where("id = ?", task.Campaign).Take(&v.Campaign).Error; err != nil {
		return nil, err
	}
	if v.Members, err = unpackMembers(row.Members); err != nil {
		return nil, err
	}
	if len(v.Members) != v.Size {
		return nil, fmt.Errorf("page %d of campaign %d holds %d members, its size says %d", v.No, v.CampaignID, len(v.Members), v.Size)
	}
	if v.PendingRows > 0 && v.Campaign.Delivery == AtMostOnce {
		if err := s.disownClaims(ctx, v); err != nil {
			return nil, err
		}
	}
	if v.PendingRows > 0 {
		err = s.loadAttempts(db, v)
	}
	return v, err
}

// disownClaims ends what a worker that is gone had claimed: it may have been sent, so it is unknown.
func (s *Store) disownClaims(ctx context.Context, v *Visit) error {
	return s.tx(ctx, func(tx *gorm.DB) error {
		const claimed = "campaign_id = ? AND kind = ? AND user_id IN ? AND status = ?"
		var n int64
		if err := tx.Model(&Recipient{}).Where(claimed, v.CampaignID, v.Campaign.Kind, v.Members[:v.Pos], RecipientClaimed).Count(&n).Error; err != nil || n == 0 {
			return err
		}
		fence := tx.Exec("UPDATE pages SET rev=rev+1, unknown=unknown+?, pending_rows=pending_rows-? WHERE campaign_id=? AND no=? AND epoch=? AND rev=?",
			n, n, v.CampaignID, v.No, v.Epoch, v.Rev)
		if fence.Error != nil {
			return fence.Error
		}
		if fence.RowsAffected == 0 {
			return ErrFenced
		}
		err := tx.Exec("UPDATE recipients SET status=? WHERE "+claimed, RecipientUnknown, v.CampaignID, v.Campaign.Kind, v.Members[:v.Pos], RecipientClaimed).Error
		if err == nil {
			v.Rev, v.Unknown, v.PendingRows = v.Rev+1, v.Unknown+int(n), v.PendingRows-int(n)
		}
		return err
	})
}

func (s *Store) loadAttempts(db *gorm.DB, v *Visit) error {
	var rows []Recipient
	err := db.Select("user_id", "attempts", "next_attempt_at").
		Where("campaign_id = ? AND kind = ? AND user_id IN ? AND status = ?", v.CampaignID, v.Campaign.Kind, v.Members[:v.Pos], RecipientPending).Find(&rows).Error
	v.Attempts = make(map[string]Attempt, len(rows))
	for _, r := range rows {
		v.Attempts[r.UserID] = Attempt{r.Attempts, *r.NextAttemptAt}
	}
	return err
}

func fenced(err error) error {
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return ErrFenced
	}
	return err
}

// RenewPage extends the lease of a running page, apart from the chunks' transactions. ErrFenced: it was taken over.
func (s *Store) RenewPage(ctx context.Context, task PageTask) error {
	res := s.w.WithContext(ctx).Exec("UPDATE pages SET due_at="+s.d.now+"+? WHERE campaign_id=? AND no=? AND epoch=? AND state=?",
		WorkLease, task.Campaign, task.Page, task.Epoch, PageRunning)
	if res.Error == nil && res.RowsAffected == 0 {
		return ErrFenced
	}
	return res.Error
}

// RecipientOutcome is one recipient's row as a chunk leaves it.
type RecipientOutcome struct {
	UserID      string // or the group's ID
	Status      RecipientStatus
	Attempts    int
	ErrCode     Code
	ErrMsg      string
	ServerMsgID string
	RetryIn     time.Duration // until the next attempt, when still pending
	Again       bool          // its row stands already, from an earlier attempt
}

// Chunk is what a worker writes after sending: the outcomes, and where the page stands now.
type Chunk struct {
	Outcomes []RecipientOutcome // in key order
	State    PageState          // PageRunning to go on, PageWaiting or PageNew to end the visit; a page with nothing left becomes PageDone by itself
	ReadyIn  time.Duration      // with PageWaiting and PageNew
}

// CloseChunk writes a chunk in one transaction whose first statement is the fence: page v moves on by its
// rev, its cursor passes all first-time outcomes, its counters take them in. On success v is up to date.
// ErrFenced: another worker has the page and nothing was written. Any other error leaves the outcome open: call Reread.
func (s *Store) CloseChunk(ctx context.Context, v *Visit, c Chunk) error {
	next := v.Page
	next.Rev++
	next.State = c.State
	var fresh, again []RecipientOutcome
	for _, o := range c.Outcomes {
		if o.Again {
			again = append(again, o)
			next.PendingRows--
		} else {
			fresh = append(fresh, o)
			next.Pos++
		}
		next.count(o.Status)
	}
	if next.PendingRows == 0 && (next.Pos == next.Size || next.Rest != RecipientPending) {
		next.State = PageDone
	}
	due := WorkLease
	if next.State == PageWaiting || next.State == PageNew {
		due = Millis(c.ReadyIn.Milliseconds())
	}
	err := s.tx(ctx, func(tx *gorm.DB) error {
		res := tx.Exec("UPDATE pages SET rev=rev+1, state=?, due_at="+s.d.now+"+?, pos=?, pending_rows=?, sent=?, failed=?, skipped=?, unknown=? WHERE campaign_id=? AND no=? AND epoch=? AND rev=?",
			next.State, due, next.Pos, next.PendingRows, next.Sent, next.Failed, next.Skipped, next.Unknown, v.CampaignID, v.No, v.Epoch, v.Rev)
		if res.Error != nil {
			return res.Error
		}
		if res.RowsAffected == 0 {
			return ErrFenced
		}
		if err := s.writeOutcomes(tx, v, fresh, ""); err != nil {
			return err
		}
		return s.writeOutcomes(tx, v, again, s.d.onRetry)
	})
	if err == nil {
		v.Page = next
		s.noteAttempts(v, c.Outcomes)
	}
	return err
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
func (s *Store) noteAttempts(v *Visit, outcomes []RecipientOutcome) {
	for _, o := range outcomes {
		if o.Status != RecipientPending {
			delete(v.Attempts, o.UserID)
			continue
		}
		if v.Attempts == nil {
			v.Attempts = map[string]Attempt{}
		}
		v.Attempts[o.UserID] = Attempt{o.Attempts, v.Now() + Millis(o.RetryIn.Milliseconds())}
	}
}

// writeOutcomes is the hot statement: one multi-row insert, built by hand and given to the connection as it is.
func (s *Store) writeOutcomes(tx *gorm.DB, v *Visit, outcomes []RecipientOutcome, onConflict string) error {
	if len(outcomes) == 0 {
		return nil
	}
	var q strings.Builder
	args := make([]any, 0, len(outcomes)*8)
	var sent []string
	q.WriteString("INSERT INTO recipients (campaign_id,kind,user_id,status,attempts,sent_at,next_attempt_at,err_code,err_msg,server_msg_id) VALUES ")
	key := fmt.Sprintf("(%d,%d,?,?,?,", v.CampaignID, v.Campaign.Kind)
	for i, o := range outcomes {
		if i > 0 {
			q.WriteByte(',')
		}
		q.WriteString(key)
		args = append(args, o.UserID, int(o.Status), o.Attempts)
		switch o.Status {
		case RecipientSent:
			q.WriteString(s.d.now + ",NULL,NULL,NULL,?)")
			args = append(args, orNull(o.ServerMsgID))
			sent = append(sent, o.UserID)
		case RecipientPending:
			q.WriteString("NULL," + s.d.now + "+?,?,?,NULL)")
			args = append(args, o.RetryIn.Milliseconds(), orNull(o.ErrCode), orNull(o.ErrMsg))
		default:
			q.WriteString("NULL,NULL,?,?,NULL)")
			args = append(args, orNull(o.ErrCode), orNull(o.ErrMsg))
		}
	}
	q.WriteString(onConflict)
	if _, err := tx.Statement.ConnPool.ExecContext(tx.Statement.Context, q.String(), args...); err != nil {
		return err
	}
	if v.Campaign.Inbox != inboxSmall || len(sent) == 0 {
		return nil
	}
	return tx.Exec("INSERT INTO inbox_small (kind,user_id,sent_at,campaign_id) SELECT kind,user_id,sent_at,campaign_id FROM recipients WHERE campaign_id=? AND kind=? AND user_id IN ?",
		v.CampaignID, v.Campaign.Kind, sent).Error
}

// orNull spares the row what says nothing.
func orNull[T comparable](v T) any {
	if v == *new(T) {
		return nil
	}
	return v
}

// Reread settles a chunk whose commit got no answer: committed (nil: v is then up to date), not committed
// (gorm's or the driver's error is returned as it was: try again), or ErrFenced.
func (s *Store) Reread(ctx context.Context, v *Visit, c Chunk, cause error) error {
	var now Page
	if err := s.db.WithContext(ctx).Where("campaign_id = ? AND no = ?", v.CampaignID, v.No).Take(&now).Error; err != nil {
		return err
	}
	switch {
	case now.Epoch == v.Epoch && now.Rev == v.Rev+1:
		v.Page = now
		s.noteAttempts(v, c.Outcomes)
		return nil
	case now.Epoch == v.Epoch && now.Rev == v.Rev:
		return cause
	}
	return ErrFenced
}
