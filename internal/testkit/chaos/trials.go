package main

import (
	"carillon/internal/testkit/lab"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Options are a run's.
type Options struct {
	Seed       uint64
	Recipients int
	Workers    int
	Batch      int
	Span       time.Duration                   // of a storm's faults
	Every      time.Duration                   // a fault, on average
	Times      bool                            // judge how long things take, not only counts
	Freeze     bool                            // the storm may freeze workers
	asked      struct{ recipients, span bool } // what the command line gives wins over what a trial takes by itself
}

// trial is one experiment on a fresh system.
type trial struct {
	name string
	what string
	run  func(ctx context.Context, b *Bench, o Options) ([]Check, error)

	named      bool          // it is not among "all": it takes long
	recipients int           // unless the command line says how many; 0 = as all
	span       time.Duration // the same
}

// trials are all there are; "storm" is the one that many seeds are worth, and comes first.
func trials() []trial {
	const million = 1_000_000
	return []trial{
		{name: "storm", what: "faults of all kinds, drawn from the seed", run: storm},
		{name: "kills", what: "20 × kill -9 of workers", run: kills},
		{name: "durable", what: "1,000 POSTs while the API is killed", run: durable},
		{name: "term", what: "SIGTERM in mid-chunk", run: term},
		{name: "redis", what: "FLUSHALL, then Redis away", run: redisLoss},
		{name: "mysql", what: "MariaDB away for 30 s", run: mysqlLoss},
		{name: "rate", what: "500/s over 4 workers", run: rate},
		{name: "smooth", what: "5/s, second by second", run: smooth},
		{name: "share", what: "two campaigns on a channel of 1,000/s", run: sharing},
		{name: "patch", what: "from 100/s to 1,000/s while it runs", run: patch},
		{name: "first", what: "transactional sends while bulk fills a channel of 1,000/s", run: first},
		{name: "poison", what: "users that the provider refuses, stumbles over and hangs for", run: poison},
		{name: "stragglers", what: "a storm, at a provider that always fails for 1 user in 1,000, answers another after 2 s, and fails at random for 5 %", run: stragglers},
		{name: "control", what: "pause, resume, cancel", run: control},
		{name: "sag", what: "503, then 2 s of latency, and back", run: sag, span: 10 * time.Second},
		{name: "dead", what: "a provider that refuses connections, answers 503, answers 500", run: dead, span: 30 * time.Second},
		{name: "slots", what: "50 schedules every second, over 3 schedulers of which one is killed and one frozen", run: slots},
		{name: "once", what: "kill -9 with atMostOnce", run: once},
		{name: "openim", what: "through OpenIM: unknown and refusing users, lost answers, kicked tokens; a worker killed twice, one stopped, the API killed", run: throughOpenIM},
		{name: "million", what: "20 × kill -9 of workers at 1,000,000 recipients, and the same undisturbed", run: millionKills, named: true, recipients: million},
		{name: "slow", what: "1/s for 1,000,000 recipients beside ten campaigns without a rate", run: slow, named: true, recipients: million},
		{name: "soak", what: "campaigns begin and end all the time; try it with --race", run: soak, named: true, recipients: 4000, span: 20 * time.Minute},
	}
}

// options are the run's as the trial takes them.
func (t trial) options(o Options) Options {
	if t.recipients > 0 && !o.asked.recipients {
		o.Recipients = t.recipients
	}
	if t.span > 0 && !o.asked.span {
		o.Span = t.span
	}
	return o
}

const (
	endLimit  = 150 * time.Second // for everything to be delivered once all is healed
	quietTail = 2 * time.Second
)

// What a campaign may do with a recipient of whom it is not known whether it was sent.
const (
	atLeastOnce = "atLeastOnce"
	atMostOnce  = "atMostOnce"
)

// paced is the rate at which n recipients take the span.
func paced(n int, span time.Duration) int { return max(1, int(float64(n)/span.Seconds())) }

// siege runs a paced campaign for all users through a schedule. Just ahead of each fault a campaign without a
// rate is posted, so that full chunks are under way when it strikes. The deliveries go round; the paced campaign has
// the first. All has to be over within the limit after the last fault.
func siege(ctx context.Context, s *System, users []string, rate int, faults []Fault, limit time.Duration, deliveries ...string) (*Evidence, error) {
	main, err := s.Post(ctx, Order{Name: "paced", Users: users, All: true, Rate: rate, Delivery: deliveries[0]})
	if err != nil {
		return nil, err
	}
	return s.besiege(ctx, main, faults, limit, deliveries...)
}

// besiege is a siege around a campaign that runs.
func (s *System) besiege(ctx context.Context, main *Campaign, faults []Fault, limit time.Duration, deliveries ...string) (*Evidence, error) {
	var err error
	users := main.Users
	var mu sync.Mutex
	campaigns := []*Campaign{main}
	var wg sync.WaitGroup
	n, burst := 0, max(1, len(users)/10)
	events := Strike(ctx, s, faults, func(Fault) {
		mu.Lock()
		n++
		name := fmt.Sprintf("burst%02d", n)
		lo := n * burst % max(1, len(users)-burst)
		delivery := deliveries[n%len(deliveries)]
		mu.Unlock()
		wg.Go(func() { // the API may be down, which must not hold up the fault
			c, postErr := s.Post(ctx, Order{Name: name, Users: users[lo:min(lo+burst, len(users))], Delivery: delivery})
			mu.Lock()
			defer mu.Unlock()
			if postErr != nil {
				err = postErr
				return
			}
			campaigns = append(campaigns, c)
		})
	})
	wg.Wait()
	if err != nil {
		return nil, err
	}
	s.note("all healed")
	e, err := s.Await(ctx, limit, events, campaigns...)
	s.note("all over: %d campaigns, %d arrivals", len(campaigns), len(e.Arrivals))
	return e, err
}

// storm is the seeded nemesis.
func storm(ctx context.Context, b *Bench, o Options) ([]Check, error) {
	rnd := Random(o.Seed, "storm")
	delay := between(rnd, 0, 150*time.Millisecond)
	faults := Schedule(rnd, Plan{Span: o.Span, Workers: o.Workers, Every: o.Every, Freeze: o.Freeze})
	fmt.Fprintf(b.log, "schedule of seed %d (the provider answers after %s):\n", o.Seed, delay)
	for _, f := range faults {
		fmt.Fprintln(b.log, " ", f)
	}
	users := userIDs(o.Recipients)
	return b.on(ctx, Setup{Trial: fmt.Sprint("storm", o.Seed), Workers: o.Workers, Batch: o.Batch}, users, func(ctx context.Context, s *System) ([]Check, error) {
		s.Provider.Behave(Manners{Delay: delay})
		e, err := siege(ctx, s, users, paced(o.Recipients, o.Span), faults, endLimit, atLeastOnce, atLeastOnce, atMostOnce)
		if err != nil {
			return nil, err
		}
		checks := append(e.basics(),
			e.Moving("R4", o.Times, KillWorker, FreezeWorker),
			e.Terms(o.Times),
			e.Moving("R6", o.Times, FlushRedis, KillRedis))
		return append(checks, e.Moving("R7", o.Times, KillMariaDB)), nil
	})
}

// basics are the checks of every trial.
func (e *Evidence) basics() []Check {
	return []Check{e.Lost(), e.Sums(), e.Repeats(), e.Clean()}
}

// on runs f on a fresh system.
func (b *Bench) on(ctx context.Context, setup Setup, users []string, f func(context.Context, *System) ([]Check, error)) (checks []Check, err error) {
	ctx, cancel := context.WithCancel(ctx) // ends what watches campaigns
	defer cancel()
	s, err := b.Open(ctx, setup, users)
	defer func() {
		closeErr := s.Close()
		if err == nil {
			err = closeErr
		}
	}()
	if err != nil {
		return nil, err
	}
	return f(ctx, s)
}

// every makes n faults of one kind, a steady while apart, on the workers in turn.
func every(rnd *rand.Rand, n, workers int, from, apart time.Duration, kind Kind, lasting time.Duration) []Fault {
	faults := make([]Fault, n)
	for i := range faults {
		jitter := between(rnd, 0, apart/2)
		faults[i] = Fault{At: from + time.Duration(i)*apart + jitter, Kind: kind, Worker: i % workers, For: lasting}
	}
	return faults
}

func kills(ctx context.Context, b *Bench, o Options) ([]Check, error) {
	const n, apart = 20, 2 * time.Second
	users := userIDs(o.Recipients)
	faults := every(Random(o.Seed, "kills"), n, o.Workers, 2*time.Second, apart, KillWorker, time.Second)
	return b.on(ctx, Setup{Trial: "kills", Workers: o.Workers, Batch: o.Batch}, users, func(ctx context.Context, s *System) ([]Check, error) {
		s.Provider.Behave(Manners{Delay: 20 * time.Millisecond})
		e, err := siege(ctx, s, users, paced(o.Recipients, n*apart), faults, endLimit, atLeastOnce)
		if err != nil {
			return nil, err
		}
		return append(e.basics(), e.Moving("R4", o.Times, KillWorker)), nil
	})
}

func term(ctx context.Context, b *Bench, o Options) ([]Check, error) {
	const n, apart = 6, 4 * time.Second
	users := userIDs(o.Recipients)
	faults := every(Random(o.Seed, "term"), n, o.Workers, 2*time.Second, apart, TermWorker, time.Second)
	return b.on(ctx, Setup{Trial: "term", Workers: o.Workers, Batch: o.Batch}, users, func(ctx context.Context, s *System) ([]Check, error) {
		s.Provider.Behave(Manners{Delay: 100 * time.Millisecond})
		e, err := siege(ctx, s, users, paced(o.Recipients, n*apart), faults, endLimit, atLeastOnce)
		if err != nil {
			return nil, err
		}
		moving := e.Moving("R5", o.Times, TermWorker)
		return append(e.basics(), e.Terms(o.Times), moving), nil
	})
}

func once(ctx context.Context, b *Bench, o Options) ([]Check, error) {
	const n, apart = 6, 3 * time.Second
	users := userIDs(o.Recipients / 2)
	faults := every(Random(o.Seed, "once"), n, o.Workers, 2*time.Second, apart, KillWorker, time.Second)
	return b.on(ctx, Setup{Trial: "once", Workers: o.Workers, Batch: o.Batch}, users, func(ctx context.Context, s *System) ([]Check, error) {
		_, err := s.Post(ctx, Order{Name: "asked", Users: users[:1], Delivery: atMostOnce})
		if refused := lab.Refusal(err); refused != nil && refused.Status == http.StatusUnprocessableEntity {
			return []Check{{"R3", NotExercised, "delivery atMostOnce is refused: " + refused.Error()}}, nil
		}
		if err != nil {
			return nil, err
		}
		s.Provider.Behave(Manners{Delay: 50 * time.Millisecond})
		e, err := siege(ctx, s, users, paced(len(users), n*apart), faults, endLimit, atMostOnce)
		if err != nil {
			return nil, err
		}
		return e.basics(), nil
	})
}
