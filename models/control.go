package models

import (
	"context"
	"fmt"

	"gorm.io/gorm"
)

// Control is what a worker must know of a campaign directly before it sends.
type Control struct {
	ID            int64
	Status        Status // expired as soon as its time has come, whether or not the row says so yet
	RatePerSecond int
	GuardAllows   FailureKinds
	GuardRun      int
}

// Controls reads the control state of the given campaigns in one query; one that is gone is left out.
func (s *Store) Controls(ctx context.Context, ids []int64) (map[int64]Control, error) {
	var rows []Control
	err := s.db.WithContext(ctx).Raw("SELECT id, rate_per_second, guard_allows, guard_run, CASE WHEN status IN ? AND expire_at > 0 AND expire_at <= "+s.d.now+" THEN ? ELSE status END AS status FROM campaigns WHERE id IN ?",
		[]Status{StatusRunning, StatusPaused}, StatusExpired, ids).Scan(&rows).Error
	out := make(map[int64]Control, len(rows))
	for _, c := range rows {
		out[c.ID] = c
	}
	return out, err
}

// closedAs is the status of whoever was still pending when a campaign ended in a state, and whether that
// state closes the pending ones at all.
func closedAs(status Status) (RecipientStatus, bool) {
	switch status {
	case StatusCancelled:
		return RecipientCancelled, true
	case StatusExpired:
		return RecipientExpired, true
	case StatusFailed:
		return RecipientFailed, true
	case StatusScheduled, StatusRunning, StatusPaused, StatusCompleted:
	}
	return RecipientPending, false
}

// PauseCampaign stops a campaign's sends; reason says why in words. Already paused is no error, and one that PauseAll has
// paused is from then on paused for itself: ResumeAll leaves it alone.
func (s *Store) PauseCampaign(ctx context.Context, publicID, reason string) (CampaignView, error) {
	m := move{to: StatusPaused, reason: Reason{ReasonOperator, reason}}
	c, err := s.control(ctx, publicID, m)
	if err != nil || c.PauseID == 0 {
		return c, err
	}
	m.only = "pause_id<>0"
	if _, err := s.moveCampaign(ctx, c.ID, StatusPaused, m); err != nil {
		return c, err
	}
	return s.Campaign(ctx, publicID)
}

// ResumeCampaign goes on with a paused campaign. Its guard does not pause it again for the same kinds of failure.
// One that had not started yet is scheduled again, and starts at once when its sendAt has passed meanwhile. One that waits
// for the directory's sync starts with the directory as it is.
func (s *Store) ResumeCampaign(ctx context.Context, publicID string) (CampaignView, error) {
	c, err := s.Campaign(ctx, publicID)
	if err != nil {
		return c, err
	}
	if c.Status == StatusScheduled && c.StatusReasonCode == ReasonDirectorySync {
		m := move{to: StatusScheduled, reason: Reason{ReasonDirectoryAsIs, "starts with the directory as it is"}, only: "status_reason_code=?", onlyArgs: []any{ReasonDirectorySync}}
		if _, err := s.moveCampaign(ctx, c.ID, StatusScheduled, m); err != nil {
			return c, err
		}
		return s.Campaign(ctx, publicID)
	}
	return s.control(ctx, publicID, s.resumption(c.Campaign, ReasonOperator))
}

// resumption is how a paused campaign goes on.
func (s *Store) resumption(c Campaign, why ReasonCode) move {
	m := move{to: StatusRunning, reason: Reason{Code: why}}
	if c.StartedAt == 0 { // which an operator's pause does not change
		// What somebody resumes was not missed: a sendAt that has passed is now.
		m.to, m.set = StatusScheduled, "send_at = CASE WHEN send_at<"+s.d.now+" THEN "+s.d.now+" ELSE send_at END"
	}
	return m
}

