package models

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
)

// UserCampaign is what became of a user in one campaign: the user's recipient row as Recipient
// gives it, or the reason why there is none. A message that is stored once for a group counts for
// each member: there the recipient is the group.
type UserCampaign struct {
	Campaign  Campaign // without its message
	Recipient *Recipient
	WhyNot    string
}

// userBatches are how many campaigns the steps of UserCampaigns read. A page takes no more steps,
// whatever they found. The first is small: a user who gets much has a page full of campaigns there.
var userBatches = []int{100, 400}

// keysAtOnce is how many recipients a statement finds by their keys. MariaDB guesses what more than
// 200 cost, and may then read the whole table instead.
const keysAtOnce = 100

// lookColumns are what says whether a campaign was for a user, and what became of that.
const lookColumns = `id, status, status_reason, status_reason_code, audience_type, group_id, kind, mark, planned, started_at, finished_at, purged_at,
	finished_at<>0 AND final_sent=total AS all_sent`

// lookedAt is a campaign with no more than lookColumns.
type lookedAt struct {
	Campaign
	AllSent bool // and for good: each recipient has a row until the purge
}

// UserCampaigns lists the campaigns that a user is, was or could have been a recipient of, newest
// first. It begins before the internal number given; 0 = at the newest. Campaigns for other users,
// or for a group the user is not in, are left out.
//
// next is where to go on, 0 at the end. A page may hold fewer than limit before the end.
func (s *Store) UserCampaigns(ctx context.Context, userID string, before int64, limit int) (list []UserCampaign, next int64, err error) {
	look := userLook{Store: s, userID: userID}
	if err := look.begin(ctx); err != nil {
		return nil, 0, err
	}
	if list, next, err = look.list(ctx, cmp.Or(before, math.MaxInt64), limit); err != nil {
		return nil, 0, err
	}
	return list, next, s.addListed(ctx, list)
}

// addListed adds what a list shows of the campaigns. What moves stays as it was found, so that it
// goes with the recipients.
func (s *Store) addListed(ctx context.Context, list []UserCampaign) error {
	if len(list) == 0 {
		return nil
	}
	ids := make([]int64, len(list))
	for i, u := range list {
		ids[i] = u.Campaign.ID
	}
	var rows []Campaign
	if err := s.db.WithContext(ctx).Raw("SELECT "+listedColumns+" FROM campaigns WHERE id IN ?", ids).Scan(&rows).Error; err != nil {
		return err
	}
	byID := make(map[int64]Campaign, len(rows))
	for _, c := range rows {
		byID[c.ID] = c
	}
	for i, u := range list {
		found := u.Campaign
		c := byID[found.ID]
		c.Status, c.StatusReason, c.StatusReasonCode = found.Status, found.StatusReason, found.StatusReasonCode
		c.Planned, c.StartedAt, c.FinishedAt, c.PurgedAt = found.Planned, found.StartedAt, found.FinishedAt, found.PurgedAt
		list[i].Campaign = c
	}
	return nil
}

// userLook is what is known of one user while their campaigns are listed.
type userLook struct {
	*Store
	userID string
	known  bool  // the user stands in the directory
	added  int64 // the directory's revision at which the user was added
	groups []string
}

func (l *userLook) begin(ctx context.Context) error {
	known, err := l.KnownUsers(ctx, []string{l.userID})
	if err != nil {
		return err
	}
	user, here := known[l.userID]
	l.added, l.known = user.AddedRev, here
	keys, err := l.inboxKeys(ctx, l.userID)
	l.groups = keys[KindGroup]
	return err
}

// list is UserCampaigns, with no more of the campaigns than lookColumns.
func (l *userLook) list(ctx context.Context, before int64, limit int) (list []UserCampaign, next int64, err error) {
	for _, n := range userBatches {
		var campaigns []lookedAt
		err := l.db.WithContext(ctx).Raw("SELECT "+lookColumns+" FROM campaigns WHERE id < ? ORDER BY id DESC LIMIT ?", before, n).Scan(&campaigns).Error
		if err != nil {
			return nil, 0, err
		}
		found, err := l.in(ctx, campaigns)
		if err != nil {
			return nil, 0, err
		}
		if len(list)+len(found) > limit {
			list = append(list, found[:limit-len(list)]...)
			return list, list[len(list)-1].Campaign.ID, nil
		}
		list = append(list, found...)
		if len(campaigns) < n {
			return list, 0, nil
		}
		before = campaigns[n-1].ID
		if len(list) == limit {
			break
		}
	}
	return list, before, nil
}

