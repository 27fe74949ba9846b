package jobs

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"carillon/internal/metrics"
	"carillon/internal/slots"
	"carillon/internal/tracing"
	"carillon/models"
)

const (
	scheduleEvery = 250 * time.Millisecond
	// firingsAtOnce is how many slots one process acts upon at the same time.
	firingsAtOnce = 4
	// dueAtOnce is how many schedules one round takes. A schedule whose time comes meanwhile waits
	// for one round at most.
	dueAtOnce = 100
)

// Scheduler starts scheduled campaigns and fires schedules, by the database's clock. Any number of
// processes may run one: each slot is taken by compare-and-set in SQL.
type Scheduler struct {
	store   *models.Store
	enqueue func(context.Context, models.Created) error
	admins  func() []string
	counts  *metrics.Metrics
	tracer  *tracing.Tracer
	log     *slog.Logger
	loops   loops
}

// NewScheduler makes a scheduler that does nothing until Start. enqueue puts a new campaign's tasks
// into the queue; when that fails the reconciler picks the campaign up. admins are the users who
// may send without standing in the directory. tracer nil = no traces.
func NewScheduler(store *models.Store, enqueue func(context.Context, models.Created) error, admins func() []string, counts *metrics.Metrics,
	tracer *tracing.Tracer, log *slog.Logger) *Scheduler {
	return &Scheduler{store: store, enqueue: enqueue, admins: admins, counts: counts, tracer: tracer, log: log}
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
	return forEach(ids, func(id int64) error {
		c, started, err := s.store.StartCampaign(ctx, id)
		if err != nil || !started {
			return err
		}
		s.counts.StartLate.Observe(float64(c.Late) / 1000)
		s.logStarted(ctx, c.PublicID)
		return s.enqueue(ctx, c)
	})
}

func (s *Scheduler) logStarted(ctx context.Context, publicID string) {
	c, err := s.store.Campaign(ctx, publicID)
	if err != nil {
		return
	}
	what := "campaign started"
	if c.Status == models.StatusFailed {
		what = "campaign could not start"
	}
	s.log.Info(what, "campaign", c, "by", "scheduler")
}

// fireSchedules acts upon one slot of each schedule that is due. The schedules that have waited
// longest come first. So many slots of one schedule do not hold up another schedule.
func (s *Scheduler) fireSchedules(ctx context.Context) error {
	due, now, err := s.store.DueSchedules(ctx, dueAtOnce)
	if err != nil {
		return err
	}
	// Several schedulers that ask at the same time shall not all begin with the same schedule.
	rand.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] })
	if len(due) == 0 {
		return nil
	}
	mark, err := s.store.Mark(ctx)
	if err != nil {
		return err
	}
	return forEach(due, func(id string) error { return s.fire(ctx, id, now, mark.LostUntil) })
}

// fire acts upon a schedule's next slot.
//   - A slot up to lostUntil may have fired in a ledger that was lost. It does not fire again.
//   - fire reads the schedule itself. A template may hold a list of 100,000 users, and only
//     firingsAtOnce templates are in memory.
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
	ctx, span := s.traceSlot(ctx, sch)
	defer span.End()
	c, fired, err := s.store.Fire(ctx, sch, f, s.admins())
	if err != nil || !fired {
		return err
	}
	s.count(sch, f, c, now)
	if f.Refused != "" {
		s.log.Warn("a slot was refused", "schedule", sch.PublicID, "reason", f.Refused)
	}
	if len(f.Skipped) > 0 {
		s.log.Info("slots of a schedule were left out by hand", "schedule", sch.PublicID, "name", sch.Name, "slots", len(f.Skipped))
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

// count counts what became of a schedule's slots. A slot that this program cannot act upon stays
// the next one, and is no outcome.
func (s *Scheduler) count(sch models.Schedule, f models.Firing, c models.Created, now models.Millis) {
	due := sch.NextFire
	if f.Missed != nil {
		s.counts.SlotsMissed.Add(float64(f.Missed.Slots))
		due = f.Slot
	}
	if len(f.Skipped) > 0 {
		s.counts.SlotsSkipped.Add(float64(len(f.Skipped)))
		due = f.Slot
	}
	switch {
	case f.Slot == 0, f.Refused != "":
	case c.Refused != "":
		s.counts.SlotsSkipped.Inc()
	default:
		s.counts.SlotsFired.Inc()
		s.counts.SlotLate.Observe(float64(max(0, now-due)) / 1000)
	}
}

// forEach calls f for all of list, firingsAtOnce at the same time, and returns all errors. A call
// that fails holds up no other.
func forEach[T any](list []T, f func(T) error) error {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	running := make(chan struct{}, firingsAtOnce)
	for _, item := range list {
		running <- struct{}{}
		wg.Go(func() {
			defer func() { <-running }()
			if err := f(item); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
