package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"

	"carillon/internal/testkit/lab"
	"carillon/internal/testkit/services"
)

// Kind is what a fault does.
type Kind string

// The faults there are.
const (
	KillWorker    Kind = "kill -9 worker"
	KillAPI       Kind = "kill -9 api"
	FreezeWorker  Kind = "SIGSTOP worker" // for longer than its lease
	TermWorker    Kind = "SIGTERM worker"
	FlushRedis    Kind = "FLUSHALL"
	KillRedis     Kind = "kill -9 redis"
	KillMariaDB   Kind = "kill -9 mariadb"
	SpoilProvider Kind = "spoil provider link"
	SpoilDatabase Kind = "spoil database link"
)

// Fault is one line of a schedule.
type Fault struct {
	At     time.Duration // since the campaign's start
	Kind   Kind
	Worker int           // whom it hits, where it hits a worker
	For    time.Duration // until it is healed: restarted, woken, cured
	Toxic  Toxic         // of a spoiled link
}

// What names the fault and whom it hits.
func (f Fault) What() string {
	switch f.Kind {
	case KillWorker, FreezeWorker, TermWorker:
		return fmt.Sprintf("%s %d", f.Kind, f.Worker+1)
	case SpoilProvider, SpoilDatabase:
		return fmt.Sprintf("%s: %s", f.Kind, f.Toxic)
	case KillAPI, FlushRedis, KillRedis, KillMariaDB:
	}
	return string(f.Kind)
}

func (f Fault) String() string {
	s := fmt.Sprintf("%6.1fs  %s", f.At.Seconds(), f.What())
	if f.For > 0 {
		s += fmt.Sprintf(", healed after %.1fs", f.For.Seconds())
	}
	return s
}

// target is what two faults at once may not share.
func (f Fault) target() string {
	switch f.Kind {
	case KillWorker, FreezeWorker, TermWorker:
		return fmt.Sprint("worker", f.Worker)
	case FlushRedis, KillRedis:
		return "redis"
	case KillAPI, KillMariaDB, SpoilProvider, SpoilDatabase:
	}
	return string(f.Kind)
}

// Plan is what a schedule is drawn from.
type Plan struct {
	Span    time.Duration // faults begin within it
	Workers int
	Every   time.Duration // on average
	Freeze  bool          // processes may be frozen, which takes 17 to 20 s each time
}

// drawn weighs the kinds: what only the nemesis can do to the product itself comes most often.
var drawn = []Kind{
	KillWorker, KillWorker, KillWorker, KillWorker, TermWorker, TermWorker, FreezeWorker, FreezeWorker, KillAPI, KillAPI,
	FlushRedis, FlushRedis, KillRedis, KillMariaDB, SpoilProvider, SpoilProvider, SpoilProvider, SpoilDatabase, SpoilDatabase,
}

// Random is the one source of chance of a run: the same seed gives the same faults, trial by trial.
func Random(seed uint64, trial string) *rand.Rand {
	var salt uint64
	for _, b := range []byte(trial) {
		salt = salt*131 + uint64(b)
	}
	return rand.New(rand.NewPCG(seed, salt))
}

// Schedule draws faults. What it draws depends on rnd and the plan alone.
func Schedule(rnd *rand.Rand, p Plan) []Fault {
	var faults []Fault
	busy := map[string]time.Duration{}
	frozen := false
	for at := between(rnd, p.Every/2, p.Every); at < p.Span; at += between(rnd, p.Every/2, p.Every*3/2) {
		f := Fault{At: at, Kind: drawn[rnd.IntN(len(drawn))], Worker: rnd.IntN(p.Workers)}
		f.draw(rnd)
		if f.Kind == FreezeWorker && (!p.Freeze || frozen) {
			f.Kind = KillWorker
			f.draw(rnd)
		}
		if busy[f.target()] > at {
			continue // its target is still down: a quieter moment
		}
		frozen = frozen || f.Kind == FreezeWorker
		busy[f.target()] = at + f.For + 2*time.Second // it has begun to work again
		faults = append(faults, f)
	}
	return faults
}