// CancelCampaign ends a campaign for good: whoever is still pending becomes cancelled.
func (s *Store) CancelCampaign(ctx context.Context, publicID, reason string) (CampaignView, error) {
	c, err := s.control(ctx, publicID, move{to: StatusCancelled, reason: Reason{ReasonOperator, reason}})
	if err != nil {
		return c, err
	}
	if _, err := s.CloseCampaign(ctx, c.Campaign, false); err != nil {
		return c, err
	}
	return s.Campaign(ctx, publicID)
}

// control moves a campaign by compare-and-set, from whatever state allows the move. A campaign that is in the new state already
// stays as it is.
func (s *Store) control(ctx context.Context, publicID string, m move) (CampaignView, error) {
	for {
		c, err := s.Campaign(ctx, publicID)
		if err != nil || c.Status == m.to {
			return c, err
		}
		if (m.to == StatusRunning || m.to == StatusScheduled) && c.Status != StatusPaused {
			return c, Errorf(CodeIllegalTransition, "a campaign that is %s cannot be resumed", c.Status)
		}
		moved, err := s.moveCampaign(ctx, c.ID, c.Status, m)
		if err != nil {
			return c, err
		}
		if moved {
			return s.Campaign(ctx, publicID)
		}
	}
}

// expired is the reason of an expired campaign.
var expired = Reason{ReasonExpired, "expireAt passed with recipients unsent"}

// expireMost is how many campaigns expire in one transaction.
const expireMost = 100

// ExpireCampaigns ends the campaigns whose expireAt has passed, some at a time.
func (s *Store) ExpireCampaigns(ctx context.Context) error {
	due, open := "status IN ? AND expire_at>0 AND expire_at<="+s.d.now, []Status{StatusRunning, StatusPaused, StatusScheduled}
	for {
		var ids []int64
		err := s.db.WithContext(ctx).Raw("SELECT id FROM campaigns WHERE "+due+" LIMIT ?", open, expireMost).Scan(&ids).Error
		if err != nil || len(ids) == 0 {
			return err
		}
		err = s.txAgain(ctx, isDeadlock, func(tx *gorm.DB) error {
			_, err := s.moveWhere(tx, move{to: StatusExpired, reason: expired, via: ViaReconciler}, "id IN ? AND "+due, ids, open)
			return err
		})
		if err != nil || len(ids) < expireMost {
			return err
		}
	}
}

// ClosingCampaigns reads, without messages, the campaigns that have ended early and still hold pending recipients.
func (s *Store) ClosingCampaigns(ctx context.Context) ([]Campaign, error) {
	var rows []Campaign
	err := s.db.WithContext(ctx).Raw("SELECT "+listedColumns+" FROM campaigns WHERE purged_at=0 AND finished_at=0 AND status IN ?",
		[]Status{StatusCancelled, StatusExpired, StatusFailed}).Scan(&rows).Error
	return rows, err
}

// CloseCampaign gives every recipient that no worker holds the status of the campaign's end, and sets
// finishedAt when none is pending any more. A page under a live lease is closed by its worker; with dead set,
// one whose lease has ended is closed too.
func (s *Store) CloseCampaign(ctx context.Context, c Campaign, dead bool) (finished bool, err error) {
	rest, ok := closedAs(c.Status)
	if !ok {
		return false, nil
	}
	if err := s.closeFree(ctx, c, rest, dead, "campaign_id=?", c.ID); err != nil {
		return false, err
	}
	if c.StartedAt == 0 {
		if err := s.closeUnstarted(ctx, c); err != nil {
			return false, err
		}
	}
	view, err := s.CampaignByID(ctx, c.ID)
	if err != nil || !view.Planned || view.Pending > 0 {
		return false, err
	}
	return s.finish(ctx, c.ID, c.Status, move{to: c.Status})
}

