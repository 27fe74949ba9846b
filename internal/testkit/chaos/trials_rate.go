package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"carillon/internal/testkit/lab"
)

// smooth is a slow rate over several workers: whoever has the page, the seconds look alike. Twice the one that has it is told
// to go, so that another goes on.
func smooth(ctx context.Context, b *Bench, o Options) ([]Check, error) {
	const perSecond, seconds = 5, 25
	users := userIDs(perSecond * (seconds + 2))
	return b.on(ctx, Setup{Trial: "smooth", Workers: max(2, o.Workers), Batch: o.Batch}, users, func(ctx context.Context, s *System) ([]Check, error) {
		c, err := s.Post(ctx, Order{Name: "slow", Users: users, All: true, Rate: perSecond})
		if err != nil {
			return nil, err
		}
		for part := range 2 {
			for s.Provider.Len() < (part+1)*perSecond*seconds/3 && lab.Sleep(ctx, 20*time.Millisecond) {
			}
			if e := s.Deal(ctx, Fault{Kind: TermWorker, Worker: s.busy()}); e.Err != nil {
				return nil, e.Err
			}
		}
		e, err := s.Await(ctx, endLimit, nil, c)
		if err != nil {
			return nil, err
		}
		return append(e.basics(), e.Smooth(perSecond, seconds)), nil
	})
}

// busy is the worker whose request came last.
func (s *System) busy() int {
	log := s.Provider.Log()
	return max(0, slices.IndexFunc(s.Workers, func(w *lab.Process) bool { return len(log) > 0 && w.Name == log[len(log)-1].Sender }))
}

// Smooth says that over so many seconds from the first arrival each second, wherever it begins, has the rate
// ± 1, and that two workers at least had a part in it.
func (e *Evidence) Smooth(perSecond, seconds int) Check {
	at := e.times("")
	if len(at) == 0 {
		return check("S5a", false, "nothing arrived")
	}
	end := at[0].Add(time.Duration(seconds) * time.Second)
	workers := senders(e.Arrivals, at[0], end)
	least, most := extremes(at, at[0], end, time.Second)
	c := check("S5a", least >= perSecond-1 && most <= perSecond+1, "at %d/s over %d s and %d workers: in any second %d to %d", perSecond, seconds, workers, least, most)
	if c.Verdict == Pass && workers < 2 {
		c.Verdict = NotExercised
	}
	return c
}

// sharing posts two campaigns at once that have no rate of their own.
func sharing(ctx context.Context, b *Bench, o Options) ([]Check, error) {
	const perSecond, seconds = 1000, 10
	users := userIDs(perSecond * (seconds + 5) / 2)
	return b.on(ctx, Setup{Trial: "share", Workers: o.Workers, Batch: o.Batch, Rate: perSecond}, users, func(ctx context.Context, s *System) ([]Check, error) {
		s.Provider.Behave(Manners{Delay: 5 * time.Millisecond})
		var both []*Campaign
		for _, name := range []string{"one", "other"} {
			c, err := s.Post(ctx, Order{Name: name, Users: users, All: true})
			if err != nil {
				return nil, err
			}
			both = append(both, c)
		}
		e, err := s.Await(ctx, endLimit, nil, both...)
		if err != nil {
			return nil, err
		}
		return append(e.basics(), e.Shared(perSecond, seconds)), nil
	})
}

// Shared says that from a second after both have begun, each campaign got half of the channel's rate within
// 10 %, and both together the rate.
func (e *Evidence) Shared(perSecond, seconds int) Check {
	var from time.Time
	for _, c := range e.Campaigns {
		at := e.times(c.ID)
		if len(at) == 0 {
			return check("S5b", false, "nothing of %s arrived", c.Name)
		}
		if begun := at[0].Add(time.Second); begun.After(from) {
			from = begun
		}
	}
	to := from.Add(time.Duration(seconds) * time.Second)
	fair := perSecond * seconds / len(e.Campaigns)
	ok := true
	var got []int
	total := 0
	for _, c := range e.Campaigns {
		n := within(e.times(c.ID), from, to)
		ok = ok && n*10 >= fair*9 && n*10 <= fair*11
		got, total = append(got, n), total+n
	}
	want := perSecond * seconds
	ok = ok && total*100 >= want*95 && total*100 <= want*105
	return check("S5b", ok, "%v in %d s of a channel of %d/s (%d of %d)", got, seconds, perSecond, total, want)
}