// in says what became of the user in each campaign that could have been theirs.
func (l *userLook) in(ctx context.Context, campaigns []lookedAt) (found []UserCampaign, err error) {
	rows, err := l.rows(ctx, campaigns)
	if err != nil {
		return nil, err
	}
	purged, err := l.purgedNow(ctx, campaigns) // after the rows were read: see unpurged
	if err != nil {
		return nil, err
	}
	for _, c := range campaigns {
		c.PurgedAt = cmp.Or(c.PurgedAt, purged[c.ID])
		one := UserCampaign{Campaign: c.Campaign}
		rec, ok := rows[c.ID]
		switch {
		case ok && c.PurgedAt == 0:
			one.Recipient = &rec
		case !l.possible(c.Campaign):
			continue
		case c.PurgedAt != 0:
			one.WhyNot = AsError(c.ErrPurged()).Detail
		default:
			one.WhyNot = l.whyNot(c.Campaign)
		}
		found = append(found, one)
	}
	return found, nil
}

// possible says whether a campaign that has no row of the user could have been theirs.
func (l *userLook) possible(c Campaign) bool {
	switch c.AudienceType {
	case AudienceGroup:
		return slices.Contains(l.groups, c.GroupID)
	case AudienceUsers:
		return !c.Planned || c.PurgedAt != 0 // the list of recipients is not (or no longer) there to ask
	case AudienceAll:
	}
	return true
}

func (l *userLook) whyNot(c Campaign) string {
	if c.AudienceType == AudienceAll && c.Planned && l.known && l.added <= c.Mark {
		return notTheSender // of the users there at the freeze, the sender alone is left out
	}
	return notAmong(c, l.known && l.added > c.Mark)
}

// rows returns the user's recipients by campaign ID, with the recipients that have no row yet.
func (l *userLook) rows(ctx context.Context, campaigns []lookedAt) (map[int64]Recipient, error) {
	ids, keys := map[int][]int64{}, map[int][]string{KindUser: {l.userID}}
	byID := map[int64]lookedAt{}
	for _, c := range campaigns {
		if c.PurgedAt != 0 || c.Kind == KindGroup && !slices.Contains(l.groups, c.GroupID) {
			continue
		}
		ids[c.Kind], byID[c.ID] = append(ids[c.Kind], c.ID), c
		if c.Kind == KindGroup {
			keys[KindGroup] = append(keys[KindGroup], c.GroupID)
		}
	}
	out := map[int64]Recipient{}
	for kind, all := range ids {
		for some := range slices.Chunk(all, keysAtOnce) {
			var rows []Recipient
			err := l.db.WithContext(ctx).Where("campaign_id IN ? AND kind = ? AND user_id IN ?", some, kind, sortedUnique(keys[kind])).Find(&rows).Error
			if err != nil {
				return nil, err
			}
			for _, r := range rows {
				if kind == KindGroup && byID[r.CampaignID].GroupID != r.UserID {
					continue
				}
				out[r.CampaignID] = r.shown()
			}
		}
	}
	return out, l.implied(ctx, byID, out)
}

// implied adds the recipients without a row. Such a recipient stands ahead of the cursor of a page:
// the page with the last first member that is not behind the ID. Each zone may have one such page.
func (l *userLook) implied(ctx context.Context, byID map[int64]lookedAt, out map[int64]Recipient) error {
	var ids []int64
	for id, c := range byID {
		if _, ok := out[id]; ok || c.AllSent {
			continue
		}
		if c.Kind == KindUser {
			ids = append(ids, id)
		} else {
			rec, err := l.Recipient(ctx, c.Campaign, c.GroupID)
			if err != nil && AsError(err).Code != CodeRecordNotFound {
				return err
			}
			if err == nil {
				out[id] = rec
			}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	var pages []Page
	err := l.db.WithContext(ctx).Raw("SELECT p.* FROM pages p JOIN (SELECT campaign_id, zone, MAX(first_id) AS first_id FROM pages WHERE campaign_id IN ? AND first_id<=?"+
		" GROUP BY campaign_id, zone) z ON p.campaign_id=z.campaign_id AND p.zone=z.zone AND p.first_id=z.first_id WHERE p.pos<p.size", ids, l.userID).Scan(&pages).Error
	if err != nil {
		return err
	}
	for _, page := range pages {
		members, err := l.pageRecipients(ctx, byID[page.CampaignID].Campaign, page)
		if err != nil {
			if AsError(err).Code == CodeIllegalTransition { // the campaign is being purged
				continue
			}
			return err
		}
		i, found := slices.BinarySearchFunc(members, l.userID, func(r Recipient, id string) int { return strings.Compare(r.UserID, id) })
		if found {
			out[page.CampaignID] = members[i]
		}
	}
	return nil
}

// purgedNow returns the campaigns whose recipients are gone by now, with the time of the purge.
func (l *userLook) purgedNow(ctx context.Context, campaigns []lookedAt) (map[int64]Millis, error) {
	ids := make([]int64, len(campaigns))
	for i, c := range campaigns {
		ids[i] = c.ID
	}
	var rows []Campaign
	err := l.db.WithContext(ctx).Select("id", "purged_at").Where("id IN ? AND purged_at > 0", ids).Find(&rows).Error
	out := make(map[int64]Millis, len(rows))
	for _, c := range rows {
		out[c.ID] = c.PurgedAt
	}
	return out, err
}
