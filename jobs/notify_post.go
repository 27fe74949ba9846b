package jobs

import (
	"context"
	"errors"
	"sync"
	"time"

	"carillon/models"
)

// posting is a notifier while it holds the lease. One goroutine, run, owns all of it. Posts run in goroutines
// of their own, and come back as results.
type posting struct {
	*Notifier
	w       *models.EventWebhook
	renewed time.Time // before the lease was last renewed
	ordered time.Time // when events last got their places

	wg      sync.WaitGroup
	results chan result
	busy    map[string]bool // streams with a post that is not noted yet
	flying  map[bool]int    // posts under way: of failed events (true), and of new ones
	fresh   int             // new events that were due at the last look

	ended   []models.Posted // to be noted
	bad     map[string]bool // streams that have failed since the last success
	away    *EventAnswer    // to be noted: the receiver is away
	back    bool            // to be noted: the receiver takes events
	probeAt time.Time       // when to try a receiver that is away
}

// result is a post that has ended.
type result struct {
	models.EventDelivery
	EventAnswer
	failed bool // the event had failed before
	probe  bool // the post was to see whether the receiver is back
}

func newPosting(n *Notifier, w *models.EventWebhook, renewed time.Time) *posting {
	return &posting{
		Notifier: n, w: w, renewed: renewed, results: make(chan result, freshSlots+failedSlots),
		busy: map[string]bool{}, flying: map[bool]int{}, bad: map[string]bool{},
		probeAt: renewed.Add(time.Duration(max(0, w.ProbeAt-w.Now)) * time.Millisecond),
	}
}

// run posts until the context ends, the lease is lost, or the ledger has been away for as long as the lease.
func (p *posting) run(ctx context.Context) error {
	posts, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer p.wg.Wait()
	defer cut()
	tick := time.NewTicker(p.opts.Look)
	defer tick.Stop()
	for {
		err := p.step(ctx, posts)
		if err != nil && (errors.Is(err, models.ErrFenced) || time.Since(p.renewed) > webhookLease) {
			return err
		}
		select {
		case <-ctx.Done():
			return p.end(ctx, cut)
		case r := <-p.results:
			p.take(r)
			p.gather(ctx, p.opts.Look/gatherShare)
		case <-tick.C:
		}
	}
}

// gather takes the results that come within a time.
func (p *posting) gather(ctx context.Context, within time.Duration) {
	until := time.After(within)
	for {
		select {
		case r := <-p.results:
			p.take(r)
		case <-ctx.Done():
			return
		case <-until:
			return
		}
	}
}

// end gives the posts under way a moment, and notes how they ended.
func (p *posting) end(ctx context.Context, cut func()) error {
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	for p.flying[false]+p.flying[true] > 0 && leaving.Err() == nil {
		p.gather(leaving, p.opts.Look/gatherShare)
	}
	cut()
	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	_, _, err := p.store.MoveDeliveries(noting, p.w, p.ended, 0)
	return err
}

// take takes a result.
func (p *posting) take(r result) {
	p.flying[r.failed]--
	if r.Err == nil {
		p.back = true
		clear(p.bad)
	} else {
		p.bad[r.Stream] = true
		if r.Away || r.probe || len(p.bad) >= awayAfter {
			p.away = &r.EventAnswer
		}
	}
	if r.probe && r.Err != nil { // it was the receiver's failure, and not the event's
		delete(p.busy, r.Stream)
		return
	}
	p.ended = append(p.ended, models.Posted{EventDelivery: r.EventDelivery, Failed: r.Err != nil, Wait: backoff(r.Attempts, p.opts.First, p.opts.Most)})
}

// step notes what has ended, takes further events out of the log, and starts posts.
func (p *posting) step(ctx, posts context.Context) error {
	if err := p.note(ctx); err != nil {
		return err
	}
	if err := p.settle(ctx); err != nil {
		return err
	}
	if time.Since(p.renewed) > webhookLease-postMargin {
		return nil // the ledger was slow: the next step renews the lease first
	}
	if p.w.Failures > 0 {
		return p.probe(ctx, posts)
	}
	return p.start(ctx, posts)
}

// room is how many events to take out of the log.
func (p *posting) room(ctx context.Context) (take int, err error) {
	if p.w.Failures > 0 || p.away != nil || p.fresh >= freshSlots {
		return 0, nil
	}
	more, err := p.store.EventsBehind(ctx, p.w.Pos)
	if err == nil && !more && time.Since(p.ordered) >= p.opts.Look {
		p.ordered = time.Now()
		if err = p.store.OrderEvents(ctx); err == nil {
			more, err = p.store.EventsBehind(ctx, p.w.Pos)
		}
	}
	if !more {
		return 0, err
	}
	return takeMost, err
}

