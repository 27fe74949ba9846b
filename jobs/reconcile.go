package jobs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"carillon/models"
)

const (
	promoteEvery   = 200 * time.Millisecond // waiting pages
	reconcileEvery = time.Second            // everything else
	purgeEvery     = time.Minute
	slotsEvery     = 5 * time.Second
	recountEvery   = time.Second
	// recountMost is how many finished campaigns are recounted at a time. A process that starts goes through all of
	// them, and the database should hardly feel it.
	recountMost = 20

	// A worker that could not reach the database was not able to renew its leases. So no page is taken from
	// one until contact has lasted this long, with a database that has been up for as long.
	contactFor = 20 * time.Second
	// contactGap: contact that was lost for longer has to last anew. A lease can be renewed as late as this.
	contactGap = 5 * time.Second
	// unclaimedFor: a task that a worker took and has not claimed for so long was lost with its worker.
	unclaimedFor models.Millis = 5_000
)

// Reconciler owns liveness: it finds pages and campaigns that should be moving and are not, and enqueues them
// again under a new epoch. Every process runs one; compare-and-set lets them overlap.
type Reconciler struct {
	store  *models.Store
	queue  *Queue
	worker *Worker
	keep   Keep
	log    *slog.Logger

	progress     Progress
	counted      models.Finished // up to where stored counts were compared with the pages
	contact      time.Time       // the last; zero without
	contactSince time.Time
	loops        loops
}

// NewReconciler makes a reconciler beside a worker.
func NewReconciler(store *models.Store, queue *Queue, worker *Worker, keep Keep, log *slog.Logger) *Reconciler {
	return &Reconciler{store: store, queue: queue, worker: worker, keep: keep, log: log}
}

// Start begins the loops.
func (r *Reconciler) Start() {
	r.loops.start(r.log,
		loop{promoteEvery, "promote", r.promote},
		loop{reconcileEvery, "reconcile", r.reconcile},
		loop{reconcileEvery, "compare the ledger with Redis", r.Compare},
		loop{reconcileEvery, "reopen pages", r.store.ReopenPages}, // which takes its time
		loop{slotsEvery, "count slots", r.countSlots},
		loop{reconcileEvery, "tell what operators did", r.tellNotices},
		loop{purgeEvery, "purge", r.purge},
		loop{purgeEvery, "purge recipients", r.purgeRecipients},
		loop{purgeEvery, "purge members", r.purgeMembers},
		loop{recountEvery, "recount", r.recount},
	)
}

// Stop ends the loops and waits for them. It may be called twice.
func (r *Reconciler) Stop() { r.loops.stop() }

// promote queues the waiting pages whose time has come, and lets those into the window whose zone's time or next attempt
// has come.
func (r *Reconciler) promote(ctx context.Context) error {
	if err := r.again(ctx, models.PageWaiting, func(models.Page, models.Campaign) (bool, error) { return true, nil }); err != nil {
		return err
	}
	ids, err := r.store.CampaignsToAdvance(ctx)
	for _, id := range ids {
		if err != nil {
			break
		}
		err = r.worker.advance(ctx, id)
	}
	return err
}

// again queues those due pages of running campaigns in a state that lost says are to move.
func (r *Reconciler) again(ctx context.Context, state models.PageState, lost func(models.Page, models.Campaign) (bool, error)) error {
	pages, err := r.store.DuePages(ctx, state)
	if err != nil || len(pages) == 0 {
		return err
	}
	campaigns, err := r.store.RunningCampaigns(ctx, pages)
	if err != nil {
		return err
	}
	moved := 0
	defer func() {
		if moved > 0 {
			r.log.Info("pages that stood still are queued again", "pages", moved)
		}
	}()
	for _, p := range pages {
		c, ok := campaigns[p.CampaignID]
		if !ok {
			continue
		}
		move, err := lost(p, c)
		if err != nil {
			return err
		}
		if !move {
			continue
		}
		task, ok, err := r.store.QueuePage(ctx, p, c.Priority)
		if err != nil {
			return err
		}
		if !ok {
			continue // another reconciler was first, or the worker was alive after all
		}
		if state != models.PageWaiting {
			r.queue.forget(c.Priority, p)
			r.log.Debug("a page that stood still is queued again", "campaign", p.CampaignID, "page", p.No, "epoch", task.Epoch)
			moved++
		}
		if err := r.queue.Pages(ctx, []models.PageTask{task}); err != nil {
			return err
		}
	}
	return nil
}

