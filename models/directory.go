package models

import (
	"context"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// User is one entry of the directory.
type User struct {
	UserID   string `json:"userID" gorm:"primaryKey"`
	AddedRev int64  `json:"-"` // the directory's rev at the insert; an update leaves it
	Nickname string `json:"nickname"`
	FaceURL  string `json:"faceURL"`
	Timezone string `json:"timezone"` // IANA name; empty = the configured default
	Ex       string `json:"ex"`
}

// Directory is the directory's revision and how many users it holds.
type Directory struct {
	Rev  int64
	Live int64
}

// UpsertUsers adds or updates users; of a repeated userID the last counts. It is all or nothing.
func (s *Store) UpsertUsers(ctx context.Context, users []User) (created, updated int, err error) {
	last := make(map[string]int, len(users))
	for i, u := range users {
		last[u.UserID] = i
	}
	rows := make([]User, 0, len(last))
	ids := make([]string, 0, len(last))
	for i, u := range users {
		if last[u.UserID] == i {
			rows = append(rows, u)
			ids = append(ids, u.UserID)
		}
	}
	if len(rows) == 0 {
		return 0, 0, nil
	}
	err = s.tx(ctx, func(tx *gorm.DB) error {
		rev, err := s.bumpDirectory(tx)
		if err != nil {
			return err
		}
		var known int64
		if err := tx.Model(&User{}).Where("user_id IN ?", ids).Count(&known).Error; err != nil {
			return err
		}
		updated, created = int(known), len(rows)-int(known)
		for i := range rows {
			rows[i].AddedRev = rev
		}
		upsert := clause.OnConflict{
			Columns:   []clause.Column{{Name: "user_id"}},
			DoUpdates: clause.AssignmentColumns([]string{"nickname", "face_url", "timezone", "ex"}),
		}
		if err := tx.Clauses(upsert).CreateInBatches(rows, 1000).Error; err != nil {
			return err
		}
		return tx.Exec("UPDATE directory SET live=live+? WHERE id=1", created).Error
	})
	return created, updated, err
}

// bumpDirectory is the first statement of every directory write: the row's lock puts the writes in commit order.
func (s *Store) bumpDirectory(tx *gorm.DB) (rev int64, err error) {
	if err := tx.Exec("UPDATE directory SET rev=rev+1 WHERE id=1").Error; err != nil {
		return 0, err
	}
	err = tx.Raw("SELECT rev FROM directory WHERE id=1").Scan(&rev).Error
	return rev, err
}

// DeleteUser removes a user from the directory; campaigns under way will skip them. 1004 when there is none.
func (s *Store) DeleteUser(ctx context.Context, userID string) error {
	return s.tx(ctx, func(tx *gorm.DB) error {
		if _, err := s.bumpDirectory(tx); err != nil {
			return err
		}
		del := tx.Where("user_id = ?", userID).Delete(&User{})
		if del.Error != nil {
			return del.Error
		}
		if del.RowsAffected == 0 {
			return NotFound()
		}
		return tx.Exec("UPDATE directory SET live=live-1 WHERE id=1").Error
	})
}

// User reads one user; 1004 when there is none.
func (s *Store) User(ctx context.Context, userID string) (User, error) {
	var users []User
	err := s.db.WithContext(ctx).Where("user_id = ?", userID).Limit(1).Find(&users).Error
	if err == nil && len(users) == 0 {
		return User{}, NotFound()
	}
	if err != nil {
		return User{}, err
	}
	return users[0], nil
}

// Users reads up to limit users whose ID comes after the given one, in byte order.
func (s *Store) Users(ctx context.Context, after string, limit int) ([]User, error) {
	var users []User
	err := s.db.WithContext(ctx).Where("user_id > ?", after).Order("user_id").Limit(limit).Find(&users).Error
	return users, err
}

// Directory reads the revision and the number of users in one statement.
func (s *Store) Directory(ctx context.Context) (Directory, error) {
	var d Directory
	err := s.db.WithContext(ctx).Raw("SELECT rev, live FROM directory WHERE id=1").Scan(&d).Error
	return d, err
}

// KnownUsers says which of ids stand in the directory, with the revision each was added at.
func (s *Store) KnownUsers(ctx context.Context, ids []string) (map[string]int64, error) {
	var rows []User
	if err := s.db.WithContext(ctx).Select("user_id", "added_rev").Where("user_id IN ?", ids).Find(&rows).Error; err != nil {
		return nil, err
	}
	known := make(map[string]int64, len(rows))
	for _, r := range rows {
		known[r.UserID] = r.AddedRev
	}
	return known, nil
}
