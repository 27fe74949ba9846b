package models

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"
)

// RecipientCursor is a place in a campaign's recipients: a page and a position in the page. The
// zero value is the start.
type RecipientCursor struct {
	Page int
	Pos  int
}

// RecipientFilter selects recipients of a campaign, in the order of its pages.
type RecipientFilter struct {
	Status *RecipientStatus // nil = any
	From   RecipientCursor
	Limit  int
}

// Recipients lists recipients from a cursor on, in the order of the pages. next is nil at the end.
//
//   - A pending recipient that has no row (ahead of its page's cursor) is listed as if it had one.
//   - Pages without a recipient of the wanted status are skipped by their counters. So a rare
//     status is found without reading the other recipients.
//   - While the audience is still being cut, there is no end: next is then the place of the
//     members to come. It does not pass a page that is still being filled.
//
// A purged campaign is 3001.
func (s *Store) Recipients(ctx context.Context, c Campaign, f RecipientFilter) (list []Recipient, next *RecipientCursor, err error) {
	list, next, err = s.recipients(ctx, c, f)
	if err == nil {
		err = s.unpurged(ctx, c.ID)
	}
	if err != nil {
		return nil, nil, err
	}
	return list, next, nil
}

// recipients is Recipients of a campaign that is not purged meanwhile.
func (s *Store) recipients(ctx context.Context, c Campaign, f RecipientFilter) (list []Recipient, next *RecipientCursor, err error) {
	from := f.From
	var ahead []filledPage
	for {
		if len(ahead) == 0 {
			if ahead, err = s.filledPages(ctx, c.ID, from.Page, f.Status); err != nil {
				return nil, nil, err
			}
		}
		if len(ahead) == 0 {
			if c.Planned {
				return list, nil, nil
			}
			if c.Planned, err = s.planned(ctx, c.ID); err != nil || !c.Planned {
				return list, &from, err
			}
			continue // its last pages may have come since
		}
		page := ahead[0]
		ahead = ahead[1:]
		if page.No != from.Page {
			from = RecipientCursor{Page: page.No}
		}
		if page.Members == nil {
			return nil, nil, cmp.Or(s.unpurged(ctx, c.ID), gorm.ErrRecordNotFound)
		}
		members, err := unpackMembers(page.Members)
		if err != nil {
			return nil, nil, err
		}
		rest := members[min(from.Pos, len(members)):]
		if f.Status == nil { // and one more, to know whether there are more
			rest = rest[:min(len(rest), f.Limit-len(list)+1)]
		}
		rows, err := s.recipientsOf(ctx, c, page.Page, rest, f.Status)
		if err != nil {
			return nil, nil, err
		}
		for _, r := range rows {
			if f.Status == nil || r.Status == *f.Status {
				if len(list) == f.Limit {
					return list, &from, nil
				}
				list = append(list, r)
			}
			from.Pos++
		}
		if page.State == PageOpen {
			return list, &from, nil
		}
		from = RecipientCursor{Page: page.No + 1}
	}
}

// planned reports whether a campaign's whole audience has been cut into pages.
func (s *Store) planned(ctx context.Context, campaignID int64) (planned bool, err error) {
	err = s.db.WithContext(ctx).Raw("SELECT planned FROM campaigns WHERE id=?", campaignID).Scan(&planned).Error
	return planned, err
}

// nextPage finds the first page from number no on.
func (s *Store) nextPage(ctx context.Context, campaignID int64, no int) (*Page, error) {
	var pages []Page
	err := s.db.WithContext(ctx).Where("campaign_id = ? AND no >= ?", campaignID, no).Order("no").Limit(1).Find(&pages).Error
	if err != nil || len(pages) == 0 {
		return nil, err
	}
	return &pages[0], nil
}

// filledPage is a page with its members as they are stored; nil = they are gone.
type filledPage struct {
	Page
	Members []byte
}

// pagesAhead is how many pages are read at once to find recipients of one status: a page may hold few.
const pagesAhead = 8

// filledPages reads the first pages, from number no on, that can hold a recipient of the status. A
// page that is still being filled can hold any status.
func (s *Store) filledPages(ctx context.Context, campaignID int64, no int, status *RecipientStatus) (pages []filledPage, err error) {
	where, args, n := "campaign_id=? AND no>=?", []any{campaignID, no}, 1
	if status != nil {
		n = pagesAhead
		if *status == RecipientPending {
			where, args = where+" AND (pos<size AND rest=? OR pending_rows>0 OR state=?)", append(args, RecipientPending, PageOpen)
		} else {
			where, args = where+" AND ("+RecipientStatusNames[*status]+">0 OR state=?)", append(args, PageOpen)
		}
	}
	err = s.db.WithContext(ctx).Raw("SELECT p.*, m.members FROM (SELECT * FROM pages WHERE "+where+" ORDER BY no LIMIT ?) p"+
		" LEFT JOIN page_members m ON m.campaign_id=p.campaign_id AND m.no=p.no ORDER BY p.no", append(args, n)...).Scan(&pages).Error
	return pages, err
}

var missedReason = "missed: the local time had passed when the campaign came to it"

// pageMembers reads the members of a page, in their order.
func (s *Store) pageMembers(ctx context.Context, c Campaign, no int) ([]string, error) {
	members, err := s.members(s.db.WithContext(ctx), c.ID, no)
	if errors.Is(err, gorm.ErrRecordNotFound) {
		err = cmp.Or(s.unpurged(ctx, c.ID), err)
	}
	return members, err
}

// pageRecipients reads all recipients of a page in member order, with the pending that have no row.
func (s *Store) pageRecipients(ctx context.Context, c Campaign, page Page) ([]Recipient, error) {
	members, err := s.pageMembers(ctx, c, page.No)
	if err != nil {
		return nil, err
	}
	list, err := s.recipientsOf(ctx, c, page, members, nil)
	return list, cmp.Or(err, s.unpurged(ctx, c.ID))
}