// note notes what has ended, and takes events when there is room. It renews the lease.
func (p *posting) note(ctx context.Context) error {
	take, err := p.room(ctx)
	if err != nil {
		return err
	}
	if len(p.ended) == 0 && take == 0 && time.Since(p.renewed) < keepEvery {
		return nil
	}
	asked := time.Now()
	gaveUp, _, err := p.store.MoveDeliveries(ctx, p.w, p.ended, take)
	if err != nil {
		return err
	}
	p.renewed = asked
	for _, each := range p.ended {
		delete(p.busy, each.Stream)
	}
	p.ended = nil
	for _, d := range gaveUp {
		p.log.Warn("an event was given up", "event", d.Event.PublicID(), "kind", d.Event.Kind, "campaign", d.Event.CampaignID, "attempts", d.Attempts+1)
	}
	return nil
}

// settle notes that the receiver is away, or back.
func (p *posting) settle(ctx context.Context) error {
	asked := time.Now()
	switch {
	case p.back:
		p.back, p.away = false, nil
		if p.w.Failures == 0 {
			return nil
		}
		since := p.w.FailingSince
		if err := p.store.ReceiverBack(ctx, p.w); err != nil {
			p.back = true
			return err
		}
		p.log.Info("the receiver of events takes them again", "after", (time.Duration(p.w.Now-since) * time.Millisecond).Round(time.Second))
	case p.away != nil:
		if p.w.Failures == 0 {
			p.log.Warn("the receiver of events is away: they wait", "err", p.away.Err)
		}
		wait := max(backoff(p.w.Failures, p.opts.First, p.opts.Probe), p.away.Rest)
		if err := p.store.ReceiverAway(ctx, p.w, p.away.Err.Error(), wait); err != nil {
			return err
		}
		p.away, p.probeAt = nil, asked.Add(wait)
		clear(p.bad)
	default:
		return nil
	}
	p.renewed = asked
	return nil
}

// start starts posts of what is due, each stream's next event.
func (p *posting) start(ctx, posts context.Context) error {
	for failed, slots := range map[bool]int{false: freshSlots, true: failedSlots} {
		free := slots - p.flying[failed]
		if free <= 0 {
			continue
		}
		due, err := p.store.DeliveriesDue(ctx, failed, false, slots+len(p.busy)) // the busy ones are among them
		if err != nil {
			return err
		}
		if !failed {
			p.fresh = len(due)
		}
		for _, d := range due {
			if free > 0 && !p.busy[d.Stream] {
				p.post(posts, result{EventDelivery: d, failed: failed})
				free--
			}
		}
	}
	return nil
}

// probe posts one event to a receiver that is away, when its time has come. It takes a new event and one that
// has failed in turn: one that fails wherever it goes shall not keep the receiver away.
func (p *posting) probe(ctx, posts context.Context) error {
	if p.flying[false]+p.flying[true] > 0 || len(p.busy) > 0 || time.Now().Before(p.probeAt) {
		return nil
	}
	if err := p.giveUpOld(ctx); err != nil {
		return err
	}
	fresh, err := p.store.DeliveriesDue(ctx, false, true, probeChoice)
	if err == nil && len(fresh) == 0 {
		if err = p.store.OrderEvents(ctx); err != nil {
			return err
		}
		if _, _, err = p.store.MoveDeliveries(ctx, p.w, nil, probeChoice); err == nil {
			fresh, err = p.store.DeliveriesDue(ctx, false, true, probeChoice)
		}
	}
	if err != nil {
		return err
	}
	choice, err := p.store.DeliveriesDue(ctx, true, true, probeChoice)
	if err != nil {
		return err
	}
	turn := p.w.Failures / 2
	if len(choice) == 0 || len(fresh) > 0 && p.w.Failures%2 == 0 {
		choice = fresh
	}
	if len(choice) > 0 {
		d := choice[turn%len(choice)]
		p.post(posts, result{EventDelivery: d, failed: d.Attempts > 0, probe: true})
	}
	return nil
}

// giveUpOld gives up what has waited for three days for a receiver that was away all the time.
func (p *posting) giveUpOld(ctx context.Context) error {
	total := int64(0)
	defer func() {
		if total > 0 {
			p.log.Warn("events were given up: their receiver has been away for three days", "events", total)
		}
	}()
	for p.w.FailingSince > 0 && p.w.Now-p.w.FailingSince >= models.GiveUpAfter {
		asked := time.Now()
		n, err := p.store.GiveUpOld(ctx, p.w)
		if err != nil || n == 0 {
			return err
		}
		p.renewed = asked
		total += n
	}
	return nil
}

// post starts a post.
func (p *posting) post(ctx context.Context, r result) {
	p.busy[r.Stream] = true
	p.flying[r.failed]++
	if r.Event.ID == 0 { // it was purged by a program that is older than this table
		r.Err, r.FirstAt, r.probe = errPurged, 0, false
		p.results <- r
		return
	}
	p.wg.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, postTime)
		defer cancel()
		r.EventAnswer = p.poster.Post(ctx, r.Event)
		p.results <- r
	})
}

var errPurged = errors.New("the event was purged")