// reconcile's steps do not wait for each other's success: without Redis, campaigns still expire and end.
func (r *Reconciler) reconcile(ctx context.Context) error {
	steady, err := r.steady(ctx)
	if err != nil {
		return err
	}
	return errors.Join(
		r.control(ctx, steady),
		r.takeOver(ctx, steady),
		r.queue.keepVisible(ctx),
		r.lookAfterQueued(ctx), // guard: task-lost
		r.lookAfterPlans(ctx),
		r.fillWindows(ctx),
	)
}

// takeOver queues the pages whose lease ended.
func (r *Reconciler) takeOver(ctx context.Context, steady bool) error {
	if steady { // guard: lease-ended
		lost := func(models.Page, models.Campaign) (bool, error) { return true, nil }
		return errors.Join(r.again(ctx, models.PageRunning, lost), r.again(ctx, models.PageParked, lost))
	}
	return nil
}

func (r *Reconciler) lookAfterPlans(ctx context.Context) error {
	plans, err := r.store.DuePlans(ctx)
	for _, t := range plans {
		if err != nil {
			break
		}
		err = r.queue.Plan(ctx, t)
	}
	return err
}

func (r *Reconciler) fillWindows(ctx context.Context) error {
	windows, err := r.store.Windows(ctx)
	for _, w := range windows {
		if err != nil {
			break
		}
		err = r.worker.fill(ctx, w)
	}
	return err
}

// control brings about what operators and the clock decided: expiry and the end of cancelled campaigns. It also measures what
// runs.
func (r *Reconciler) control(ctx context.Context, steady bool) error {
	errs := []error{r.store.ExpireCampaigns(ctx)}
	closing, err := r.store.ClosingCampaigns(ctx)
	errs = append(errs, err)
	for _, c := range closing {
		finished, err := r.store.CloseCampaign(ctx, c, steady)
		if finished {
			r.worker.tellFinished(ctx, c.ID, c.Total)
		}
		errs = append(errs, err)
	}
	errs = append(errs, r.expireZones(ctx, steady))
	return errors.Join(append(errs, r.progress.observe(ctx, r.store))...)
}

// steady says whether workers have had the time to renew their leases: see contactFor. A database that let this question wait
// let theirs wait too, and so did a process that stood still.
func (r *Reconciler) steady(ctx context.Context) (bool, error) {
	last := r.contact
	up, err := r.store.Uptime(ctx)
	if err == nil {
		err = r.store.TryWrite(ctx) // a lease is a write: a database that can only be read renewed none
	}
	if err != nil {
		r.contact = time.Time{}
		return false, err
	}
	r.contact = time.Now()
	if last.IsZero() || r.contact.Sub(last) > contactGap {
		r.contactSince = r.contact
	}
	return time.Since(r.contactSince) >= contactFor && up >= contactFor, nil
}

// lookAfterQueued asks Redis about tasks that no worker has claimed for a while: one that waits in the queue
// is honest, however long the queue; one that is gone was lost with Redis or with its worker.
func (r *Reconciler) lookAfterQueued(ctx context.Context) error {
	now, err := r.store.Now(ctx)
	if err != nil {
		return err
	}
	return r.again(ctx, models.PageQueued, func(p models.Page, c models.Campaign) (bool, error) {
		state, err := r.queue.look(c.Priority, p)
		if err != nil {
			return false, err
		}
		switch state {
		case taskPending:
			return false, r.store.ExtendQueued(ctx, p)
		case taskActive:
			return now-p.DueAt > unclaimedFor, nil
		default: // absent
			return true, nil
		}
	})
}

func (r *Reconciler) countSlots(context.Context) error {
	n, err := r.queue.slots(models.PriorityBulk)
	if err == nil {
		r.worker.slots.Store(int64(max(n, r.worker.opts.BulkSlots)))
	}
	return err
}

// recount stores the counts of campaigns that a program older than those columns has finished.
func (r *Reconciler) recount(ctx context.Context) (err error) {
	r.counted, err = r.store.Recount(ctx, r.counted, recountMost)
	return err
}

func (r *Reconciler) purge(ctx context.Context) error {
	now, err := r.store.Now(ctx)
	if err != nil {
		return err
	}
	return r.store.PurgeIdempotency(ctx, now-models.Millis(r.keep.Keys.Milliseconds()))
}
