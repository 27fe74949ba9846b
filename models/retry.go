package models

import (
	"context"
	"encoding/json"
	"errors"
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
	case c.StartedAt == 0:
		return c, Errorf(CodeIllegalTransition, "the campaign ended before it started; there is nothing to retry, so post it again")
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
	n, err := s.exec(ctx, "UPDATE campaigns SET status=?, status_reason='', retry=?, retry_page=0, guard_allows='', guard_run=guard_run+1, guard_base=?, finished_at=0, "+noFinals+", expire_after=0, expire_at=CASE WHEN expire_at<="+s.d.now+" THEN 0 ELSE expire_at END WHERE id=? AND status=? AND finished_at>0 AND purged_at=0",
		StatusRunning, string(filter), c.Sent, c.ID, c.Status)
	if err == nil && n == 0 {
		return c, Errorf(CodeIllegalTransition, "the campaign has just changed its state; look again")
	}
	if err != nil {
		return c, err
	}
	return s.Campaign(ctx, publicID)
}

// ReopenPages goes on with the retries under way, page by page and the campaigns in turn, until every page is looked
// through. A campaign whose next page another process takes is left to that process.
func (s *Store) ReopenPages(ctx context.Context) error {
	for more := true; more; {
		more = false
		var rows []Campaign
		err := s.db.WithContext(ctx).Raw("SELECT "+listedColumns+", retry, retry_page FROM campaigns WHERE status=? AND retry<>''", StatusRunning).Scan(&rows).Error
		for _, c := range rows {
			reopened, e := s.reopenNext(ctx, c)
			more, err = more || reopened, errors.Join(err, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// reopenNext takes up the next page of a retry; after the last one the retry is no longer under way.
func (s *Store) reopenNext(ctx context.Context, c Campaign) (reopened bool, err error) {
	if c.RetryPage < c.Pages {
		return s.reopenPage(ctx, c)
	}
	_, err = s.exec(ctx, "UPDATE campaigns SET retry='' WHERE id=? AND retry_page=?", c.ID, c.RetryPage)
	return false, err
}

// reopenPage takes up the chosen recipients of one page. The campaign's retry_page is the fence: each page is
// reopened once, whoever does it. The page stays outside the window until its turn comes, like one that nobody has visited.
func (s *Store) reopenPage(ctx context.Context, c Campaign) (reopened bool, err error) {
	var r Retry
	if err := json.Unmarshal([]byte(c.Retry), &r); err != nil {
		return false, err
	}
	err = s.tx(ctx, func(tx *gorm.DB) error {
		fence := tx.Exec("UPDATE campaigns SET retry_page=retry_page+1 WHERE id=? AND status=? AND retry=? AND retry_page=?", c.ID, StatusRunning, c.Retry, c.RetryPage)
		if reopened = fence.RowsAffected == 1; fence.Error != nil || !reopened {
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
				p.State = PageNew
			}
		}
		if p.State != PageNew {
			return nil
		}
		args = append(args, taken, PageNew, c.ID, p.No)
		return tx.Exec("UPDATE pages SET "+strings.Join(sets, ", ")+", pending_rows=pending_rows+?, rev=rev+1, epoch=epoch+1, state=?, due_at="+s.d.now+" WHERE campaign_id=? AND no=?", args...).Error
	})
	return reopened && err == nil, err
}
