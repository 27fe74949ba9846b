package embedded

import (
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// Redis is a Redis inside this process, on a free loopback port and behind a random password. What it holds
// ends with it; the ledger finds that out and goes on.
type Redis struct {
	server   *miniredis.Miniredis
	password string
	stop     chan struct{}
	clock    sync.WaitGroup
	close    sync.Once
}

// StartRedis starts one.
func StartRedis() (*Redis, error) {
	r := &Redis{server: miniredis.NewMiniRedis(), password: rand.Text(), stop: make(chan struct{})}
	r.server.RequireAuth(r.password)
	if err := r.server.Start(); err != nil {
		return nil, fmt.Errorf("start the embedded Redis: %w", err)
	}
	r.clock.Go(r.tick)
	return r, nil
}

// tick moves the expiries: miniredis has no clock of its own, but for one that walks all keys on every command.
func (r *Redis) tick() {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case <-r.stop:
			return
		case <-second.C:
			r.server.FastForward(time.Second)
		}
	}
}

// URL is redis://:password@127.0.0.1:port/0.
func (r *Redis) URL() string { return "redis://:" + r.password + "@" + r.server.Addr() + "/0" }

// Close ends it. It may be called twice.
func (r *Redis) Close() {
	r.close.Do(func() {
		close(r.stop)
		r.clock.Wait()
		r.server.Close()
	})
}
