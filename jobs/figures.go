package jobs

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/internal/metrics"
	"carillon/internal/pacing"
	"carillon/models"
)

// Figures reads, for metrics, what the processes share beside the ledger.
type Figures struct {
	queue    *Queue
	progress *progress
	store    *models.Store
	pacer    *pacing.Pacer
}

// Figures are those of the reconciler's process.
func (r *Reconciler) Figures() *Figures {
	return &Figures{queue: r.explainer.queue, progress: r.explainer.progress, store: r.explainer.store, pacer: r.explainer.pacer}
}

// Queues reads how many tasks of each class wait and are worked on, and how long the oldest waits.
// asynq's own call reads every queue's whole history, and fails when one task is lost.
func (f *Figures) Queues(ctx context.Context) (all []metrics.Queue, err error) {
	for _, class := range []models.Priority{models.PriorityBulk, models.PriorityTransactional} {
		q, err := f.queue.figures(ctx, class)
		if err != nil {
			return nil, err
		}
		all = append(all, q)
	}
	return all, nil
}

// figures reads one class. asynq puts new tasks in front and takes from the end. A task that is
// taken between the two calls has no age.
func (q *Queue) figures(ctx context.Context, class models.Priority) (metrics.Queue, error) {
	prefix := "asynq:{" + string(class) + "}:"
	pipe := q.rdb.Pipeline()
	pending, active := pipe.LLen(ctx, prefix+"pending"), pipe.LLen(ctx, prefix+"active")
	oldest := pipe.LIndex(ctx, prefix+"pending", -1)
	_, _ = pipe.Exec(ctx) // each command has its own error, and an absent task is one
	if err := errors.Join(pending.Err(), active.Err()); err != nil {
		return metrics.Queue{}, err
	}
	out := metrics.Queue{Class: string(class), Pending: pending.Val(), Active: active.Val()}
	if oldest.Val() == "" {
		return out, nil
	}
	since, err := q.rdb.HGet(ctx, prefix+"t:"+oldest.Val(), "pending_since").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return out, err
	}
	if at, err := strconv.ParseInt(since, 10, 64); err == nil { // unix nanoseconds
		out.Oldest = max(0, time.Since(time.Unix(0, at)))
	}
	return out, nil
}

// Providers reads what all processes together know of the providers of these channels.
func (f *Figures) Providers(ctx context.Context, channels []string) ([]metrics.Provider, error) {
	states, err := f.pacer.Health.States(ctx, channels)
	all := make([]metrics.Provider, len(states))
	for i, s := range states {
		all[i] = metrics.Provider{Channel: channels[i], Open: s.Open, Rest: s.Rest, Ceiling: s.Ceiling}
	}
	return all, err
}

const (
	// stalledFrom is how long a campaign must stand still to be asked about.
	stalledFrom = 30 * time.Second
	// stalledMost is how many campaigns are asked about at once.
	stalledMost = 50
)

// Stalled is the running campaign that has recipients to send to now and has sent to nobody for the
// longest time, as far as this process has watched. A campaign that waits for a time to come,
// such as its quiet hours' end or the next attempts, does not stand still.
func (f *Figures) Stalled(ctx context.Context) (metrics.Stalled, error) {
	for n, c := range f.progress.still(stalledFrom) {
		if n == stalledMost {
			return metrics.Stalled{Campaign: c.id, For: c.since}, nil
		}
		win, err := f.store.WindowOf(ctx, c.id)
		if err != nil {
			return metrics.Stalled{}, err
		}
		if win != nil && !win.AllLater() {
			return metrics.Stalled{Campaign: c.id, For: c.since}, nil
		}
		f.progress.excuse(c.id)
	}
	return metrics.Stalled{}, nil
}
