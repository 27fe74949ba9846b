package models

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"
)

// Visit is one page that a worker holds under a lease.
type Visit struct {
	Page
	Campaign Campaign
	Members  []string
	// Attempts holds the stored pending rows of the page: tried before, to be tried again when due.
	Attempts map[string]Attempt
	// Claims holds the at-most-once claims of a worker that is gone. Their messages may have been sent.
	// They stay pending until DisownClaims or AdoptClaims.
	Claims   map[string]Attempt
	Refusing int64     // how many users of the directory refuse messages
	now      Millis    // the database's clock at the claim
	read     time.Time // when that was, by the monotonic clock
}

// Now is the database's clock, reckoned from the claim.
func (v *Visit) Now() Millis { return v.now + Millis(time.Since(v.read).Milliseconds()) }

// Untried are the next members that the cursor has not reached, at most n. There are none when an earlier end of the
// campaign has given all of them their outcome.
func (v *Visit) Untried(n int) []string {
	if v.AheadStatus != RecipientPending {
		return nil
	}
	return v.Members[v.Pos:min(v.Size, v.Pos+n)]
}

// Attempt is what is known of a recipient that was tried and is still pending.
type Attempt struct {
	Attempts      int
	NextAttemptAt Millis
	FailingSince  Millis // the first try that failed; 0 = none did
	MaybeSent     bool   // a request may have been accepted
}

// claimWithin is how long a claim may take. An answer that comes later leaves little of the lease, and another worker
// then does better with the task.
const claimWithin = 3 * time.Second

// ClaimPage makes a queued page running under the caller's lease. It returns nil when the page is not
// queued at that epoch any more. ErrNotYet: this database does not know of the task yet.
func (s *Store) ClaimPage(ctx context.Context, task PageTask) (*Visit, error) {
	if s.conns != nil { // SQLite: a read of the file cannot be given up
		within, cancel := context.WithTimeout(ctx, claimWithin)
		defer cancel()
		ctx = within
	}
	n, err := s.exec(ctx, "UPDATE "+s.d.onePage+" SET rev=rev+1, state=?, due_at="+s.d.now+"+? WHERE campaign_id=? AND no=? AND epoch=? AND state=?",
		PageRunning, WorkLease, task.Campaign, task.Page, task.Epoch, PageQueued)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, s.notYet(ctx, task)
	}
	v := new(Visit)
	if err := s.db.WithContext(ctx).Where("id = ?", task.Campaign).Take(&v.Campaign).Error; err != nil {
		return nil, fenced(err)
	}
	return s.readVisit(ctx, v, task)
}

// notYet tells a task that is out of date (nil) from a task that this database does not know yet (ErrNotYet). A replica
// that became the primary, or a node of a cluster, may learn of a page later than Redis does.
func (s *Store) notYet(ctx context.Context, task PageTask) error {
	var p Page
	err := s.db.WithContext(ctx).Select("epoch").Where("campaign_id = ? AND no = ?", task.Campaign, task.Page).Take(&p).Error
	if errors.Is(err, gorm.ErrRecordNotFound) || err == nil && p.Epoch < task.Epoch {
		return ErrNotYet
	}
	return err
}

// claimAmong is how many new pages a worker reads, to find one that no other worker claims at the same moment.
const claimAmong = 16

// ClaimNext claims a new page of a campaign that the caller already visits: of the pages whose due time has come, the
// first. The page becomes running under the caller's lease. It returns nil when there is no such page.
func (s *Store) ClaimNext(ctx context.Context, c Campaign) (*Visit, error) {
	return s.claimFirst(ctx, c, s.readyPages)
}

// ClaimLate is ClaimNext among the pages whose due time passed LateRetry ago.
func (s *Store) ClaimLate(ctx context.Context, c Campaign) (*Visit, error) {
	return s.claimFirst(ctx, c, s.latePages)
}

func (s *Store) claimFirst(ctx context.Context, c Campaign, among func(context.Context, int64, int) ([]Page, error)) (*Visit, error) {
	for {
		pages, err := among(ctx, c.ID, claimAmong)
		if err != nil || len(pages) == 0 {
			return nil, err
		}
		for _, p := range pages {
			if v, err := s.claim(ctx, c, p); err != nil || v != nil {
				return v, err
			}
		}
	}
}

// ClaimAgain claims the page of a visit that has ended with the page waiting. It returns nil when the page has changed
// since.
func (s *Store) ClaimAgain(ctx context.Context, v *Visit) (*Visit, error) {
	return s.claim(ctx, v.Campaign, v.Page)
}

