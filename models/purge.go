package models

import (
	"context"

	"gorm.io/gorm"
)

// PurgeLease is how long a purger that makes no step keeps its campaign, in milliseconds.
const PurgeLease Millis = 60_000

// PurgeMost is how many recipients one step of a purge deletes at most.
const PurgeMost = 1000

// purgePages is how many pages one step deletes. The members of a page are a blob of some 5 KB.
const purgePages = 50

// Purge is one purger's hold on a finished campaign whose recipients are being deleted.
type Purge struct {
	ID         int64
	PublicID   string
	Kind       int
	Inbox      int
	FinishedAt Millis
	PurgeDue   Millis // end of the lease; every step compares it, so it is the fence
	Busy       bool   // a campaign was running at the last step

	after string // the last recipient deleted; a purger that takes over begins at the first that is left
}

// TakePurge takes a campaign whose recipients are to be deleted, under the caller's lease:
//
//   - first, a campaign that another purger left half done;
//   - else the campaign that finished longest ago, at least keep milliseconds ago.
//
// It returns nil if there is no such campaign or another purger is at work. From here on the
// campaign reads as purged and cannot be retried.
func (s *Store) TakePurge(ctx context.Context, keep Millis) (*Purge, error) {
	now, err := s.Now(ctx)
	if err != nil {
		return nil, err
	}
	const columns = "SELECT id, public_id, kind, inbox, finished_at, purge_due FROM campaigns WHERE "
	var rows []Purge
	if err := s.db.WithContext(ctx).Raw(columns + "purge_due>0 ORDER BY purge_due DESC LIMIT 1").Scan(&rows).Error; err != nil {
		return nil, err
	}
	due, query, args := now+PurgeLease, "UPDATE campaigns SET purge_due=? WHERE id=? AND purge_due=?", []any{now + PurgeLease}
	if len(rows) == 0 {
		err := s.db.WithContext(ctx).Raw(columns+"purged_at=0 AND finished_at BETWEEN 1 AND ? ORDER BY finished_at, id LIMIT 1", now-keep).Scan(&rows).Error
		if err != nil || len(rows) == 0 {
			return nil, err
		}
		// The counts must stand in the campaign's row before its pages go.
		if _, err := s.recount(ctx, Finished{rows[0].FinishedAt, rows[0].ID - 1}, s.d.now, 1); err != nil {
			return nil, err
		}
		query, args = "UPDATE campaigns SET purge_due=?, purged_at=? WHERE id=? AND purge_due=? AND purged_at=0 AND finished_at>0", append(args, now)
	}
	p := rows[0]
	if p.PurgeDue > now {
		return nil, nil
	}
	n, err := s.exec(ctx, query, append(args, p.ID, p.PurgeDue)...)
	if err != nil || n == 0 {
		return nil, err
	}
	p.PurgeDue = due
	return &p, nil
}

// PurgeStep deletes, in one transaction, the next up to n recipients of a purge and their messages
// in inboxes. When no recipient is left, it deletes some of the campaign's pages. done: nothing is
// left. ErrFenced: another purger has the campaign.
//
// A purge may be cut off anywhere. What is deleted stays deleted; the next purger goes on from
// there.
func (s *Store) PurgeStep(ctx context.Context, p *Purge, n int) (done bool, err error) {
	var at struct {
		Now  Millis
		Busy bool
	}
	err = s.db.WithContext(ctx).Raw("SELECT "+s.d.now+" AS now, EXISTS(SELECT 1 FROM campaigns WHERE status=?) AS busy", StatusRunning).Scan(&at).Error
	if err != nil {
		return false, err
	}
	p.Busy = at.Busy
	due, after := max(at.Now+PurgeLease, p.PurgeDue+1), p.after
	err = s.tx(ctx, func(tx *gorm.DB) error {
		done, after = false, p.after
		fence := tx.Exec("UPDATE campaigns SET purge_due=? WHERE id=? AND purge_due=?", due, p.ID, p.PurgeDue)
		if fence.Error != nil {
			return fence.Error
		}
		if fence.RowsAffected == 0 {
			return ErrFenced
		}
		last, err := purgeRecipients(tx, p, n)
		if err != nil || last != "" {
			after = last
			return err
		}
		more, err := purgePagesOf(tx, p.ID)
		if err != nil || more {
			return err
		}
		done = true
		if err := tx.Exec("DELETE FROM campaign_samples WHERE campaign_id=?", p.ID).Error; err != nil {
			return err
		}
		return tx.Exec("UPDATE campaigns SET purge_due=0, inbox=? WHERE id=?", inboxNone, p.ID).Error
	})
	if err == nil {
		p.PurgeDue, p.after = due, after
	}
	return done, err
}

