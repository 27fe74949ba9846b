package models

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Report is what verifying a campaign found, from the ledger alone.
type Report struct {
	CampaignID string    `json:"campaignID"`
	OK         bool      `json:"ok"`
	Planned    bool      `json:"planned"` // false: the audience is not wholly cut into pages yet, so nothing is proven
	Pages      int       `json:"pages"`
	Recipients int64     `json:"recipients"`
	Findings   []Finding `json:"findings"` // at most maxVerifyFindings
}

// Finding is one thing that does not hold.
type Finding struct {
	Page *int   `json:"page,omitempty"` // where it has one
	What string `json:"what"`
}

const maxVerifyFindings = 100

// verifier walks a campaign's pages once, in order.
type verifier struct {
	*Store
	c      CampaignView
	report Report
	last   map[string]string // by zone, the last member of the page before
	seen   Counts            // pending recounted from rows and cursors, outcomes summed from the pages
}

func (v *verifier) find(page *int, format string, args ...any) {
	if len(v.report.Findings) < maxVerifyFindings {
		v.report.Findings = append(v.report.Findings, Finding{page, fmt.Sprintf(format, args...)})
	}
}

// Verify proves a campaign from the ledger: its pages cover the frozen audience without gap or overlap, each
// recipient stands once, the counters are what the rows say, and nothing is pending in a finished campaign.
// Nothing is proven before its whole audience is planned. Findings name pages and numbers, not users. While a campaign runs, its pages are read one by one, so a
// page that moves in between is read again. Of a purged campaign nothing can be proven: 3001.
func (s *Store) Verify(ctx context.Context, publicID string) (Report, error) {
	c, err := s.Campaign(ctx, publicID)
	if err == nil {
		err = c.ErrPurged()
	}
	if err != nil {
		return Report{}, err
	}
	v := &verifier{Store: s, c: c, last: map[string]string{}, report: Report{CampaignID: publicID, Planned: c.Planned, Findings: []Finding{}}}
	if err := v.pages(ctx); err != nil {
		return Report{}, err
	}
	if c.Planned {
		if v.report.Pages != c.Pages {
			v.find(nil, "the campaign was cut into %d pages, %d are there", c.Pages, v.report.Pages)
		}
		if v.report.Recipients != c.Counts.Total {
			v.find(nil, "the campaign's total is %d, its pages hold %d recipients", c.Counts.Total, v.report.Recipients)
		}
		if err := v.coverage(ctx); err != nil {
			return Report{}, err
		}
	}
	if err := v.strays(ctx); err != nil {
		return Report{}, err
	}
	if c.FinishedAt != 0 && v.seen.Pending > 0 {
		v.find(nil, "the campaign is %s and %d recipients are pending", c.Status, v.seen.Pending)
	}
	v.finals()
	v.report.OK = c.Planned && len(v.report.Findings) == 0
	return v.report, s.unpurged(ctx, c.ID)
}

func (v *verifier) pages(ctx context.Context) error {
	for next := 0; ; {
		page, err := v.nextPage(ctx, v.c.ID, next, nil)
		if err != nil || page == nil {
			return err
		}
		if page.No != next {
			v.find(&next, "pages %d to %d are missing", next, page.No-1)
		}
		if err := v.page(ctx, *page); err != nil {
			return err
		}
		v.report.Pages++
		next = page.No + 1
	}
}

// page checks one page; one that moved while it was read is read again.
func (v *verifier) page(ctx context.Context, p Page) error {
	for {
		no := p.No
		members, err := v.members(v.db.WithContext(ctx), v.c.ID, no)
		if err != nil {
			v.find(&no, "the members of the page cannot be read")
			return nil
		}
		var rows []Recipient
		err = v.db.WithContext(ctx).Select("user_id", "status").Where("campaign_id = ? AND kind = ? AND user_id IN ?", v.c.ID, v.c.Kind, members).Find(&rows).Error
		if err != nil {
			return err
		}
		now, err := v.nextPage(ctx, v.c.ID, no, nil)
		if err != nil {
			return err
		}
		if now == nil || now.No != no || now.Rev == p.Rev {
			v.check(p, members, rows)
			return nil
		}
		p = *now
	}
}

