package models

import (
	"context"
	"slices"

	"gorm.io/gorm"
)

// audienceMember is a recipient with the time zone that the directory has for them: "" = none.
type audienceMember struct {
	UserID   string
	Timezone string
}

// audienceAfter reads the next n members of the frozen audience, in byte order. Zones
// are read for campaigns that go by them.
func (s *Store) audienceAfter(ctx context.Context, c *Campaign, n int) (found []audienceMember, err error) {
	db := s.db.WithContext(ctx)
	if c.AudienceType == AudienceAll {
		zone := "''"
		if c.Zoned() {
			zone = "timezone"
		}
		// guard: mark
		return scanMembers(db.Raw("SELECT user_id, "+zone+" FROM users WHERE user_id > ? AND user_id <> ? AND added_rev <= ? ORDER BY user_id LIMIT ?",
			c.PlanCursor, c.leftOut(), c.Mark, n), n)
	}
	var ids []string
	if c.AudienceType == AudienceGroup {
		ids, err = s.membersAfter(db, c.GroupID, c.GroupVersion, c.PlanCursor, n)
	} else {
		ids, err = s.listedAfter(db, c, n)
	}
	if err != nil {
		return nil, err
	}
	found = make([]audienceMember, len(ids))
	for i, id := range ids {
		found[i].UserID = id
	}
	if c.Zoned() {
		err = fillZones(db, found)
	}
	return found, err
}

// scanMembers reads rows of an ID and a zone without gorm's reflection, which takes longer than the database.
func scanMembers(query *gorm.DB, n int) ([]audienceMember, error) {
	rows, err := query.Rows()
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := make([]audienceMember, 0, n)
	for rows.Next() {
		var m audienceMember
		if err := rows.Scan(&m.UserID, &m.Timezone); err != nil {
			return nil, err
		}
		found = append(found, m)
	}
	return found, rows.Err()
}

// listedAfter reads the next of the recipients that a POST named.
func (s *Store) listedAfter(db *gorm.DB, c *Campaign, n int) (ids []string, err error) {
	var rows []listed
	err = db.Where("campaign_id = ? AND last_id > ?", c.ID, c.PlanCursor).Order("last_id").Limit(n / PageSize).Find(&rows).Error
	for _, r := range rows {
		if err != nil {
			break
		}
		var some []string
		some, err = unpackMembers(r.Members)
		ids = append(ids, some...)
	}
	return ids, err
}

func fillZones(db *gorm.DB, members []audienceMember) error {
	for some := range slices.Chunk(members, PageSize) {
		ids := make([]string, len(some))
		for i, m := range some {
			ids[i] = m.UserID
		}
		var known []audienceMember
		if err := db.Raw("SELECT user_id, timezone FROM users WHERE user_id IN ? ORDER BY user_id", ids).Scan(&known).Error; err != nil {
			return err
		}
		for _, k := range known {
			if i, ok := slices.BinarySearch(ids, k.UserID); ok {
				some[i].Timezone = k.Timezone
			}
		}
	}
	return nil
}