// draw chooses how long the fault lasts and how a link fails.
func (f *Fault) draw(rnd *rand.Rand) {
	switch f.Kind {
	case KillWorker, TermWorker:
		f.For = between(rnd, 500*time.Millisecond, 4*time.Second)
	case KillAPI:
		f.For = between(rnd, 200*time.Millisecond, 2*time.Second)
	case FreezeWorker:
		f.For = between(rnd, 17*time.Second, 20*time.Second)
	case KillRedis:
		f.For = between(rnd, 500*time.Millisecond, 5*time.Second)
	case KillMariaDB:
		f.For = between(rnd, 500*time.Millisecond, 6*time.Second)
	case SpoilProvider, SpoilDatabase:
		f.For = between(rnd, 2*time.Second, 7*time.Second)
		f.Toxic = drawToxic(rnd)
	case FlushRedis:
		f.For = 0
	}
}

func drawToxic(rnd *rand.Rand) Toxic {
	t := Toxic{Stream: []string{"upstream", "downstream"}[rnd.IntN(2)]}
	switch t.Type = []string{"latency", "reset_peer", "timeout", "limit_data"}[rnd.IntN(4)]; t.Type {
	case "latency":
		ms := int64(100 + rnd.IntN(2900))
		t.Attrs = map[string]int64{"latency": ms, "jitter": ms / 2}
	case "reset_peer", "timeout":
		t.Attrs = map[string]int64{"timeout": int64(rnd.IntN(1500))} // of "timeout", 0 is a black hole
	case "limit_data":
		t.Attrs = map[string]int64{"bytes": int64(100 + rnd.IntN(20_000))}
	}
	return t
}

func between(rnd *rand.Rand, lo, hi time.Duration) time.Duration {
	return lo + time.Duration(rnd.Int64N(int64(hi-lo)+1)).Truncate(time.Millisecond)
}

// Event is a fault that was dealt.
type Event struct {
	Fault
	Start, End time.Time     // End: healed
	Took       time.Duration // from SIGTERM to the process' end
	Exit       int           // its code
	Err        error         // the nemesis itself failed
}

// Strike deals the faults of a schedule, each at its time, and returns when all are healed. before, if any, is
// called half a second ahead of each fault.
func Strike(ctx context.Context, sys *System, faults []Fault, before func(Fault)) []Event {
	var wg sync.WaitGroup
	begun := time.Now()
	events := make([]Event, len(faults))
	for i, f := range faults {
		wg.Go(func() {
			const ahead = 500 * time.Millisecond
			if !lab.Sleep(ctx, time.Until(begun.Add(f.At-ahead))) {
				return
			}
			if before != nil {
				before(f)
			}
			if lab.Sleep(ctx, time.Until(begun.Add(f.At))) {
				events[i] = sys.Deal(ctx, f)
			}
		})
	}
	wg.Wait()
	events = slices.DeleteFunc(events, func(e Event) bool { return e.Start.IsZero() })
	slices.SortFunc(events, func(a, b Event) int { return a.Start.Compare(b.Start) })
	return events
}

// Deal deals one fault and heals it.
func (s *System) Deal(ctx context.Context, f Fault) Event {
	e := Event{Fault: f, Start: time.Now()}
	defer func() { s.note("%-22s %s", "healed:", f.What()) }()
	s.note("%-22s %s", "fault:", f.What())
	switch f.Kind {
	case KillWorker, TermWorker, KillAPI:
		child := s.API
		if f.Kind != KillAPI {
			child = s.Workers[f.Worker]
		}
		if f.Kind == TermWorker {
			e.Took, e.Exit = child.Term(2 * stopLimit)
		} else {
			child.Kill()
		}
		lab.Sleep(ctx, f.For)
		e.Err = child.Start()
	case FreezeWorker:
		s.Workers[f.Worker].Signal(syscall.SIGSTOP)
		lab.Sleep(ctx, f.For)
		s.Workers[f.Worker].Signal(syscall.SIGCONT)
	case FlushRedis:
		_, e.Err = services.RedisDo(s.redis.URL(), "FLUSHALL")
	case KillRedis:
		e.Err = restart(ctx, s.redis, f.For)
	case KillMariaDB:
		e.Err = restart(ctx, s.maria, f.For)
	case SpoilProvider:
		e.Err = spoil(ctx, s.providerLink, f)
	case SpoilDatabase:
		e.Err = spoil(ctx, s.databaseLink, f)
	}
	e.End = time.Now()
	return e
}

func restart(ctx context.Context, server interface {
	Kill() error
	Start() error
}, after time.Duration,
) error {
	if err := server.Kill(); err != nil {
		return err
	}
	lab.Sleep(ctx, after)
	return server.Start()
}

func spoil(ctx context.Context, l *Link, f Fault) error {
	if err := l.Spoil(f.Toxic); err != nil {
		return err
	}
	lab.Sleep(ctx, f.For)
	l.Heal()
	return nil
}
