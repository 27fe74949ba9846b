package models

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"carillon/internal/zones"
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
	Refuses  bool   `json:"refuses"` // takes no messages; of a synced user it is the provider's word
	SeenPass int64  `json:"-"`       // the last pass of a sync that saw the user; 0 = none
}

// refusing is 1 for a user who takes no messages, else 0.
func (u User) refusing() int {
	if u.Refuses {
		return 1
	}
	return 0
}

// Limits of a user's texts.
const (
	maxFaceURLBytes = 1024    // longer ones are pictures put into the URL
	maxUserExBytes  = 8 << 10 // as a message's
)

// UserChange is what a write says of one user: nil leaves what is there, an empty text takes it
// away.
type UserChange struct {
	UserID   string  `json:"userID"`
	Nickname *string `json:"nickname"`
	FaceURL  *string `json:"faceURL"`
	Timezone *string `json:"timezone"`
	Ex       *string `json:"ex"`
	Refuses  *bool   `json:"refuses"`
	Repeated bool    `json:"-"` // the same file named the user before
}

// on is the user as the change leaves them.
func (c UserChange) on(u User) User {
	for _, text := range []struct {
		field *string
		given *string
	}{{&u.Nickname, c.Nickname}, {&u.FaceURL, c.FaceURL}, {&u.Timezone, c.Timezone}, {&u.Ex, c.Ex}} {
		if text.given != nil {
			*text.field = *text.given
		}
	}
	if c.Refuses != nil {
		u.Refuses = *c.Refuses
	}
	return u
}

// then is one change followed by another of the same user: of what both say, the later counts.
func (c UserChange) then(later UserChange) UserChange {
	c.Nickname = cmp.Or(later.Nickname, c.Nickname)
	c.FaceURL = cmp.Or(later.FaceURL, c.FaceURL)
	c.Timezone = cmp.Or(later.Timezone, c.Timezone)
	c.Ex = cmp.Or(later.Ex, c.Ex)
	c.Refuses = cmp.Or(later.Refuses, c.Refuses)
	return c
}

