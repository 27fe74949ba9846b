package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"carillon/internal/testkit/lab"
)

const (
	atOnce   = 4               // campaigns of a soak that run side by side
	perRound = 12              // campaigns between two rests
	restFor  = 4 * time.Second // long enough for some readings at rest
)

// soak starts and ends campaigns of all kinds for the span, several at once, with a rest after each round in
// which every process is measured. Each campaign is judged when it has ended, and then forgotten here.
func soak(ctx context.Context, b *Bench, o Options) ([]Check, error) {
	users := userIDs(max(400, o.Recipients))
	setup := Setup{Trial: "soak", Workers: o.Workers, Batch: o.Batch, MaxAttempts: 3, Probe: true}
	return b.on(ctx, setup, users, func(ctx context.Context, s *System) ([]Check, error) {
		w := &soaker{System: s, users: users, manners: Manners{Delay: 5 * time.Millisecond, Refuses: "13", Stumbles: "31"}}
		s.Provider.Behave(w.manners)
		rnd := Random(o.Seed, "soak")
		from := time.Now()
		rounds := 0
		var idle [][2]time.Time
		for ; time.Since(from) < o.Span; rounds++ {
			if err := w.round(ctx, rnd); err != nil {
				return w.checks(), err
			}
			lab.Sleep(ctx, time.Second) // what the last campaign left to tidy up
			rest := time.Now()
			if !lab.Sleep(ctx, restFor) {
				return w.checks(), ctx.Err()
			}
			idle = append(idle, [2]time.Time{rest, time.Now()})
			s.note("round %d: %d campaigns so far, %d recipients", rounds+1, w.campaigns, w.recipients)
		}
		to := time.Now()
		checks := w.checks()
		for _, c := range append([]*lab.Process{s.API}, s.Workers...) {
			held, err := seriesOf(c.Name, s.probeFile(c), from, to, idle)
			if err != nil {
				return checks, err
			}
			checks = append(checks, held.flatGoroutines(from, to), held.flatMemory(from, to, b.race))
		}
		return checks, nil
	})
}

// soaker runs a soak's campaigns and keeps what came of them, not them.
type soaker struct {
	*System
	users   []string
	manners Manners

	mu         sync.Mutex
	campaigns  int
	recipients int
	kinds      map[string]int
	wrong      []string // what was judged wrong, the first few
	wrongs     int
}

// play is one campaign of a soak.
type play struct {
	kind  string
	order Order
	do    []string // orders to the API, each after wait
	wait  time.Duration
}

// draw chooses a campaign.
func (w *soaker) draw(rnd *rand.Rand) play {
	lo := rnd.IntN(len(w.users) * 3 / 4)
	part := w.users[lo : lo+len(w.users)/4]
	p := play{wait: between(rnd, 300*time.Millisecond, 1500*time.Millisecond)}
	p.kind = []string{"all", "list", "rated", "single", "atMostOnce", "paused", "cancelled"}[rnd.IntN(7)]
	switch p.kind {
	case "all":
		p.order = Order{Users: w.users, All: true}
	case "rated":
		p.order = Order{Users: part, Rate: max(50, len(part)/4)}
	case "single":
		p.order = Order{Users: part[:1], Priority: "transactional"}
	case "atMostOnce": // a user over whom the provider stumbles is tried again, which is no repeat but would count as one
		p.order = Order{Users: w.steady(part), Delivery: atMostOnce}
	case "paused":
		p.order, p.do = Order{Users: part, Rate: max(50, len(part)/4)}, []string{"pause", "resume"}
	case "cancelled":
		p.order, p.do = Order{Users: part, Rate: max(50, len(part)/10)}, []string{"cancel"}
	default:
		p.order = Order{Users: part}
	}
	p.order.Name = p.kind
	return p
}

func (w *soaker) steady(users []string) (kept []string) {
	for _, u := range users {
		if !strings.HasSuffix(u, w.manners.Stumbles) {
			kept = append(kept, u)
		}
	}
	return kept
}

// round runs some campaigns, a few at a time; another begins as soon as one has ended.
func (w *soaker) round(ctx context.Context, rnd *rand.Rand) error {
	plays := make(chan play, perRound)
	for range perRound {
		plays <- w.draw(rnd)
	}
	close(plays)
	errs := make([]error, atOnce)
	var wg sync.WaitGroup
	for i := range atOnce {
		wg.Go(func() {
			for p := range plays {
				if errs[i] = w.run(ctx, p); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// run runs one campaign to its end and judges it.
func (w *soaker) run(ctx context.Context, p play) error {
	c, err := w.Post(ctx, p.order)
	if err != nil {
		return err
	}
	for _, what := range p.do {
		lab.Sleep(ctx, p.wait)
		if err := w.told(ctx, c, what); err != nil {
			return err
		}
	}
	e, err := w.Await(ctx, endLimit, nil, c)
	if err != nil {
		return err
	}
	if p.kind == "cancelled" { // a send that was under way when it ended
		lab.Sleep(ctx, quietTail)
		e.Arrivals = w.Provider.Log()
	}
	e.only(c)
	w.Provider.Forget(c.ID)
	e.Poison = w.manners
	w.judged(p, e)
	return nil
}

// judged keeps what is wrong with a campaign that has ended.
func (w *soaker) judged(p play, e *Evidence) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.kinds == nil {
		w.kinds = map[string]int{}
	}
	w.campaigns++
	w.recipients += len(p.order.Users)
	w.kinds[p.kind]++
	for _, c := range e.Ended(p.kind == "cancelled") {
		if c.Verdict != Fail {
			continue
		}
		if w.wrongs++; w.wrongs <= 5 {
			w.wrong = append(w.wrong, fmt.Sprintf("%s %s: %s", p.kind, e.Campaigns[0].ID, c.Figure))
		}
	}
}

// Ended says whether the one campaign ended as it must: everybody served or refused as the provider does, or,
// cancelled, those whom the provider served are sent and the others cancelled.
func (e *Evidence) Ended(cancelled bool) []Check {
	c := e.Campaigns[0]
	checks := []Check{e.Sums(), e.Repeats(), e.Clean()}
	if !cancelled {
		return append(checks, e.Lost(), e.Isolated(c))
	}
	served := map[string]bool{}
	for _, a := range e.Arrivals {
		served[a.RecvID] = served[a.RecvID] || a.Accepted()
	}
	wrong := 0
	for _, r := range c.Rows {
		if (r.Status == "sent") != served[r.UserID] || r.Status == "pending" || r.Status == "unknown" {
			wrong++
		}
	}
	return append(checks, check("R8", c.Last().Status == "cancelled" && wrong == 0 && len(c.Rows) == len(c.Users),
		"cancelled: %s %+v; %d of %d rows are not what the provider saw", c.Last().Status, c.Last().Counts, wrong, len(c.Rows)))
}

// checks are what the campaigns came to; races are told of once, for all processes.
func (w *soaker) checks() []Check {
	w.mu.Lock()
	defer w.mu.Unlock()
	figure := fmt.Sprintf("%d campaigns %v, %d recipients: %d judged wrong", w.campaigns, w.kinds, w.recipients, w.wrongs)
	if w.wrongs > 0 {
		figure += ", first: " + strings.Join(w.wrong, "; ")
	}
	return []Check{check("S8a", w.wrongs == 0 && w.campaigns > 0, "%s", figure), (&Evidence{Races: w.races()}).Clean()}
}
