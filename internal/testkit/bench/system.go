package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"carillon/internal/testkit/lab"
	"carillon/internal/testkit/services"
)

// Bench is what all measurements share: the binary, the database server and the provider.
type Bench struct {
	dir         string
	log         io.Writer
	options     Options
	bin         string
	maria       *services.MariaDB
	provider    *Provider
	directories map[int]*Directory // by number of users
	secret      string
	webhookKey  string
	runs        int
}

//go:embed profile.go.txt
var profileSource []byte

// Start builds the binary and starts the database server and the provider. Close the bench even after an error.
func (b *Bench) Start(ctx context.Context) error {
	b.secret, b.webhookKey = rand.Text(), lab.WebhookSecret()
	var wg sync.WaitGroup
	var buildErr, mariaErr, providerErr error
	wg.Go(func() { buildErr = b.build(ctx) })
	wg.Go(func() { b.maria, mariaErr = services.StartMariaDB(filepath.Join(b.dir, "mariadb")) })
	wg.Go(func() { b.provider, providerErr = StartProvider() })
	wg.Wait()
	return errors.Join(buildErr, mariaErr, providerErr)
}

// build builds the product. To be profiled it gets one file more.
func (b *Bench) build(ctx context.Context) (err error) {
	build := lab.Build{Dir: b.dir}
	if b.options.Profile != "" {
		if b.options.Profile, err = filepath.Abs(b.options.Profile); err != nil {
			return err
		}
		if err := os.MkdirAll(b.options.Profile, 0o700); err != nil {
			return err
		}
		build.Added = map[string][]byte{"bench_profile.go": profileSource}
	}
	b.bin, err = build.Run(ctx)
	return err
}

// Close ends the servers.
func (b *Bench) Close() {
	if b.maria != nil {
		_ = b.maria.Kill()
	}
	if b.provider != nil {
		_ = b.provider.Close()
	}
}

// describe notes what the figures were measured on.
func (b *Bench) describe(_ context.Context, r *Report) error {
	redis, err := services.StartRedis(filepath.Join(b.dir, "redis-0"))
	if err != nil {
		return err
	}
	defer func() { _ = redis.Kill() }()
	r.Servers, err = services.Versions(b.maria.URL(), redis.URL())
	r.CPUs, r.Go, r.At = runtime.NumCPU(), runtime.Version(), time.Now().UTC().Truncate(time.Second)
	return err
}

func (b *Bench) note(format string, args ...any) {
	fmt.Fprintf(b.log, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// redisPeak is the most memory a Redis held since it was started.
func redisPeak(r *services.Redis) (int64, error) { return redisInfo(r, "memory", "used_memory_peak") }

// redisInfo is one figure of a section of Redis' INFO.
func redisInfo(r *services.Redis, section, field string) (n int64, err error) {
	script := fmt.Sprintf(`return {ok=string.match(redis.call('INFO','%s'),'%s:(%%d+)')}`, section, field)
	text, err := services.RedisDo(r.URL(), "EVAL", script, "0")
	if err == nil {
		_, err = fmt.Sscan(text, &n)
	}
	return n, err
}
