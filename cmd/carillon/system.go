package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/channels"
	"carillon/channels/openim"
	"carillon/handlers"
	"carillon/handlers/console"
	"carillon/handlers/web"
	"carillon/internal/config"
	"carillon/internal/metrics"
	"carillon/internal/tracing"
	"carillon/jobs"
	"carillon/models"
)

const (
	headerTime = 10 * time.Second // for a request's header to arrive
	idleTime   = 2 * time.Minute
	// answerTime is for a whole request whose handler sets no time of its own. All our handlers set
	// one.
	answerTime = 2 * time.Minute
	maxHeader  = 16 << 10
	// stopTime is for the requests under way. With all that follows, a process ends within 10 s.
	stopTime = 7 * time.Second
)

// roles are the parts of the work that a process does.
type roles struct{ api, worker, scheduler bool }

// parseRoles reads --roles. Its error is one line.
func parseRoles(names []string, cfg *config.Config) (roles, error) {
	var r roles
	for _, name := range names {
		switch name {
		case "api":
			r.api = true
		case "worker":
			r.worker = true
		case "scheduler":
			r.scheduler = true
		default:
			return r, fmt.Errorf("--roles knows api, worker and scheduler, not %q", name)
		}
	}
	if r != (roles{true, true, true}) && cfg.EmbeddedDatabase() {
		return r, errors.New("--roles splits the work over several processes, and embedded stores belong to one: set CARILLON_DATABASE_URL and CARILLON_REDIS_URL, or leave --roles out")
	}
	return r, nil
}

// system is one process at work.
type system struct {
	*stores
	cfg        *config.Config
	roles      roles
	api        *handlers.API
	web        *http.Server
	listener   net.Listener
	enqueuer   *enqueuer
	metrics    *metrics.Metrics
	tracer     *tracing.Tracer // nil = no traces
	channels   []channels.Channel
	openim     *openim.Channel // nil where the channel is not set up
	syncer     *jobs.Syncer    // of the directory; nil without openim
	notifier   *jobs.Notifier  // of events; nil without a receiver
	worker     *jobs.Worker    // nil without that role
	reconciler *jobs.Reconciler
	scheduler  *jobs.Scheduler
	log        *slog.Logger
	begun      func() // called when the process begins to serve

	asked   sync.Mutex
	askedAt time.Time
	found   []handlers.Problem
}

// openChannels makes the channels that are set up, the default first, with their traits and rates.
func openChannels(cfg *config.Config, rdb redis.UniversalClient) (set []channels.Channel, traits []channels.Traits, rates map[string]int, err error) {
	rates = map[string]int{}
	for _, one := range cfg.Channels() {
		ch, err := one.Open(rdb)
		if err != nil {
			return nil, nil, nil, err
		}
		set, traits = append(set, ch), append(traits, ch.Traits())
		rates[one.Name()] = one.PerSecond()
	}
	return set, traits, rates, nil
}