// patch raises a running campaign's rate.
func patch(ctx context.Context, b *Bench, o Options) ([]Check, error) {
	const slowly, fast, seconds = 100, 1000, 5
	users := userIDs(slowly*seconds + fast*(seconds+2))
	return b.on(ctx, Setup{Trial: "patch", Workers: o.Workers, Batch: o.Batch}, users, func(ctx context.Context, s *System) ([]Check, error) {
		s.Provider.Behave(Manners{Delay: 5 * time.Millisecond})
		c, err := s.Post(ctx, Order{Name: "raised", Users: users, All: true, Rate: slowly})
		if err != nil {
			return nil, err
		}
		for s.Provider.Len() < slowly*(seconds-1) && lab.Sleep(ctx, 20*time.Millisecond) {
		}
		err = s.pace(ctx, c, fast)
		at := time.Now()
		if err != nil {
			return nil, err
		}
		e, err := s.Await(ctx, endLimit, nil, c)
		if err != nil {
			return nil, err
		}
		return append(e.basics(), e.Raised(at, slowly, fast)), nil
	})
}

// Raised says that a campaign obeyed the one rate within 10 % in the three seconds before at, and the other one in the
// three that begin a second after it.
func (e *Evidence) Raised(at time.Time, before, after int) Check {
	const seconds = 3
	times := e.times("")
	was := within(times, at.Add(-seconds*time.Second), at)
	is := within(times, at.Add(time.Second), at.Add((1+seconds)*time.Second))
	near := func(n, rate int) bool { return n*10 >= rate*seconds*9 && n*10 <= rate*seconds*11 }
	// The new rate shows where a fifth of a second first has nine tenths of its share.
	shown := "never"
	for _, t := range times {
		if !t.Before(at) && within(times, t, t.Add(200*time.Millisecond))*50 >= after*9 {
			shown = fmt.Sprintf("after %.2f s", t.Sub(at).Seconds())
			break
		}
	}
	return check("S5c", near(was, before) && near(is, after), "%d in the %d s before the answer (%d/s); from 1 s after it %d in %d s (%d/s); first seen %s", was, seconds, before, is, seconds, after, shown)
}

// first sends to single users while a bulk campaign takes all that the channel's rate gives.
func first(ctx context.Context, b *Bench, o Options) ([]Check, error) {
	const perSecond, sends = 1000, 250
	users := userIDs(perSecond * 60) // more than there is time for: what is left is cancelled
	return b.on(ctx, Setup{Trial: "first", Workers: o.Workers, Batch: o.Batch, Rate: perSecond}, users, func(ctx context.Context, s *System) ([]Check, error) {
		s.Provider.Behave(Manners{Delay: 5 * time.Millisecond})
		bulk, err := s.Post(ctx, Order{Name: "bulk", Users: users, All: true})
		if err != nil {
			return nil, err
		}
		for s.Provider.Len() < 2*perSecond && lab.Sleep(ctx, 20*time.Millisecond) {
		}
		rnd := Random(o.Seed, "first")
		posts := map[string]time.Time{}
		from := time.Now()
		for i := range sends {
			begun := time.Now()
			id, err := s.postSingle(ctx, users[i])
			if err != nil {
				return nil, err
			}
			posts[id] = begun
			lab.Sleep(ctx, between(rnd, 0, 100*time.Millisecond)) // at no step with the workers' own
		}
		to := time.Now()
		if _, _, err := s.tell(ctx, bulk, "cancel"); err != nil {
			return nil, err
		}
		e, err := s.Await(ctx, endLimit, nil, bulk)
		if err != nil {
			return nil, err
		}
		return []Check{e.Sums(), e.Repeats(), e.Clean(), e.First(posts, bulk.ID, perSecond, from, to, o.Times)}, nil
	})
}

// postSingle posts a transactional campaign for one user and returns its ID. It is not watched: that would be load.
func (s *System) postSingle(ctx context.Context, user string) (string, error) {
	o := Order{Name: "single", Users: []string{user}, Priority: "transactional"}
	made, err := s.Client.Send(ctx, "", o.request())
	return made.ID, err
}

// First says how long single sends took from before the POST to the provider, by the time each was posted, and that
// meanwhile everything together took all of the channel's rate.
func (e *Evidence) First(posts map[string]time.Time, bulk string, perSecond int, from, to time.Time, times bool) Check {
	const limit = 100 * time.Millisecond
	var took []time.Duration
	seen := map[string]bool{}
	repeats := 0
	for _, a := range e.Arrivals {
		posted, ok := posts[a.Campaign]
		switch {
		case !ok:
		case seen[a.Campaign]:
			repeats++
		default:
			seen[a.Campaign] = true
			took = append(took, a.At.Sub(posted))
		}
	}
	slices.Sort(took)
	share := float64(within(e.times(""), from, to)) / (float64(perSecond) * to.Sub(from).Seconds())
	p99 := percentile(took, 99)
	ok := len(took) == len(posts) && len(took) > 0 && repeats == 0 && share >= 0.95 && share <= 1.05 && (!times || p99 <= limit)
	return check("S5d", ok, "%d of %d single sends arrived, %d twice: p50 %d ms, p99 %d ms, the slowest %d ms; the channel was at %.0f %% of %d/s, bulk sent %d",
		len(took), len(posts), repeats, percentile(took, 50).Milliseconds(), p99.Milliseconds(), percentile(took, 100).Milliseconds(), share*100, perSecond, within(e.times(bulk), from, to))
}