// Check says what is wrong with a change that came from outside: nothing, or each field by its JSON
// name.
func (c UserChange) Check() []FieldError {
	u := c.on(User{UserID: c.UserID})
	var found []FieldError
	add := func(field, reason string) {
		if reason != "" {
			found = append(found, FieldError{Field: field, Reason: reason})
		}
	}
	add("userID", CheckNewID(u.UserID))
	add("nickname", CheckLine(u.Nickname))
	if n := utf8.RuneCountInString(u.Nickname); n > MaxNameChars {
		add("nickname", fmt.Sprintf("must be at most %d characters, has %d", MaxNameChars, n))
	}
	add("faceURL", CheckLine(u.FaceURL))
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

func checkBytes(s string, limit int) string {
	if len(s) > limit {
		return fmt.Sprintf("must be at most %d bytes, has %d", limit, len(s))
	}
	return ""
}

// checkTimezone takes "" and the names that are the same on every machine.
func checkTimezone(name string) string {
	if name == "" {
		return ""
	}
	if _, err := zones.Load(name); err != nil {
		return err.Error()
	}
	return ""
}

// Directory is the directory's revision and how many users it holds.
type Directory struct {
	Rev  int64
	Live int64
}

// A statement holds so many users, and texts of so many bytes: far below 16 MiB, MariaDB's default
// max_allowed_packet, however long the users' texts are.
const (
	upsertRows  = 500
	upsertBytes = 1 << 20
)

// UserCounts says what a write did to the directory. Their sum is how many users the write named.
type UserCounts struct {
	Created   int `json:"created"`
	Changed   int `json:"changed"`
	Unchanged int `json:"unchanged"`
	Repeated  int `json:"repeated"` // named before in the same request or file; their first time is counted above
}

// Add takes in what a further write did.
func (n *UserCounts) Add(more UserCounts) {
	n.Created += more.Created
	n.Changed += more.Changed
	n.Unchanged += more.Unchanged
	n.Repeated += more.Repeated
}

// Sum is how many users were named.
func (n UserCounts) Sum() int { return n.Created + n.Changed + n.Unchanged + n.Repeated }

// UpsertUsers adds and changes users; of one that is named twice both changes count, in their
// order. It is all or nothing.
func (s *Store) UpsertUsers(ctx context.Context, changes []UserChange) (UserCounts, error) {
	return s.upsertUsers(ctx, changes, func(*gorm.DB, UserCounts) error { return nil })
}

// PutUsers is UpsertUsers of a list as a whole, with its event.
func (s *Store) PutUsers(ctx context.Context, changes []UserChange) (UserCounts, error) {
	return s.upsertUsers(ctx, changes, func(tx *gorm.DB, n UserCounts) error {
		return s.record(tx, ViaAPI, Event{Kind: EventUsersPut, Data: n.told()})
	})
}

// told is the counts as an event tells of them.
func (n UserCounts) told() EventData {
	return EventData{"created": n.Created, "changed": n.Changed, "unchanged": n.Unchanged, "repeated": n.Repeated}
}

// UsersImported records that a file of users was imported, or what was taken of it before it broke off. Each part of a file is a
// transaction of its own, so the event stands behind the last of them.
func (s *Store) UsersImported(ctx context.Context, n UserCounts, refused int, whole bool) error {
	data := n.told()
	data["refused"], data["whole"] = refused, whole
	return s.Record(ctx, Event{Kind: EventUsersImported, Data: data})
}

// oncePerUser makes one change of all changes of a user.
func oncePerUser(changes []UserChange) []UserChange {
	at := make(map[string]int, len(changes))
	rows := make([]UserChange, 0, len(changes))
	for _, c := range changes {
		if i, twice := at[c.UserID]; twice {
			rows[i] = rows[i].then(c)
			continue
		}
		at[c.UserID] = len(rows)
		rows = append(rows, c)
	}
	return rows
}

func (s *Store) upsertUsers(ctx context.Context, changes []UserChange, record func(*gorm.DB, UserCounts) error) (UserCounts, error) {
	if len(changes) == 0 {
		return UserCounts{}, nil
	}
	rows := oncePerUser(changes)
	var n UserCounts
	err := s.tx(ctx, func(tx *gorm.DB) error {
		n = UserCounts{Repeated: len(changes) - len(rows)}
		rev, err := s.bumpDirectory(tx)
		if err != nil {
			return err
		}
		now, err := s.nowIn(tx)
		if err != nil {
			return err
		}
		created, refusing := 0, 0
		for some := range slices.Chunk(rows, upsertRows) {
			more, refuse, err := upsert(tx, User{AddedRev: rev, AddedAt: now}, some, &n)
			if err != nil {
				return err
			}
			created, refusing = created+more, refusing+refuse
		}
		if err := tx.Exec("UPDATE directory SET live=live+?, refusing=refusing+? WHERE id=1", created, refusing).Error; err != nil {
			return err
		}
		return record(tx, n)
	})
	return n, err
}

// upsert writes those of rows that are new or change something, and counts all of them. A new user begins
// as added. The directory's row is locked, so what it reads stays so. refusing is how many more users refuse messages.
func upsert(tx *gorm.DB, added User, rows []UserChange, n *UserCounts) (created, refusing int, err error) {
	known, err := standing(tx, rows)
	if err != nil {
		return 0, 0, err
	}
	var write []User
	for _, c := range rows {
		old, here := known[c.UserID]
		if !here {
			old = added
			old.UserID = c.UserID
			created++
		}
		u := c.on(old)
		refusing += u.refusing() - old.refusing()
		if !here || u != old {
			write = append(write, u)
		}
		switch {
		case c.Repeated:
			n.Repeated++
		case !here:
			n.Created++
		case u != old:
			n.Changed++
		default:
			n.Unchanged++
		}
	}
	return created, refusing, writeUsers(tx, write)
}

// standing reads those users of rows who stand in the directory, by their IDs.
func standing(tx *gorm.DB, rows []UserChange) (map[string]User, error) {
	ids := make([]string, len(rows))
	for i, c := range rows {
		ids[i] = c.UserID
	}
	var stand []User
	if err := tx.Where("user_id IN ?", ids).Find(&stand).Error; err != nil {
		return nil, err
	}
	known := make(map[string]User, len(stand))
	for _, u := range stand {
		known[u.UserID] = u
	}
	return known, nil
}

// writeUsers inserts or replaces users, in statements that are soon made and soon sent: between two
// of them MariaDB waits for a transaction no longer than 3 s.
func writeUsers(tx *gorm.DB, users []User) error {
	from, bytes := 0, 0
	for i, u := range users {
		bytes += len(u.Nickname) + len(u.FaceURL) + len(u.Ex)
		if bytes < upsertBytes && i < len(users)-1 {
			continue
		}
		some := users[from : i+1]
		from, bytes = i+1, 0
		err := tx.Clauses(clause.OnConflict{
			Columns:   []clause.Column{{Name: "user_id"}},
			DoUpdates: clause.AssignmentColumns([]string{"nickname", "face_url", "timezone", "ex", "refuses", "seen_pass"}),
		}).Create(&some).Error
		if err != nil {
			return err
		}
	}
	return nil
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
		gone, err := deleteUsers(tx, "user_id = ?", userID)
		if err != nil {
			return err
		}
		if gone == 0 {
			return NotFound("user")
		}
		return s.record(tx, ViaAPI, Event{Kind: EventUserDeleted, Data: EventData{"userID": userID}})
	})
}

