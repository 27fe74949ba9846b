package main

import (
	"context"
	"slices"

	"carillon/internal/metrics"
)

// countFrom makes the process count what its stores do from now on.
func (s *system) countFrom() {
	s.metrics = metrics.New(version())
	s.ledger.Observe(s.metrics.Observer())
	s.metrics.WatchPools(s.ledger.Pools())
	s.redis.AddHook(s.metrics.RedisHook())
}

// watchShared shows in the metrics what all processes share. rates are recipients a second by
// channel.
func (s *system) watchShared(rates map[string]int) {
	var channels []string
	for name, perSecond := range rates {
		channels = append(channels, name)
		s.metrics.SetRate(name, perSecond)
	}
	slices.Sort(channels)
	figures := s.reconciler.Figures()
	s.metrics.Watch(metrics.Sources{
		Ledger: s.ledger.Figures, Ended: s.ledger.Ended, Stalled: figures.Stalled, Queues: figures.Queues,
		Providers: func(ctx context.Context) ([]metrics.Provider, error) { return figures.Providers(ctx, channels) },
		Database:  s.ledger.TryWrite,
		Redis:     func(ctx context.Context) error { return tryRedis(ctx, s.redis) },
	})
}
