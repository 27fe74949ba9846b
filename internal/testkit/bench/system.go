package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"time"

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
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	b.secret, b.webhookKey = rand.Text(), "whsec_"+base64.StdEncoding.EncodeToString(key)
	var wg sync.WaitGroup
	var buildErr, mariaErr, providerErr error
	wg.Go(func() { buildErr = b.build(ctx) })
	wg.Go(func() { b.maria, mariaErr = services.StartMariaDB(filepath.Join(b.dir, "mariadb")) })
	wg.Go(func() { b.provider, providerErr = StartProvider() })
	wg.Wait()
	return errors.Join(buildErr, mariaErr, providerErr)
}

// build builds the product as it is shipped. To be profiled it gets one file more.
func (b *Bench) build(ctx context.Context) error {
	b.bin = filepath.Join(b.dir, "carillon")
	args := []string{"build", "-trimpath", "-ldflags", "-s -w", "-o", b.bin}
	if b.options.Profile != "" {
		overlay, err := b.overlay(ctx)
		if err != nil {
			return err
		}
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "carillon/cmd/carillon")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

func (b *Bench) overlay(ctx context.Context) (string, error) {
	dir, err := filepath.Abs(b.options.Profile)
	if err != nil {
		return "", err
	}
	b.options.Profile = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "carillon/cmd/carillon").Output()
	if err != nil {
		return "", fmt.Errorf("go list: %w", err)
	}
	added, source := filepath.Join(string(out[:len(out)-1]), "bench_profile.go"), filepath.Join(b.dir, "profile.go")
	raw, err := json.Marshal(map[string]map[string]string{"Replace": {added: source}})
	if err != nil {
		return "", err
	}
	file := filepath.Join(b.dir, "overlay.json")
	return file, errors.Join(os.WriteFile(source, profileSource, 0o600), os.WriteFile(file, raw, 0o600))
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
