package models

import (
	"context"

	"gorm.io/gorm"
)

// Group is a chat group: a name and a list of members.
type Group struct {
	GroupID string `json:"groupID" gorm:"primaryKey"`
	Name    string `json:"name"`
	Version int64  `json:"-"` // the member list that counts now; a campaign freezes it
	Size    int    `json:"memberCount"`
	AddedAt Millis `json:"-"` // what was sent to the ID before is another group's
}

func (Group) TableName() string { return "chat_groups" }

type groupMember struct {
	GroupID string
	Version int64
	UserID  string
}

// PutGroup creates or replaces a group and its whole member list; repeated members count once. The former
// list stays until no campaign can need it.
func (s *Store) PutGroup(ctx context.Context, groupID, name string, memberIDs []string) (Group, error) {
	members := sortedUnique(memberIDs)
	g := Group{GroupID: groupID, Name: name, Size: len(members)}
	err := s.tx(ctx, func(tx *gorm.DB) error {
		// the directory's row orders group writes too, and its rev is a version that never comes twice
		rev, err := s.bumpDirectory(tx)
		if err != nil {
			return err
		}
		g.Version = rev
		switch old, err := s.group(tx, groupID); {
		case err == nil:
			g.AddedAt = old.AddedAt
		case AsError(err).Code != CodeRecordNotFound:
			return err
		default:
			if g.AddedAt, err = s.nowIn(tx); err != nil {
				return err
			}
		}
		rows := make([]groupMember, len(members))
		for i, id := range members {
			rows[i] = groupMember{GroupID: groupID, Version: rev, UserID: id}
		}
		if len(rows) > 0 {
			if err := tx.CreateInBatches(rows, 1000).Error; err != nil {
				return err
			}
		}
		return tx.Save(&g).Error
	})
	return g, err
}

// Group reads one group; 1004 when there is none.
func (s *Store) Group(ctx context.Context, groupID string) (Group, error) {
	return s.group(s.db.WithContext(ctx), groupID)
}

func (s *Store) group(db *gorm.DB, groupID string) (Group, error) {
	var groups []Group
	if err := db.Where("group_id = ?", groupID).Limit(1).Find(&groups).Error; err != nil {
		return Group{}, err
	}
	if len(groups) == 0 {
		return Group{}, NotFound()
	}
	return groups[0], nil
}

// Groups reads up to limit groups whose ID comes after the given one, in byte order.
func (s *Store) Groups(ctx context.Context, after string, limit int) ([]Group, error) {
	var groups []Group
	err := s.db.WithContext(ctx).Where("group_id > ?", after).Order("group_id").Limit(limit).Find(&groups).Error
	return groups, err
}

// GroupMembers reads up to limit current members whose ID comes after the given one; 1004 without the group.
func (s *Store) GroupMembers(ctx context.Context, groupID, after string, limit int) ([]string, error) {
	db := s.db.WithContext(ctx)
	g, err := s.group(db, groupID)
	if err != nil {
		return nil, err
	}
	return s.membersAfter(db, groupID, g.Version, after, limit)
}

func (s *Store) membersAfter(db *gorm.DB, groupID string, version int64, after string, limit int) ([]string, error) {
	var ids []string
	err := db.Model(&groupMember{}).Where("group_id = ? AND version = ? AND user_id > ?", groupID, version, after).
		Order("user_id").Limit(limit).Pluck("user_id", &ids).Error
	return ids, err
}

// DeleteGroup removes a group; its members no longer read what was sent to it. 1004 when there is none.
func (s *Store) DeleteGroup(ctx context.Context, groupID string) error {
	return s.tx(ctx, func(tx *gorm.DB) error {
		del := tx.Where("group_id = ?", groupID).Delete(&Group{})
		if del.Error == nil && del.RowsAffected == 0 {
			return NotFound()
		}
		return del.Error
	})
}

// PurgeMembers deletes up to limit rows of member lists that neither a group nor an unfinished plan needs.
func (s *Store) PurgeMembers(ctx context.Context, limit int) error {
	db := s.db.WithContext(ctx)
	var old []groupMember
	err := db.Raw(`SELECT v.group_id, v.version FROM (SELECT DISTINCT group_id, version FROM group_members) v
		LEFT JOIN chat_groups g ON g.group_id = v.group_id
		WHERE (g.version IS NULL OR g.version <> v.version)
		AND NOT EXISTS (SELECT 1 FROM campaigns c WHERE c.status IN ('scheduled','running','paused','cancelled','expired') AND c.planned = ?
			AND c.group_id = v.group_id AND c.group_version = v.version) LIMIT 10`, false).Scan(&old).Error
	for _, v := range old {
		if err != nil {
			break
		}
		var ids []string
		if ids, err = s.membersAfter(db, v.GroupID, v.Version, "", limit); err == nil {
			err = s.w.WithContext(ctx).Where("group_id = ? AND version = ? AND user_id IN ?", v.GroupID, v.Version, ids).
				Delete(&groupMember{}).Error
		}
	}
	return err
}
