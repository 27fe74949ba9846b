package jobs

import (
	"context"
	"time"

	"carillon/channels"
	"carillon/models"
)

// A provider that takes seconds for one recipient in a thousand would hold up each chunk for as
// long. So a chunk lets its last few answers go: the visit goes on with the next chunk, and writes
// those outcomes when they come.
const (
	lateTick  = 300 * time.Millisecond // how often a chunk under way is looked at
	lateShare = 20                     // late answers are few when they are at most one in so many of a chunk, or one
	maxLate   = 16                     // recipients of one visit
	// lateHold is when somebody else may send to a late recipient, should this process be gone:
	// later than the request's time-out.
	lateHold = channels.MaxTimeout + 2*time.Second
)

// lateAnswers are the answers that a visit still waits for, of chunks that have been written.
type lateAnswers struct {
	members map[string]bool                // whose request is out; each has a row that waits
	chunks  int                            // of which answers are still to come
	arrived chan []models.RecipientOutcome // rows, chunk by chunk
}

func newLateAnswers() *lateAnswers {
	return &lateAnswers{members: map[string]bool{}, arrived: make(chan []models.RecipientOutcome, maxLate)}
}

// letGo has the rows of late members come through arrived.
func (l *lateAnswers) letGo(ctx context.Context, s *sending, late []int) {
	for _, i := range late {
		l.members[s.chunk[i].id] = true
	}
	l.chunks++
	go func() {
		<-s.ended
		rows := s.rows(ctx, late)
		for i := range rows {
			rows[i].HasRow = true
		}
		l.arrived <- rows
	}()
}

// took takes in rows that have come.
func (l *lateAnswers) took(rows []models.RecipientOutcome) {
	l.chunks--
	for _, r := range rows {
		delete(l.members, r.UserID)
	}
}

// abandon waits for the late answers of a visit that has ended: its page is another worker's, who
// sends to them again.
func (l *lateAnswers) abandon() {
	for ; l.chunks > 0; l.chunks-- {
		<-l.arrived
	}
}

// awaitLate waits for late answers, beside the slot if it may, and writes them. within bounds the
// wait; 0 = until they come.
func (d *delivery) awaitLate(ctx context.Context, within time.Duration) error {
	d.leaveSlot(ctx)
	if d.lost != nil {
		return d.lost
	}
	var enough <-chan time.Time
	if within > 0 {
		enough = time.After(within)
	}
	select {
	case rows := <-d.late.arrived:
		return d.writeLate(ctx, rows)
	case <-enough:
		return nil
	}
}

// collectLate writes the late answers that have come.
func (d *delivery) collectLate(ctx context.Context) error {
	for {
		select {
		case rows := <-d.late.arrived:
			if err := d.writeLate(ctx, rows); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

func (d *delivery) writeLate(ctx context.Context, rows []models.RecipientOutcome) error {
	d.late.took(rows)
	d.stopIllegible(ctx)
	if err := d.writer.writeBehind(ctx, models.Chunk{Outcomes: rows, State: models.PageRunning}); err != nil {
		return err
	}
	return d.askGuard(ctx)
}
