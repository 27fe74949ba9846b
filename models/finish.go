package models

import (
	"context"
	"errors"

	"gorm.io/gorm"
)

// While a campaign is unfinished its counts are the sums of its pages; from finished_at on they stand in its row, so
// that reading a finished one touches no page, and its pages may go. Both are read in one statement: of
// the stored counts and the sums one is always zero. The CASE, unlike a condition on its own, keeps the database
// from looking up the pages of a finished campaign at all.
const (
	finalColumns = "final_sent, final_failed, final_skipped, final_expired, final_cancelled, final_unknown"
	countedPages = "LEFT JOIN pages p ON p.campaign_id = CASE WHEN s.finished_at=0 THEN s.id END"
	noFinals     = "final_sent=0, final_failed=0, final_skipped=0, final_expired=0, final_cancelled=0, final_unknown=0"

	campaignSums = `COALESCE(SUM(p.sent),0) AS sent, COALESCE(SUM(p.failed),0) AS failed, COALESCE(SUM(p.skipped),0) AS skipped,
	COALESCE(SUM(p.expired),0) AS expired, COALESCE(SUM(p.cancelled),0) AS cancelled, COALESCE(SUM(p.unknown),0) AS unknown`
	campaignCounts = `c.final_sent+t.sent AS sent, c.final_failed+t.failed AS failed, c.final_skipped+t.skipped AS skipped,
	c.final_expired+t.expired AS expired, c.final_cancelled+t.cancelled AS cancelled, c.final_unknown+t.unknown AS unknown`
)

// errOpen undoes a finish: a recipient is pending after all.
var errOpen = errors.New("a recipient is still pending")

// finish sets finished_at and stores the final counts in one transaction, moving the campaign from one state to
// another or leaving it in the one. Its first statement locks the row against a retry, which would reopen pages.
// finished is false when the campaign had moved, or somebody is pending.
func (s *Store) finish(ctx context.Context, id int64, from, to Status, reason string) (finished bool, err error) {
	set, args := "", []any{}
	if from != to {
		if err := Transition(from, to); err != nil {
			return false, err
		}
		set, args = ", status=?, status_reason=?", []any{to, reason}
	}
	err = s.tx(ctx, func(tx *gorm.DB) error {
		finished = false
		fence := tx.Exec("UPDATE campaigns SET finished_at="+s.d.now+set+" WHERE id=? AND status=? AND finished_at=0", append(args, id, from)...)
		if fence.Error != nil || fence.RowsAffected == 0 {
			return fence.Error
		}
		var n Counts
		err := tx.Raw("SELECT c.total, "+campaignSums+" FROM campaigns c LEFT JOIN pages p ON p.campaign_id=c.id WHERE c.id=? GROUP BY c.id, c.total", id).Scan(&n).Error
		if err != nil {
			return err
		}
		if n.Sent+n.Failed+n.Skipped+n.Expired+n.Cancelled+n.Unknown != n.Total {
			return errOpen
		}
		finished = true
		return tx.Exec("UPDATE campaigns SET final_sent=?, final_failed=?, final_skipped=?, final_expired=?, final_cancelled=?, final_unknown=? WHERE id=?",
			n.Sent, n.Failed, n.Skipped, n.Expired, n.Cancelled, n.Unknown, id).Error
	})
	if err != nil {
		finished = false
		if errors.Is(err, errOpen) {
			err = nil
		}
	}
	return finished, err
}
