package models

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// InboxCursor is a place in a user's inbox: messages are ordered by (SentAt, Campaign).
type InboxCursor struct {
	SentAt   Millis
	Campaign int64
}

func (a InboxCursor) less(b InboxCursor) bool {
	return a.SentAt < b.SentAt || a.SentAt == b.SentAt && a.Campaign < b.Campaign
}

// Later returns the later of the two places.
func (a InboxCursor) Later(b InboxCursor) InboxCursor {
	if a.less(b) {
		return b
	}
	return a
}

// InboxMessage is one message in a user's inbox.
type InboxMessage struct {
	Campaign Campaign
	GroupID  string // set when the message was sent to a group of the user's
	SentAt   Millis
}

// Cursor is the message's place in the inbox.
func (m InboxMessage) Cursor() InboxCursor { return InboxCursor{m.SentAt, m.Campaign.ID} }

// inboxLookback is how far before its cursor a read begins, in milliseconds. sent_at is taken
// before the commit, so a message may be committed after messages with a later sent_at. Clients
// recognise a repeated message by its clientMsgID.
const inboxLookback Millis = 10_000

// Inbox reads a user's messages, oldest first:
//
//   - again the messages of the ten seconds up to the cursor;
//   - then newer ones: at most limit, and no more bytes than inboxBytes.
//
// Two rules on IDs that were used before:
//
//   - A user does not read what was sent to the same ID before the user came into the directory.
//   - Members of a group do not read what was sent to an earlier group of the same ID.
func (s *Store) Inbox(ctx context.Context, userID string, after InboxCursor, limit int) ([]InboxMessage, error) {
	var added Millis
	if err := s.db.WithContext(ctx).Raw("SELECT added_at FROM users WHERE user_id=?", userID).Scan(&added).Error; err != nil {
		return nil, err
	}
	floor := max(0, after.SentAt-inboxLookback, added)
	keys, err := s.inboxKeys(ctx, userID)
	if err != nil {
		return nil, err
	}
	refs, err := s.smallRefs(ctx, keys, floor, after.SentAt, limit)
	if err != nil {
		return nil, err
	}
	large, err := s.largeRefs(ctx, userID, floor, after.SentAt, limit)
	if err != nil {
		return nil, err
	}
	refs = append(refs, large...)
	slices.SortFunc(refs, func(a, b inboxRef) int {
		return cmp.Or(cmp.Compare(a.SentAt, b.SentAt), cmp.Compare(a.CampaignID, b.CampaignID))
	})
	// limit counts new messages, so that repeated messages never crowd them out.
	again, _ := slices.BinarySearchFunc(refs, after, func(r inboxRef, after InboxCursor) int {
		if after.less(r.cursor()) {
			return 1
		}
		return -1
	})
	return s.inboxMessages(ctx, refs[:min(again+limit, len(refs))], again)
}

type inboxRef struct {
	CampaignID int64
	Kind       int
	UserID     string
	SentAt     Millis
	StartedAt  Millis // of a large campaign
}

func (r inboxRef) cursor() InboxCursor { return InboxCursor{r.SentAt, r.CampaignID} }

// inboxKeys returns the recipients' keys that a user reads, by kind: the user's and the groups'.
func (s *Store) inboxKeys(ctx context.Context, userID string) (map[int][]string, error) {
	var groups []string
	err := s.db.WithContext(ctx).Raw("SELECT m.group_id FROM group_members m JOIN chat_groups g ON g.group_id=m.group_id AND g.version=m.version WHERE m.user_id=?", userID).
		Scan(&groups).Error
	return map[int][]string{KindUser: {userID}, KindGroup: groups}, err
}

// smallRefs reads the messages of the user's keys: all in [floor, after], then up to limit later
// ones. For a group, nothing before the group was made is read.
func (s *Store) smallRefs(ctx context.Context, keys map[int][]string, floor, after Millis, limit int) ([]inboxRef, error) {
	const columns = "SELECT i.campaign_id, i.kind, i.user_id, i.sent_at FROM inbox_small i "
	const chosen = "WHERE i.kind=? AND i.user_id IN ? AND i.sent_at"
	db := s.db.WithContext(ctx)
	var all []inboxRef
	for kind, ids := range keys {
		if len(ids) == 0 {
			continue
		}
		of := columns + chosen
		if kind == KindGroup {
			of = columns + "JOIN chat_groups g ON g.group_id=i.user_id AND i.sent_at>=g.added_at " + chosen
		}
		var again, later []inboxRef
		err := db.Raw(of+" BETWEEN ? AND ?", kind, ids, floor, after).Scan(&again).Error
		if err == nil {
			err = db.Raw(of+">? ORDER BY i.sent_at, i.campaign_id LIMIT ?", kind, ids, max(after, floor-1), limit).Scan(&later).Error
		}
		if err != nil {
			return nil, err
		}
		all = append(append(all, again...), later...)
	}
	return all, nil
}

