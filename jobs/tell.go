package jobs

import (
	"context"

	"carillon/models"
)

// The log tells once what becomes of a campaign: whoever brought it about does.

// tellFinished logs the end of a campaign of so many recipients.
func (w *Worker) tellFinished(ctx context.Context, id, total int64) {
	level := models.LogLevel(total)
	if !w.log.Enabled(ctx, level) {
		return
	}
	c, err := w.store.CampaignByID(ctx, id)
	if err != nil {
		w.log.Warn("a finished campaign cannot be read for the log", "err", err)
		return
	}
	w.log.Log(ctx, level, "campaign finished", "campaign", c)
}

// tellNotices logs what operators did from the command line.
func (r *Reconciler) tellNotices(ctx context.Context) error {
	notices, err := r.store.TakeNotices(ctx)
	for _, n := range notices {
		if n.Campaign == "" {
			r.log.Info(n.What, "campaigns", n.Campaigns, "by", "command line")
			continue
		}
		c, err := r.store.Campaign(ctx, n.Campaign)
		if err != nil {
			r.log.Warn("a campaign cannot be read for the log", "what", n.What, "id", n.Campaign, "err", err)
			continue
		}
		r.log.Info(n.What, "campaign", c, "by", "command line")
	}
	return err
}