// deleteUsers deletes the users that a condition holds for, and counts them off. The directory's row is locked.
func deleteUsers(tx *gorm.DB, where string, args ...any) (gone int64, err error) {
	var refusing int64
	if err := tx.Model(&User{}).Where("refuses = ?", true).Where(where, args...).Count(&refusing).Error; err != nil {
		return 0, err
	}
	del := tx.Where(where, args...).Delete(&User{})
	if del.Error != nil || del.RowsAffected == 0 {
		return 0, del.Error
	}
	return del.RowsAffected, tx.Exec("UPDATE directory SET live=live-?, refusing=refusing-? WHERE id=1", del.RowsAffected, refusing).Error
}

// User reads one user; 1004 when there is none.
func (s *Store) User(ctx context.Context, userID string) (User, error) {
	var users []User
	err := s.db.WithContext(ctx).Where("user_id = ?", userID).Limit(1).Find(&users).Error
	if err == nil && len(users) == 0 {
		return User{}, NotFound("user")
	}
	if err != nil {
		return User{}, err
	}
	return users[0], nil
}

// Users reads up to limit users whose ID begins with prefix and comes after the given one, in byte order.
func (s *Store) Users(ctx context.Context, prefix, after string, limit int) ([]User, error) {
	q := s.db.WithContext(ctx).Where("user_id > ?", after)
	if prefix != "" { // a range and no LIKE: it needs no escapes, and goes by the key on every store
		q = q.Where("user_id BETWEEN ? AND ?", prefix, lastOf(prefix))
	}
	var users []User
	err := q.Order("user_id").Limit(limit).Find(&users).Error
	return users, err
}

// lastOf is at or behind every ID that begins with prefix, and before every other ID that comes behind those.
func lastOf(prefix string) string {
	return prefix + strings.Repeat(string(unicode.MaxRune), (MaxIDBytes-len(prefix))/utf8.UTFMax+1)
}

// lastName is behind all names that begin with prefix.
func lastName(prefix string) string {
	return prefix + strings.Repeat(string(unicode.MaxRune), MaxNameChars)
}

// NicknameCursor is a place in the order of nicknames, and of IDs among users with the same nickname.
type NicknameCursor struct{ Nickname, UserID string }

// UsersByNickname reads up to limit users whose nickname begins with prefix and who come after the
// given place. The zero place is before all. prefix must not be empty: a nickname may be.
func (s *Store) UsersByNickname(ctx context.Context, prefix string, after NicknameCursor, limit int) ([]User, error) {
	last := lastName(prefix)
	db := s.db.WithContext(ctx)
	var users []User
	if after.UserID != "" { // two ranges of the index: neither store takes one of pairs
		if err := db.Where("nickname = ? AND user_id > ?", after.Nickname, after.UserID).Order("user_id").Limit(limit).Find(&users).Error; err != nil {
			return nil, err
		}
		if len(users) == limit {
			return users, nil
		}
	}
	var rest []User
	q := db.Where("nickname BETWEEN ? AND ?", prefix, last)
	if after.UserID != "" {
		q = db.Where("nickname > ? AND nickname <= ?", after.Nickname, last)
	}
	err := q.Order("nickname, user_id").Limit(limit - len(users)).Find(&rest).Error
	return append(users, rest...), err
}

// Directory reads the revision and the number of users in one statement.
func (s *Store) Directory(ctx context.Context) (Directory, error) {
	var d Directory
	err := s.db.WithContext(ctx).Raw("SELECT rev, live FROM directory WHERE id=1").Scan(&d).Error
	return d, err
}

// KnownUser is what a delivery must know of a user of the directory.
type KnownUser struct {
	AddedRev int64 // the directory's revision that the user was added at
	Refuses  bool  // see User
}

// KnownUsers says which of ids stand in the directory.
func (s *Store) KnownUsers(ctx context.Context, ids []string) (map[string]KnownUser, error) {
	var rows []User
	if err := s.db.WithContext(ctx).Select("user_id", "added_rev", "refuses").Where("user_id IN ?", ids).Find(&rows).Error; err != nil {
		return nil, err
	}
	known := make(map[string]KnownUser, len(rows))
	for _, r := range rows {
		known[r.UserID] = KnownUser{r.AddedRev, r.Refuses}
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
		args = append(args, v.Members[0], v.Members[v.Size-1], c.leftOut())
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

// CountUsers is how many users stand in the directory now. It reads an index of all of them.
func (s *Store) CountUsers(ctx context.Context) (n int64, err error) {
	err = s.db.WithContext(ctx).Raw("SELECT COUNT(*) FROM users").Scan(&n).Error
	return n, err
}