// claim makes a page running that is as it was read. The page does not go through the queue. It gets a new epoch all the
// same, because one epoch has one holder. It returns nil when the page has changed.
func (s *Store) claim(ctx context.Context, c Campaign, p Page) (*Visit, error) {
	n, err := s.exec(ctx, "UPDATE "+s.d.onePage+" SET rev=rev+1, epoch=epoch+1, state=?, due_at="+s.d.now+"+? WHERE campaign_id=? AND no=? AND epoch=? AND state=? AND rev=?",
		PageRunning, WorkLease, p.CampaignID, p.No, p.Epoch, p.State, p.Rev)
	if err != nil || n == 0 {
		return nil, err
	}
	return s.readVisit(ctx, &Visit{Campaign: c}, PageTask{Campaign: p.CampaignID, Page: p.No, Epoch: p.Epoch + 1})
}

// HandOn queues a page whose visit is over, and which waits, for whoever comes next. It returns nothing when it has moved since.
func (s *Store) HandOn(ctx context.Context, v *Visit) ([]PageTask, error) {
	var pages []Page
	err := s.db.WithContext(ctx).Where("campaign_id = ? AND no = ? AND epoch = ? AND rev = ?", v.CampaignID, v.No, v.Epoch, v.Rev).Find(&pages).Error
	if err != nil {
		return nil, err
	}
	return s.queueAll(ctx, pages, v.Campaign.Priority)
}

// readVisit reads a page that the caller has just claimed. After an error there is no visit: the claim ends with its lease.
func (s *Store) readVisit(ctx context.Context, v *Visit, task PageTask) (*Visit, error) {
	db := s.db.WithContext(ctx)
	var row struct {
		Page
		Members   []byte
		Refusing  int64
		LostUntil Millis
		Now       Millis
	}
	err := db.Raw("SELECT p.*, m.members, (SELECT refusing FROM directory WHERE id=1) AS refusing, (SELECT lost_until FROM ledger_mark WHERE id=1) AS lost_until, "+
		s.d.now+" AS now FROM pages p JOIN page_members m ON m.campaign_id=p.campaign_id AND m.no=p.no WHERE p.campaign_id=? AND p.no=? AND p.epoch=?",
		task.Campaign, task.Page, task.Epoch).Take(&row).Error
	if err != nil {
		return nil, fenced(err)
	}
	v.Page, v.Refusing, v.now, v.read = row.Page, row.Refusing, row.Now, time.Now()
	if v.Campaign.lost(row.LostUntil) { // guard: lost-ledger
		v.lost = true
	}
	if v.Members, err = unpackMembers(row.Members); err != nil {
		return nil, err
	}
	if len(v.Members) != v.Size {
		return nil, fmt.Errorf("page %d of campaign %d holds %d members, its size says %d", v.No, v.CampaignID, len(v.Members), v.Size)
	}
	if v.PendingRows > 0 {
		if err := s.loadAttempts(db, v); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// loadAttempts reads the page's stored pending rows.
func (s *Store) loadAttempts(db *gorm.DB, v *Visit) error {
	statuses := []RecipientStatus{RecipientPending}
	if v.Campaign.Delivery == AtMostOnce {
		statuses = append(statuses, RecipientClaimed)
	}
	var rows []Recipient
	err := db.Select("user_id", "status", "attempts", "sent_at", "next_attempt_at", "failing_since").
		Where("campaign_id = ? AND kind = ? AND user_id IN ? AND status IN ?", v.CampaignID, v.Campaign.Kind, v.Members[:v.Pos], statuses).Find(&rows).Error
	v.Attempts = make(map[string]Attempt, len(rows))
	v.Claims = map[string]Attempt{}
	for _, r := range rows {
		a := Attempt{Attempts: r.Attempts, MaybeSent: r.SentAt != nil || v.lost}
		if r.NextAttemptAt != nil {
			a.NextAttemptAt = *r.NextAttemptAt
		}
		if r.FailingSince != nil {
			a.FailingSince = *r.FailingSince
		}
		if r.Status == RecipientClaimed {
			v.Claims[r.UserID] = a
		} else {
			v.Attempts[r.UserID] = a
		}
	}
	return err
}

// fenced makes ErrFenced of a row that is not there. A database that was restored, or a replica that took over, may hold
// less than a worker was told of.
func fenced(err error) error {
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return ErrFenced
	}
	return err
}

// RenewPage extends the lease of a page that a worker holds. It is independent of the chunks' transactions.
// ErrFenced: another worker has the page.
func (s *Store) RenewPage(ctx context.Context, task PageTask) error {
	n, err := s.exec(ctx, "UPDATE "+s.d.onePage+" SET due_at="+s.d.now+"+? WHERE campaign_id=? AND no=? AND epoch=? AND state IN ?",
		WorkLease, task.Campaign, task.Page, task.Epoch, []PageState{PageRunning, PageParked})
	if err == nil && n == 0 {
		return ErrFenced
	}
	return err
}