// LeavePurge gives up a purge before its end. The next purger can take it at once.
func (s *Store) LeavePurge(ctx context.Context, p *Purge) error {
	_, err := s.exec(ctx, "UPDATE campaigns SET purge_due=1 WHERE id=? AND purge_due=?", p.ID, p.PurgeDue)
	return err
}

// purgeRecipients deletes the next range of recipients. last is the end of the range, "" when it
// was empty.
//
// The range begins at the last deleted recipient. A read from the first key would pass over all the
// rows that InnoDB has marked as deleted and not yet removed.
func purgeRecipients(tx *gorm.DB, p *Purge, n int) (last string, err error) {
	const at = " FROM recipients WHERE campaign_id=? AND kind=? AND user_id>?"
	if p.Inbox != inboxSmall {
		err := tx.Raw("SELECT MAX(user_id) FROM (SELECT user_id"+at+" ORDER BY user_id LIMIT ?) r HAVING MAX(user_id) IS NOT NULL", p.ID, p.Kind, p.after, n).Scan(&last).Error
		if err != nil || last == "" {
			return "", err
		}
		return last, tx.Exec("DELETE"+at+" AND user_id<=?", p.ID, p.Kind, p.after, last).Error
	}
	var rows []Recipient
	if err := tx.Raw("SELECT user_id, status, sent_at"+at+" ORDER BY user_id LIMIT ?", p.ID, p.Kind, p.after, n).Scan(&rows).Error; err != nil || len(rows) == 0 {
		return "", err
	}
	ids, from, to := []string{}, Millis(0), Millis(0)
	for _, r := range rows {
		last = r.UserID
		if r.Status != RecipientSent {
			continue
		}
		ids = append(ids, r.UserID)
		if from == 0 || *r.SentAt < from {
			from = *r.SentAt
		}
		to = max(to, *r.SentAt)
	}
	// The times of these rows bound the delete, so that a user's other messages are not read.
	if len(ids) > 0 {
		err := tx.Exec("DELETE FROM inbox_small WHERE kind=? AND user_id IN ? AND sent_at BETWEEN ? AND ? AND campaign_id=?", p.Kind, ids, from, to, p.ID).Error
		if err != nil {
			return "", err
		}
	}
	return last, tx.Exec("DELETE"+at+" AND user_id<=?", p.ID, p.Kind, p.after, last).Error
}

// purgePagesOf deletes the next of a campaign's pages. more is false when there was none.
func purgePagesOf(tx *gorm.DB, id int64) (more bool, err error) {
	var nos []int
	if err := tx.Raw("SELECT no FROM page_members WHERE campaign_id=? ORDER BY no LIMIT ?", id, purgePages).Scan(&nos).Error; err != nil {
		return false, err
	}
	// Members and pages go together. Members without a page are damage, and go too.
	if len(nos) == 0 {
		return false, tx.Exec("DELETE FROM pages WHERE campaign_id=?", id).Error
	}
	for _, table := range []string{"page_members", "pages"} {
		if err := tx.Exec("DELETE FROM "+table+" WHERE campaign_id=? AND no<=?", id, nos[len(nos)-1]).Error; err != nil {
			return false, err
		}
	}
	return true, nil
}