func (v *verifier) check(p Page, members []string, rows []Recipient) {
	no := p.No
	v.report.Recipients += int64(len(members))
	if len(members) != p.Size {
		v.find(&no, "the page's size is %d, it holds %d members", p.Size, len(members))
	}
	for i, id := range members {
		if last, seen := v.last[p.Zone]; seen && id <= last {
			v.find(&no, "member %d comes twice, or out of order", i)
			break
		}
		v.last[p.Zone] = id
	}
	var n [RecipientClaimed + 1]int
	stands := make(map[string]bool, len(rows))
	for _, r := range rows {
		stands[r.UserID] = true
		n[r.Status]++
	}
	missing, early := 0, 0
	for i, id := range members {
		switch {
		case i < p.Pos && !stands[id]:
			missing++
		case i >= p.Pos && stands[id]:
			early++
		}
	}
	if missing > 0 {
		v.find(&no, "%d recipients before the cursor have no row", missing)
	}
	if early > 0 {
		v.find(&no, "%d recipients ahead of the cursor have a row", early)
	}
	if p.State == PageDone && p.Pos < p.Size && p.AheadStatus == RecipientPending {
		v.find(&no, "the page is done and its cursor is at %d of %d", p.Pos, p.Size)
	}
	if pending := n[RecipientPending] + n[RecipientClaimed]; pending != p.PendingRows {
		v.find(&no, "the page counts %d pending rows, %d stand", p.PendingRows, pending)
	}
	n[p.AheadStatus] += max(0, p.Size-p.Pos)
	for _, c := range []struct {
		status  RecipientStatus
		counted int
	}{
		{RecipientSent, p.Sent}, {RecipientFailed, p.Failed}, {RecipientSkipped, p.Skipped},
		{RecipientExpired, p.Expired}, {RecipientCancelled, p.Cancelled}, {RecipientUnknown, p.Unknown},
	} {
		if n[c.status] != c.counted {
			v.find(&no, "the page counts %d %s, its recipients say %d", c.counted, c.status, n[c.status])
		}
	}
	v.seen.Sent += int64(p.Sent)
	v.seen.Failed += int64(p.Failed)
	v.seen.Skipped += int64(p.Skipped)
	v.seen.Expired += int64(p.Expired)
	v.seen.Cancelled += int64(p.Cancelled)
	v.seen.Unknown += int64(p.Unknown)
	v.seen.Pending += int64(n[RecipientPending] + n[RecipientClaimed])
}

// finals compares the counts that a finished campaign keeps in its row with its pages.
func (v *verifier) finals() {
	if v.c.FinishedAt == 0 {
		return
	}
	stored, pages := v.c.Counts, v.seen
	stored.Total, stored.Pending, pages.Pending = 0, 0, 0
	if stored != pages {
		v.find(nil, "the finished campaign counts %+v, its pages %+v", stored, pages)
	}
}

// coverage looks for members that stand in pages of two zones, and for members of the frozen audience in no page. It
// knows the audience as far as that still stands: users in the directory, a group's members until their list is purged.
// A list's is its total.
func (v *verifier) coverage(ctx context.Context) error {
	listed := v.c.AudienceType == AudienceUsers
	// Nobody was in it before it started, nor if its audience was gone by then.
	frozen := v.c.StartedAt != 0 && (v.c.PlanEpoch != 0 || v.c.Pages != 0)
	if v.c.Kind == KindGroup || listed && !v.c.Zoned() || !frozen {
		return nil
	}
	walk, err := v.walkMembers(ctx, v.c.ID)
	if err != nil {
		return err
	}
	member, err := walk.next()
	twice, missing := 0, 0
	advance := func() {
		before := member
		if member, err = walk.next(); err == nil && member == before {
			twice++
		}
	}
	if !listed {
		audienceErr := v.eachOfAudience(ctx, func(id string) {
			for err == nil && member < id {
				advance()
			}
			if err != nil || member != id {
				missing++
			}
		})
		if audienceErr != nil {
			return audienceErr
		}
	}
	for err == nil {
		advance()
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	if twice > 0 && v.c.Zoned() { // within one zone the order of its pages has told
		v.find(nil, "%d members stand in pages of two zones", twice)
	}
	if missing > 0 {
		v.find(nil, "%d members of the frozen audience stand in no page", missing)
	}
	return nil
}

// eachOfAudience walks those of a frozen audience who still stand where it was frozen.
func (v *verifier) eachOfAudience(ctx context.Context, f func(id string)) error {
	c := v.c.Campaign
	c.PlanCursor = ""
	for {
		found, err := v.audienceAfter(ctx, &c, planBatch)
		if err != nil {
			return err
		}
		for _, m := range found {
			f(m.UserID)
		}
		if len(found) < planBatch {
			return nil
		}
		c.PlanCursor = found[len(found)-1].UserID
	}
}

// strays looks for rows that belong to no page: there are as many rows as the cursors say.
func (v *verifier) strays(ctx context.Context) error {
	var n struct{ Rows, Behind int64 }
	err := v.db.WithContext(ctx).Raw("SELECT (SELECT COUNT(*) FROM recipients WHERE campaign_id=?) AS `rows`, (SELECT COALESCE(SUM(pos),0) FROM pages WHERE campaign_id=?) AS behind", v.c.ID, v.c.ID).Scan(&n).Error
	if err == nil && n.Rows != n.Behind {
		v.find(nil, "%d recipients have a row, the pages' cursors say %d", n.Rows, n.Behind)
	}
	return err
}
