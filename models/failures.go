package models

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Failure is one reason why recipients of a campaign are failed or unknown, and their number.
type Failure struct {
	Status  RecipientStatus
	ErrCode Code
	ErrMsg  string
	Count   int64
}

// Failures are the reasons of a campaign's failed and unknown recipients. Total is the sum of List,
// Rest and Uncounted.
type Failures struct {
	List      []Failure // the most frequent first
	Rest      int64     // recipients whose reasons are not in List
	Uncounted int64     // recipients that were not read because the time ran out
	Total     int64
}

const (
	// failurePages is how many pages one statement counts, so that no reader holds a connection for
	// long.
	failurePages = 20
	// failuresFor is how long one count may take. Recipients that are not read by then are
	// Uncounted.
	failuresFor = 3 * time.Second
	// maxReasons is how many different reasons a count keeps at once. When there are more, the
	// rarer half is added to Rest. Each recipient may have a text of its own.
	maxReasons = 10_000
)

// NoReason stands in for the reason where a recipient's row has no text.
const NoReason = "no reason was given"

// Failures counts why recipients of a campaign are failed or unknown. It returns the most frequent
// reasons, at most limit. Only pages whose counters say that they hold such recipients are read. A
// purged campaign is 3001.
func (s *Store) Failures(ctx context.Context, c Campaign, limit int) (f Failures, err error) {
	if err := c.ErrPurged(); err != nil {
		return f, err
	}
	var pages []Page
	err = s.db.WithContext(ctx).Select("no", "size", "pos", "rest", "first_id", "failed", "unknown").
		Where("campaign_id = ?", c.ID).Order("first_id").Find(&pages).Error
	if err != nil {
		return f, err
	}
	found := reasons{}
	var seen int64
	deadline := time.Now().Add(failuresFor)
	for i := 0; i < len(pages); {
		if !holdsFailures(c, pages[i]) {
			i++
			continue
		}
		end := i
		for end < len(pages) && end-i < failurePages && holdsFailures(c, pages[end]) {
			f.Total += int64(pages[end].Failed + pages[end].Unknown)
			end++
		}
		if time.Now().Before(deadline) {
			n, err := s.countFailures(ctx, c, pages[i:end], pages[end:], found)
			if err != nil {
				return f, err
			}
			seen += n
		}
		i = end
	}
	if err := s.unpurged(ctx, c.ID); err != nil {
		return f, err
	}
	f.Total = max(f.Total, seen) // some may have failed since the pages were read
	f.Uncounted = f.Total - seen
	f.List = found.most(limit)
	f.Rest = seen
	for _, one := range f.List {
		f.Rest -= one.Count
	}
	return f, nil
}

// holdsFailures reports whether a failed recipient can stand between the first member of this page
// and the first member of the next. Pages of several time zones interleave, so there every page
// can.
func holdsFailures(c Campaign, p Page) bool { return c.Zoned() || p.Failed+p.Unknown > 0 }

// countFailures counts the rows of some consecutive pages. after are the pages behind them.
func (s *Store) countFailures(ctx context.Context, c Campaign, pages, after []Page, found reasons) (n int64, err error) {
	where, args := "campaign_id=? AND kind=? AND user_id>=?", []any{c.ID, c.Kind, pages[0].FirstID}
	if len(after) > 0 {
		where, args = where+" AND user_id<?", append(args, after[0].FirstID)
	}
	var rows []Failure
	err = s.db.WithContext(ctx).Raw("SELECT status, COALESCE(err_code,0) AS err_code, COALESCE(err_msg,'') AS err_msg, COUNT(*) AS count FROM recipients WHERE "+where+
		" AND status IN (?,?) GROUP BY status, err_code, err_msg", append(args, RecipientFailed, RecipientUnknown)...).Scan(&rows).Error
	for _, p := range pages {
		if p.AheadStatus == RecipientFailed && p.Pos < p.Size { // recipients ahead of the cursor have no rows
			rows = append(rows, Failure{Status: p.AheadStatus, ErrMsg: c.StatusReason, Count: int64(p.Size - p.Pos)})
		}
	}
	for _, r := range rows {
		n += r.Count
		found.add(r)
	}
	return n, err
}

// reasons are counts by reason.
type reasons map[Failure]int64

func (r reasons) add(f Failure) {
	n := f.Count
	f.Count, f.ErrMsg = 0, cmp.Or(f.ErrMsg, NoReason)
	r[f] += n
	if len(r) > maxReasons {
		keep := r.most(maxReasons / 2)
		clear(r)
		for _, k := range keep {
			n := k.Count
			k.Count = 0
			r[k] = n
		}
	}
}

// most returns the n most frequent reasons.
func (r reasons) most(n int) []Failure {
	list := make([]Failure, 0, len(r))
	for f, count := range r {
		f.Count = count
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Status, b.Status), cmp.Compare(a.ErrCode, b.ErrCode), cmp.Compare(a.ErrMsg, b.ErrMsg))
	})
	return list[:min(n, len(list))]
}
