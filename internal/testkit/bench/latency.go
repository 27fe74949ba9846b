package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	warmUp     = 20                    // POSTs that are not counted: they open the connections
	spacing    = 50 * time.Millisecond // between two transactional sends
	fewUsers   = 1_000
	bulkRate   = 1_000 // recipients/s of the channel that is saturated
	arriveTime = 30 * time.Second
)

// joinStop ends a service, of which err may have been the end already.
func joinStop(err error, s *Service) error {
	if s == nil {
		return err
	}
	return errors.Join(err, s.Stop())
}

// postLatency measures how long a POST for all users takes to be answered, with few users and with many. The two
// take turns, so that what else the machine does meets both alike. Nobody delivers meanwhile: both processes
// are an API alone.
func postLatency(ctx context.Context, b *Bench, r *Report) (err error) {
	sizes := []int{fewUsers, b.options.largest()}
	var services []*Service
	for _, n := range sizes {
		d, err := b.directory(ctx, n)
		if err != nil {
			return err
		}
		if err := d.Clean(ctx); err != nil {
			return err
		}
		s, err := b.Serve(ctx, "post", d, "api", "CARILLON_CHANNEL=inbox")
		defer func() { err = joinStop(err, s) }()
		if err != nil {
			return err
		}
		services = append(services, s)
	}
	took := make([][]time.Duration, len(sizes))
	for i := range warmUp + b.options.Sends {
		for k, s := range services {
			begun := time.Now()
			if _, err := s.post(ctx); err != nil {
				return err
			}
			if i >= warmUp {
				took[k] = append(took[k], time.Since(begun))
			}
		}
	}
	few, many := newLatency(fmt.Sprintf("POST for all of %d users", sizes[0]), took[0]), newLatency(fmt.Sprintf("POST for all of %d users", sizes[1]), took[1])
	r.Latencies = append(r.Latencies, few, many)
	r.goal(many.What+", p99", many.P99, "ms", ms(postGoal), false)
	r.goal("the same against "+fmt.Sprint(sizes[0])+" users", ratio(many.P99, few.P99), "×", postRatioGoal, false)
	return nil
}

// transactionalSends measures a send to one user from its POST to its arrival at the provider: with nothing
// else to do, while a broadcast runs, and while one uses up the channel's rate.
func transactionalSends(ctx context.Context, b *Bench, r *Report) error {
	size := b.options.largest()
	for _, t := range []struct {
		name, what string
		broadcast  bool
		rate       int
	}{
		{"idle", "send to one user, nothing else to do", false, 0},
		{"busy", fmt.Sprintf("send to one user during a broadcast to %d", size), true, 0},
		{"rate", fmt.Sprintf("send to one user during a broadcast at the channel's rate of %d/s", bulkRate), true, bulkRate},
	} {
		b.note("%s", t.what)
		l, err := b.sends(ctx, t.name, t.what, size, t.broadcast, t.rate)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		r.Latencies = append(r.Latencies, l)
		if t.broadcast {
			r.goal(l.What+", p99", l.P99, "ms", ms(transactionGoal), false)
		}
	}
	return nil
}

func (b *Bench) sends(ctx context.Context, name, what string, size int, broadcast bool, rate int) (l Latency, err error) {
	d, err := b.directory(ctx, size)
	if err != nil {
		return l, err
	}
	if err := d.Clean(ctx); err != nil {
		return l, err
	}
	s, err := b.Serve(ctx, "send-"+name, d, allRoles, "CARILLON_CHANNEL=webhook", fmt.Sprint("CARILLON_WEBHOOK_RATE=", rate))
	defer func() { err = joinStop(err, s) }()
	if err != nil {
		return l, err
	}
	if err := b.provider.Reset(ctx, 0); err != nil {
		return l, err
	}
	begun := func() (bool, error) { return true, nil }
	if broadcast {
		stop, err := s.keepBusy(ctx)
		if err != nil {
			return l, err
		}
		defer func() { err = errors.Join(err, stop()) }()
		begun = func() (bool, error) {
			seen, err := b.provider.Seen(ctx)
			return seen.Recipients >= chunk, err
		}
	}
	if err := until(ctx, begun); err != nil {
		return l, fmt.Errorf("the broadcast does not begin: %w", err)
	}
	posted, err := s.probes(ctx, b.options.Sends)
	if err != nil {
		return l, err
	}
	took, err := b.arrivals(ctx, posted)
	return newLatency(what, took), err
}

// probes posts campaigns for one user each and returns when each POST began, by user. A tick that a slow POST
// has overrun is not made up for.
func (s *Service) probes(ctx context.Context, n int) (map[string]time.Time, error) {
	posted := map[string]time.Time{}
	tick := time.NewTicker(spacing)
	defer tick.Stop()
	for i := range n {
		user := fmt.Sprint(probePrefix, i)
		posted[user] = time.Now()
		if _, err := s.post(ctx, user); err != nil {
			return nil, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return posted, nil
}

// arrivals waits until all probes have come and returns how long each was under way.
func (b *Bench) arrivals(ctx context.Context, posted map[string]time.Time) (took []time.Duration, err error) {
	var seen Seen
	err = until(ctx, func() (done bool, err error) {
		seen, err = b.provider.Seen(ctx)
		return len(seen.Arrivals) >= len(posted), err
	})
	if err != nil {
		return nil, fmt.Errorf("%d of %d sends have arrived: %w", len(seen.Arrivals), len(posted), err)
	}
	for user, at := range posted {
		took = append(took, time.Unix(0, seen.Arrivals[user]).Sub(at))
	}
	return took, nil
}

// keepBusy keeps a broadcast to all users running until stop is called: when one is over, the next is posted.
func (s *Service) keepBusy(ctx context.Context) (stop func() error, err error) {
	id, err := s.post(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		var err error
		for ctx.Err() == nil && err == nil {
			if _, err = s.await(ctx, id); err == nil {
				id, err = s.post(ctx)
			}
		}
		done <- err
	}()
	return func() error {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	}, nil
}

// until waits for a condition.
func until(ctx context.Context, met func() (bool, error)) error {
	deadline := time.Now().Add(arriveTime)
	for {
		done, err := met()
		switch {
		case done || err != nil:
			return err
		case time.Now().After(deadline):
			return fmt.Errorf("not within %s", arriveTime)
		}
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}
