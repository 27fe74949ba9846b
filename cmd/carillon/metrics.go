package main

import (
	"context"
	"slices"
	"time"

	"carillon/internal/metrics"
)

// countFrom makes the process count what its stores do from now on.
func (s *system) countFrom() {
	s.metrics = metrics.New(version())
	s.ledger.Observe(s.metrics.Observer())
	s.metrics.WatchPools(s.ledger.Pools())
	s.redis.AddHook(s.metrics.RedisHook())
}

// watchShared shows in the metrics what all processes share, and returns the sources for the console.
// rates are recipients a second by channel.
func (s *system) watchShared(rates map[string]int) metrics.Sources {
	var channels []string
	for name, perSecond := range rates {
		channels = append(channels, name)
		s.metrics.SetRate(name, perSecond)
	}
	slices.Sort(channels)
	figures := s.reconciler.Figures()
	sources := metrics.Sources{
		Ledger: s.ledger.Figures, Ended: s.ledger.Ended, Stalled: figures.Stalled, Queues: figures.Queues,
		Providers: func(ctx context.Context) ([]metrics.Provider, error) { return figures.Providers(ctx, channels) },
		Database:  s.ledger.TryWrite,
		Redis:     func(ctx context.Context) error { return tryRedis(ctx, s.redis) },
	}
	if s.cfg.EventsURL != "" {
		sources.Backlog = s.eventBacklog
	}
	s.metrics.Watch(sources)
	return sources
}

// eventBacklog is what the event webhook has still to deliver.
func (s *system) eventBacklog(ctx context.Context) (out metrics.Backlog, err error) {
	b, err := s.ledger.EventBacklog(ctx)
	if err != nil {
		return out, err
	}
	out.Events, out.GivenUp = b.Waiting, b.GivenUp
	if b.OldestAt > 0 {
		out.Oldest = time.Duration(max(0, b.Now-b.OldestAt)) * time.Millisecond
	}
	return out, nil
}
