package jobs

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// loops run steps again and again, each in a goroutine of its own, until stop. The zero value is
// ready.
type loops struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// loop is one step and its interval. It runs at once, and then every interval. A step that takes
// longer than the interval skips ticks.
type loop struct {
	every time.Duration
	name  string // in the log
	do    func(context.Context) error
}

func (l *loops) start(log *slog.Logger, all ...loop) {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	for _, each := range all {
		l.wg.Go(func() { each.run(ctx, log) })
	}
}

func (l loop) run(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(l.every)
	defer tick.Stop()
	failing := false
	for {
		err := l.do(ctx)
		if err != nil && ctx.Err() == nil && !failing { // once per failure that lasts, not once per tick
			log.Warn("a background step cannot work now", "step", l.name, "err", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// stop ends the loops and waits for the steps under way. It may be called twice.
func (l *loops) stop() {
	if l.cancel != nil {
		l.cancel()
	}
	l.wg.Wait()
}
