package models

import (
	"context"
	"database/sql"
	"slices"

	"gorm.io/gorm"
)

// countStep is how many users or members one statement of a count reads at most, where no index has
// the answer. A caller who goes away is noticed between two of them.
const countStep = 10_000

// ZoneUsers is how many of an audience's recipients one time zone has.
type ZoneUsers struct {
	Users    int64
	Unknown  int64 // of them, who are not in the directory; they have no zone
	Refusing int64 // of them, who refuse messages
}

// AudienceZones is an audience by time zone, as the directory has the zones now. "" is the zone of
// users who have none. A zone without recipients is left out.
type AudienceZones map[string]ZoneUsers

// ZoneFilter says what AudienceByZone counts.
type ZoneFilter struct {
	Audience
	Sender   string                 // whom a campaign to all leaves out
	Pick     func(zone string) bool // only zones that it accepts are counted; nil = all
	Refusing bool                   // count who refuses messages, too
}

// ExpectedCampaign is the campaign that CreateCampaign would make of spec now. It stores nothing.
// Its errors are those of CreateCampaign, but for those of an Idempotency-Key.
func (s *Store) ExpectedCampaign(ctx context.Context, spec CampaignSpec, admins []string) (Campaign, error) {
	return s.newCampaign(ctx, &spec, admins)
}

// AudienceByZone counts an audience's recipients by time zone. It reads no user whom an index counts.
func (s *Store) AudienceByZone(ctx context.Context, f ZoneFilter) (AudienceZones, error) {
	n := AudienceZones{}
	if f.Pick == nil {
		f.Pick = func(string) bool { return true }
	}
	var err error
	switch f.Type {
	case AudienceAll:
		err = s.allByZone(ctx, f, n)
	case AudienceUsers:
		err = s.listedByZone(ctx, f.UserIDs, n)
	case AudienceGroup:
		err = s.membersByZone(ctx, f.GroupID, n)
	}
	if err != nil {
		return nil, err
	}
	for zone, u := range n {
		if !f.Refusing {
			u.Refusing = 0
		}
		if n[zone] = u; u.Users <= 0 || !f.Pick(zone) {
			delete(n, zone)
		}
	}
	return n, nil
}

// zoneRow is some users of one zone, as the directory counts them.
type zoneRow struct {
	Timezone       string
	Known, Refuses bool
	Users          int64
}

// add adds rows of users; one with a negative number takes users away.
func (n AudienceZones) add(rows ...zoneRow) {
	for _, r := range rows {
		u := n[r.Timezone]
		u.Users += r.Users
		if !r.Known {
			u.Unknown += r.Users
		}
		if r.Refuses {
			u.Refusing += r.Users
		}
		n[r.Timezone] = u
	}
}

// allByZone goes from zone to zone along the index, so the users of other zones are not read.
func (s *Store) allByZone(ctx context.Context, f ZoneFilter, n AudienceZones) error {
	db := s.db.WithContext(ctx)
	zone := sql.NullString{Valid: true}
	for zone.Valid {
		if f.Pick(zone.String) {
			row := zoneRow{Timezone: zone.String, Known: true}
			if err := db.Raw("SELECT COUNT(*) FROM users WHERE timezone=?", zone.String).Scan(&row.Users).Error; err != nil {
				return err
			}
			n.add(row)
		}
		if err := db.Raw("SELECT MIN(timezone) FROM users WHERE timezone>?", zone.String).Scan(&zone).Error; err != nil {
			return err
		}
		progressed(ctx)
	}
	if f.Refusing {
		if err := s.refusingByZone(ctx, n); err != nil {
			return err
		}
	}
	u, err := s.User(ctx, f.Sender)
	switch {
	case err == nil:
		n.add(zoneRow{u.Timezone, true, u.Refuses, -1})
	case AsError(err).Code != CodeRecordNotFound:
		return err
	}
	return nil
}

