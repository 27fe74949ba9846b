package main

import (
	"context"
	"net/http"
	"sync"
	"time"

	"carillon/internal/testkit/lab"
)

const (
	pressureRate = 300 // recipients per second of the campaign that is held up
	slowLatency  = 2 * time.Second
	backIn       = 15 * time.Second // S3's: to nine tenths of the rate
	opensIn      = 3 * time.Second  // until the product has noticed, and what was under way is over
)

// phase is a time in which the provider behaved in one way.
type phase struct {
	name     string
	from, to time.Time
}

// sag is S3: the provider turns to 503, then to 2 s of latency, and back.
func sag(ctx context.Context, b *Bench, o Options) ([]Check, error) {
	span := o.Span
	users := userIDs(pressureRate * 45)
	return b.on(ctx, pressed("sag", o), users, func(ctx context.Context, s *System) ([]Check, error) {
		calm := Manners{Delay: 5 * time.Millisecond}
		s.Provider.Behave(calm)
		c, err := s.Post(ctx, Order{Name: "slowed", Users: users, All: true, Rate: pressureRate})
		if err != nil {
			return nil, err
		}
		told := s.listen(ctx, c)
		calmly := s.phase(ctx, "well", 10*time.Second)
		s.Provider.Behave(Manners{Status: http.StatusServiceUnavailable})
		away := s.phase(ctx, "503", span)
		s.Provider.Behave(Manners{Delay: slowLatency})
		late := s.phase(ctx, "late", span)
		s.Provider.Behave(calm)
		e, err := s.Await(ctx, endLimit, nil, c)
		if err != nil {
			return nil, err
		}
		says := told()
		return append(e.basics(), e.Unburnt("S3", 0), e.Fell(calmly, away), e.Fell(calmly, late), e.Back(calmly, late, o.Times),
			judgeTold("S3", says, away), judgeTold("S3", says, late)), nil
	})
}

// dead is S4: the provider's port is closed, then it answers 503 to everybody, then 500, and is well in between.
func dead(ctx context.Context, b *Bench, o Options) ([]Check, error) {
	span := o.Span
	users := userIDs(pressureRate * 50)
	return b.on(ctx, pressed("dead", o), users, func(ctx context.Context, s *System) ([]Check, error) {
		calm := Manners{Delay: 5 * time.Millisecond}
		s.Provider.Behave(calm)
		c, err := s.Post(ctx, Order{Name: "held", Users: users, All: true, Rate: pressureRate})
		if err != nil {
			return nil, err
		}
		told := s.listen(ctx, c)
		s.phase(ctx, "well", 6*time.Second)
		s.providerLink.Close()
		closed := s.phase(ctx, "refused", span)
		if err := s.providerLink.Reopen(); err != nil {
			return nil, err
		}
		deaths := []phase{closed}
		for _, status := range []int{http.StatusServiceUnavailable, http.StatusInternalServerError} {
			s.phase(ctx, "well", 12*time.Second)
			s.Provider.Behave(Manners{Status: status})
			deaths = append(deaths, s.phase(ctx, http.StatusText(status), span))
			s.Provider.Behave(calm)
		}
		e, err := s.Await(ctx, endLimit+span, nil, c)
		if err != nil {
			return nil, err
		}
		says := told()
		// What was under way when the port closed may have been taken, and stays counted.
		e.Events = []Event{{Fault: Fault{Kind: SpoilProvider}, Start: closed.from, End: closed.to}}
		checks := append(e.basics(), e.Unburnt("S4", 20))
		for _, p := range deaths {
			checks = append(checks, e.Spared(p), e.Unfailed(p), judgeTold("S4", says, p))
		}
		return checks, nil
	})
}

// pressed is a system that gives a recipient up after two attempts.
func pressed(trial string, o Options) Setup {
	return Setup{Trial: trial, Workers: max(2, o.Workers), Batch: o.Batch, MaxAttempts: 2}
}

func (s *System) phase(ctx context.Context, name string, span time.Duration) phase {
	s.note("the provider: %s", name)
	p := phase{name: name, from: time.Now()}
	lab.Sleep(ctx, span)
	p.to = time.Now()
	return p
}

// saying is what the API said held a campaign back.
type saying struct {
	at        time.Time
	limitedBy string
}

