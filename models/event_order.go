package models

import (
	"context"
	"strconv"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// The event log has two orders:
//
//   - By id, in which the events were stored. An id becomes visible when its transaction commits, so a
//     lower id may appear behind a higher one. Nobody can go on after an id without missing events.
//   - By place (seq). An event gets its place after its commit, and a place is always higher than all
//     places before. So who has read up to a place has read everything up to there.
//
// Of two events of one campaign the later has the higher id and the higher place: both change the
// campaign's row. docs/adr/0020-events-in-order.md says why it is done so.

// orderStep is how many events get their places in one transaction.
const orderStep = 1000

// eventOrder is the one row of event_order.
type eventOrder struct {
	Base int64 // events up to this id are from before the order: their place is their id
	Seq  int64 // the highest place that is taken
}

func (s *Store) eventOrder(db *gorm.DB) (o eventOrder, err error) {
	err = db.Table("event_order").Select("base", "seq").Where("id = 1").Take(&o).Error
	return o, err
}

// place is an event's place in the order; 0 = none yet.
func (e Event) place(base int64) int64 {
	if e.ID <= base {
		return e.ID
	}
	return e.Seq
}

// OrderEvents gives each committed event that has none its place in the order. When it returns, all
// events have one that were committed before the call. Any process may call it at any time.
func (s *Store) OrderEvents(ctx context.Context) error {
	for {
		some, err := s.unordered(s.db.WithContext(ctx), 1)
		if err != nil || len(some) == 0 {
			return err
		}
		n, err := s.orderSome(ctx)
		if err != nil || n < orderStep {
			return err
		}
	}
}

// unordered are the ids of up to n committed events that have no place. It waits for no transaction.
func (s *Store) unordered(db *gorm.DB, n int) (ids []int64, err error) {
	err = db.Raw("SELECT id FROM events WHERE seq IS NULL AND id>(SELECT base FROM event_order WHERE id=1) ORDER BY id LIMIT ?", n).Scan(&ids).Error
	return ids, err
}

// orderSome gives the next events their places, in one transaction. The lock on event_order's row keeps
// everybody else out until the commit: so places become visible in their order.
//
// A place is the event's id, moved up as far as the highest place so far needs. All events of a step move
// by the same number, so one statement places them all. Places have gaps where ids have.
func (s *Store) orderSome(ctx context.Context) (n int, err error) {
	err = s.txAgain(ctx, isDeadlock, func(tx *gorm.DB) error {
		n = 0
		q := tx
		if s.d.name == "mysql" {
			q = tx.Clauses(clause.Locking{Strength: "UPDATE"})
		}
		o, err := s.eventOrder(q)
		if err != nil {
			return err
		}
		ids, err := s.unordered(tx, orderStep)
		if err != nil || len(ids) == 0 {
			return err
		}
		n = len(ids)
		by := max(0, o.Seq+1-ids[0])
		// It names the events by their key: a scan would wait for events that are not committed.
		if err := tx.Exec("UPDATE "+s.d.eventsByKey+" SET seq=id+? WHERE id IN ?", by, ids).Error; err != nil {
			return err
		}
		return tx.Exec("UPDATE event_order SET seq=? WHERE id=1", ids[n-1]+by).Error
	})
	return n, err
}

// PublicID names an event for outsiders, such as "evt_7_1767225600123": its id and its time. After a
// restored backup ids are given out a second time, and never with the same time.
func (e Event) PublicID() string {
	return eventIDPrefix + strconv.FormatInt(e.ID, 10) + "_" + strconv.FormatInt(int64(e.At), 10)
}

const eventIDPrefix = "evt_"

// parseEventID reads a public ID.
func parseEventID(text string) (id int64, at Millis, ok bool) {
	text, found := strings.CutPrefix(text, eventIDPrefix)
	first, second, both := strings.Cut(text, "_")
	id, idErr := strconv.ParseInt(first, 10, 64)
	ms, atErr := strconv.ParseInt(second, 10, 64)
	e := Event{ID: id, At: Millis(ms)}
	return id, Millis(ms), found && both && idErr == nil && atErr == nil && id > 0 && e.PublicID() == eventIDPrefix+text
}

// What EventPull.After may be besides the public ID of an event.
const (
	FromFirst = "0"   // from the oldest event that is kept
	FromNow   = "now" // nothing that has happened so far
)

// EventPull selects events in their order, oldest first.
type EventPull struct {
	After      string // FromFirst, FromNow, or the public ID of the event to go on after
	Kind       EventKind
	CampaignID string
	ScheduleID string
	Actor      string
	Limit      int
}

// PulledEvents is what a pull found.
type PulledEvents struct {
	Events []Event
	Next   string // After of the next pull
	More   bool   // there is more already
}

// pullLook is how many events a pull with a filter looks at. It may find none among them, and more behind.
const pullLook = 10_000

// PullEvents reads events in their order. Whoever goes on with Next each time gets each event once and
// misses none, also not one whose transaction ended later than that of a newer event. Every event that
// was committed before the call is there.
//
// Errors: CodeArgs, After is no ID of an event. CodeCursorGone, the event is not in this log any more.
func (s *Store) PullEvents(ctx context.Context, p EventPull) (found PulledEvents, err error) {
	if err := s.OrderEvents(ctx); err != nil {
		return found, err
	}
	db := s.db.WithContext(ctx)
	o, err := s.eventOrder(db)
	if err != nil {
		return found, err
	}
	if p.After == FromNow {
		return s.pullNow(db, o)
	}
	lo, err := pulledUpTo(db, p.After, o)
	if err != nil {
		return found, err
	}
	found.Next = p.After
	look := p.Limit
	filters := p.filters()
	if len(filters) > 0 {
		look = pullLook
	}
	column, in, err := pullPart(db, lo, o)
	if err != nil {
		return found, err
	}
	hi, err := farthest(in, column, look)
	if err != nil || hi == nil {
		return found, err
	}
	q := in.Where(column+" <= ?", hi.place(o.Base)).Order(column).Limit(p.Limit)
	if len(filters) > 0 {
		q = q.Where(filters)
	}
	if err := q.Find(&found.Events).Error; err != nil {
		return found, err
	}
	last := *hi
	if n := len(found.Events); n == p.Limit {
		last = found.Events[n-1]
	}
	found.Next, found.More = last.PublicID(), last.place(o.Base) < o.Seq
	return found, nil
}

// filters are the columns that a pull asks for a value of. A text that is no public ID is no campaign's.
func (p EventPull) filters() map[string]any {
	columns := map[string]any{}
	for column, value := range map[string]string{"kind": string(p.Kind), "actor": p.Actor} {
		if value != "" {
			columns[column] = value
		}
	}
	for column, id := range map[string]string{"campaign_id": p.CampaignID, "schedule_id": p.ScheduleID} {
		switch {
		case isPublicID(id):
			columns[column] = id
		case id != "":
			columns[column] = "none"
		}
	}
	return columns
}

// pullPart is the part of the order behind a place: column holds the places in it. Old events have their
// id as their place. Behind the last of them the part is that of the others.
func pullPart(db *gorm.DB, lo int64, o eventOrder) (column string, part *gorm.DB, err error) {
	if lo < o.Base {
		old := db.Model(&Event{}).Where("id > ? AND id <= ?", lo, o.Base).Session(&gorm.Session{})
		left, err := oneOf(old)
		if err != nil || left != nil {
			return "id", old, err
		}
	}
	return "seq", db.Model(&Event{}).Where("seq > ?", lo).Session(&gorm.Session{}), nil
}

// farthest is the n-th event of a part of the order, or its last; nil = the part is empty.
func farthest(part *gorm.DB, column string, n int) (*Event, error) {
	e, err := oneOf(part.Order(column).Offset(n - 1))
	if err != nil || e != nil {
		return e, err
	}
	return oneOf(part.Order(column + " DESC"))
}

// oneOf is the first event of a query; nil = there is none.
func oneOf(q *gorm.DB) (*Event, error) {
	var rows []Event
	if err := q.Select("id", "seq", "at").Limit(1).Find(&rows).Error; err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

// pullNow is the end of the order.
func (s *Store) pullNow(db *gorm.DB, o eventOrder) (found PulledEvents, err error) {
	last, err := oneOf(db.Model(&Event{}).Where("seq > 0").Order("seq DESC"))
	if err == nil && last == nil {
		last, err = oneOf(db.Model(&Event{}).Where("id <= ?", o.Base).Order("id DESC"))
	}
	found.Next = FromFirst // nothing has ever happened
	if last != nil {
		found.Next = last.PublicID()
	}
	return found, err
}

// pulledUpTo is the place of the event that a pull goes on after.
func pulledUpTo(db *gorm.DB, after string, o eventOrder) (place int64, err error) {
	if after == FromFirst {
		return 0, nil
	}
	id, at, ok := parseEventID(after)
	if !ok {
		return 0, Invalid([]FieldError{{Field: "after", Reason: "must be 0, now, or the nextCursor or eventID that a former answer gave"}})
	}
	e, err := oneOf(db.Model(&Event{}).Where("id = ?", id))
	if err != nil {
		return 0, err
	}
	if e == nil || e.At != at {
		return 0, Errorf(CodeCursorGone, "after: the event %s is not in this log: it was purged (CARILLON_EVENTS_RETENTION), is another server's, "+
			"or was lost when a backup was restored. Events after it may be gone too. Go on with after=0, the oldest event that is kept", after)
	}
	return e.place(o.Base), nil
}