// recipientsOf reads some members of a page as recipients, in their order. Those who have another status than the wanted one may
// come as pending: then only the rows with that status are read. What was read counts if the campaign is unpurged afterwards.
func (s *Store) recipientsOf(ctx context.Context, c Campaign, page Page, members []string, wanted *RecipientStatus) ([]Recipient, error) {
	if len(members) == 0 {
		return nil, nil
	}
	q := s.db.WithContext(ctx).Where("campaign_id = ? AND kind = ?", c.ID, c.Kind)
	byRows := wanted != nil && *wanted != RecipientPending && (page.AheadStatus != *wanted || page.Pos >= page.Size)
	if byRows {
		page.AheadStatus = RecipientPending
		q = q.Where("status = ?", *wanted)
	}
	if wanted != nil && !c.Zoned() { // the members stand together
		q = q.Where("user_id BETWEEN ? AND ?", members[0], members[len(members)-1])
	} else {
		q = q.Where("user_id IN ?", members)
	}
	var rows []Recipient
	if err := q.Find(&rows).Error; err != nil {
		return nil, err
	}
	byID := make(map[string]Recipient, len(rows))
	for _, r := range rows {
		byID[r.UserID] = r
	}
	out := make([]Recipient, len(members))
	for i, id := range members {
		r, ok := byID[id]
		if !ok {
			r = Recipient{CampaignID: c.ID, Kind: c.Kind, UserID: id, Status: page.AheadStatus}
			switch r.Status { //nolint:exhaustive // no other status takes the campaign's reason
			case RecipientSkipped: // the campaign's reason is the only one why the rest of a page is skipped
				r.ErrMsg = &missedReason
			case RecipientFailed:
				r.ErrMsg = &c.StatusReason
			}
		} else {
			c.explain(&r)
		}
		out[i] = r.shown()
	}
	return out, nil
}

// explain gives a recipient who was pending when the campaign failed the campaign's words.
func (c *Campaign) explain(r *Recipient) {
	if r.Status == RecipientFailed && r.ErrMsg == nil && c.Status == StatusFailed {
		r.ErrMsg = &c.StatusReason
	}
}

// Recipient finds one recipient of a campaign. 1004: the ID is not in the audience, as far as it is
// planned.
func (s *Store) Recipient(ctx context.Context, c Campaign, id string) (Recipient, error) {
	if err := c.ErrPurged(); err != nil {
		return Recipient{}, &Error{Code: CodeRecordNotFound, Detail: AsError(err).Detail}
	}
	db := s.db.WithContext(ctx)
	var rows []Recipient
	if err := db.Where("campaign_id = ? AND kind = ? AND user_id = ?", c.ID, c.Kind, id).Limit(1).Find(&rows).Error; err != nil {
		return Recipient{}, err
	}
	if len(rows) == 1 {
		c.explain(&rows[0])
		return rows[0].shown(), nil
	}
	// There is no row. Of each zone, one page may hold the ID: the page with the last first member
	// that is not behind the ID.
	var pages []Page
	err := db.Raw("SELECT p.* FROM pages p JOIN (SELECT zone, MAX(first_id) AS first_id FROM pages WHERE campaign_id=? AND first_id<=? GROUP BY zone) z"+
		" ON p.zone=z.zone AND p.first_id=z.first_id WHERE p.campaign_id=?", c.ID, id, c.ID).Scan(&pages).Error
	if err != nil {
		return Recipient{}, err
	}
	for _, page := range pages {
		members, err := s.pageRecipients(ctx, c, page)
		if err != nil {
			return Recipient{}, err
		}
		i, found := slices.BinarySearchFunc(members, id, func(r Recipient, id string) int { return strings.Compare(r.UserID, id) })
		if found {
			return members[i], nil
		}
	}
	why, err := s.whyNot(ctx, c, id)
	if err != nil {
		return Recipient{}, err
	}
	return Recipient{}, &Error{Code: CodeRecordNotFound, Detail: why}
}

// whyNot says why an ID is not among a campaign's recipients.
func (s *Store) whyNot(ctx context.Context, c Campaign, id string) (string, error) {
	if err := s.unpurged(ctx, c.ID); err != nil {
		e := AsError(err)
		if e.Code != CodeIllegalTransition {
			return "", err
		}
		return e.Detail, nil
	}
	if c.Kind == KindUser && c.Planned && id == c.leftOut() {
		return notTheSender, nil
	}
	known, err := s.KnownUsers(ctx, []string{id})
	user, here := known[id]
	return notAmong(c, here && user.AddedRev > c.Mark), err
}

const notTheSender = "the sender of a campaign to all users is not among its recipients"

// notAmong says why a user who is not the sender is not among a campaign's recipients. later: the
// user came into the directory after the audience was frozen.
func notAmong(c Campaign, later bool) string {
	switch {
	case c.Kind == KindGroup:
		return "this campaign's one recipient is a group; its members read it from there"
	case !c.Planned && c.StartedAt == 0 && c.FinishedAt == 0:
		return fmt.Sprintf("the campaign is %s; its audience is fixed when it starts", c.Status)
	case !c.Planned:
		return "not in the part of this campaign's audience that has been planned so far"
	case c.AudienceType == AudienceUsers:
		return "not in this campaign's list of recipients"
	case c.AudienceType == AudienceGroup:
		return "was not a member of the group when this campaign's audience was frozen"
	case later:
		return "was added to the directory after this campaign's audience was frozen"
	}
	return "was not in the directory when this campaign's audience was frozen"
}
