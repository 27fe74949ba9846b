package models

import (
	"context"
	"errors"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// This file is the one door for campaigns.status: begin inserts a campaign with its first state, and transition alone updates the
// state. Both store the event in the same transaction. TestOneDoor finds any other statement that writes the column.

// move is a change of a campaign's state, or a new reason for the state that it is in.
type move struct {
	to       Status
	reason   Reason
	pause    int64  // the PauseAll that pauses the campaign; else 0
	set      string // more columns to set, as "started_at=?"; may be empty
	setArgs  []any
	only     string // what else must hold, as "finished_at=0"; may be empty
	onlyArgs []any
	data     EventData // of the event; may be nil
	via      Via       // who acts when the context names no actor
}

// errMoved undoes a transition of several campaigns of which one was in another state than its lock had found.
var errMoved = errors.New("a locked campaign was in another state")

// transition takes campaigns from one state to another by compare-and-set, and stores an event for each, in the caller's
// transaction. moved is how many campaigns there were in that state. Of several campaigns all move, or it is errMoved: the
// caller has locked them (see lockCampaigns). The state machine is asked first; from may be the state itself, and then the
// reason alone changes.
func (s *Store) transition(tx *gorm.DB, from Status, m move, ids ...int64) (moved int64, err error) {
	if from != m.to {
		if err := Transition(from, m.to); err != nil {
			return 0, err
		}
	}
	query, args := "UPDATE campaigns SET status=?, status_reason=?, status_reason_code=?, pause_id=?", []any{m.to, m.reason.Text, m.reason.Code, m.pause}
	if m.set != "" {
		query, args = query+", "+m.set, append(args, m.setArgs...)
	}
	query, args = query+" WHERE id IN ? AND status=?", append(args, ids, from)
	if m.only != "" {
		query, args = query+" AND "+m.only, append(args, m.onlyArgs...)
	}
	res := tx.Exec(query, args...)
	switch {
	case res.Error != nil || res.RowsAffected == 0:
		return 0, res.Error
	case res.RowsAffected != int64(len(ids)):
		return 0, errMoved
	}
	s.noteMoved(tx, m.to, m.reason.Code, res.RowsAffected)
	e := Event{Kind: campaignMoved(from, m.to, m.reason.Code), FromStatus: string(from), ToStatus: string(m.to), ReasonCode: m.reason.Code, Reason: m.reason.Text, Data: m.data}
	return res.RowsAffected, s.recordOf(tx, m.via, e, "public_id,schedule_id", "campaigns WHERE id IN ?", ids)
}

// begin stores a new campaign's row.
func (s *Store) begin(tx *gorm.DB, c *Campaign) error {
	if err := tx.Create(c).Error; err != nil {
		return err
	}
	s.noteMoved(tx, c.Status, c.StatusReasonCode, 1)
	return s.record(tx, ViaScheduler, Event{Kind: EventCampaignCreated, CampaignID: c.PublicID, ScheduleID: c.ScheduleID, ToStatus: string(c.Status),
		ReasonCode: c.StatusReasonCode, Reason: c.StatusReason})
}

// moveCampaign is transition of one campaign as a transaction of its own. moved is false when the campaign was in another
// state, or m.only did not hold. A deadlock is tried again. A lock that was waited for in vain is not: the loops come back.
func (s *Store) moveCampaign(ctx context.Context, id int64, from Status, m move) (moved bool, err error) {
	err = s.txAgain(ctx, isDeadlock, func(tx *gorm.DB) error {
		n, err := s.transition(tx, from, m, id)
		moved = n == 1
		return err
	})
	return moved && err == nil, err
}

// moveMost is how many campaigns one statement moves.
const moveMost = 500

// moveWhere moves all campaigns that a condition holds for, whatever state each is in, in the caller's transaction.
func (s *Store) moveWhere(tx *gorm.DB, m move, where string, args ...any) (moved int64, err error) {
	found, err := s.lockCampaigns(tx, where, args...)
	if err != nil {
		return 0, err
	}
	for _, from := range Statuses {
		for some := range slices.Chunk(found[from], moveMost) {
			n, err := s.transition(tx, from, m, some...)
			if err != nil {
				return moved, err
			}
			moved += n
		}
	}
	return moved, nil
}

// lockCampaigns locks the campaigns that a condition holds for until the transaction ends, and gives their internal numbers by state.
func (s *Store) lockCampaigns(tx *gorm.DB, where string, args ...any) (map[Status][]int64, error) {
	q := tx.Model(&Campaign{}).Select("id", "status").Where(where, args...).Order("id")
	if s.d.name == "mysql" {
		q = q.Clauses(clause.Locking{Strength: "UPDATE"})
	}
	var rows []Campaign
	if err := q.Find(&rows).Error; err != nil {
		return nil, err
	}
	found := map[Status][]int64{}
	for _, c := range rows {
		found[c.Status] = append(found[c.Status], c.ID)
	}
	return found, nil
}
