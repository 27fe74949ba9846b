package models

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"gorm.io/gorm"
)

// Retry says which recipients of a finished campaign are taken up again.
type Retry struct {
	Statuses []RecipientStatus `json:"statuses"`
	ErrCodes []Code            `json:"errCodes,omitempty"` // empty = any
}

// RetryCampaign makes a finished campaign running again for some of its recipients, under the same
// clientMsgIDs. The pages are reopened by the reconciler, page by page.
func (s *Store) RetryCampaign(ctx context.Context, publicID string, r Retry) (CampaignView, error) {
	c, err := s.Campaign(ctx, publicID)
	if err != nil {
		return c, err
	}
	switch {
	case c.Status == StatusRunning && c.Retry != "":
		return c, nil // under way
	case c.Status == StatusRunning || c.Status == StatusPaused:
		return c, Errorf(CodeIllegalTransition, "a campaign that is %s still tries; retry it when it has finished", c.Status)
	case c.FinishedAt == 0:
		return c, Errorf(CodeIllegalTransition, "the campaign is just being closed; retry it when it has finished")
	}
	if err := Transition(c.Status, StatusRunning); err != nil {
		return c, err
	}
	if err := c.ErrPurged(); err != nil {
		return c, err
	}
	filter, err := json.Marshal(r)
	if err != nil {
		return c, err
	}
	n, err := s.exec(ctx, "UPDATE campaigns SET status=?, status_reason='', retry=?, retry_page=0, finished_at=0, "+noFinals+", expire_at=CASE WHEN expire_at<="+s.d.now+" THEN 0 ELSE expire_at END WHERE id=? AND status=? AND finished_at>0 AND purged_at=0",
		StatusRunning, string(filter), c.ID, c.Status)
	if err == nil && n == 0 {
		return c, Errorf(CodeIllegalTransition, "the campaign has just changed its state; look again")
	}
	if err != nil {
		return c, err
	}
	return s.Campaign(ctx, publicID)
}

// ReopenPages goes on with the retries under way, up to n pages each.
func (s *Store) ReopenPages(ctx context.Context, n int) error {
	var rows []Campaign
	err := s.db.WithContext(ctx).Raw("SELECT "+listedColumns+", retry, retry_page FROM campaigns WHERE status=? AND retry<>''", StatusRunning).Scan(&rows).Error
	for _, c := range rows {
		for range n {
			if err != nil {
				return err
			}
			if c.RetryPage >= c.Pages {
				_, err = s.exec(ctx, "UPDATE campaigns SET retry='' WHERE id=? AND retry_page=?", c.ID, c.RetryPage)
				break
			}
			err = s.reopenPage(ctx, c)
			c.RetryPage++
		}
	}
	return err
}

// reopenPage takes up the chosen recipients of one page. The campaign's retry_page is the fence: each page is
// reopened once, whoever does it.
func (s *Store) reopenPage(ctx context.Context, c Campaign) error {
	var r Retry
	if err := json.Unmarshal([]byte(c.Retry), &r); err != nil {
		return err
	}
	return s.tx(ctx, func(tx *gorm.DB) error {
		fence := tx.Exec("UPDATE campaigns SET retry_page=retry_page+1 WHERE id=? AND status=? AND retry=? AND retry_page=?", c.ID, StatusRunning, c.Retry, c.RetryPage)
		if fence.Error != nil || fence.RowsAffected == 0 {
			return fence.Error
		}
		var p Page
		if err := tx.Where("campaign_id = ? AND no = ?", c.ID, c.RetryPage).Take(&p).Error; err != nil {
			return err
		}
		members, err := s.members(tx, c.ID, p.No)
		if err != nil {
			return err
		}
		sets, args, taken := []string{}, []any{}, int64(0)
		for _, status := range r.Statuses {
			q, qargs := "UPDATE recipients SET status=?, attempts=0, failing_since=NULL, err_code=NULL, err_msg=NULL, next_attempt_at="+s.d.now+" WHERE campaign_id=? AND kind=? AND user_id IN ? AND status=?",
				[]any{RecipientPending, c.ID, c.Kind, members, status}
			if len(r.ErrCodes) > 0 {
				q, qargs = q+" AND err_code IN ?", append(qargs, r.ErrCodes)
			}
			res := tx.Exec(q, qargs...)
			if res.Error != nil {
				return res.Error
			}
			n, column := res.RowsAffected, RecipientStatusNames[status]
			if p.Rest == status && len(r.ErrCodes) == 0 { // those ahead of the cursor have no row
				sets = append(sets, fmt.Sprintf("rest=%d", RecipientPending))
				n += int64(p.Size - p.Pos)
				taken -= int64(p.Size - p.Pos)
			}
			sets, args = append(sets, column+"="+column+"-?"), append(args, n)
			taken += n
			if n > 0 && p.State == PageDone {
				p.State = PageWaiting
			}
		}
		if p.State != PageWaiting {
			return nil
		}
		args = append(args, taken, PageWaiting, c.ID, p.No)
		return tx.Exec("UPDATE pages SET "+strings.Join(sets, ", ")+", pending_rows=pending_rows+?, rev=rev+1, epoch=epoch+1, state=?, due_at="+s.d.now+" WHERE campaign_id=? AND no=?", args...).Error
	})
}
