package jobs

import (
	"context"
	"log/slog"

	"carillon/models"
)

// requeuer queues due pages of running campaigns again, each under a new epoch.
type requeuer struct {
	store *models.Store
	queue *Queue
	log   *slog.Logger
}

// always is for pages that need no look before they are queued again.
func always(models.Page, models.Campaign) (bool, error) { return true, nil }

// requeue queues the due pages in a state, as far as mayMove allows. A page that moved meanwhile is
// left alone: another reconciler was first, or its worker was alive after all.
func (r requeuer) requeue(ctx context.Context, state models.PageState, mayMove func(models.Page, models.Campaign) (bool, error)) error {
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
		move, err := mayMove(p, c)
		if err != nil {
			return err
		}
		if !move {
			continue
		}
		task, moved, err := r.store.QueuePage(ctx, p, c.Priority)
		if err != nil {
			return err
		}
		if !moved {
			continue
		}
		if state != models.PageWaiting {
			r.queue.forget(c.Priority, p)
			r.log.Debug("a page that stood still is queued again", "campaign", p.CampaignID, "page", p.No, "epoch", task.Epoch)
			rescued++
		}
		if err := r.queue.Pages(ctx, []models.PageTask{task}); err != nil {
			return err
		}
	}
	return nil
}
