package jobs

import (
	"context"
	"log/slog"
	"time"

	"carillon/models"
)

const (
	visibleEvery = time.Second
	reopenEvery  = time.Second
	orderEvery   = time.Second
	chartEvery   = time.Duration(models.SampleEvery) * time.Millisecond
)

// Reconciler owns liveness: it finds pages and campaigns that should be moving and are not, and
// queues them again under a new epoch. Every process runs one; compare-and-set lets them overlap.
// Each duty is a loop of its own, and no loop waits for another: without Redis, campaigns still
// expire and end.
type Reconciler struct {
	log       *slog.Logger
	store     *models.Store
	contact   *contact
	explainer *explainer
	duties    []loop
	loops     loops
}

// NewReconciler makes a reconciler that does nothing until Start.
func NewReconciler(s *Shared, keep Retention) *Reconciler {
	var (
		steady   = &steadiness{store: s.store}
		requeuer = requeuer{s.store, s.queue, s.opts.Metrics, s.log}
		promoter = promoter{requeuer, s.windows}
		rescuer  = rescuer{requeuer, steady, s.opts.inFlight}
		finisher = finisher{s.store, steady, s.log}
		progress = &progress{store: s.store}
		recount  = &recounter{store: s.store}
		purger   = purger{s.store, keep, s.log}
		notices  = noticeLog{s.store, s.log}
	)
	return &Reconciler{
		log: s.log, store: s.store, contact: s.contact,
		explainer: &explainer{store: s.store, queue: s.queue, progress: progress, pacer: s.pacer},
		duties: []loop{
			{promoteEvery, "queue pages whose time has come", promoter.promote},
			{steadyEvery, "reach the database to take pages over", steady.check},
			{rescueEvery, "take over pages whose lease ended", rescuer.takeOver},
			{rescueEvery, "queue pages whose task was lost", rescuer.requeueLost}, // guard: task-lost
			{rescueEvery, "queue plans that stand still", rescuer.resumePlans},
			{fillEvery, "fill windows", s.windows.fillAll},
			{capacityEvery, "count slots", s.windows.countSlots},
			{finishEvery, "end campaigns", finisher.finish},
			{progressEvery, "measure campaigns", progress.measure},
			{chartEvery, "sample campaigns", s.store.SampleCampaigns},
			{chartEvery, "count what was sent", s.store.FlushMinutes},
			{reopenEvery, "reopen pages for a retry", s.store.ReopenPages}, // which takes its time
			{compareEvery, "compare the ledger with Redis", s.contact.compare},
			{visibleEvery, "name the queues", s.queue.keepVisible},
			{noticesEvery, "log what operators did", notices.takeNotices},
			{orderEvery, "order events", s.store.OrderEvents},
			{recountEvery, "recount", recount.recount},
			{purgeEvery, "purge keys", purger.purgeKeys},
			{purgeEvery, "purge recipients", purger.purgeRecipients},
			{purgeEvery, "purge members", purger.purgeMembers},
			{purgeEvery, "purge events", purger.purgeEvents},
		},
	}
}

// Start begins the loops.
func (r *Reconciler) Start() { r.loops.start(r.log, r.duties...) }

// Stop ends the loops and waits for them. It may be called twice.
func (r *Reconciler) Stop() {
	r.loops.stop()
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	if err := r.store.FlushMinutes(ctx); err != nil {
		r.log.Debug("the chart of sends lacks the last seconds of this process", "err", err)
	}
}

// Compare compares the ledger with what Redis knows of it, before anything works on the ledger.
func (r *Reconciler) Compare(ctx context.Context) error { return r.contact.compare(ctx) }

// Pace is how fast a campaign goes, what holds it back, and when it will be done.
func (r *Reconciler) Pace(ctx context.Context, c models.CampaignView) models.Pace {
	return r.explainer.pace(ctx, c)
}

// EndRest lets a channel go on although its provider asked for rest, or does not answer.
func (r *Reconciler) EndRest(ctx context.Context, channel string) error {
	return r.explainer.pacer.Health.EndRest(ctx, channel)
}
