package jobs

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// loops are things done again and again, each on its own, until stop. The zero value is ready.
type loops struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

type loop struct {
	every time.Duration
	name  string // as the log has it
	do    func(context.Context) error
}

func (l *loops) start(log *slog.Logger, all ...loop) {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	for _, one := range all {
		l.wg.Go(func() { one.run(ctx, log) })
	}
}

func (l loop) run(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(l.every)
	defer tick.Stop()
	failing := false
	for {
		err := l.do(ctx)
		if err != nil && ctx.Err() == nil && !failing { // once per spell, not once per tick
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

// stop ends the loops and waits for them. It may be called twice.
func (l *loops) stop() {
	if l.cancel != nil {
		l.cancel()
	}
	l.wg.Wait()
}
