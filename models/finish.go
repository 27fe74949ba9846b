package models

import (
	"context"
	"errors"

	"gorm.io/gorm"
)

// While a campaign is unfinished its counts are the sums of its pages; from finished_at on they stand in its row, so
// that reading a finished one touches no page, and its pages may go. Both are read in one statement, and the CASE says
// which of them counts. A program older than these columns finishes a campaign without storing them: while none stands,
// the pages count, until recount has stored them. The CASE, unlike a condition on its own, keeps the database from looking
// up the pages of a finished campaign at all.
const (
	finalColumns = "final_sent, final_failed, final_skipped, final_expired, final_cancelled, final_unknown"
	noFinals     = "final_sent=0, final_failed=0, final_skipped=0, final_expired=0, final_cancelled=0, final_unknown=0"
	countedPages = "LEFT JOIN pages p ON p.campaign_id = CASE WHEN s.finished_at=0 OR s.final_sent+s.final_failed+s.final_skipped+s.final_expired+s.final_cancelled+s.final_unknown=0 THEN s.id END"
	finalsStand  = "c.finished_at<>0 AND c.final_sent+c.final_failed+c.final_skipped+c.final_expired+c.final_cancelled+c.final_unknown<>0"

	campaignSums = `COALESCE(SUM(p.sent),0) AS sent, COALESCE(SUM(p.failed),0) AS failed, COALESCE(SUM(p.skipped),0) AS skipped,
	COALESCE(SUM(p.expired),0) AS expired, COALESCE(SUM(p.cancelled),0) AS cancelled, COALESCE(SUM(p.unknown),0) AS unknown`
	campaignCounts = `CASE WHEN ` + finalsStand + ` THEN c.final_sent ELSE t.sent END AS sent,
	CASE WHEN ` + finalsStand + ` THEN c.final_failed ELSE t.failed END AS failed,
	CASE WHEN ` + finalsStand + ` THEN c.final_skipped ELSE t.skipped END AS skipped,
	CASE WHEN ` + finalsStand + ` THEN c.final_expired ELSE t.expired END AS expired,
	CASE WHEN ` + finalsStand + ` THEN c.final_cancelled ELSE t.cancelled END AS cancelled,
	CASE WHEN ` + finalsStand + ` THEN c.final_unknown ELSE t.unknown END AS unknown`
)

const storeFinals = "UPDATE campaigns SET final_sent=?, final_failed=?, final_skipped=?, final_expired=?, final_cancelled=?, final_unknown=?"

// finals are the arguments of storeFinals.
func (n Counts) finals() []any {
	return []any{n.Sent, n.Failed, n.Skipped, n.Expired, n.Cancelled, n.Unknown}
}

// errOpen undoes a finish: a recipient is pending after all.
var errOpen = errors.New("a recipient is still pending")

// finish sets finished_at and stores the final counts in one transaction, moving the campaign from one state to
// another or leaving it in the one. Its first statement locks the row against a retry, which would reopen pages.
// finished is false when the campaign had moved, or somebody is pending.
func (s *Store) finish(ctx context.Context, id int64, from Status, m move) (finished bool, err error) {
	err = s.tx(ctx, func(tx *gorm.DB) error {
		finished = false
		over, err := s.fenceFinish(tx, id, from, m)
		if err != nil || !over {
			return err
		}
		var n Counts
		err = tx.Raw("SELECT c.total, "+campaignSums+" FROM campaigns c LEFT JOIN pages p ON p.campaign_id=c.id WHERE c.id=? GROUP BY c.id, c.total", id).Scan(&n).Error
		if err != nil {
			return err
		}
		if n.Sent+n.Failed+n.Skipped+n.Expired+n.Cancelled+n.Unknown != n.Total {
			return errOpen
		}
		finished = true
		return tx.Exec(storeFinals+" WHERE id=?", append(n.finals(), id)...).Error
	})
	if err != nil {
		finished = false
		if errors.Is(err, errOpen) {
			err = nil
		}
	}
	return finished, err
}

// fenceFinish is finish's first statement.
func (s *Store) fenceFinish(tx *gorm.DB, id int64, from Status, m move) (over bool, err error) {
	if from == m.to {
		res := tx.Exec("UPDATE campaigns SET finished_at="+s.d.now+" WHERE id=? AND status=? AND finished_at=0", id, from)
		return res.RowsAffected == 1, res.Error
	}
	// A campaign that runs again since the caller looked, for a retry whose pages are still closed, is not over.
	m.set, m.only = "finished_at="+s.d.now, "finished_at=0 AND retry=''"
	n, err := s.transition(tx, from, m, id)
	return n == 1, err
}

// Finished is a place in the campaigns that have finished and still have their pages, in the order of their end. The
// zero value is the start.
type Finished struct {
	At Millis
	ID int64
}

// Recount compares the stored counts of up to n finished campaigns behind a place with their pages, and stores what the
// pages say where they differ. A program older than the stored counts finishes and retries campaigns without them. It
// returns the place to go on from, which is the same one when there was none behind it.
func (s *Store) Recount(ctx context.Context, from Finished, n int) (next Finished, err error) {
	return s.recount(ctx, from, s.d.now+"-5000", n) // one that finishes now may show up behind one that finishes later
}

func (s *Store) recount(ctx context.Context, from Finished, until string, n int) (next Finished, err error) {
	var rows []struct {
		ID         int64
		FinishedAt Millis
		FinalSent, FinalFailed, FinalSkipped, FinalExpired, FinalCancelled, FinalUnknown,
		Sent, Failed, Skipped, Expired, Cancelled, Unknown int64
	}
	err = s.db.WithContext(ctx).Raw("SELECT s.id, s.finished_at, "+finalColumns+", "+campaignSums+" FROM (SELECT id, finished_at, "+finalColumns+
		" FROM campaigns WHERE purged_at=0 AND finished_at>=? AND finished_at<="+until+" AND (finished_at>? OR id>?) ORDER BY finished_at, id LIMIT ?) s"+
		" LEFT JOIN pages p ON p.campaign_id=s.id GROUP BY s.id, s.finished_at, "+finalColumns+" ORDER BY s.finished_at, s.id",
		max(from.At, 1), from.At, from.ID, n).Scan(&rows).Error
	next = from
	for _, r := range rows {
		if err != nil {
			return next, err
		}
		stored := Counts{Sent: r.FinalSent, Failed: r.FinalFailed, Skipped: r.FinalSkipped, Expired: r.FinalExpired, Cancelled: r.FinalCancelled, Unknown: r.FinalUnknown}
		pages := Counts{Sent: r.Sent, Failed: r.Failed, Skipped: r.Skipped, Expired: r.Expired, Cancelled: r.Cancelled, Unknown: r.Unknown}
		if stored != pages {
			// Its pages stand still as long as it has not been retried, which sets another finished_at.
			_, err = s.exec(ctx, storeFinals+" WHERE id=? AND finished_at=? AND purged_at=0", append(pages.finals(), r.ID, r.FinishedAt)...)
		}
		next = Finished{r.FinishedAt, r.ID}
	}
	return next, err
}