// closeFree closes the pages of a campaign that a condition holds for and that no worker holds; see CloseCampaign.
func (s *Store) closeFree(ctx context.Context, c Campaign, rest RecipientStatus, dead bool, which string, args ...any) error {
	free := fmt.Sprintf("%s AND (state IN (%d,%d,%d)", which, PageNew, PageQueued, PageWaiting)
	if dead {
		free += fmt.Sprintf(" OR state IN (%d,%d) AND due_at<=%s", PageRunning, PageParked, s.d.now)
	}
	free += ")"
	m, err := s.Mark(ctx)
	if err != nil {
		return err
	}
	lost := c.lost(m.LostUntil)
	if rest != RecipientFailed || !lost {
		err := s.txAgain(ctx, isDeadlock, func(tx *gorm.DB) error {
			return s.closeWhole(tx, c, rest, free+" AND pending_rows=0"+surelyUnsent(rest), args...)
		})
		if err != nil {
			return err
		}
	}
	var pages []Page
	if err := s.db.WithContext(ctx).Where(free, args...).Limit(500).Find(&pages).Error; err != nil {
		return err
	}
	for _, p := range pages {
		p.lost = lost
		if err := s.closePage(ctx, c, p, rest, p.held()); err != nil {
			return err
		}
	}
	return nil
}

// closeWhole closes the pages without pending rows that a condition holds for.
func (s *Store) closeWhole(tx *gorm.DB, c Campaign, rest RecipientStatus, free string, args ...any) error {
	lock := ""
	if s.d.name == "mysql" {
		lock = " FOR UPDATE" // the pages that are counted are those that are closed
	}
	var ahead []int64
	err := tx.Raw(fmt.Sprintf("SELECT CASE WHEN rest=%d THEN size-pos ELSE 0 END FROM pages WHERE ", RecipientPending)+free+lock, args...).Scan(&ahead).Error
	if err != nil || len(ahead) == 0 {
		return err
	}
	var n int64
	for _, one := range ahead {
		n += one
	}
	s.noteSettled(tx, c.Channel, settledAs(rest, n))
	return tx.Exec("UPDATE pages SET "+leftAhead(c)+"rev=rev+1, epoch=epoch+1, state=?, "+closeAhead(rest)+" WHERE "+free, append([]any{PageDone}, args...)...).Error
}

// closeUnstarted settles the audience of a campaign that ended before it started. Listed recipients are planned, to
// get their status; nobody else was ever in its audience.
func (s *Store) closeUnstarted(ctx context.Context, c Campaign) error {
	if c.Planned {
		return nil
	}
	set := "UPDATE campaigns SET planned=1, total=0"
	if c.AudienceType == AudienceUsers {
		set = "UPDATE campaigns SET plan_epoch=1, plan_due=" + s.d.now
	}
	_, err := s.exec(ctx, set+" WHERE id=? AND status=? AND plan_epoch=0", c.ID, c.Status)
	return err
}

// closeAhead gives the members ahead of a page's cursor a status and counts them, unless an earlier end did.
func closeAhead(rest RecipientStatus) string {
	column := RecipientStatusNames[rest]
	return fmt.Sprintf("%[1]s=%[1]s+CASE WHEN rest=%[2]d THEN size-pos ELSE 0 END, rest=CASE WHEN rest=%[2]d THEN %[3]d ELSE rest END", column, RecipientPending, rest)
}

