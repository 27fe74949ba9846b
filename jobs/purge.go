package jobs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"carillon/models"
)

// Retention is how long data stays that nobody needs any more.
type Retention struct {
	IdempotencyKeys time.Duration
	Recipients      time.Duration // of finished campaigns, counted from their end; 0 = for ever
	Events          time.Duration // of the event log; 0 = for ever
}

const purgeEvery = time.Minute

// The pace of a purge. A step is one transaction. After each step the purger pauses for many times
// as long as the step took:
//   - So it has at most a tenth of the database's time, and a fortieth while a campaign runs,
//     however slow the database is.
//   - It gives way as the database gets slower.
//   - A step that took long is followed by smaller steps.
const (
	stepGoal  = 50 * time.Millisecond
	stepLeast = 250              // recipients; a step of fewer costs the same commit
	pauseIdle = 9                // times as long as the step
	pauseBusy = 39               // the same, while a campaign runs
	pauseMost = 40 * time.Second // within the lease of the purge
	leaveTime = 3 * time.Second  // to give the lease back at the end of the process
)

// purgePace is how many recipients the next step takes, and how long to pause before it. n and took
// are the last step's.
func purgePace(n int, took time.Duration, busy bool) (next int, pause time.Duration) {
	times := time.Duration(pauseIdle)
	if busy {
		times = pauseBusy
	}
	switch {
	case took > 2*stepGoal:
		n = max(n/2, stepLeast)
	case took < stepGoal:
		n = min(n*2, models.PurgeMost)
	}
	return n, min(times*max(took, time.Millisecond), pauseMost)
}

// purger deletes what is old.
type purger struct {
	store     *models.Store
	retention Retention
	log       *slog.Logger
}

// minutesKept is how long the chart of all sends goes back.
const minutesKept = 7 * 24 * time.Hour

// purgeKeys deletes old idempotency keys, and old minutes of the chart of all sends.
func (p purger) purgeKeys(ctx context.Context) error {
	now, err := p.store.Now(ctx)
	if err != nil {
		return err
	}
	if err := p.store.PurgeMinutes(ctx, now-models.Millis(minutesKept.Milliseconds())); err != nil {
		return err
	}
	return p.store.PurgeIdempotency(ctx, now-models.Millis(p.retention.IdempotencyKeys.Milliseconds()))
}

// purgeRecipients deletes the recipients of campaigns that have been over for long enough. It ends
// when nothing is left to delete, or when another process deletes it.
func (p purger) purgeRecipients(ctx context.Context) error {
	if p.retention.Recipients == 0 {
		return nil
	}
	for {
		job, err := p.store.TakePurge(ctx, models.Millis(p.retention.Recipients.Milliseconds()))
		if err != nil || job == nil {
			return err
		}
		start := time.Now()
		err = p.purgeCampaign(ctx, job)
		if errors.Is(err, models.ErrFenced) {
			return nil // this process stood still, and another one has the campaign
		}
		if ctx.Err() != nil { // the process ends: the next one need not wait for the lease to end
			leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
			defer cancel()
			return p.store.LeavePurge(leaving, job)
		}
		if err != nil {
			return err
		}
		p.log.Info("the recipients of an old campaign are purged", "campaign", job.PublicID, "took", time.Since(start).Round(time.Millisecond))
	}
}

func (p purger) purgeCampaign(ctx context.Context, job *models.Purge) error {
	return inSteps(ctx, func(n int) (done, busy bool, err error) {
		done, err = p.store.PurgeStep(ctx, job, n)
		return done, job.Busy, err
	})
}

// purgeEvents deletes the events that are older than they are kept. Events may wait, so the purge takes the slower pace.
func (p purger) purgeEvents(ctx context.Context) error {
	if p.retention.Events == 0 {
		return nil
	}
	now, err := p.store.Now(ctx)
	if err != nil {
		return err
	}
	return inSteps(ctx, func(n int) (done, busy bool, err error) {
		done, err = p.store.PurgeEvents(ctx, now-models.Millis(p.retention.Events.Milliseconds()), n)
		return done, true, err
	})
}

// purgeMembers deletes the member lists that groups have left behind.
func (p purger) purgeMembers(ctx context.Context) error {
	old, err := p.store.OldMembers(ctx)
	if err != nil {
		return err
	}
	for _, list := range old {
		last := ""
		err := inSteps(ctx, func(n int) (done, busy bool, err error) {
			last, busy, err = p.store.PurgeMembers(ctx, list, last, n)
			return last == "", busy, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// inSteps calls step for n rows each time until it is done, at the pace of a purge. busy says that
// a campaign runs.
func inSteps(ctx context.Context, step func(n int) (done, busy bool, err error)) error {
	n := stepLeast
	for {
		start := time.Now()
		done, busy, err := step(n)
		if err != nil || done {
			return err
		}
		var pause time.Duration
		n, pause = purgePace(n, time.Since(start), busy)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}
