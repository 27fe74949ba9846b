package jobs

import (
	"context"
	"log/slog"

	"carillon/internal/metrics"
	"carillon/models"
)

// requeuer queues due pages of running campaigns again, each under a new epoch.
type requeuer struct {
	store  *models.Store
	queue  *Queue
	counts *metrics.Metrics
	log    *slog.Logger
}

// move queues a page again, or returns false and leaves it alone.
type move func(context.Context, models.Page, models.Campaign) (models.PageTask, bool, error)

// again is the move of a page that nobody holds.
func (r requeuer) again(ctx context.Context, p models.Page, c models.Campaign) (models.PageTask, bool, error) {
	return r.store.QueuePage(ctx, p, c.Priority)
}

// requeue queues the due pages in a state. A page that moved meanwhile is left alone: another
// reconciler was first, or its worker was alive after all.
func (r requeuer) requeue(ctx context.Context, state models.PageState, move move) error {
	pages, err := r.store.DuePages(ctx, state)
	if err != nil || len(pages) == 0 {
		return err
	}
	campaigns, err := r.store.RunningCampaigns(ctx, pages)
	if err != nil {
		return err
	}
	rescued := 0
	defer func() {
		if rescued > 0 {
			r.log.Info("pages that stood still are queued again", "pages", rescued)
		}
	}()
	for _, p := range pages {
		c, running := campaigns[p.CampaignID]
		if !running {
			continue
		}
		task, moved, err := move(ctx, p, c)
		if err != nil {
			return err
		}
		if !moved {
			continue
		}
		if state != models.PageWaiting {
			r.queue.forget(c.Priority, p)
			r.log.Debug("a page that stood still is queued again", "campaign", p.CampaignID, "page", p.No, "epoch", task.Epoch)
			r.count(state)
			rescued++
		}
		if err := r.queue.Pages(ctx, []models.PageTask{task}); err != nil {
			return err
		}
	}
	return nil
}

// count counts a page that was taken over from a state.
func (r requeuer) count(from models.PageState) {
	if from == models.PageQueued {
		r.counts.PagesOfTask.Inc()
		return
	}
	r.counts.PagesOfLease.Inc()
}
