package jobs

import (
	"time"

	"carillon/channels"
	"carillon/models"
)

// A provider that takes seconds for one recipient in a thousand would hold up each chunk for as
// long. So a chunk lets its last few answers go: the visit goes on with the next chunk, and writes
// those outcomes when they come.
const (
	lateTick = 300 * time.Millisecond // how often a chunk under way is looked at
	// Late answers are few when at most one of so many in a chunk is late, or a single one.
	lateShare = 20
	maxLate   = 16 // recipients of one visit
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
