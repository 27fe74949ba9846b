package jobs

import (
	"context"
	"sync"
	"time"

	"carillon/models"
)

const (
	steadyEvery = time.Second
	// steadyFor is how long contact with the database must have lasted before a page is taken from
	// its worker. A worker without contact could not renew its leases. The database must also have
	// been up for as long.
	steadyFor = 20 * time.Second
	// steadyGap is the longest time between two answers that does not interrupt contact. A worker
	// renews a lease that late and still keeps it.
	steadyGap = 5 * time.Second
)

// steadiness says whether workers have had the time to renew their leases. A database that let this
// process wait let the workers wait too. A process that stood still knows nothing of that time.
type steadiness struct {
	store *models.Store

	mu     sync.Mutex
	last   time.Time // the last answer; zero without contact
	since  time.Time // the first answer of this unbroken contact
	uptime time.Duration
}

// check asks the database once. It asks by a write, because a lease is a write: a database that can
// only be read renews none.
func (s *steadiness) check(ctx context.Context) error {
	up, err := s.store.Uptime(ctx)
	if err == nil {
		err = s.store.TryWrite(ctx)
	}
	if err != nil {
		s.lost()
		return err
	}
	s.answered(time.Now(), up)
	return nil
}

// answered notes an answer of a database that has been up for uptime.
func (s *steadiness) answered(now time.Time, uptime time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last.IsZero() || now.Sub(s.last) > steadyGap {
		s.since = now
	}
	s.last, s.uptime = now, uptime
}

func (s *steadiness) lost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = time.Time{}
}

// holds says whether a page whose lease has ended may be taken over. Ask after the pages were read:
// then a database that stood still during the read counts as a gap.
func (s *steadiness) holds(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.last.IsZero() && now.Sub(s.last) <= steadyGap && s.uptime >= steadyFor &&
		now.Sub(s.since) >= steadyFor // guard: steady-contact
}
