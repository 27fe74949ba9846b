package models

import (
	"cmp"
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"math"

	"gorm.io/gorm"
)

// EventKind says what an event is about, and what happened to it.
type EventKind string

// All kinds of events. docs/api.md says what their data hold.
const (
	EventCampaignCreated   EventKind = "campaign.created"
	EventCampaignStarted   EventKind = "campaign.started"
	EventCampaignPaused    EventKind = "campaign.paused" // also when a paused campaign is paused for another reason
	EventCampaignResumed   EventKind = "campaign.resumed"
	EventCampaignRetried   EventKind = "campaign.retried"
	EventCampaignCompleted EventKind = "campaign.completed"
	EventCampaignFailed    EventKind = "campaign.failed"
	EventCampaignExpired   EventKind = "campaign.expired"
	EventCampaignCancelled EventKind = "campaign.cancelled"
	EventCampaignStuck     EventKind = "campaign.stuck"   // it runs, and cannot end; verify it
	EventCampaignChanged   EventKind = "campaign.changed" // name, rate, expiry or sendAt
	EventCampaignWaiting   EventKind = "campaign.waiting" // its time has come, and it waits for the directory's sync

	EventScheduleCreated EventKind = "schedule.created"
	EventScheduleEdited  EventKind = "schedule.edited"
	EventSchedulePaused  EventKind = "schedule.paused"
	EventScheduleResumed EventKind = "schedule.resumed"
	EventScheduleDeleted EventKind = "schedule.deleted"
	EventScheduleFired   EventKind = "schedule.fired"
	EventScheduleMissed  EventKind = "schedule.missed"
	EventScheduleSkipped EventKind = "schedule.skipped" // a slot made no campaign: overlap or refused

	EventUsersImported       EventKind = "users.imported"
	EventUsersPut            EventKind = "users.put"
	EventUserDeleted         EventKind = "user.deleted"
	EventDirectorySynced     EventKind = "directory.synced"
	EventDirectorySyncAsked  EventKind = "directory.syncAsked"
	EventDirectorySyncFailed EventKind = "directory.syncFailed" // the first of several failures in a row
	EventGroupPut            EventKind = "group.put"
	EventGroupDeleted        EventKind = "group.deleted"

	EventLoginAccepted EventKind = "login.accepted" // a browser's session
	EventLoginRefused  EventKind = "login.refused"  // one event stands for all of some seconds
	EventTokenIssued   EventKind = "token.issued"
	EventServeStarted  EventKind = "serve.started" // with the settings, secrets masked
)

// EventKinds lists all kinds.
var EventKinds = []EventKind{
	EventCampaignCreated, EventCampaignStarted, EventCampaignPaused, EventCampaignResumed, EventCampaignRetried, EventCampaignCompleted, EventCampaignFailed, EventCampaignExpired,
	EventCampaignCancelled, EventCampaignStuck, EventCampaignChanged, EventCampaignWaiting,
	EventScheduleCreated, EventScheduleEdited, EventSchedulePaused, EventScheduleResumed, EventScheduleDeleted, EventScheduleFired, EventScheduleMissed, EventScheduleSkipped,
	EventUsersImported, EventUsersPut, EventUserDeleted, EventDirectorySyncAsked, EventDirectorySynced, EventDirectorySyncFailed, EventGroupPut, EventGroupDeleted, EventLoginAccepted, EventLoginRefused, EventTokenIssued, EventServeStarted,
}

// Event is one row of the event log. It is stored in the transaction of the change that it tells of, and never changed. It
// holds no secret, no token and no content of a message.
type Event struct {
	ID          int64 `gorm:"primaryKey"`
	Seq         int64 // its place in the order, see OrderEvents; 0 = none yet
	At          Millis
	Kind        EventKind
	CampaignID  string // the public one; empty = about no campaign
	ScheduleID  string // the public one; of a campaign's event: the schedule that made the campaign
	FromStatus  string // the state before; empty = none, or the state did not change
	ToStatus    string
	ReasonCode  ReasonCode
	Reason      string
	Actor       string // see Actor.ID
	Via         Via
	OperationID string
	Data        EventData
}

// EventData is what else an event tells: a small JSON object, or nothing.
type EventData map[string]any

// Value is the stored form.
func (d EventData) Value() (driver.Value, error) {
	if len(d) == 0 {
		return "", nil
	}
	text, err := JSON(map[string]any(d))
	return string(text), err
}

// Scan reads the stored form.
func (d *EventData) Scan(stored any) error {
	var text []byte
	switch v := stored.(type) {
	case string:
		text = []byte(v)
	case []byte:
		text = v
	default:
		return fmt.Errorf("an event's data are stored as a text, not as %T", stored)
	}
	*d = nil
	if len(text) == 0 {
		return nil
	}
	return json.Unmarshal(text, d)
}

