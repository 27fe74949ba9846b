package models

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"gorm.io/gorm"
)

// Retry says which recipients of a finished campaign are sent to again.
type Retry struct {
	Statuses []RecipientStatus `json:"statuses"`
	ErrCodes []Code            `json:"errCodes,omitempty"` // empty = any
	// Recipients is how many they are, once the ledger has counted them.
	Recipients int64 `json:"recipients"`
}

// maxRetryCodes keeps a retry within its column.
const maxRetryCodes = 50

// normal returns the retry without repeated values, or an error that says what is wrong with it. A
// status that stands twice would be subtracted twice.
func (r Retry) normal() (Retry, error) {
	r.Statuses, r.ErrCodes = slices.Clone(r.Statuses), slices.Clone(r.ErrCodes)
	slices.Sort(r.Statuses)
	slices.Sort(r.ErrCodes)
	r.Statuses, r.ErrCodes = slices.Compact(r.Statuses), slices.Compact(r.ErrCodes)
	var found []FieldError
	for _, status := range r.Statuses {
		if !slices.Contains(retryable, status) {
			found = append(found, FieldError{"statuses", "must be of failed, skipped, expired and unknown"})
			break
		}
	}
	if len(r.Statuses) == 0 {
		found = append(found, FieldError{"statuses", "must name at least one"})
	}
	if n := len(r.ErrCodes); n > maxRetryCodes {
		found = append(found, FieldError{"errCodes", fmt.Sprintf("must be at most %d codes, has %d", maxRetryCodes, n)})
	} else if n > 0 && (r.ErrCodes[0] < math.MinInt32 || r.ErrCodes[n-1] > math.MaxInt32) {
		found = append(found, FieldError{"errCodes", "must be integers of at most 32 bits"})
	}
	return r, Invalid(found)
}

// retryable are the outcomes that a retry may take up. Cancelled recipients stay cancelled, and
// sent recipients do not get the message again.
var retryable = []RecipientStatus{RecipientFailed, RecipientSkipped, RecipientExpired, RecipientUnknown}

// RetryCampaign sets a finished campaign to running again for some of its recipients, with the same
// clientMsgIDs, and returns how many they are. If there is none, nothing changes. The reconciler
// reopens the pages one by one.
func (s *Store) RetryCampaign(ctx context.Context, publicID string, r Retry) (c CampaignView, n int64, err error) {
	if r, err = r.normal(); err != nil {
		return c, 0, err
	}
	if c, err = s.Campaign(ctx, publicID); err != nil {
		return c, 0, err
	}
	if c.Status == StatusRunning && c.Retry != "" {
		n, err = r.underWay(c.Retry)
		return c, n, err
	}
	if err := mayRetry(c.Campaign); err != nil {
		return c, 0, err
	}
	if r.Recipients, err = s.countRetry(ctx, c, r); err != nil || r.Recipients == 0 {
		return c, 0, err
	}
	filter, err := json.Marshal(r)
	if err != nil {
		return c, 0, err
	}
	moved, err := s.moveCampaign(ctx, c.ID, c.Status, move{to: StatusRunning, reason: Reason{Code: ReasonOperator}, data: r.told(),
		set: "retry=?, retry_page=0, guard_allows='', guard_run=guard_run+1, guard_base=?, finished_at=0, " + noFinals +
			", expire_after=0, expire_at=CASE WHEN expire_at<=" + s.d.now + " THEN 0 ELSE expire_at END",
		setArgs: []any{string(filter), c.Sent}, only: "finished_at=? AND purged_at=0", onlyArgs: []any{c.FinishedAt}})
	if err == nil && !moved {
		err = Errorf(CodeIllegalTransition, "the campaign has just changed its state; look again")
	}
	if err != nil {
		return c, 0, err
	}
	c, err = s.Campaign(ctx, publicID)
	return c, r.Recipients, err
}

// told is the retry as its event shows it.
func (r Retry) told() EventData {
	names := make([]string, len(r.Statuses))
	for i, status := range r.Statuses {
		names[i] = RecipientStatusNames[status]
	}
	data := EventData{"statuses": names, "recipients": r.Recipients}
	if len(r.ErrCodes) > 0 {
		data["errCodes"] = r.ErrCodes
	}
	return data
}

// mayRetry says why a campaign cannot be retried now.
func mayRetry(c Campaign) error {
	switch {
	case c.Status == StatusRunning || c.Status == StatusPaused:
		return Errorf(CodeIllegalTransition, "a campaign that is %s still tries; retry it when it has finished", c.Status)
	case c.StartedAt == 0:
		return Errorf(CodeIllegalTransition, "the campaign ended before it started; there is nothing to retry, so post it again")
	case c.FinishedAt == 0:
		return Errorf(CodeIllegalTransition, "the campaign is just being closed; retry it when it has finished")
	}
	if err := Transition(c.Status, StatusRunning); err != nil {
		return err
	}
	return c.ErrPurged()
}