// refusingByZone counts all who refuse messages. It reads the whole directory, in steps; no index
// has them, since there are few and only one channel asks.
func (s *Store) refusingByZone(ctx context.Context, n AudienceZones) error {
	db := s.db.WithContext(ctx)
	var refusing int64
	if err := db.Raw("SELECT refusing FROM directory WHERE id=1").Scan(&refusing).Error; err != nil || refusing == 0 {
		return err
	}
	return inSteps(ctx, func(after string) (last string, err error) {
		last, err = lastOfStep(db, "FROM users WHERE user_id>?", after)
		if err != nil || last == "" {
			return "", err
		}
		var rows []zoneRow
		err = db.Raw("SELECT timezone, COUNT(*) AS users FROM users WHERE user_id>? AND user_id<=? AND refuses=? GROUP BY timezone", after, last, true).Scan(&rows).Error
		for _, r := range rows {
			u := n[r.Timezone]
			u.Refusing += r.Users
			n[r.Timezone] = u
		}
		return last, err
	})
}

// listedByZone counts listed users. A user who is not in the directory has no zone.
func (s *Store) listedByZone(ctx context.Context, userIDs []string, n AudienceZones) error {
	for some := range slices.Chunk(sortedUnique(userIDs), upsertRows) {
		var rows []zoneRow
		err := s.db.WithContext(ctx).Raw("SELECT timezone, refuses, COUNT(*) AS users FROM users WHERE user_id IN ? GROUP BY timezone, refuses", some).Scan(&rows).Error
		if err != nil {
			return err
		}
		unknown := zoneRow{Users: int64(len(some))}
		for i := range rows {
			rows[i].Known = true
			unknown.Users -= rows[i].Users
		}
		n.add(append(rows, unknown)...)
		progressed(ctx)
	}
	return nil
}

// membersByZone counts the members that a group has when the count begins.
func (s *Store) membersByZone(ctx context.Context, groupID string, n AudienceZones) error {
	db := s.db.WithContext(ctx)
	g, err := s.group(db, groupID)
	if err != nil {
		return err
	}
	return inSteps(ctx, func(after string) (last string, err error) {
		last, err = lastOfStep(db, "FROM group_members WHERE group_id=? AND version=? AND user_id>?", groupID, g.Version, after)
		if err != nil || last == "" {
			return "", err
		}
		var rows []zoneRow
		err = db.Raw("SELECT COALESCE(u.timezone,'') AS timezone, u.user_id IS NOT NULL AS known, COALESCE(u.refuses,?) AS refuses, COUNT(*) AS users"+
			" FROM group_members m LEFT JOIN users u ON u.user_id=m.user_id WHERE m.group_id=? AND m.version=? AND m.user_id>? AND m.user_id<=?"+
			" GROUP BY u.timezone, u.user_id IS NOT NULL, u.refuses", false, groupID, g.Version, after, last).Scan(&rows).Error
		n.add(rows...)
		return last, err
	})
}

// inSteps calls step until it has come to the end, which is "". step is told what the step before has
// come to.
func inSteps(ctx context.Context, step func(after string) (last string, err error)) error {
	for after := ""; ; {
		last, err := step(after)
		if err != nil || last == "" {
			return err
		}
		after = last
		progressed(ctx)
	}
}

// lastOfStep is the last of the next countStep users that a condition holds for: "" when there is
// none.
func lastOfStep(db *gorm.DB, where string, args ...any) (last string, err error) {
	err = db.Raw("SELECT COALESCE(MAX(user_id),'') FROM (SELECT user_id "+where+" ORDER BY user_id LIMIT ?) m", append(args, countStep)...).Scan(&last).Error
	return last, err
}

// RunningOn is how many campaigns run on a channel now.
func (s *Store) RunningOn(ctx context.Context, channel string) (n int64, err error) {
	err = s.db.WithContext(ctx).Raw("SELECT COUNT(*) FROM campaigns WHERE status=? AND channel=?", StatusRunning, channel).Scan(&n).Error
	return n, err
}