// newSystem wires a process. From then on it owns stores and listener. It does nothing until serve.
func newSystem(cfg *config.Config, shown []config.Setting, r roles, s *stores, listener net.Listener, log *slog.Logger) (*system, error) {
	sys := &system{stores: s, cfg: cfg, roles: r, listener: listener, log: log, begun: func() {}}
	sys.countFrom()
	set, traits, rates, err := openChannels(cfg, s.redis)
	if err != nil {
		return nil, err
	}
	sys.channels = set
	sys.watchOpenIM()
	if err := sys.watchEvents(); err != nil {
		return nil, err
	}
	tracer, err := tracing.Open(context.Background(), cfg.Traces, version(), log)
	if err != nil {
		return nil, err
	}
	sys.tracer = tracer
	if tracer != nil {
		s.ledger.Trace(tracing.Traceparent)
	}
	queue := jobs.NewQueue(s.redis)
	sys.enqueuer = newEnqueuer(queue.Stored, log)
	shared := jobs.NewShared(s.ledger, queue, jobs.Options{
		Channels: set, MaxAttempts: cfg.MaxAttempts, Rates: rates, Metrics: sys.metrics, Tracer: tracer,
	}, log)
	if r.worker {
		sys.worker = jobs.NewWorker(shared)
	}
	sys.reconciler = jobs.NewReconciler(shared, jobs.Retention{IdempotencyKeys: cfg.IdempotencyTTL, Recipients: cfg.Retention, Events: cfg.EventsRetention})
	sources := sys.watchShared(rates)
	sys.scheduler = jobs.NewScheduler(s.ledger, sys.enqueuer.enqueue, func() []string { return sys.api.AdminIDs() }, sys.metrics, tracer, log)
	sys.api = &handlers.API{
		Gate: web.Gate{
			Store: s.ledger, Redis: s.redis, Secret: s.secret, Previous: cfg.SecretPrevious, Admins: cfg.Admins, Log: log, Count: sys.metrics.Request, BasePath: cfg.BasePath, Trace: traceRequests(tracer),
			Memory: cfg.Memory, Proxies: cfg.Proxies(), Conns: web.NewConns(cfg.Memory, web.Descriptors(), cfg.Proxies(), log),
		},
		RedisConn: s.conn, Enqueue: sys.enqueuer.enqueue, Describe: describe, Ready: sys.problems,
		Pace: sys.reconciler.Pace, EndRest: sys.reconciler.EndRest, BatchWait: cfg.BatchWait,
		Zone: cfg.DefaultTimezone, Channels: traits, Rates: rates,
		Metrics: sys.metrics.Handler(), MetricsPublic: cfg.MetricsPublic,
		Shared: sources, Task: task, Check: sys.checkChannel, Process: thisProcess(shown, r),
	}
	if cfg.OpenIM.AsksTokens() {
		sys.api.ParseToken = sys.parseToken
	}
	sys.listener = sys.api.Conns.Listener(listener)
	sys.web = &http.Server{
		Handler: sys.routes(), ReadHeaderTimeout: headerTime, WriteTimeout: answerTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		ConnState: sys.api.Conns.State, ConnContext: sys.api.Conns.Context,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	sys.web.RegisterOnShutdown(sys.api.Close) // streams would never end by themselves
	return sys, nil
}

// describe is a task as the queue's monitor shows it.
func describe(payload []byte) string {
	p, err := jobs.DecodePayload(payload)
	if err != nil {
		return err.Error()
	}
	return p.String()
}

// task is which page of which campaign a task is about.
func task(payload []byte) (campaign int64, page int, err error) {
	p, err := jobs.DecodePayload(payload)
	return p.Campaign, p.Page, err
}

// checkChannel asks a channel's provider what the doctor asks.
func (s *system) checkChannel(ctx context.Context, channel string) []channels.Finding {
	for _, one := range s.cfg.Channels() {
		if one.Name() == channel {
			return append(one.Warnings(), one.Check(ctx, s.redis)...)
		}
	}
	return nil
}

// thisProcess is how the process was started, secrets masked.
func thisProcess(settings []config.Setting, r roles) handlers.Process {
	p := handlers.Process{Version: version(), Roles: r.String()}
	for _, one := range settings {
		p.Settings = append(p.Settings, handlers.Setting(one))
	}
	return p
}

// tellStarted logs where the process runs and which stores it uses, without passwords.
func (s *system) tellStarted() {
	database, redis := config.MaskURL(s.cfg.DatabaseURL), config.MaskURL(s.cfg.RedisURL)
	if s.dir != nil {
		database = s.dir.DatabaseURL()
	}
	if s.cfg.EmbeddedRedis() {
		redis = "embedded"
	}
	s.log.Info("started", "version", version(), "roles", s.roles.String(), "address", s.url(), "database", database, "redis", redis)
}

// recordStarted writes into the event log how the process was started: its settings, secrets
// masked.
func (s *system) recordStarted(ctx context.Context) {
	settings := map[string]string{}
	for _, one := range s.cfg.Masked() {
		settings[one.Name] = one.Value
	}
	e := models.Event{Kind: models.EventServeStarted, Data: models.EventData{"version": version(), "roles": s.roles.String(), "settings": settings}}
	if err := s.ledger.Record(ctx, e); err != nil {
		s.log.Warn("the start is not in the event log", "err", err)
	}
}

// routes are all routes of the API. In a process without that role they are the health routes
// alone.
func (s *system) routes() http.Handler {
	if s.roles.api {
		return s.api.Routes(console.New(s.api).Add)
	}
	return s.api.Health()
}

// serve works until ctx ends, then stops in good order. The error says why it could not go on.
func (s *system) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.web.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			cancel(err)
		}
	})
	wg.Go(func() { s.lookAtRedis(ctx) })
	starting := make(chan struct{})
	wg.Go(func() {
		defer close(starting)
		switch err := s.begin(ctx); {
		case err == nil:
			s.begun()
		case ctx.Err() == nil:
			cancel(err)
		}
	})
	<-ctx.Done()
	<-starting // a part that is still starting cannot be stopped
	s.stop()
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// begin waits for the ledger and starts the parts that use it. It does not wait for Redis: each
// part that needs Redis copes.
func (s *system) begin(ctx context.Context) error {
	away := false
	err := s.await(ctx, func(err error) {
		away = true
		s.log.Warn("the database does not answer: trying again every second", "err", err, "listening", s.url())
	})
	if err != nil {
		return err
	}
	if away {
		s.log.Info("the database answers")
	}
	if why, err := smallPackets(ctx, s.ledger); why != "" {
		s.log.Warn(why)
	} else if err != nil {
		s.log.Warn("the database does not say how large a statement may be", "err", err)
	}
	if err := s.reconciler.Compare(ctx); err != nil { // the workers wait for the comparison; the others need not
		s.log.Warn("the ledger cannot be compared with Redis yet; until then nothing is sent", "err", err)
	}
	s.tellStarted()
	s.recordStarted(ctx)
	s.reconciler.Start()
	if s.roles.scheduler {
		s.scheduler.Start()
		if s.syncer != nil {
			s.syncer.Start()
		}
		if s.notifier != nil {
			s.notifier.Start()
		}
	}
	if s.worker != nil {
		return s.worker.Start()
	}
	return nil
}

