package jobs

import (
	"context"
	"errors"
	"fmt"
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
)

// Scheduler starts scheduled campaigns and fires schedules. Any number of processes may run one: each slot is
// taken by compare-and-set in SQL. It goes by the database's clock.
type Scheduler struct {
	store   *models.Store
	enqueue func(context.Context, models.Created) error
	admins  []string
	log     *slog.Logger
	loops   loops
}

// NewScheduler makes a scheduler. enqueue puts what it made into the queue; when that fails the reconciler picks it
// up. admins may send without standing in the directory.
func NewScheduler(store *models.Store, enqueue func(context.Context, models.Created) error, admins []string, log *slog.Logger) *Scheduler {
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
		return s.enqueue(ctx, c)
	})
}

func (s *Scheduler) fireSchedules(ctx context.Context) error {
	due, now, err := s.store.DueSchedules(ctx)
	if err != nil {
		return err
	}
	// Several schedulers that ask at the same time shall not all go for the same one first.
	rand.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] })
	return each(due, func(sch models.Schedule) error { return s.fire(ctx, sch, now) })
}

func (s *Scheduler) fire(ctx context.Context, sch models.Schedule, now models.Millis) error {
	table, err := slots.Of(sch)
	if err != nil { // it was checked when it was stored: a newer program wrote it
		return fmt.Errorf("schedule %s: %w", sch.PublicID, err)
	}
	f := decide(table, sch, now)
	c, fired, err := s.store.Fire(ctx, sch, f, s.admins)
	if err != nil || !fired {
		return err
	}
	if f.Missed != nil {
		s.log.Warn("slots of a schedule were missed", "schedule", sch.PublicID, "slots", f.Missed.Slots)
	}
	if c.PublicID == "" {
		return nil
	}
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

// decide says what is to be done about a schedule whose next slot has come. A slot that is not late fires. After a
// time in which nobody was there, all slots up to now count as one run of missed ones: with MissedOnce its last one
// still fires if it is within the grace.
func decide(t slots.Timetable, sch models.Schedule, now models.Millis) models.Firing {
	f := models.Firing{Slot: sch.NextSlot}
	last := sch.NextSlot
	if until := now - t.Span(); sch.NextSlot < until-models.OnTime { // even its last zone is past
		f.Missed, f.Slot, last = missed(t, sch, until)
	}
	f.NextSlot, f.NextFire = t.After(last)
	if f.Slot != 0 {
		f.Campaign = t.Campaign(sch, f.Slot)
	}
	return f
}

// missed sums up the slots up to until, and says which of them still fires, if one does.
func missed(t slots.Timetable, sch models.Schedule, until models.Millis) (run *models.MissedRun, fires, last models.Millis) {
	n, last := t.Missed(sch.NextSlot, until)
	run = &models.MissedRun{From: sch.NextSlot, To: last, Slots: n, Reason: "no scheduler was running"}
	if sch.Missed != models.MissedOnce || until-last > sch.MissedGrace {
		return run, 0, last
	}
	if n == 1 {
		return nil, last, last
	}
	run.Slots, run.To = t.Missed(sch.NextSlot, last-1)
	run.Reason += "; the last one of them was sent late"
	return run, last, last
}
