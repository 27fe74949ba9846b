package models

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Report is what verifying a campaign found, from the ledger alone.
type Report struct {
	CampaignID string `json:"campaignID"`
	OK         bool   `json:"ok"`
	// Planned is false while the audience is not wholly cut into pages. Then nothing is proven.
	Planned    bool      `json:"planned"`
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

// verifier walks a campaign's pages once, in the order of their numbers.
type verifier struct {
	*Store
	c      CampaignView
	report Report
	last   map[string]string // by zone: the last member of the page checked before
	// Pending is recounted from rows and cursors. The outcomes are summed from the pages.
	seen Counts
}

func (v *verifier) find(page *int, format string, args ...any) {
	if len(v.report.Findings) < maxVerifyFindings {
		v.report.Findings = append(v.report.Findings, Finding{page, fmt.Sprintf(format, args...)})
	}
}

// Verify proves a campaign from the ledger:
//
//   - The pages cover the frozen audience without gap or overlap.
//   - Each recipient stands once.
//   - The counters are what the rows say.
//   - Nothing is pending in a finished campaign.
//
// Nothing is proven before the whole audience is planned. Findings name pages and numbers, not
// users.
//
// While a campaign runs, its pages are read one by one. A page that changes meanwhile is read
// again.
//
// A purged campaign cannot be proven: 3001.
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
		page, err := v.nextPage(ctx, v.c.ID, next)
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

// page checks one page. If the page changes between its two reads, both are made again.
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
		now, err := v.nextPage(ctx, v.c.ID, no)
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

// finals compares the final counts in a finished campaign's row with its pages.
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

// coverage looks for two faults: members in pages of two zones, and members of the frozen audience
// in no page. The audience is what still stands of it:
//
//   - all: the users in the directory;
//   - a group: its members, until their list is purged;
//   - a list: its total alone.
func (v *verifier) coverage(ctx context.Context) error {
	listed := v.c.AudienceType == AudienceUsers
	// The audience is empty before the campaign starts, or when its audience was gone at the start.
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
	if twice > 0 && v.c.Zoned() { // within one zone, check compares each page with the page before
		v.find(nil, "%d members stand in pages of two zones", twice)
	}
	if missing > 0 {
		v.find(nil, "%d members of the frozen audience stand in no page", missing)
	}
	return nil
}

// eachOfAudience walks the members of a frozen audience that still stand where it was frozen.
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

// strays looks for rows that belong to no page: the cursors say how many rows there must be.
func (v *verifier) strays(ctx context.Context) error {
	var n struct{ Rows, Behind int64 }
	err := v.db.WithContext(ctx).Raw("SELECT (SELECT COUNT(*) FROM recipients WHERE campaign_id=?) AS `rows`, (SELECT COALESCE(SUM(pos),0) FROM pages WHERE campaign_id=?) AS behind", v.c.ID, v.c.ID).Scan(&n).Error
	if err == nil && n.Rows != n.Behind {
		v.find(nil, "%d recipients have a row, the pages' cursors say %d", n.Rows, n.Behind)
	}
	return err
}
