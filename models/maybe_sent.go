package models

import (
	"context"
	"fmt"

	"gorm.io/gorm"
)

// This file notes who may have been sent to by a worker that did not end its visit. What a worker learns by an answer
// stands in its chunk: see RecipientOutcome.MaybeSent.
//
// Nothing is noted in an at-most-once campaign: there a worker claims whom it sends to.

// TakeOver makes a page queued whose worker let its lease end, under a new epoch. It notes that these recipients may
// have been sent to:
//
//   - the next inFlight members that the cursor has not reached;
//   - the stored pending rows whose attempt was due before the lease ended.
//
// inFlight is two chunks of the page's worker: it sends one chunk while it writes the one before, and sends no third
// before that write has ended. A member of a third chunk was never sent to, as the ledger would know of the first.
//
// ok is false when the page has changed since it was read.
func (s *Store) TakeOver(ctx context.Context, p Page, c Campaign, inFlight int) (task PageTask, ok bool, err error) {
	task, query, args := s.queuePageSQL(p, c.Priority)
	err = s.tx(ctx, func(tx *gorm.DB) error {
		res := tx.Exec(query, args...)
		if ok = res.RowsAffected == 1; res.Error != nil || !ok {
			return res.Error
		}
		return s.noteMaybeSent(tx, c, p, inFlight)
	})
	return task, ok && err == nil, err
}

// noteMaybeSent is TakeOver's note. The caller's transaction has fenced the page as it was read.
func (s *Store) noteMaybeSent(tx *gorm.DB, c Campaign, p Page, inFlight int) error {
	if c.Delivery == AtMostOnce {
		return nil
	}
	if to := min(p.Size, p.Pos+inFlight); to > p.MaybeSentTo { // guard: maybe-sent-to
		if err := tx.Exec("UPDATE pages SET maybe_sent_to=? WHERE campaign_id=? AND no=?", to, p.CampaignID, p.No).Error; err != nil {
			return err
		}
	}
	if p.PendingRows == 0 {
		return nil
	}
	members, err := s.members(tx, p.CampaignID, p.No)
	if err != nil {
		return err
	}
	// A worker begins no request after its lease, which ended at due_at.
	return tx.Exec("UPDATE recipients SET sent_at="+s.d.now+" WHERE campaign_id=? AND kind=? AND user_id IN ? AND status=? AND next_attempt_at<=? AND sent_at IS NULL",
		c.ID, c.Kind, members[:p.Pos], RecipientPending, p.DueAt).Error
}

// held says whether a worker has, or had until its lease ended, the page as it was read.
func (p Page) held() bool { return p.State == PageRunning || p.State == PageParked }

// leftAhead is SQL that begins the SET of an update which closes pages without pending rows. Of a page whose worker let
// its lease end, all members ahead of the cursor may have been sent to. How many those are at most is not asked here:
// they are asked about only when the campaign is retried.
func leftAhead(c Campaign) string {
	if c.Delivery == AtMostOnce {
		return ""
	}
	return fmt.Sprintf("maybe_sent_to=CASE WHEN state IN (%d,%d) THEN size ELSE maybe_sent_to END, ", PageRunning, PageParked)
}

// surelyUnsent is SQL that limits leftAhead's update to pages of which nobody ahead of the cursor may have been sent to.
// Only for a campaign that failed does that make a difference: see unknownAhead.
func surelyUnsent(rest RecipientStatus) string {
	if rest != RecipientFailed {
		return ""
	}
	return fmt.Sprintf(" AND maybe_sent_to<=pos AND state NOT IN (%d,%d)", PageRunning, PageParked)
}

// unknownAhead gives a row to the members ahead of a page's cursor who may have been sent to, and moves the cursor past
// them; n is how many. They are unknown. The campaign has failed, and failed would say that they were surely not sent. left says that
// the page's worker let its lease end. The caller's transaction has fenced the page as it was read.
func (s *Store) unknownAhead(tx *gorm.DB, c Campaign, p Page, left bool) (n int, err error) {
	to := p.MaybeSentTo
	if left && c.Delivery != AtMostOnce || p.lost {
		to = p.Size // as noted by noteMaybeSent
	}
	if to <= p.Pos || p.AheadStatus != RecipientPending { // guard: failed-maybe-sent-to
		return 0, nil
	}
	members, err := s.members(tx, p.CampaignID, p.No)
	if err != nil {
		return 0, err
	}
	q := statement{dialect: s.d, now: s.d.now}
	q.WriteString(insertRecipients)
	for i, id := range members[p.Pos:to] {
		if i > 0 {
			q.WriteByte(',')
		}
		fmt.Fprintf(&q, "(%d,%d,", p.CampaignID, c.Kind)
		q.outcome(RecipientOutcome{UserID: id, Status: RecipientUnknown, MaybeSent: true})
		q.WriteByte(')')
	}
	if _, err := tx.Statement.ConnPool.ExecContext(tx.Statement.Context, q.String(), q.args...); err != nil { // see writeOutcomes
		return 0, err
	}
	return to - p.Pos, tx.Exec("UPDATE pages SET pos=?, unknown=unknown+? WHERE campaign_id=? AND no=?", to, to-p.Pos, p.CampaignID, p.No).Error
}

// MaybeSent says whether a request for the member at a place ahead of the cursor may have been accepted.
func (p Page) MaybeSent(at int) bool { return p.lost || at < p.MaybeSentTo }

// DisownClaims ends a visit's Claims: nobody can be asked about them, so the recipients become unknown.
func (s *Store) DisownClaims(ctx context.Context, v *Visit) error {
	n := len(v.Claims)
	if n == 0 {
		return nil
	}
	err := s.tx(ctx, func(tx *gorm.DB) error {
		fence := tx.Exec("UPDATE pages SET rev=rev+1, unknown=unknown+?, pending_rows=pending_rows-? WHERE campaign_id=? AND no=? AND epoch=? AND rev=?",
			n, n, v.CampaignID, v.No, v.Epoch, v.Rev)
		if fence.Error != nil {
			return fence.Error
		}
		if fence.RowsAffected == 0 {
			return ErrFenced
		}
		s.noteSettled(tx, v.Campaign.Channel, settledAs(RecipientUnknown, int64(n)))
		return tx.Exec("UPDATE recipients SET status=? WHERE campaign_id=? AND kind=? AND user_id IN ? AND status=?",
			RecipientUnknown, v.CampaignID, v.Campaign.Kind, v.Members[:v.Pos], RecipientClaimed).Error
	})
	if err == nil {
		v.Rev, v.Unknown, v.PendingRows, v.Claims = v.Rev+1, v.Unknown+n, v.PendingRows-n, nil
	}
	return err
}

// AdoptClaims makes a visit's Claims attempts that are due: the channel can ask its provider about them. In the ledger
// they stay claims until they have an outcome.
func (v *Visit) AdoptClaims() {
	for id, a := range v.Claims {
		a.MaybeSent = true
		v.Attempts[id] = a
	}
	v.Claims = nil
}
