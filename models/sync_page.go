package models

import (
	"context"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// SyncPage takes a page of a provider's users into the directory, and moves the pass on to the next page, in one transaction.
// total is how many users the provider says it has. It costs the directory a revision only when a user is new or has changed.
//
// Users with an ID that Carillon does not take are counted as refused. A text that Carillon does not take is left out.
// ErrFenced: another worker has the pass.
func (s *Store) SyncPage(ctx context.Context, y *Sync, users []UserChange, total int64) error {
	once := oncePerUser(users)
	rows, n := fit(once)
	n.Repeated = int64(len(users) - len(once))
	var counts SyncCounts
	err := s.tx(ctx, func(tx *gorm.DB) error {
		counts = n
		if err := s.moveSync(tx, y, ", page=?, total=?", y.Page+1, total); err != nil {
			return err
		}
		for some := range slices.Chunk(rows, upsertRows) {
			if err := s.syncUsers(tx, y.Pass, some, &counts); err != nil {
				return err
			}
		}
		return tx.Exec("UPDATE directory_sync SET created=created+?, changed=changed+?, unchanged=unchanged+?, repeated=repeated+?, refused=refused+?, shortened=shortened+? WHERE id=1",
			counts.Created, counts.Changed, counts.Unchanged, counts.Repeated, counts.Refused, counts.Shortened).Error
	})
	if err != nil {
		return err
	}
	y.Page, y.Total = y.Page+1, total
	y.add(counts)
	return nil
}

// fit leaves out what Carillon does not take.
func fit(users []UserChange) (taken []UserChange, n SyncCounts) {
	for _, u := range users {
		found := u.Check()
		refused := false
		for _, f := range found {
			switch f.Field {
			case "nickname":
				u.Nickname = nil
			case "faceURL":
				u.FaceURL = nil
			case "ex":
				u.Ex = nil
			default:
				refused = true
			}
		}
		switch {
		case refused:
			n.Refused++
			continue
		case len(found) > 0:
			n.Shortened++
		}
		taken = append(taken, u)
	}
	return taken, n
}

// syncUsers writes the users of a pass who are new or have changed, and marks the others as seen with one statement.
func (s *Store) syncUsers(tx *gorm.DB, pass int64, rows []UserChange, n *SyncCounts) error {
	if err := s.lockDirectory(tx); err != nil {
		return err
	}
	known, err := standing(tx, rows)
	if err != nil {
		return err
	}
	var write []User
	var same []string
	added, refusing := 0, 0
	for _, c := range rows {
		old, here := known[c.UserID]
		if !here {
			old.UserID = c.UserID
			added++
		}
		u := c.on(old)
		switch {
		case old.SeenPass == pass:
			n.Repeated++
		case !here:
			n.Created++
		case u != old:
			n.Changed++
		default:
			n.Unchanged++
		}
		switch {
		case !here || u != old:
			refusing += u.refusing() - old.refusing()
			u.SeenPass = pass
			write = append(write, u)
		case old.SeenPass != pass:
			same = append(same, c.UserID)
		}
	}
	if len(same) > 0 {
		if err := tx.Exec("UPDATE users SET seen_pass=? WHERE user_id IN ?", pass, same).Error; err != nil {
			return err
		}
	}
	return s.writeSynced(tx, write, added, refusing)
}

// writeSynced writes users under a new revision. Those without one are new.
func (s *Store) writeSynced(tx *gorm.DB, write []User, added, refusing int) error {
	if len(write) == 0 {
		return nil
	}
	rev, err := s.bumpDirectory(tx)
	if err != nil {
		return err
	}
	now, err := s.nowIn(tx)
	if err != nil {
		return err
	}
	for i := range write {
		if write[i].AddedRev == 0 {
			write[i].AddedRev, write[i].AddedAt = rev, now
		}
	}
	if err := tx.Exec("UPDATE directory SET live=live+?, refusing=refusing+? WHERE id=1", added, refusing).Error; err != nil {
		return err
	}
	return writeUsers(tx, write)
}

// lockDirectory puts a write in order with all other writes of the directory, without a revision of its own. A transaction that
// writes on SQLite has locked the whole ledger.
func (s *Store) lockDirectory(tx *gorm.DB) error {
	if s.d.name != "mysql" {
		return nil
	}
	var rev int64
	return tx.Table("directory").Clauses(clause.Locking{Strength: "UPDATE"}).Select("rev").Where("id = 1").Scan(&rev).Error
}

// ReadAgain begins another round of a pass: the list moved while it was read.
func (s *Store) ReadAgain(ctx context.Context, y *Sync) error {
	err := s.tx(ctx, func(tx *gorm.DB) error {
		return s.moveSync(tx, y, ", round=?, page=1, refused=0, shortened=0", y.Round+1)
	})
	if err == nil {
		y.Round, y.Page, y.Refused, y.Shortened = y.Round+1, 1, 0, 0
	}
	return err
}

// EndReading ends the reading of a pass. What is left of the pass is to remove the users who have vanished.
func (s *Store) EndReading(ctx context.Context, y *Sync) error {
	err := s.tx(ctx, func(tx *gorm.DB) error { return s.moveSync(tx, y, ", phase=?", SyncRemoving) })
	if err == nil {
		y.Phase = SyncRemoving
	}
	return err
}

// Unseen are up to n users behind one, in the order of their IDs, whom neither this pass nor the complete pass before it saw.
// Users whom no sync has ever seen are not among them.
func (s *Store) Unseen(ctx context.Context, y *Sync, after string, n int) (ids []string, err error) {
	seenSince := min(y.Pass,
		// guard: two-passes
		y.LastPass)
	err = s.db.WithContext(ctx).Raw("SELECT user_id FROM users WHERE user_id>? AND seen_pass BETWEEN 1 AND ? ORDER BY user_id LIMIT ?", after, seenSince-1, n).Scan(&ids).Error
	return ids, err
}

// RemoveUnseen takes users who have vanished out of the directory, as DeleteUser does, and marks those as seen who live
// although no pass saw them. ErrFenced: another worker has the pass.
func (s *Store) RemoveUnseen(ctx context.Context, y *Sync, vanished, alive []string) error {
	var gone int64
	err := s.tx(ctx, func(tx *gorm.DB) (err error) {
		if err := s.moveSync(tx, y, ""); err != nil {
			return err
		}
		if err := s.lockDirectory(tx); err != nil {
			return err
		}
		if len(alive) > 0 {
			if err := tx.Exec("UPDATE users SET seen_pass=? WHERE user_id IN ?", y.Pass, alive).Error; err != nil {
				return err
			}
		}
		if gone = 0; len(vanished) == 0 {
			return nil
		}
		if _, err := s.bumpDirectory(tx); err != nil {
			return err
		}
		if gone, err = deleteUsers(tx, "user_id IN ? AND seen_pass>0 AND seen_pass<?", vanished, y.Pass); err != nil {
			return err
		}
		return tx.Exec("UPDATE directory_sync SET vanished=vanished+? WHERE id=1", gone).Error
	})
	if err == nil {
		y.Vanished += gone
	}
	return err
}
