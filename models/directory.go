package models

import (
	"context"
	"fmt"
	"math"
	"path"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// User is one entry of the directory.
type User struct {
	UserID   string `json:"userID" gorm:"primaryKey"`
	AddedRev int64  `json:"-"` // the directory's rev at the insert; an update leaves it
	AddedAt  Millis `json:"-"` // when that was: what was sent to the ID before is another one's
	Nickname string `json:"nickname"`
	FaceURL  string `json:"faceURL"`
	Timezone string `json:"timezone"` // IANA name; empty = the configured default
	Ex       string `json:"ex"`
}

// Limits of a user's texts.
const (
	maxNicknameChars = 255     // the width of the column
	maxFaceURLBytes  = 1024    // longer ones are pictures put into the URL
	maxUserExBytes   = 8 << 10 // as a message's
)

// Check says what is wrong with a user that came from outside: nothing, or each field by its JSON name.
func (u User) Check() []FieldError {
	var found []FieldError
	add := func(field, reason string) {
		if reason != "" {
			found = append(found, FieldError{Field: field, Reason: reason})
		}
	}
	add("userID", CheckID(u.UserID))
	add("nickname", checkLine(u.Nickname))
	if n := utf8.RuneCountInString(u.Nickname); n > maxNicknameChars {
		add("nickname", fmt.Sprintf("must be at most %d characters, has %d", maxNicknameChars, n))
	}
	add("faceURL", checkLine(u.FaceURL))
	add("faceURL", checkBytes(u.FaceURL, maxFaceURLBytes))
	add("timezone", checkTimezone(u.Timezone))
	switch {
	case !utf8.ValidString(u.Ex):
		add("ex", "must be valid UTF-8")
	case strings.IndexByte(u.Ex, 0) >= 0:
		add("ex", "must not hold a NUL character")
	}
	add("ex", checkBytes(u.Ex, maxUserExBytes))
	return found
}

// checkLine is for texts of one line.
func checkLine(s string) string {
	switch {
	case !utf8.ValidString(s):
		return "must be valid UTF-8"
	case strings.IndexFunc(s, unicode.IsControl) >= 0:
		return "must not hold control characters"
	}
	return ""
}

func checkBytes(s string, limit int) string {
	if len(s) > limit {
		return fmt.Sprintf("must be at most %d bytes, has %d", limit, len(s))
	}
	return ""
}

// knownZones remembers the names that were found: a look-up reads a file (13 µs), and an import asks for the
// same few names a million times.
var knownZones sync.Map

// checkTimezone takes "" and the names that are the same on every machine, which "Local" and the operating
// system's own additions are not.
func checkTimezone(name string) string {
	if name == "" {
		return ""
	}
	if _, ok := knownZones.Load(name); ok {
		return ""
	}
	local := name == "Local" || name == "localtime" || name == "posixrules" || strings.HasPrefix(name, "posix/") || strings.HasPrefix(name, "right/") ||
		path.Clean(name) != name // Europe//Berlin and ./UTC find a file, and are no names
	if _, err := time.LoadLocation(name); err != nil || local {
		return "must be an IANA time zone such as Europe/Berlin"
	}
	knownZones.Store(name, nil)
	return ""
}

// Directory is the directory's revision and how many users it holds.
type Directory struct {
	Rev  int64
	Live int64
}

// upsertRows keeps one statement below 16 MiB, MariaDB's default max_allowed_packet, however long the users'
// texts are.
const upsertRows = 500

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
		now, err := s.nowIn(tx)
		if err != nil {
			return err
		}
		for i := range rows {
			rows[i].AddedRev, rows[i].AddedAt = rev, now
		}
		upsert := clause.OnConflict{
			Columns:   []clause.Column{{Name: "user_id"}},
			DoUpdates: clause.AssignmentColumns([]string{"nickname", "face_url", "timezone", "ex"}),
		}
		if err := tx.Clauses(upsert).CreateInBatches(rows, upsertRows).Error; err != nil {
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

// AllKnown says whether every member of a visited page stands in the directory, for an audience of all users as
// it was frozen. It is almost always so, and cheaper to count than to read.
func (s *Store) AllKnown(ctx context.Context, v *Visit) (bool, error) {
	c, n := v.Campaign, 0
	mark := int64(math.MaxInt64)
	if c.AudienceType == AudienceAll {
		mark = c.Mark
	}
	var q strings.Builder
	q.WriteString("SELECT COUNT(*) FROM users WHERE added_rev <= ? AND ")
	args := []any{mark}
	if c.AudienceType == AudienceAll && !c.Zoned() {
		// The walk cut the page out of the directory in one piece, and nobody can have come into it since under the mark.
		q.WriteString("user_id >= ? AND user_id <= ? AND user_id <> ?")
		args = append(args, v.Members[0], v.Members[v.Size-1], c.Message.SendID)
	} else {
		q.WriteString("user_id IN (")
		for i, id := range v.Members {
			if i > 0 {
				q.WriteByte(',')
			}
			s.d.id(&q, id)
		}
		q.WriteByte(')')
	}
	err := s.db.Statement.ConnPool.QueryRowContext(ctx, q.String(), args...).Scan(&n)
	return n == v.Size, err
}