// lookAgain is how often a Redis is asked that does not answer yet.
const lookAgain = 5 * time.Second

// lookAtRedis warns of a Redis that drops data when it is full. It does so once Redis answers.
func (s *system) lookAtRedis(ctx context.Context) {
	if s.inside != nil {
		return
	}
	for {
		asking, cancel := context.WithTimeout(ctx, askTime)
		why, err := evicts(asking, s.redis)
		cancel()
		if why != "" {
			s.log.Warn(why)
		}
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookAgain):
		}
	}
}

// stop ends the process's work in order: new requests and new sends, work under way, the stores.
func (s *system) stop() {
	s.log.Info("stopping")
	s.scheduler.Stop() // what it starts goes through the enqueuer
	if s.syncer != nil {
		s.syncer.Stop()
	}
	var wg sync.WaitGroup
	if s.worker != nil {
		wg.Go(s.worker.Stop)
	}
	if s.notifier != nil {
		wg.Go(s.notifier.Stop)
	}
	wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		s.api.Conns.Silence() // waiting for them would be in vain
		if err := s.web.Shutdown(ctx); err != nil {
			s.log.Warn("requests were cut off", "err", err)
			_ = s.web.Close()
		}
		s.api.Close()
		s.enqueuer.close()
	})
	wg.Wait()
	s.reconciler.Stop()
	for _, ch := range s.channels {
		if c, ok := ch.(channels.Closer); ok {
			c.Close()
		}
	}
	s.tracer.Close() // the spans of all the others have ended
	s.close()
}

// askedAgo is how long an answer is reused. Anybody may ask, and each check makes two writes.
const askedAgo = 500 * time.Millisecond

// problems is what /readyz answers from.
func (s *system) problems(ctx context.Context) []handlers.Problem {
	s.asked.Lock()
	defer s.asked.Unlock()
	if time.Since(s.askedAt) > askedAgo {
		s.found = s.check(ctx)
		s.askedAt = time.Now()
	}
	return s.found
}

// check tries to write, because a replica or a full Redis can still be read.
func (s *system) check(ctx context.Context) []handlers.Problem {
	var database, queue []handlers.Problem
	var wg sync.WaitGroup
	wg.Go(func() {
		err := s.ledger.TryWrite(ctx)
		switch {
		case err != nil:
			database = []handlers.Problem{{What: "database", Detail: err.Error()}}
		case !s.migrated.Load():
			database = []handlers.Problem{{What: "migrations", Detail: "not checked yet"}}
		}
	})
	wg.Go(func() {
		if err := tryRedis(ctx, s.redis); err != nil {
			queue = []handlers.Problem{{What: "redis", Detail: err.Error()}}
		}
	})
	wg.Wait()
	problems := append(database, queue...)
	if p := s.api.Conns.Problem(); p != nil {
		problems = append(problems, *p)
	}
	return problems
}
