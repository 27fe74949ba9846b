package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"carillon/internal/testkit/lab"
	"carillon/internal/testkit/openim"
	"carillon/internal/testkit/services"
)

// stopLimit is what R5 grants a process after SIGTERM.
const stopLimit = 10 * time.Second

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
	wg.Go(func() { b.bin, buildErr = lab.Build{Dir: b.dir, Race: b.race}.Run(ctx) })
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

	OpenIM *openim.Options // an OpenIM to send through, in place of the provider; the system names its log
}

// System is one trial's product: an API and workers over fresh stores, and the provider.
type System struct {
	*Bench
	dir          string
	API          *lab.Process
	Workers      []*lab.Process
	Provider     *Provider
	OpenIM       *openim.Double // nil = what is sent goes to the provider
	Client       *lab.Client
	token        string // the client's
	providerLink *Link
	databaseLink *Link
	begun        time.Time
	logMu        sync.Mutex
}

// answerLimit is how long a request of the trials may take.
const answerLimit = 15 * time.Second

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
	if setup.OpenIM != nil {
		setup.OpenIM.Log = filepath.Join(s.dir, "openim.ndjson")
		if s.OpenIM, err = openim.Start(*setup.OpenIM); err != nil {
			return s, err
		}
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

// probeFile is where a process of a system with probes writes its readings.
func (s *System) probeFile(c *lab.Process) string { return filepath.Join(s.dir, c.Name+".probe") }

// children makes the processes. Each names itself in the path of the provider's URL, so that the provider's
// log tells who sent what.
func (s *System) children(setup Setup, bin, databaseURL string) error {
	if setup.MaxAttempts == 0 {
		setup.MaxAttempts = 12
	}
	if setup.Timeout == 0 {
		setup.Timeout = 5 * time.Second
	}
	secret, webhookSecret := rand.Text(), lab.WebhookSecret()
	child := func(name, role string) (*lab.Process, error) {
		port, err := services.FreePort()
		if err != nil {
			return nil, err
		}
		listen := fmt.Sprintf("127.0.0.1:%d", port)
		c := &lab.Process{
			Name: name, URL: "http://" + listen, Bin: bin, Args: []string{"serve", "--roles", role}, Log: filepath.Join(s.dir, name+".log"),
			Env: []string{
				"CARILLON_DATABASE_URL=" + databaseURL, "CARILLON_REDIS_URL=" + s.redis.URL(), "CARILLON_SECRET=" + secret, "CARILLON_LISTEN=" + listen,
				fmt.Sprint("CARILLON_MAX_ATTEMPTS=", setup.MaxAttempts),
			},
		}
		if s.OpenIM != nil {
			c.Env = append(c.Env, s.openIM(*setup.OpenIM)...)
			c.Args = append(c.Args, "--log-level", "debug") // the search for secrets wants all that can stand there
		} else {
			c.Env = append(c.Env, "CARILLON_CHANNEL=webhook", "CARILLON_WEBHOOK_URL=http://"+s.providerLink.Addr()+"/"+name,
				"CARILLON_WEBHOOK_SECRET="+webhookSecret,
				fmt.Sprint("CARILLON_WEBHOOK_BATCH=", setup.Batch), fmt.Sprint("CARILLON_WEBHOOK_RATE=", setup.Rate), fmt.Sprint("CARILLON_WEBHOOK_TIMEOUT=", setup.Timeout))
		}
		if setup.Probe {
			c.Env = append(c.Env, "CHAOS_PROBE="+s.probeFile(c))
		}
		return c, nil
	}
	api, err := child("api", "api")
	if err != nil {
		return err
	}
	s.API = api
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
	s.token = strings.TrimSpace(token)
	if s.Client, err = lab.NewClient(s.API.URL, s.token, answerLimit); err != nil {
		return err
	}
	for _, c := range append([]*lab.Process{s.API}, s.Workers...) {
		if err := c.Start(); err != nil {
			return err
		}
	}
	for _, c := range append([]*lab.Process{s.API}, s.Workers...) {
		if err := c.AwaitReady(ctx, s.token, 30*time.Second); err != nil {
			return err
		}
	}
	return s.Client.Import(ctx, users)
}

// Close ends all of it. What the processes did is in the files of their logs.
func (s *System) Close() error {
	for _, c := range append([]*lab.Process{s.API}, s.Workers...) {
		if c != nil {
			c.Kill()
		}
	}
	for _, l := range []*Link{s.providerLink, s.databaseLink} {
		if l != nil {
			l.Close()
		}
	}
	if s.Client != nil {
		s.Client.Close()
	}
	var err error
	if s.OpenIM != nil {
		err = s.OpenIM.Close()
	}
	if s.Provider != nil {
		err = errors.Join(err, s.Provider.Close())
	}
	return err
}

// note writes one line of what happens, with the seconds since the trial began.
func (s *System) note(format string, args ...any) {
	s.logMu.Lock()
	defer s.logMu.Unlock()
	fmt.Fprintf(s.log, "  %6.1fs  %s\n", time.Since(s.begun).Seconds(), fmt.Sprintf(format, args...))
}
