package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"carillon/internal/testkit/lab"
)

const (
	largeBatch = 500                    // recipients a request may carry: a chunk of 250 is one request then
	largeDelay = 200 * time.Millisecond // of the provider: 24 requests at once are 30,000/s at most
	perKill    = 50_000                 // recipients: 1,000,000 are worth 20 × kill -9
	maxKills   = 20
)

// millionKills runs one large campaign twice, each time on fresh stores: undisturbed, and with workers killed
// all the way through. Both go as fast as they can.
func millionKills(ctx context.Context, b *Bench, o Options) ([]Check, error) {
	users := userIDs(o.Recipients)
	faults := every(Random(o.Seed, "million"), min(maxKills, max(2, o.Recipients/perKill)), o.Workers, 0, time.Second, KillWorker, time.Second)
	setup := Setup{Trial: "million-undisturbed", Workers: o.Workers, Batch: largeBatch}
	if o.Batch > 1 {
		setup.Batch = o.Batch
	}
	var calm, rough time.Duration
	checks, err := b.on(ctx, setup, users, func(ctx context.Context, s *System) (checks []Check, err error) {
		calm, checks, err = s.large(ctx, o, users, nil)
		return checks, err
	})
	if err != nil {
		return checks, err
	}
	setup.Trial = "million-kills"
	more, err := b.on(ctx, setup, users, func(ctx context.Context, s *System) (checks []Check, err error) {
		rough, checks, err = s.large(ctx, o, users, faults)
		return checks, err
	})
	checks = append(checks, more...)
	if err != nil {
		return checks, err
	}
	return append(checks, slowed(len(users), len(faults), calm, rough, o.Times)), nil
}

// large runs one campaign for all users without a rate; what it took is from the POST to the last outcome.
func (s *System) large(ctx context.Context, o Options, users []string, faults []Fault) (took time.Duration, checks []Check, err error) {
	s.note("%d users are imported", len(users))
	s.Provider.Behave(Manners{Delay: largeDelay})
	c, err := s.Post(ctx, Order{Name: "large", Users: users, All: true})
	if err != nil {
		return 0, nil, err
	}
	events := s.strikeAlong(ctx, c, faults)
	e, err := s.Await(ctx, endLimit+time.Duration(len(users))*2*time.Millisecond, events, c)
	if err != nil {
		return 0, nil, err
	}
	took = e.end().Sub(c.Posted)
	s.note("over after %.1f s: %d arrivals; this process held %s at most", took.Seconds(), len(e.Arrivals), peakMemory())
	checks = e.basics()
	if len(faults) > 0 {
		checks = append(checks, e.Moving("R4", o.Times, KillWorker), e.Struck(len(faults)))
	}
	return took, checks, nil
}

// strikeAlong deals the faults one after the other, by how much has arrived rather than by the clock, so that
// they are spread over all of the campaign however fast it is; the schedule's own times only jitter that. A
// worker is struck when it has sent something since it was last started.
func (s *System) strikeAlong(ctx context.Context, c *Campaign, faults []Fault) (events []Event) {
	seen := 0
	sent := map[string]bool{} // by whom, since each was last struck
	for i, f := range faults {
		share := float64(i) + 0.5 + (f.At - time.Duration(i)*time.Second).Seconds() - 0.25
		due := int(share * float64(len(c.Users)) / float64(len(faults)+1))
		for {
			log := s.Provider.Log()
			for _, a := range log[seen:] {
				sent[a.Sender] = true
			}
			seen = len(log)
			if seen >= due && sent[fmt.Sprint("worker", f.Worker+1)] {
				break
			}
			if lab.Over(c.Last()) || !lab.Sleep(ctx, 10*time.Millisecond) {
				return events
			}
		}
		events = append(events, s.Deal(ctx, f))
		seen = s.Provider.Len()
		delete(sent, fmt.Sprint("worker", f.Worker+1))
	}
	return events
}

// Struck says that all faults were dealt while recipients were still on their way.
func (e *Evidence) Struck(want int) Check {
	arrived := e.times("")
	n := 0
	for _, ev := range e.Events {
		if len(arrived) > 0 && ev.Start.After(arrived[0]) && ev.Start.Before(arrived[len(arrived)-1]) {
			n++
		}
	}
	return check("S2", n == want, "%d of %d × kill -9 struck while it ran", n, want)
}

// slowed compares the two runs: a kill may hold up the pages of one worker for as long as R4 grants, no longer.
func slowed(recipients, kills int, calm, rough time.Duration, times bool) Check {
	bound := calm + time.Duration(kills)*movingLimit
	return check("S2", !times || rough <= bound, "%d recipients: undisturbed %.1f s (%.0f/s), with %d × kill -9 %.1f s: %.2f times as long (the bound: %.0f s)",
		recipients, calm.Seconds(), float64(recipients)/calm.Seconds(), kills, rough.Seconds(), rough.Seconds()/calm.Seconds(), bound.Seconds())
}

// peakMemory is this process' largest resident size so far, as the kernel tells it.
func peakMemory() string {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return "an unknown amount"
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		if size, ok := strings.CutPrefix(in.Text(), "VmHWM:"); ok {
			return strings.TrimSpace(size)
		}
	}
	return "an unknown amount"
}

const (
	others      = 10
	alonePhase  = "alone"
	besidePhase = "beside"
)

// slowRounds are in an order that favours neither: the stores fill up meanwhile.
var slowRounds = []string{besidePhase, alonePhase, alonePhase, besidePhase, besidePhase, alonePhase, alonePhase, besidePhase}