// closePage ends a page as it was read, its stored pending rows too. One that has moved since is left alone. left says that
// the page's worker let its lease end.
func (s *Store) closePage(ctx context.Context, c Campaign, p Page, rest RecipientStatus, left bool) error {
	return s.tx(ctx, func(tx *gorm.DB) error {
		column := RecipientStatusNames[rest]
		fence := tx.Exec("UPDATE pages SET rev=rev+1, epoch=epoch+1, state=?, "+column+"="+column+"+pending_rows, pending_rows=0 WHERE campaign_id=? AND no=? AND epoch=? AND rev=?",
			PageDone, p.CampaignID, p.No, p.Epoch, p.Rev)
		if fence.Error != nil || fence.RowsAffected == 0 {
			return fence.Error
		}
		if left {
			if err := s.noteMaybeSent(tx, c, p, p.Size); err != nil { // see leftAhead
				return err
			}
		}
		if rest == RecipientFailed {
			unknown, err := s.unknownAhead(tx, c, p, left)
			if err != nil {
				return err
			}
			s.noteSettled(tx, c.Channel, settledAs(RecipientUnknown, int64(unknown)))
			p.Pos += unknown
		}
		if err := tx.Exec("UPDATE pages SET "+closeAhead(rest)+" WHERE campaign_id=? AND no=?", p.CampaignID, p.No).Error; err != nil {
			return err
		}
		if p.AheadStatus == RecipientPending {
			s.noteSettled(tx, c.Channel, settledAs(rest, int64(p.Size-p.Pos)))
		}
		return s.closeRows(tx, c, p, rest)
	})
}

// closeRows ends the stored pending rows of a page that its fence has just closed. These may have been sent, and become
// unknown; the page's counters follow:
//   - Rows claimed by an at-most-once worker, and in an at-most-once campaign the rows marked as maybe sent.
//   - In a campaign that failed, the rows marked as maybe sent, or all if Page.lost: see unknownAhead.
func (s *Store) closeRows(tx *gorm.DB, c Campaign, p Page, rest RecipientStatus) error {
	if p.PendingRows == 0 {
		return nil
	}
	members, err := s.members(tx, p.CampaignID, p.No)
	if err != nil {
		return err
	}
	update := "UPDATE recipients SET status=?, next_attempt_at=NULL WHERE campaign_id=? AND kind=? AND user_id IN ? AND status=?"
	unsure, args := update, []any{RecipientUnknown, c.ID, c.Kind, members, RecipientClaimed}
	if rest == RecipientFailed || c.Delivery == AtMostOnce { // guard: failed-maybe-sent
		unsure += " OR campaign_id=? AND kind=? AND user_id IN ? AND status=?"
		if !p.lost {
			unsure += " AND sent_at IS NOT NULL"
		}
		args = append(args, c.ID, c.Kind, members, RecipientPending)
	}
	res := tx.Exec(unsure, args...)
	if res.Error != nil {
		return res.Error
	}
	s.noteSettled(tx, c.Channel, settledAs(RecipientUnknown, res.RowsAffected))
	s.noteSettled(tx, c.Channel, settledAs(rest, int64(p.PendingRows)-res.RowsAffected))
	if n := res.RowsAffected; n > 0 {
		column := RecipientStatusNames[rest]
		err := counted(tx.Exec("UPDATE pages SET unknown=unknown+?, "+column+"="+column+"-? WHERE campaign_id=? AND no=? AND "+column+">=?", n, n, p.CampaignID, p.No, n))
		if err != nil {
			return err
		}
	}
	return tx.Exec(update, rest, c.ID, c.Kind, members, RecipientPending).Error
}

// CloseVisit ends the rest of a page in its worker's own hands, after the campaign was cancelled or expired.
func (s *Store) CloseVisit(ctx context.Context, v *Visit, status Status) error {
	rest, ok := closedAs(status)
	if !ok {
		return fmt.Errorf("a campaign that is %s closes no page", status)
	}
	if err := s.closePage(ctx, v.Campaign, v.Page, rest, false); err != nil {
		return err
	}
	v.State = PageDone
	return nil
}

// FailCampaign ends a running campaign that its channel refuses as a whole; why says so in words. Whoever is pending
// becomes failed when the pages are closed, and unknown who may have been sent to. failed is false for a campaign that does not run any more.
func (s *Store) FailCampaign(ctx context.Context, id int64, why string) (failed bool, err error) {
	return s.moveCampaign(ctx, id, StatusRunning, move{to: StatusFailed, reason: Reason{ReasonRefused, why}, via: ViaWorker})
}
