package jobs

import (
	"context"

	"carillon/models"
)

// window decides how many pages of a campaign are in Redis at once: half of all the slots there are, so that
// campaigns share the workers, and no more than its rate can use (one page carries 100/s with ease).
func window(slots int, c models.Campaign) int {
	n := max(2, slots/2)
	if c.RatePerSecond > 0 {
		n = min(n, 1+c.RatePerSecond/100)
	}
	return n
}

// advance fills a running campaign's window and, when nothing of it is open, finishes it.
func (w *Worker) advance(ctx context.Context, campaignID int64) error {
	win, err := w.store.WindowOf(ctx, campaignID)
	if err != nil || win == nil {
		return err
	}
	return w.fill(ctx, *win)
}

func (w *Worker) fill(ctx context.Context, win models.Window) error {
	if win.New > 0 {
		if room := window(int(w.slots.Load()), win.Campaign) - win.Inside(); room > 0 {
			tasks, err := w.store.QueuePages(ctx, win.Campaign, room)
			if err != nil {
				return err
			}
			return w.queue.Pages(ctx, tasks)
		}
		return nil
	}
	if !win.Unfinished() && win.Planned {
		finished, err := w.store.FinishCampaign(ctx, win.ID)
		if finished {
			w.tellFinished(ctx, win.ID, win.Total)
		}
		return err
	}
	return nil
}