// largeMore is how many messages of large campaigns are read beyond limit: for those that are read
// again and those of campaigns that ran at the same time.
const largeMore = 50

// largeRefs walks the large campaigns in the order in which they started, and looks the user up in
// each by primary key. It stops when no later campaign can hold an earlier message.
func (s *Store) largeRefs(ctx context.Context, userID string, floor, after Millis, limit int) ([]inboxRef, error) {
	db := s.db.WithContext(ctx)
	var from inboxRef
	// The walk begins at the first campaign that was not over at floor.
	const begun = "SELECT MIN(started_at) AS began FROM campaigns WHERE inbox=? AND finished_at"
	err := db.Raw("SELECT COALESCE(MIN(began),-1) AS started_at FROM ("+begun+"=0 UNION ALL "+begun+">=?) b", inboxLarge, inboxLarge, floor).Scan(&from).Error
	if err != nil || from.StartedAt < 0 {
		return nil, err
	}
	var all []inboxRef
	for {
		var rows []inboxRef
		// finished_at+0 keeps MySQL from using an index on finished_at: the walk is in the order of
		// started_at.
		err := db.Raw(`SELECT r.campaign_id, r.kind, r.user_id, r.sent_at, c.started_at FROM campaigns c
			JOIN recipients r ON r.campaign_id=c.id AND r.kind=? AND r.user_id=? AND r.status=? AND r.sent_at>=?
			WHERE c.inbox=? AND c.started_at>=? AND (c.started_at>? OR c.id>?) AND (c.finished_at+0=0 OR c.finished_at+0>=?)
			ORDER BY c.started_at, c.id LIMIT ?`,
			KindUser, userID, RecipientSent, floor, inboxLarge, from.StartedAt, from.StartedAt, from.CampaignID, floor, limit+largeMore).Scan(&rows).Error
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
		if len(rows) < limit+largeMore {
			return all, nil
		}
		if from = rows[len(rows)-1]; countCertain(all, after, from.StartedAt) >= limit {
			return all, nil
		}
	}
}

// countCertain counts the messages after the cursor that were sent before t. A campaign that
// started at t or later cannot hold a message that comes before them.
func countCertain(refs []inboxRef, after, t Millis) (n int) {
	for _, r := range refs {
		if r.SentAt > after && r.SentAt < t {
			n++
		}
	}
	return n
}

// inboxBytes bounds the new messages of one read. One message has at most 64 KiB of content and a
// little more, so up to sizeFrom messages always fit.
const (
	inboxBytes = 4 << 20
	sizeFrom   = 50
)

// countFitting returns how many of refs one read may give: the repeated ones, then as many as
// inboxBytes allows, at least one.
func (s *Store) countFitting(ctx context.Context, refs []inboxRef, again int) (int, error) {
	if len(refs)-again <= sizeFrom {
		return len(refs), nil
	}
	var sizes []struct {
		ID    int64
		Bytes int64
	}
	err := s.db.WithContext(ctx).Raw("SELECT id, LENGTH(message) AS bytes FROM campaigns WHERE id IN ?", campaignsOf(refs[again:])).Scan(&sizes).Error
	if err != nil {
		return 0, err
	}
	bytes := make(map[int64]int64, len(sizes))
	for _, c := range sizes {
		bytes[c.ID] = c.Bytes
	}
	n, sum := again, int64(0)
	for ; n < len(refs); n++ {
		if sum += bytes[refs[n].CampaignID]; sum > inboxBytes && n > again {
			break
		}
	}
	return n, nil
}

func campaignsOf(refs []inboxRef) []int64 {
	ids := make([]int64, len(refs))
	for i, r := range refs {
		ids[i] = r.CampaignID
	}
	return ids
}