// slow runs ten campaigns at once, again and again: alone, and beside a large one at 1/s, which is paused in
// between.
func slow(ctx context.Context, b *Bench, o Options) ([]Check, error) {
	users := userIDs(o.Recipients)
	return b.on(ctx, Setup{Trial: "slow", Workers: o.Workers, Batch: o.Batch}, users, func(ctx context.Context, s *System) ([]Check, error) {
		s.Provider.Behave(Manners{Delay: 5 * time.Millisecond})
		each := users[:min(len(users), max(5000, len(users)/100))]
		if _, _, err := s.ten(ctx, "warm-up", each); err != nil {
			return nil, err
		}
		c, err := s.Post(ctx, Order{Name: "slow", Users: users, All: true, Rate: 1})
		if err != nil {
			return nil, err
		}
		for !c.Last().Planned && lab.Sleep(ctx, 100*time.Millisecond) { // planning is work that the ten are not to be compared with
		}
		var alone, beside []time.Duration
		var spans [][2]time.Time
		var checks []Check
		paused := false
		for _, mode := range slowRounds {
			if paused != (mode == alonePhase) {
				paused = !paused
				if err := s.told(ctx, c, map[bool]string{true: "pause", false: "resume"}[paused]); err != nil {
					return checks, err
				}
				lab.Sleep(ctx, quietTail)
			}
			from := time.Now()
			took, judged, err := s.ten(ctx, mode, each)
			checks = append(checks, judged...)
			if err != nil {
				return checks, err
			}
			if paused {
				alone = append(alone, took)
			} else {
				beside, spans = append(beside, took), append(spans, [2]time.Time{from, time.Now()})
			}
		}
		if err := s.told(ctx, c, "cancel"); err != nil {
			return checks, err
		}
		e, err := s.Await(ctx, endLimit+time.Duration(len(users))*time.Millisecond, nil, c)
		if err != nil {
			return checks, err
		}
		return append(checks, e.Sums(), e.Repeats(), e.Clean(), e.Steady(c, 1, spans), beside10(len(each), alone, beside, o.Times)), nil
	})
}

// told is tell for an order that has to be obeyed.
func (s *System) told(ctx context.Context, c *Campaign, what string) error {
	refused, _, err := s.tell(ctx, c, what)
	if err == nil && refused != nil {
		err = fmt.Errorf("%s of %s: %w", what, c.ID, refused)
	}
	return err
}

// ten posts ten campaigns at once and waits for all. It took from the first POST to the last arrival. Only what is
// wrong is told: a check for each round would drown the rest.
func (s *System) ten(ctx context.Context, name string, users []string) (time.Duration, []Check, error) {
	begun := time.Now()
	posted, errs := make([]*Campaign, others), make([]error, others)
	var wg sync.WaitGroup
	for i := range others {
		wg.Go(func() {
			posted[i], errs[i] = s.Post(ctx, Order{Name: fmt.Sprint(name, i), Users: users})
		})
	}
	wg.Wait()
	if err := cmp.Or(errs...); err != nil {
		return 0, nil, err
	}
	e, err := s.Await(ctx, endLimit+time.Duration(len(users))*10*time.Millisecond, nil, posted...)
	if err != nil {
		return 0, nil, err
	}
	var last time.Time
	for _, c := range posted {
		at := e.times(c.ID)
		if len(at) > 0 && at[len(at)-1].After(last) {
			last = at[len(at)-1]
		}
	}
	took := last.Sub(begun)
	s.note("ten %s: %.2f s", name, took.Seconds())
	e.only(posted...)
	var checks []Check
	for _, c := range e.basics() {
		if c.Verdict == Fail {
			checks = append(checks, c)
		}
	}
	for _, c := range posted {
		s.Provider.Forget(c.ID)
	}
	return took, checks, nil
}

// only leaves the arrivals of some campaigns.
func (e *Evidence) only(campaigns ...*Campaign) {
	mine := map[string]bool{}
	for _, c := range campaigns {
		mine[c.ID] = true
	}
	var kept []Arrival
	for _, a := range e.Arrivals {
		if mine[a.Campaign] {
			kept = append(kept, a)
		}
	}
	e.Arrivals = kept
}

// Steady says that a campaign kept its own slow rate within the spans, ± 10 % and one at each end.
func (e *Evidence) Steady(c *Campaign, perSecond int, spans [][2]time.Time) Check {
	at := e.times(c.ID)
	n, want, ends := 0, 0.0, 0
	for _, s := range spans {
		n += within(at, s[0], s[1])
		want += s[1].Sub(s[0]).Seconds() * float64(perSecond)
		ends += 2
	}
	off := float64(n) - want
	return check("S6", len(spans) > 0 && max(off, -off) <= want/10+float64(ends), "the slow one: %d in %.0f s at %d/s, %d recipients in all", n, want/float64(perSecond), perSecond, len(c.Users))
}

// beside10 compares the rounds.
func beside10(recipients int, alone, beside []time.Duration, times bool) Check {
	total := func(rounds []time.Duration) (sum time.Duration, each []string) {
		for _, d := range rounds {
			sum += d
			each = append(each, fmt.Sprintf("%.1f", d.Seconds()))
		}
		return sum, each
	}
	a, eachA := total(alone)
	b, eachB := total(beside)
	ratio := b.Seconds() / a.Seconds()
	return check("S6", a > 0 && b > 0 && (!times || ratio <= 1.1), "%d campaigns of %d without a rate: alone %v s, beside the slow one %v s: %.2f times as long", others, recipients, eachA, eachB, ratio)
}
