package jobs

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"carillon/internal/slots"
	"carillon/models"
)

const (
	scheduleEvery = 250 * time.Millisecond
	// firings is how many slots one process acts upon at once.
	firings = 4
	// dueAtOnce is how many schedules one round takes: another whose time comes meanwhile waits no longer than for these.
	dueAtOnce = 100
)

// Scheduler starts scheduled campaigns and fires schedules. Any number of processes may run one: each slot is
// taken by compare-and-set in SQL. It goes by the database's clock.
type Scheduler struct {
	store   *models.Store
	enqueue func(context.Context, models.Created) error
	admins  func() []string
	log     *slog.Logger
	loops   loops
}

// NewScheduler makes a scheduler. enqueue puts what it made into the queue; when that fails the reconciler picks it
// up. admins are who may send without standing in the directory.
func NewScheduler(store *models.Store, enqueue func(context.Context, models.Created) error, admins func() []string, log *slog.Logger) *Scheduler {
	return &Scheduler{store: store, enqueue: enqueue, admins: admins, log: log}
}

// Start begins the loops.
func (s *Scheduler) Start() {
	s.loops.start(s.log, loop{scheduleEvery, "start campaigns", s.startCampaigns}, loop{scheduleEvery, "fire schedules", s.fireSchedules})
}

// Stop ends the loops and waits for them. It may be called twice.
func (s *Scheduler) Stop() { s.loops.stop() }

func (s *Scheduler) startCampaigns(ctx context.Context) error {
	ids, err := s.store.DueCampaigns(ctx)
	if err != nil {
		return err
	}
	return each(ids, func(id int64) error {
		c, started, err := s.store.StartCampaign(ctx, id)
		if err != nil || !started {
			return err
		}
		if view, err := s.store.Campaign(ctx, c.PublicID); err == nil {
			what := "campaign started"
			if view.Status == models.StatusFailed {
				what = "campaign could not start"
			}
			s.log.Info(what, "campaign", view, "by", "scheduler")
		}
		return s.enqueue(ctx, c)
	})
}

// fireSchedules acts upon one slot of each schedule that is due, those first that have waited longest for their turn. So
// many slots of one schedule do not hold up another's.
func (s *Scheduler) fireSchedules(ctx context.Context) error {
	due, now, err := s.store.DueSchedules(ctx, dueAtOnce)
	if err != nil {
		return err
	}
	// Several schedulers that ask at the same time shall not all go for the same one first.
	rand.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] })
	if len(due) == 0 {
		return nil
	}
	mark, err := s.store.Mark(ctx)
	if err != nil {
		return err
	}
	return each(due, func(id string) error { return s.fire(ctx, id, now, mark.LostUntil) })
}

// fire acts upon a slot. One that came up to lostUntil may have fired in a ledger that was lost, and does not fire again.
// It reads the schedule by itself: of templates, which may hold a list of 100,000, only as many are in memory as fire
// at once.
func (s *Scheduler) fire(ctx context.Context, publicID string, now, lostUntil models.Millis) error {
	sch, err := s.store.Schedule(ctx, publicID)
	if err != nil || !sch.Due(now) {
		return err
	}
	f, err := slots.Since(lostUntil, slots.Due)(sch, now)
	if err != nil {
		return err
	}
	if f.Refused != "" && now-sch.NextFire <= models.OnTime {
		return nil // a newer program may stand beside this one, and has its time to act
	}
	c, fired, err := s.store.Fire(ctx, sch, f, s.admins())
	if err != nil || !fired {
		return err
	}
	if f.Refused != "" {
		s.log.Warn("a slot was refused", "schedule", sch.PublicID, "reason", f.Refused)
	}
	if f.Missed != nil {
		s.log.Warn("slots of a schedule were missed", "schedule", sch.PublicID, "name", sch.Name, "slots", f.Missed.Slots, "why", f.Missed.Reason)
	}
	switch {
	case c.Refused != "":
		s.log.Warn("a schedule made no campaign", "schedule", sch.PublicID, "name", sch.Name, "slot", f.Slot.Time(), "why", c.Refused)
		return nil
	case c.PublicID == "":
		return nil
	}
	s.log.Info("a schedule fired", "schedule", sch.PublicID, "name", sch.Name, "slot", f.Slot.Time(), "campaign", c.PublicID)
	return s.enqueue(ctx, c)
}

// each does f for all of list, some at a time, and returns all errors: one that fails holds up no other.
func each[T any](list []T, f func(T) error) error {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	slot := make(chan struct{}, firings)
	for _, one := range list {
		slot <- struct{}{}
		wg.Go(func() {
			defer func() { <-slot }()
			if err := f(one); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