// campaignMoved is the kind of event of a change of state, and of the reason for it.
func campaignMoved(from, to Status, why ReasonCode) EventKind {
	if why == ReasonDirectorySync {
		return EventCampaignWaiting
	}
	switch to {
	case StatusRunning:
		switch from {
		case StatusScheduled:
			return EventCampaignStarted
		case StatusPaused:
			return EventCampaignResumed
		case StatusRunning:
			return EventCampaignStuck
		case StatusCompleted, StatusFailed, StatusExpired, StatusCancelled:
		}
		return EventCampaignRetried
	case StatusScheduled:
		return EventCampaignResumed
	case StatusPaused:
		return EventCampaignPaused
	case StatusCompleted:
		return EventCampaignCompleted
	case StatusFailed:
		return EventCampaignFailed
	case StatusExpired:
		return EventCampaignExpired
	case StatusCancelled:
	}
	return EventCampaignCancelled
}

const insertEvent = "INSERT INTO events (at, kind, campaign_id, schedule_id, from_status, to_status, reason_code, reason, actor, via, operation_id, data) "

// record stores an event in the transaction of its change. Its actor is the context's; without one it is the program, by via.
func (s *Store) record(tx *gorm.DB, via Via, e Event) error {
	by := actorOf(tx.Statement.Context, via)
	return tx.Exec(insertEvent+"VALUES ("+s.d.now+",?,?,?,?,?,?,?,?,?,?,?)", e.Kind, e.CampaignID, e.ScheduleID, e.FromStatus, e.ToStatus,
		e.ReasonCode, cut(e.Reason), by.ID, by.Via, by.OperationID, e.Data).Error
}

// recordOf is record for each row of campaigns or schedules that a condition holds for, with one statement. e names neither.
func (s *Store) recordOf(tx *gorm.DB, via Via, e Event, columns, where string, args ...any) error {
	by := actorOf(tx.Statement.Context, via)
	args = append([]any{e.Kind, e.FromStatus, e.ToStatus, e.ReasonCode, cut(e.Reason), by.ID, by.Via, by.OperationID, e.Data}, args...)
	return tx.Exec(insertEvent+"SELECT "+s.d.now+",?,"+columns+",?,?,?,?,?,?,?,? FROM "+where, args...).Error
}

// Record stores an event that tells of no change of the ledger, such as a log-in.
func (s *Store) Record(ctx context.Context, e Event) error {
	return s.txAgain(ctx, isDeadlock, func(tx *gorm.DB) error { return s.record(tx, ViaServe, e) })
}

// EventFilter selects events, newest first. An empty text = any.
type EventFilter struct {
	Kind       EventKind
	CampaignID string
	ScheduleID string
	Actor      string
	Before     int64 // number to go on before; 0 = from the newest
	Limit      int
}

// Events lists events, newest first.
func (s *Store) Events(ctx context.Context, f EventFilter) ([]Event, error) {
	q := s.db.WithContext(ctx).Where("id < ?", cmp.Or(f.Before, math.MaxInt64)).Order("id DESC").Limit(f.Limit)
	for column, id := range map[string]string{"campaign_id": f.CampaignID, "schedule_id": f.ScheduleID} {
		switch {
		case id == "":
		case !isPublicID(id):
			return nil, nil
		default:
			q = q.Where(column+" = ?", id)
		}
	}
	if f.Kind != "" {
		q = q.Where("kind = ?", f.Kind)
	}
	if f.Actor != "" {
		q = q.Where("actor = ?", f.Actor)
	}
	var rows []Event
	err := q.Find(&rows).Error
	return rows, err
}

// PurgeEvents deletes the oldest up to n events from before a time; done says that no further one can go now. It keeps
//   - the newest event of the order, after which readers of PullEvents go on;
//   - events that are still to be posted to the receiver.
func (s *Store) PurgeEvents(ctx context.Context, before Millis, n int) (done bool, err error) {
	if err := s.OrderEvents(ctx); err != nil {
		return true, err
	}
	end, err := s.purgeEnd(ctx)
	if err != nil {
		return true, err
	}
	var rows []Event
	err = s.db.WithContext(ctx).Select("id", "seq", "at").Where("id > 0").Order("id").Limit(n).Find(&rows).Error
	if err != nil {
		return true, err
	}
	old := rows[:0]
	for _, e := range rows {
		if e.At < before && e.place(end.base) > 0 && e.place(end.base) < end.place {
			old = append(old, e)
		}
	}
	if len(old) == 0 {
		return true, nil
	}
	ids := make([]int64, len(old))
	for i, e := range old {
		ids[i] = e.ID
	}
	_, err = s.exec(ctx, "DELETE FROM events WHERE id IN ?", ids)
	return len(old) < n, err
}

// purgeEnd is the place that a purge stays before.
func (s *Store) purgeEnd(ctx context.Context) (end struct{ base, place int64 }, err error) {
	order, err := s.eventOrder(s.db.WithContext(ctx))
	if err != nil {
		return end, err
	}
	end.base, end.place = order.Base, order.Seq
	w, err := s.EventWebhook(ctx)
	if err != nil || !w.goesOn() {
		return end, err
	}
	end.place = min(end.place, w.Pos+1)
	var first []int64
	err = s.db.WithContext(ctx).Raw("SELECT seq FROM event_deliveries WHERE seq>0 ORDER BY seq LIMIT 1").Scan(&first).Error
	if len(first) > 0 {
		end.place = min(end.place, first[0])
	}
	return end, err
}
