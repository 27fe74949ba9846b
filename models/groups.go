package models

import (
	"context"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Group is a chat group: a name and a list of members.
type Group struct {
	GroupID string `json:"groupID" gorm:"primaryKey"`
	Name    string `json:"name"`
	Version int64  `json:"-"` // the member list that counts now; a campaign freezes it
	Size    int    `json:"memberCount"`
	AddedAt Millis `json:"-"` // messages before this time belong to an earlier group of the same ID
}

func (Group) TableName() string { return "chat_groups" }

type groupMember struct {
	GroupID string
	Version int64
	UserID  string
}

// memberRows is how many members one transaction writes. No other write waits for more than that.
const memberRows = 1000

// writeLease bounds how long a stalled PUT keeps its half-written members, in milliseconds.
const writeLease Millis = 60_000

// PutGroup creates or replaces a group and its whole member list. Repeated members count once. With
// name nil, the group keeps its name. The former list stays until no campaign can need it.
//
// The members are written some at a time, under a version that nobody reads yet. One transaction
// for a long list would hold up every other write. Of two PUTs at the same time, the one that began
// later wins.
func (s *Store) PutGroup(ctx context.Context, groupID string, name *string, memberIDs []string) (Group, error) {
	members := sortedUnique(memberIDs)
	g := Group{GroupID: groupID, Size: len(members)}
	err := s.tx(ctx, func(tx *gorm.DB) (err error) {
		// The directory's rev never takes the same value twice.
		if g.Version, err = s.bumpDirectory(tx); err != nil {
			return err
		}
		return tx.Exec("INSERT INTO group_writes (version, due_at) VALUES (?, "+s.d.now+"+?)", g.Version, writeLease).Error
	})
	for some := range slices.Chunk(members, memberRows) {
		if err != nil {
			break
		}
		err = s.tx(ctx, func(tx *gorm.DB) error { return s.writeMembers(tx, g, some) })
	}
	if err == nil {
		err = s.tx(ctx, func(tx *gorm.DB) (err error) { g, err = s.standMembers(tx, g, name); return err })
	}
	return g, err
}

// errWriteLost says that the purge has deleted what a PUT had written so far.
func errWriteLost() error {
	return &Error{Code: CodeUnavailable, Detail: "writing the group's members took too long; nothing has changed", RetryAfter: time.Second}
}

// writeMembers adds some members to a list that is being written, and extends the writer's lease.
func (s *Store) writeMembers(tx *gorm.DB, g Group, some []string) error {
	lease := tx.Exec("UPDATE group_writes SET due_at="+s.d.now+"+? WHERE version=?", writeLease, g.Version)
	if lease.Error != nil {
		return lease.Error
	}
	if lease.RowsAffected == 0 {
		return errWriteLost()
	}
	rows := make([]groupMember, len(some))
	for i, id := range some {
		rows[i] = groupMember{GroupID: g.GroupID, Version: g.Version, UserID: id}
	}
	return tx.Create(rows).Error
}

// standMembers makes a completely written list the group's current list, unless a later list is.
func (s *Store) standMembers(tx *gorm.DB, g Group, name *string) (Group, error) {
	done := tx.Exec("DELETE FROM group_writes WHERE version=?", g.Version)
	if done.Error != nil {
		return g, done.Error
	}
	var written int64
	err := tx.Model(&groupMember{}).Where("group_id = ? AND version = ?", g.GroupID, g.Version).Count(&written).Error
	if err != nil {
		return g, err
	}
	// A program older than the leases deletes every list that no group has yet, even while it is
	// written.
	if done.RowsAffected == 0 || written != int64(g.Size) {
		return g, errWriteLost()
	}
	if _, err := s.bumpDirectory(tx); err != nil { // this lock puts the writers of one group in order
		return g, err
	}
	now, err := s.lockGroup(tx, g.GroupID)
	switch {
	case err == nil && now.Version > g.Version:
		return g, nil
	case err == nil:
	case AsError(err).Code == CodeRecordNotFound:
		if now.AddedAt, err = s.nowIn(tx); err != nil {
			return g, err
		}
	default:
		return g, err
	}
	g.Name, g.AddedAt = now.Name, now.AddedAt
	if name != nil {
		g.Name = *name
	}
	if err := tx.Save(&g).Error; err != nil {
		return g, err
	}
	return g, s.record(tx, ViaAPI, Event{Kind: EventGroupPut, Data: EventData{"groupID": g.GroupID, "members": g.Size}})
}

// Group reads one group: 1004 when there is none.
func (s *Store) Group(ctx context.Context, groupID string) (Group, error) {
	return s.group(s.db.WithContext(ctx), groupID)
}

func (s *Store) group(db *gorm.DB, groupID string) (Group, error) {
	var groups []Group
	if err := db.Where("group_id = ?", groupID).Limit(1).Find(&groups).Error; err != nil {
		return Group{}, err
	}
	if len(groups) == 0 {
		return Group{}, NotFound("group")
	}
	return groups[0], nil
}

// Groups reads up to limit groups whose ID comes after the given ID, in byte order.
func (s *Store) Groups(ctx context.Context, after string, limit int) ([]Group, error) {
	var groups []Group
	err := s.db.WithContext(ctx).Where("group_id > ?", after).Order("group_id").Limit(limit).Find(&groups).Error
	return groups, err
}

// GroupMembers reads up to limit current members whose ID comes after the given ID. 1004: there is
// no such group.
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

// DeleteGroup removes a group: 1004 when there is none. Its members no longer read what was sent to
// the group.
func (s *Store) DeleteGroup(ctx context.Context, groupID string) error {
	return s.tx(ctx, func(tx *gorm.DB) error {
		del := tx.Where("group_id = ?", groupID).Delete(&Group{})
		if del.Error != nil {
			return del.Error
		}
		if del.RowsAffected == 0 {
			return NotFound("group")
		}
		return s.record(tx, ViaAPI, Event{Kind: EventGroupDeleted, Data: EventData{"groupID": groupID}})
	})
}

// MemberList is one version of a group's members.
type MemberList struct {
	GroupID string
	Version int64
}

// OldMembers returns up to 100 member lists that may be deleted: no group and no unfinished plan
// needs them, and nobody is writing them. A writer whose lease has ended loses its list.
func (s *Store) OldMembers(ctx context.Context) (old []MemberList, err error) {
	if _, err := s.exec(ctx, "DELETE FROM group_writes WHERE due_at<="+s.d.now); err != nil {
		return nil, err
	}
	err = s.db.WithContext(ctx).Raw(`SELECT v.group_id, v.version FROM (SELECT DISTINCT group_id, version FROM group_members) v
		LEFT JOIN chat_groups g ON g.group_id = v.group_id
		WHERE (g.version IS NULL OR g.version <> v.version)
		AND NOT EXISTS (SELECT 1 FROM group_writes w WHERE w.version = v.version)
		AND NOT EXISTS (SELECT 1 FROM campaigns c WHERE c.status IN ('scheduled','running','paused','cancelled','expired') AND c.planned = ?
			AND c.group_id = v.group_id AND c.group_version = v.version) LIMIT 100`, false).Scan(&old).Error
	return old, err
}

// PurgeMembers deletes the next up to n members of an old list after the member given, and returns
// the last deleted member: "" when there was none. busy: a campaign runs, so the caller should slow
// down.
func (s *Store) PurgeMembers(ctx context.Context, l MemberList, after string, n int) (last string, busy bool, err error) {
	db := s.db.WithContext(ctx)
	const behind = " FROM group_members WHERE group_id=? AND version=? AND user_id>?"
	err = db.Raw("SELECT MAX(user_id) FROM (SELECT user_id"+behind+" ORDER BY user_id LIMIT ?) m HAVING MAX(user_id) IS NOT NULL", l.GroupID, l.Version, after, n).Scan(&last).Error
	if err != nil || last == "" {
		return "", false, err
	}
	if err := db.Raw("SELECT EXISTS(SELECT 1 FROM campaigns WHERE status=?)", StatusRunning).Scan(&busy).Error; err != nil {
		return "", false, err
	}
	_, err = s.exec(ctx, "DELETE"+behind+" AND user_id<=?", l.GroupID, l.Version, after, last)
	return last, busy, err
}

// lockGroup locks a group's row. A PUT of new members is then wholly before or wholly after this
// transaction, so no version that a campaign froze is ever purged.
func (s *Store) lockGroup(tx *gorm.DB, groupID string) (Group, error) {
	if s.d.name == "mysql" {
		tx = tx.Clauses(clause.Locking{Strength: "UPDATE"})
	}
	return s.group(tx, groupID)
}