// underWay returns how many recipients the retry under way takes up, if it is the same as this one.
func (r Retry) underWay(text string) (int64, error) {
	var now Retry
	if err := json.Unmarshal([]byte(text), &now); err != nil {
		return 0, err
	}
	if !slices.Equal(now.Statuses, r.Statuses) || !slices.Equal(now.ErrCodes, r.ErrCodes) {
		return 0, Errorf(CodeIllegalTransition, "another retry of the campaign is under way; look again when the campaign has finished")
	}
	return now.Recipients, nil
}

// countRetry returns how many recipients of a finished campaign a retry takes up.
func (s *Store) countRetry(ctx context.Context, c CampaignView, r Retry) (n int64, err error) {
	if len(r.ErrCodes) > 0 {
		err = s.db.WithContext(ctx).Model(&Recipient{}).
			Where("campaign_id = ? AND kind = ? AND status IN ? AND err_code IN ?", c.ID, c.Kind, r.Statuses, r.ErrCodes).Count(&n).Error
		return n, err
	}
	counts := map[RecipientStatus]int64{RecipientFailed: c.Failed, RecipientSkipped: c.Skipped, RecipientExpired: c.Expired, RecipientUnknown: c.Unknown}
	for _, status := range r.Statuses {
		n += counts[status]
	}
	return n, nil
}

// ReopenPages reopens pages of the campaigns with a retry under way, one page of each in turn,
// until every page has been looked at. If another process reopens a campaign's next page, that
// process keeps the campaign. A campaign that cannot go on does not hold up the others.
func (s *Store) ReopenPages(ctx context.Context) error {
	var errs []error
	stuck := map[int64]bool{}
	for more := true; more; {
		more = false
		var rows []Campaign
		err := s.db.WithContext(ctx).Raw("SELECT "+listedColumns+", retry, retry_page FROM campaigns WHERE status=? AND retry<>''", StatusRunning).Scan(&rows).Error
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		for _, c := range rows {
			if stuck[c.ID] {
				continue
			}
			reopened, err := s.reopenNext(ctx, c)
			if err != nil {
				stuck[c.ID] = true
				errs = append(errs, err)
			}
			more = more || reopened
		}
	}
	return errors.Join(errs...)
}

// reopenNext takes up the next page of a retry. After the last page the retry is over.
func (s *Store) reopenNext(ctx context.Context, c Campaign) (reopened bool, err error) {
	if c.RetryPage < c.Pages {
		return s.reopenPage(ctx, c)
	}
	_, err = s.exec(ctx, "UPDATE campaigns SET retry='' WHERE id=? AND retry_page=?", c.ID, c.RetryPage)
	return false, err
}

// reopenPage takes up the chosen recipients of one page. The campaign's retry_page is the fence:
// each page is reopened once, by whichever process is first. Like a page that nobody has visited,
// the page stays outside the window until its turn comes.
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
		sets, enough, args, counts, taken := []string{}, "", []any{}, []any{}, int64(0)
		for _, status := range r.Statuses {
			maybeSent := "" // a row of any other status keeps its sent_at
			if status == RecipientUnknown {
				maybeSent = "sent_at=" + s.d.now + ", "
			}
			q, qargs := "UPDATE recipients SET "+maybeSent+"status=?, failing_since=NULL, err_code=NULL, err_msg=NULL, next_attempt_at="+s.d.now+" WHERE campaign_id=? AND kind=? AND user_id IN ? AND status=?",
				[]any{RecipientPending, c.ID, c.Kind, members, status}
			if len(r.ErrCodes) > 0 {
				q, qargs = q+" AND err_code IN ?", append(qargs, r.ErrCodes)
			}
			res := tx.Exec(q, qargs...)
			if res.Error != nil {
				return res.Error
			}
			n, column := res.RowsAffected, RecipientStatusNames[status]
			if p.AheadStatus == status && len(r.ErrCodes) == 0 { // recipients ahead of the cursor have no row
				sets = append(sets, fmt.Sprintf("rest=%d", RecipientPending))
				n += int64(p.Size - p.Pos)
				taken -= int64(p.Size - p.Pos)
			}
			sets, args = append(sets, column+"="+column+"-?"), append(args, n)
			enough, counts = enough+" AND "+column+">=?", append(counts, n)
			taken += n
			if n > 0 && p.State == PageDone {
				p.State = PageNew
			}
		}
		if p.State != PageNew {
			return nil
		}
		args = append(append(args, taken, PageNew, c.ID, p.No), counts...)
		return counted(tx.Exec("UPDATE pages SET "+strings.Join(sets, ", ")+", pending_rows=pending_rows+?, rev=rev+1, epoch=epoch+1, state=?, due_at="+s.d.now+" WHERE campaign_id=? AND no=?"+enough, args...))
	})
	return reopened && err == nil, err
}

// errNegative undoes a transaction that would make a page's counter negative.
var errNegative = errors.New("a page's counters do not hold what is to be taken off them; verify the campaign")

// counted returns the error of an update whose condition is that the page's counters suffice.
func counted(update *gorm.DB) error {
	if update.Error == nil && update.RowsAffected == 0 {
		return errNegative
	}
	return update.Error
}