func (s *Store) inboxMessages(ctx context.Context, refs []inboxRef, again int) ([]InboxMessage, error) {
	n, err := s.countFitting(ctx, refs, again)
	if err != nil {
		return nil, err
	}
	refs = refs[:n]
	ids := campaignsOf(refs)
	var campaigns []Campaign
	if err := s.db.WithContext(ctx).Where("id IN ?", ids).Find(&campaigns).Error; err != nil {
		return nil, err
	}
	byID := make(map[int64]Campaign, len(campaigns))
	for _, c := range campaigns {
		byID[c.ID] = c
	}
	out := make([]InboxMessage, len(refs))
	for i, r := range refs {
		c, ok := byID[r.CampaignID]
		if !ok {
			return nil, fmt.Errorf("campaign %d has recipients but no row", r.CampaignID)
		}
		out[i] = InboxMessage{Campaign: c, SentAt: r.SentAt}
		if r.Kind == KindGroup {
			out[i].GroupID = r.UserID
		}
	}
	return out, nil
}

// InboxNews is a message in a user's inbox, without its content.
type InboxNews struct {
	UserID   string // whose inbox
	Campaign int64
	GroupID  string // set when the message was sent to a group of the user's
}

// newsBatch is how many users one look-up covers.
const newsBatch = 500

// InboxNews finds the messages stored for the given users since a time, and in the ten seconds
// before that time. Its cost:
//
//   - one index read, while no campaign for inboxes is running or has just finished;
//   - else one read by primary key for each given user, whatever the size of the campaigns.
func (s *Store) InboxNews(ctx context.Context, users []string, since Millis) ([]InboxNews, error) {
	floor := since - inboxLookback
	var active []Campaign
	// A UNION, not an OR: with OR SQLite would read the campaigns of all time.
	const campaigns = "SELECT id, kind, inbox, group_id FROM campaigns WHERE inbox IN (1,2) AND finished_at"
	err := s.db.WithContext(ctx).Raw(campaigns+"=0 UNION ALL "+campaigns+">=?", max(1, floor)).Scan(&active).Error
	if err != nil {
		return nil, err
	}
	var news []InboxNews
	for batch := range slices.Chunk(users, newsBatch) {
		for _, find := range []func(context.Context, []Campaign, []string, Millis) ([]InboxNews, error){s.smallNews, s.largeNews, s.groupNews} {
			found, err := find(ctx, active, batch, floor)
			if err != nil {
				return nil, err
			}
			news = append(news, found...)
		}
	}
	return news, nil
}

func (s *Store) smallNews(ctx context.Context, active []Campaign, users []string, floor Millis) (news []InboxNews, err error) {
	if !slices.ContainsFunc(active, func(c Campaign) bool { return c.Inbox == inboxSmall && c.Kind == KindUser }) {
		return nil, nil
	}
	err = s.db.WithContext(ctx).Raw("SELECT user_id, campaign_id AS campaign FROM inbox_small WHERE kind=? AND user_id IN ? AND sent_at>=?",
		KindUser, users, floor).Scan(&news).Error
	return news, err
}

func (s *Store) largeNews(ctx context.Context, active []Campaign, users []string, floor Millis) (news []InboxNews, err error) {
	for _, c := range active {
		if c.Inbox != inboxLarge {
			continue
		}
		var some []InboxNews
		err := s.db.WithContext(ctx).Raw("SELECT user_id, campaign_id AS campaign FROM recipients WHERE campaign_id=? AND kind=? AND user_id IN ? AND status=? AND sent_at>=?",
			c.ID, KindUser, users, RecipientSent, floor).Scan(&some).Error
		if err != nil {
			return nil, err
		}
		news = append(news, some...)
	}
	return news, nil
}

// groupNews finds the given users among the members of each group that just got a message.
func (s *Store) groupNews(ctx context.Context, active []Campaign, users []string, floor Millis) (news []InboxNews, err error) {
	var groups []string
	for _, c := range active {
		if c.Inbox == inboxSmall && c.Kind == KindGroup {
			groups = append(groups, c.GroupID)
		}
	}
	if len(groups) == 0 {
		return nil, nil
	}
	err = s.db.WithContext(ctx).Raw(`SELECT m.user_id, i.campaign_id AS campaign, m.group_id FROM chat_groups g
		JOIN group_members m ON m.group_id=g.group_id AND m.version=g.version AND m.user_id IN ?
		JOIN inbox_small i ON i.kind=? AND i.user_id=g.group_id AND i.sent_at>=? WHERE g.group_id IN ?`,
		users, KindGroup, floor, sortedUnique(groups)).Scan(&news).Error
	return news, err
}
