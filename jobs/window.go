package jobs

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"carillon/models"
)

const (
	fillEvery     = time.Second
	capacityEvery = 5 * time.Second
)

// windowSize is how many pages of a campaign are in Redis at once.
//   - Half of capacity, so that campaigns share the workers.
//   - No more than the campaign's rate can use: one page carries 100 recipients/s with ease.
//
// capacity is how many bulk pages all worker processes together can hold.
func windowSize(capacity int, c models.Campaign) int {
	n := max(2, capacity/2)
	if c.RatePerSecond > 0 {
		n = min(n, 1+c.RatePerSecond/100)
	}
	return n
}

// windows lets pages of running campaigns into Redis, and finishes campaigns that have no page
// left.
type windows struct {
	store     *models.Store
	queue     *Queue
	log       *slog.Logger
	ownSlots  int          // bulk slots of one process
	bulkSlots atomic.Int64 // of all worker processes together, as last counted
}

func newWindows(store *models.Store, queue *Queue, ownSlots int, log *slog.Logger) *windows {
	w := &windows{store: store, queue: queue, log: log, ownSlots: ownSlots}
	w.bulkSlots.Store(int64(ownSlots))
	return w
}

// countSlots asks Redis how many bulk slots there are. Without any worker the size is as for one.
func (w *windows) countSlots(context.Context) error {
	n, err := w.queue.slots(models.PriorityBulk)
	if err == nil {
		w.bulkSlots.Store(int64(max(n, w.ownSlots)))
	}
	return err
}

// room is how many more pages of c the window takes, with inside pages in it already.
func (w *windows) room(c models.Campaign, inside int) int {
	return windowSize(int(w.bulkSlots.Load()), c) - inside
}

// fillAll fills the windows of all running campaigns.
func (w *windows) fillAll(ctx context.Context) error {
	all, err := w.store.Windows(ctx)
	if err != nil {
		return err
	}
	for _, win := range all {
		if err := w.fill(ctx, win); err != nil {
			return err
		}
	}
	return nil
}

// advance fills the window of one campaign, or finishes it. A campaign that is not running stays as
// it is.
func (w *windows) advance(ctx context.Context, campaignID int64) error {
	win, err := w.store.WindowOf(ctx, campaignID)
	if err != nil || win == nil {
		return err
	}
	return w.fill(ctx, *win)
}

// fill queues new pages as far as win has room. A campaign whose pages are all done is finished.
func (w *windows) fill(ctx context.Context, win models.Window) error {
	if win.New > 0 {
		room := w.room(win.Campaign, win.Inside())
		if room <= 0 {
			return nil
		}
		tasks, err := w.store.QueuePages(ctx, win.Campaign, room)
		if err != nil {
			return err
		}
		return w.queue.Pages(ctx, tasks)
	}
	if win.Unfinished() || !win.Planned {
		return nil
	}
	finished, err := w.store.FinishCampaign(ctx, win.ID)
	if finished {
		logFinished(ctx, w.store, w.log, win.ID, win.Total)
	}
	return err
}