// listen asks four times a second what holds a campaign back, until the answers are wanted.
func (s *System) listen(ctx context.Context, c *Campaign) (stop func() []saying) {
	ctx, cancel := context.WithCancel(ctx)
	var says []saying
	var wg sync.WaitGroup
	wg.Go(func() {
		for lab.Sleep(ctx, 250*time.Millisecond) {
			now, err := s.Client.Campaign(ctx, c.ID)
			if err == nil && now.LimitedBy != nil {
				says = append(says, saying{time.Now(), *now.LimitedBy})
			}
		}
	})
	return func() []saying {
		cancel()
		wg.Wait()
		return says
	}
}

// settled is a phase without the time that the product may take to notice it.
func (p phase) settled() phase { return phase{p.name, p.from.Add(opensIn), p.to} }

func (p phase) seconds() float64 { return p.to.Sub(p.from).Seconds() }

// during is how many recipients came in a phase.
func (e *Evidence) during(p phase) (n int) {
	for _, a := range e.Arrivals {
		if !a.At.Before(p.from) && a.At.Before(p.to) {
			n++
		}
	}
	return n
}

func (e *Evidence) perSecond(p phase) float64 { return float64(e.during(p)) / p.seconds() }

// Unburnt: nobody has more attempts in the ledger than times that the provider took the message, but for so many
// whose request was cut on its way.
func (e *Evidence) Unburnt(promise string, cut int) Check {
	burnt, recipients := 0, 0
	by := e.arrivalsOf()
	for _, c := range e.Campaigns {
		for _, r := range c.Rows {
			recipients++
			taken := 0
			for _, a := range by[c.ID][r.UserID] {
				if a.Accepted() {
					taken++
				}
			}
			if r.Attempts > max(1, taken) || r.Status == "failed" {
				burnt++
			}
		}
	}
	return check(promise, burnt <= cut && recipients > 0, "%d of %d recipients with an attempt burnt (at most %d)", burnt, recipients, cut)
}

// Fell: under pressure the provider got less than half of what it got before.
func (e *Evidence) Fell(before, p phase) Check {
	was, is := e.perSecond(phase{"", before.to.Add(-5 * time.Second), before.to}), e.perSecond(p.settled())
	return check("S3", was > 0 && is < was/2, "%s: %.0f/s before, %.1f/s", p.name, was, is)
}

// Back: nine tenths of the rate before, over two seconds, within 15 s of the end of the pressure.
func (e *Evidence) Back(before, p phase, times bool) Check {
	was := e.perSecond(phase{"", before.to.Add(-5 * time.Second), before.to})
	const over = 2 * time.Second
	for after := over; after < time.Minute; after += 100 * time.Millisecond {
		at := p.to.Add(after)
		if is := e.perSecond(phase{"", at.Add(-over), at}); was > 0 && is >= was*0.9 {
			return check("S3", !times || after <= backIn, "back to %.0f/s of %.0f/s within %.1f s", is, was, after.Seconds())
		}
	}
	return check("S3", false, "not back to %.0f/s within a minute", was)
}

// Spared: once it was noticed, a dead provider got at most one request a second from all processes together.
func (e *Evidence) Spared(p phase) Check {
	late := p.settled()
	n, all := e.during(late), e.during(p)
	return check("S4", float64(n) <= late.seconds(), "%s: %d requests in %.0f s, %d before it was noticed", p.name, n, late.seconds(), all-n)
}

// Unfailed: nobody was given up while the provider was dead.
func (e *Evidence) Unfailed(p phase) Check {
	looks, failed := 0, int64(0)
	for _, c := range e.Campaigns {
		for _, s := range c.Samples {
			if s.At.After(p.from) && s.At.Before(p.to) {
				looks++
				failed = max(failed, s.Counts.Failed)
			}
		}
	}
	return check("S4", looks > 0 && failed == 0, "%s: %d failed in %d looks", p.name, failed, looks)
}

// judgeTold: while the provider was under pressure the API said so, at nine looks in ten.
func judgeTold(promise string, says []saying, p phase) Check {
	late, looks, right := p.settled(), 0, 0
	for _, s := range says {
		if s.at.After(late.from) && s.at.Before(late.to) {
			looks++
			if s.limitedBy == "channel slow" {
				right++
			}
		}
	}
	return check(promise, looks > 0 && right*10 >= looks*9, "%s: \"channel slow\" at %d of %d looks", p.name, right, looks)
}
