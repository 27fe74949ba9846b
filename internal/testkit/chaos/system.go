package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"carillon/internal/testkit/services"
)

// Bench is what all trials of a run share: the binary and the servers it needs.
type Bench struct {
	dir   string
	bin   string
	race  bool // the binary tells of data races
	maria *services.MariaDB
	redis *services.Redis
	log   io.Writer
}

// Start builds the binary and starts MariaDB, with its default durability, and Redis. Close the bench even
// after an error.
func (b *Bench) Start(ctx context.Context) error {
	var wg sync.WaitGroup
	var buildErr, redisErr, mariaErr error
	wg.Go(func() { b.bin, buildErr = buildBinary(ctx, b.dir, b.race) })
	wg.Go(func() { b.maria, mariaErr = services.StartMariaDB(filepath.Join(b.dir, "servers", "mariadb")) })
	wg.Go(func() { b.redis, redisErr = services.StartRedis(filepath.Join(b.dir, "servers", "redis")) })
	wg.Wait()
	return errors.Join(buildErr, redisErr, mariaErr)
}

// Close ends the servers.
func (b *Bench) Close() {
	if b.maria != nil {
		_ = b.maria.Kill()
	}
	if b.redis != nil {
		_ = b.redis.Kill()
	}
}

// Setup is one trial's wishes.
type Setup struct {
	Trial       string
	Workers     int
	Role        string        // of the workers; "" = worker
	Batch       int           // recipients a request
	Rate        int           // the channel's, recipients per second; 0 = no limit
	MaxAttempts int           // 0: enough for any fault here, so that nobody is given up
	Timeout     time.Duration // of a request to the provider; 0 = 5 s
	Probe       bool          // each process writes down its goroutines and memory: see probe.go
}

// System is one trial's product: an API and workers over fresh stores, and the provider.
type System struct {
	*Bench
	dir          string
	API          *Child
	Workers      []*Child
	Provider     *Provider
	Client       *Client
	providerLink *Link
	databaseLink *Link
	begun        time.Time
	logMu        sync.Mutex
}

// Open starts a system whose directory holds the given users. Close it even after an error.
func (b *Bench) Open(ctx context.Context, setup Setup, users []string) (s *System, err error) {
	s = &System{Bench: b, dir: filepath.Join(b.dir, setup.Trial), begun: time.Now()}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return s, err
	}
	if s.Provider, err = StartProvider(filepath.Join(s.dir, "provider.log")); err != nil {
		return s, err
	}
	if s.providerLink, err = OpenLink("provider", s.Provider.Addr()); err != nil {
		return s, err
	}
	if _, err := services.RedisDo(b.redis.URL(), "FLUSHALL"); err != nil {
		return s, err
	}
	direct, _, err := services.CreateDatabase(b.maria.URL())
	if err != nil {
		return s, err
	}
	u, err := url.Parse(direct)
	if err != nil {
		return s, err
	}
	if s.databaseLink, err = OpenLink("database", u.Host); err != nil {
		return s, err
	}
	u.Host = s.databaseLink.Addr()
	bin := b.bin
	if setup.Probe {
		if bin, err = b.probed(ctx); err != nil {
			return s, err
		}
	}
	if err := s.children(setup, bin, u.String()); err != nil {
		return s, err
	}
	return s, s.start(ctx, users)
}

// children makes the processes. Each names itself in the path of the provider's URL, so that the provider's
// log tells who sent what.
func (s *System) children(setup Setup, bin, databaseURL string) error {
	if setup.MaxAttempts == 0 {
		setup.MaxAttempts = 12
	}
	if setup.Timeout == 0 {
		setup.Timeout = 5 * time.Second
	}
	secret := rand.Text()
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	child := func(name, role string) (*Child, error) {
		port, err := services.FreePort()
		if err != nil {
			return nil, err
		}
		listen := fmt.Sprintf("127.0.0.1:%d", port)
		c := &Child{
			Name: name, URL: "http://" + listen, bin: bin, args: []string{"serve", "--roles", role}, log: filepath.Join(s.dir, name+".log"),
			env: []string{
				"CARILLON_DATABASE_URL=" + databaseURL, "CARILLON_REDIS_URL=" + s.redis.URL(), "CARILLON_SECRET=" + secret, "CARILLON_LISTEN=" + listen,
				"CARILLON_CHANNEL=webhook", "CARILLON_WEBHOOK_URL=http://" + s.providerLink.Addr() + "/" + name,
				"CARILLON_WEBHOOK_SECRET=whsec_" + base64.StdEncoding.EncodeToString(key),
				fmt.Sprint("CARILLON_WEBHOOK_BATCH=", setup.Batch), fmt.Sprint("CARILLON_WEBHOOK_RATE=", setup.Rate), fmt.Sprint("CARILLON_WEBHOOK_TIMEOUT=", setup.Timeout),
				fmt.Sprint("CARILLON_MAX_ATTEMPTS=", setup.MaxAttempts),
			},
		}
		if setup.Probe {
			c.probe = filepath.Join(s.dir, name+".probe")
			c.env = append(c.env, "CHAOS_PROBE="+c.probe)
		}
		return c, nil
	}
	api, err := child("api", "api")
	if err != nil {
		return err
	}
	s.API, s.Client = api, newClient(api.URL, "")
	for i := range setup.Workers {
		w, err := child(fmt.Sprint("worker", i+1), cmp.Or(setup.Role, "worker"))
		if err != nil {
			return err
		}
		s.Workers = append(s.Workers, w)
	}
	return nil
}

func (s *System) start(ctx context.Context, users []string) error {
	if _, err := s.API.Run(ctx, "migrate"); err != nil {
		return err
	}
	token, err := s.API.Run(ctx, "token")
	if err != nil {
		return err
	}
	s.Client.token = strings.TrimSpace(token)
	for _, c := range append([]*Child{s.API}, s.Workers...) {
		if err := c.Start(); err != nil {
			return err
		}
	}
	for _, c := range append([]*Child{s.API}, s.Workers...) {
		if err := s.awaitReady(ctx, c, 30*time.Second); err != nil {
			return err
		}
	}
	return s.Client.Import(ctx, users)
}

// awaitReady waits until a process can do its work.
func (s *System) awaitReady(ctx context.Context, c *Child, limit time.Duration) error {
	client := newClient(c.URL, s.Client.token)
	defer client.http.CloseIdleConnections()
	deadline := time.Now().Add(limit)
	for {
		r, err := client.Do(ctx, http.MethodGet, "/readyz", "", nil)
		switch {
		case err == nil && r.Status == http.StatusOK:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%s is not ready after %s: status %d %s%s", c.Name, limit, r.Status, r.ErrDlt, orNothing(err))
		case !sleep(ctx, 50*time.Millisecond):
			return ctx.Err()
		}
	}
}

// Close ends all of it. What the processes did is in the files of their logs.
func (s *System) Close() error {
	for _, c := range append([]*Child{s.API}, s.Workers...) {
		if c != nil {
			c.Kill()
		}
	}
	for _, l := range []*Link{s.providerLink, s.databaseLink} {
		if l != nil {
			l.Close()
		}
	}
	if s.Provider == nil {
		return nil
	}
	return s.Provider.Close()
}

// note writes one line of what happens, with the seconds since the trial began.
func (s *System) note(format string, args ...any) {
	s.logMu.Lock()
	defer s.logMu.Unlock()
	fmt.Fprintf(s.log, "  %6.1fs  %s\n", time.Since(s.begun).Seconds(), fmt.Sprintf(format, args...))
}
