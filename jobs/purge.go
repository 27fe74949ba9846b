package jobs

import (
	"context"
	"errors"
	"time"

	"carillon/models"
)

// Keep is for how long what is over is kept.
type Keep struct {
	Keys       time.Duration // Idempotency-Keys
	Recipients time.Duration // of finished campaigns, from their end on; 0 = for ever
	Events     time.Duration // of the event log; 0 = for ever
}

// The pace of a purge. A step is one transaction, and after each the purger rests for many times as long as it
// took: so it has at most a tenth of the database's time however slow that is, and a fortieth while a campaign runs; and it
// gives way as the database gets slower. A step that took long is followed by smaller ones.
const (
	stepGoal  = 50 * time.Millisecond
	stepLeast = 250 // recipients; a step of fewer costs the same commit
	restIdle  = 9
	restBusy  = 39
	restMost  = 40 * time.Second // within the lease
	leaveTime = 3 * time.Second
)

// pace is how many recipients the next step takes, and how long to rest before it.
func pace(n int, took time.Duration, busy bool) (next int, rest time.Duration) {
	times := time.Duration(restIdle)
	if busy {
		times = restBusy
	}
	switch {
	case took > 2*stepGoal:
		n = max(n/2, stepLeast)
	case took < stepGoal:
		n = min(n*2, models.PurgeMost)
	}
	return n, min(times*max(took, time.Millisecond), restMost)
}

// purgeRecipients deletes the recipients of campaigns that have been over for long enough, until there is nothing more to
// delete or another process does it.
func (r *Reconciler) purgeRecipients(ctx context.Context) error {
	if r.keep.Recipients == 0 {
		return nil
	}
	for {
		p, err := r.store.TakePurge(ctx, models.Millis(r.keep.Recipients.Milliseconds()))
		if err != nil || p == nil {
			return err
		}
		began := time.Now()
		err = r.purgeCampaign(ctx, p)
		if errors.Is(err, models.ErrFenced) {
			return nil // another process has it, after this one stood still
		}
		if ctx.Err() != nil { // in good order: the next process need not wait for the lease to end
			leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
			defer cancel()
			return r.store.LeavePurge(leaving, p)
		}
		if err != nil {
			return err
		}
		r.log.Info("the recipients of an old campaign are purged", "campaign", p.PublicID, "took", time.Since(began).Round(time.Millisecond))
	}
}

func (r *Reconciler) purgeCampaign(ctx context.Context, p *models.Purge) error {
	for n := stepLeast; ; {
		began := time.Now()
		done, err := r.store.PurgeStep(ctx, p, n)
		if err != nil || done {
			return err
		}
		var rest time.Duration
		n, rest = pace(n, time.Since(began), p.Busy)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rest):
		}
	}
}

// eventsStep is how many events one step deletes.
const eventsStep = 1000

// purgeEvents deletes the events that are older than they are kept, at the pace of a purge.
func (r *Reconciler) purgeEvents(ctx context.Context) error {
	if r.keep.Events == 0 {
		return nil
	}
	now, err := r.store.Now(ctx)
	if err != nil {
		return err
	}
	for {
		began := time.Now()
		done, err := r.store.PurgeEvents(ctx, now-models.Millis(r.keep.Events.Milliseconds()), eventsStep)
		if err != nil || done {
			return err
		}
		_, rest := pace(eventsStep, time.Since(began), true) // events may wait, whatever is under way
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rest):
		}
	}
}

// purgeMembers deletes the member lists that groups have left behind, at the pace of a purge.
func (r *Reconciler) purgeMembers(ctx context.Context) error {
	old, err := r.store.OldMembers(ctx)
	if err != nil {
		return err
	}
	for _, list := range old {
		for last, n := "", stepLeast; ; {
			began := time.Now()
			var busy bool
			if last, busy, err = r.store.PurgeMembers(ctx, list, last, n); err != nil {
				return err
			}
			if last == "" {
				break
			}
			var rest time.Duration
			n, rest = pace(n, time.Since(began), busy)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(rest):
			}
		}
	}
	return nil
}
