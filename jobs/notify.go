package jobs

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"carillon/models"
)

// EventPoster posts events to their receiver.
type EventPoster interface {
	// Post posts one event, and ends with the context. Any number may run at the same time.
	Post(ctx context.Context, e models.Event) EventAnswer
}

// EventAnswer is how a post ended.
type EventAnswer struct {
	Err  error         // nil = the receiver has taken the event
	Away bool          // the receiver as a whole takes nothing now
	Rest time.Duration // how long it asks to be left alone; 0 = it does not say
}

const (
	webhookLease = time.Duration(models.WebhookLease) * time.Millisecond
	// postTime is what one post may take.
	postTime = 12 * time.Second
	// postMargin: no post starts so late that it could last longer than the lease.
	postMargin = postTime + 3*time.Second
	// keepEvery is how often the lease is renewed when nothing else is to be noted.
	keepEvery = 4 * time.Second

	// freshSlots and failedSlots are how many posts run at once: of new events, and of those that have
	// failed. So a receiver that is slow for some campaigns has room for the others.
	freshSlots, failedSlots = 48, 16
	takeMost                = 250 // events that are taken out of the log at once
	// awayAfter: when the posts of so many different streams have failed and none succeeded, the receiver
	// is away.
	awayAfter = 16
	// probeChoice is how many new and how many failed events a probe chooses from.
	probeChoice = 4
	// gatherShare: results are noted together that come within a share of the time between two looks.
	// It bounds how many transactions the notifier makes.
	gatherShare = 6
)

// NotifyOptions are the times of a Notifier. 0 = the default.
type NotifyOptions struct {
	Look  time.Duration // between two looks at the ledger, 300 ms
	First time.Duration // until an event that has failed is posted again, 1 s; it doubles each time
	Most  time.Duration // at most, 1 h
	Probe time.Duration // at most between two tries of a receiver that is away, 30 s
}

func (o NotifyOptions) withDefaults() NotifyOptions {
	for _, each := range []struct {
		value *time.Duration
		plain time.Duration
	}{{&o.Look, 300 * time.Millisecond}, {&o.First, time.Second}, {&o.Most, time.Hour}, {&o.Probe, 30 * time.Second}} {
		if *each.value == 0 {
			*each.value = each.plain
		}
	}
	return o
}

// Notifier posts the events of the log to their receiver. Any number of processes may run one: whoever
// holds the lease in the ledger posts. See models/event_webhook.go for what the ledger keeps.
type Notifier struct {
	store  *models.Store
	poster EventPoster
	opts   NotifyOptions
	log    *slog.Logger
	loops  loops
}

// NewNotifier makes a notifier that does nothing until Start.
func NewNotifier(store *models.Store, poster EventPoster, opts NotifyOptions, log *slog.Logger) *Notifier {
	return &Notifier{store: store, poster: poster, opts: opts.withDefaults(), log: log}
}

// Start begins the loop.
func (n *Notifier) Start() {
	n.loops.start(n.log, loop{min(time.Second, 2*n.opts.Look), "post events", n.Work})
}

// Stop ends the loop. Posts under way get a moment to end. It may be called twice.
func (n *Notifier) Stop() { n.loops.stop() }

// Work takes the lease if nobody has it, and posts events until the context ends or the lease is lost.
func (n *Notifier) Work(ctx context.Context) error {
	asked := time.Now()
	taken, err := n.store.TakeEventWebhook(ctx)
	if err != nil || taken == nil {
		return err
	}
	n.tellTaken(taken)
	p := newPosting(n, &taken.EventWebhook, asked)
	err = p.run(ctx)
	if errors.Is(err, models.ErrFenced) {
		return nil // this process stood still, and another one posts
	}
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	return errors.Join(err, n.store.LeaveEventWebhook(leaving, p.w))
}

func (n *Notifier) tellTaken(t *models.TakenWebhook) {
	if t.GivenUp > 0 {
		n.log.Warn("events were given up: nobody has posted events for more than three days", "events", t.GivenUp)
	}
	if t.Anew {
		n.log.Info("events are posted from now on")
	}
}

// backoff is how long to wait after so many failures: from first on, doubled each time, up to most. Half of
// it is chance, so that what failed together does not come together again.
func backoff(failures int, first, most time.Duration) time.Duration {
	d := most
	if failures < 30 && first<<failures < most {
		d = first << failures
	}
	return d/2 + time.Duration(rand.Int64N(int64(d/2)+1))
}
