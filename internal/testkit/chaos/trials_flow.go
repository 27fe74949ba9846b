package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"carillon/client"
	"carillon/internal/testkit/lab"
)

// rate is R9: four workers share one campaign's rate. The pages that 500/s needs would find their places in one or two of them,
// so it begins with a rate that brings all four in, and ends with it too.
func rate(ctx context.Context, b *Bench, o Options) ([]Check, error) {
	const workers, perSecond, seconds, quick = 4, 500, 20, 3200
	users := userIDs(50_000)
	return b.on(ctx, Setup{Trial: "rate", Workers: workers, Batch: o.Batch}, users, func(ctx context.Context, s *System) ([]Check, error) {
		s.Provider.Behave(Manners{Delay: 5 * time.Millisecond})
		c, err := s.Post(ctx, Order{Name: "rated", Users: users, All: true, Rate: quick})
		if err != nil {
			return nil, err
		}
		for s.Provider.Len() < len(users)/3 && senders(s.Provider.Log(), time.Time{}, time.Now()) < workers && lab.Sleep(ctx, 10*time.Millisecond) {
		}
		if err := s.pace(ctx, c, perSecond); err != nil {
			return nil, err
		}
		from := time.Now().Add(time.Second)
		lab.Sleep(ctx, (seconds+1)*time.Second)
		if err := s.pace(ctx, c, quick); err != nil {
			return nil, err
		}
		e, err := s.Await(ctx, endLimit, nil, c)
		if err != nil {
			return nil, err
		}
		return append(e.basics(), e.Rate(from, perSecond, seconds, workers)), nil
	})
}

// pace gives a running campaign another rate.
func (s *System) pace(ctx context.Context, c *Campaign, perSecond int) error {
	_, err := client.Data[client.Campaign](s.Client.ChangeCampaign(ctx, c.ID, client.CampaignChange{RatePerSecond: &perSecond}))
	return err
}

// senders counts the workers whose requests arrived before to and not before from.
func senders(log []Arrival, from, to time.Time) int {
	all := map[string]bool{}
	for _, a := range log {
		if !a.At.Before(from) && a.At.Before(to) {
			all[a.Sender] = true
		}
	}
	return len(all)
}

// Rate is R9: over so many seconds the provider got the rate ± 2 %, and in no second, wherever one begins, more than
// 110 % of it; so many workers had a part in it.
func (e *Evidence) Rate(from time.Time, perSecond, seconds, workers int) Check {
	end := from.Add(time.Duration(seconds) * time.Second)
	at := e.times("")
	n := within(at, from, end)
	least, most := extremes(at, from, end, time.Second)
	had := senders(e.Arrivals, from, end)
	want := perSecond * seconds
	c := check("R9", n*100 >= want*98 && n*100 <= want*102 && most*100 <= perSecond*110, "%d of %d in %d s over %d workers; in any second %d to %d", n, want, seconds, had, least, most)
	if c.Verdict == Pass && had < workers {
		c.Verdict = NotExercised
	}
	return c
}

// poison is R12: some users are refused, some make the provider stumble, for some it hangs. Only they may fail,
// and a campaign of others keeps its speed.
func poison(ctx context.Context, b *Bench, o Options) ([]Check, error) {
	const n, perSecond = 5000, 500
	users := userIDs(2 * n)
	bad := Manners{Delay: 5 * time.Millisecond, Refuses: "13", Stumbles: "31", Hangs: "77"}
	if o.Batch > 1 {
		bad.Hangs = "" // a batch is answered or not as a whole
	}
	setup := Setup{Trial: "poison", Workers: o.Workers, Batch: o.Batch, MaxAttempts: 3, Timeout: 2 * time.Second}
	return b.on(ctx, setup, users, func(ctx context.Context, s *System) ([]Check, error) {
		s.Provider.Behave(bad)
		healthy := slices.DeleteFunc(slices.Clone(users[n:]), func(u string) bool { return bad.answer(u) != http.StatusOK })
		ill, err := s.Post(ctx, Order{Name: "poisoned", Users: users[:n]})
		if err != nil {
			return nil, err
		}
		other, err := s.Post(ctx, Order{Name: "other", Users: healthy, Rate: perSecond})
		if err != nil {
			return nil, err
		}
		e, err := s.Await(ctx, endLimit, nil, ill, other)
		if err != nil {
			return nil, err
		}
		e.Poison = bad
		return append(e.basics(), e.Isolated(ill), e.Kept(other, perSecond, o.Times)), nil
	})
}

// lastTries is how long six attempts of one recipient take.
const lastTries = 75 * time.Second

// stragglers is a storm in which nearly every page keeps somebody who waits for the next attempt, and somebody who is answered late.
func stragglers(ctx context.Context, b *Bench, o Options) ([]Check, error) {
	rnd := Random(o.Seed, "stragglers")
	manners := Manners{Delay: between(rnd, 0, 50*time.Millisecond), Stumbles: fmt.Sprintf("%03d", rnd.IntN(1000)), Dawdles: fmt.Sprintf("%03d", rnd.IntN(1000)), Falters: 5}
	faults := Schedule(rnd, Plan{Span: o.Span, Workers: o.Workers, Every: o.Every, Freeze: o.Freeze})
	fmt.Fprintf(b.log, "schedule of seed %d (the provider always fails for users with the end %s, and takes %s for those with %s):\n", o.Seed, manners.Stumbles, dawdle, manners.Dawdles)
	for _, f := range faults {
		fmt.Fprintln(b.log, " ", f)
	}
	users := userIDs(o.Recipients)
	setup := Setup{Trial: "stragglers", Workers: o.Workers, Batch: o.Batch, MaxAttempts: 6} // whoever is not served has to end
	return b.on(ctx, setup, users, func(ctx context.Context, s *System) ([]Check, error) {
		s.Provider.Behave(manners)
		e, err := siege(ctx, s, users, paced(o.Recipients, o.Span), faults, endLimit+lastTries, atLeastOnce)
		if err != nil {
			return nil, err
		}
		e.Poison = manners
		moving := e.Moving("R4", o.Times, KillWorker, FreezeWorker)
		return append(e.basics(), moving, e.Terms(o.Times), e.Isolated(e.Campaigns[0])), nil
	})
}

// Isolated says that those whom the provider does not serve failed, and nobody else.
func (e *Evidence) Isolated(c *Campaign) Check {
	want, wrong := 0, 0
	for _, r := range c.Rows {
		served := e.Poison.answer(r.UserID) == http.StatusOK
		if !served {
			want++
		}
		if served != (r.Status == "sent") || !served && r.Status != "failed" {
			wrong++
		}
	}
	return check("R12", wrong == 0 && len(c.Rows) == len(c.Users), "%d of %d recipients are not as the provider treats them; it does not serve %d", wrong, len(c.Users), want)
}

// Kept says that a campaign ran at its own rate beside a poisoned one.
func (e *Evidence) Kept(c *Campaign, perSecond int, times bool) Check {
	var last time.Time
	for _, a := range e.Arrivals {
		if a.Campaign == c.ID {
			last = a.At
		}
	}
	took, alone := last.Sub(c.Posted), time.Duration(len(c.Users))*time.Second/time.Duration(perSecond)
	return check("R12", !times || took <= alone*6/5+time.Second, "the campaign beside it: %d recipients at %d/s in %.1f s (alone %.1f s)", len(c.Users), perSecond, took.Seconds(), alone.Seconds())
}

// control is R8.
func control(ctx context.Context, b *Bench, o Options) ([]Check, error) {
	users := userIDs(o.Recipients)
	return b.on(ctx, Setup{Trial: "control", Workers: o.Workers, Batch: o.Batch}, users, func(ctx context.Context, s *System) ([]Check, error) {
		s.Provider.Behave(Manners{Delay: 50 * time.Millisecond})
		paused, err := s.Post(ctx, Order{Name: "paused", Users: users, All: true, Rate: 1000})
		if err != nil {
			return nil, err
		}
		lab.Sleep(ctx, 3*time.Second)
		refused, pausedAt, err := s.tell(ctx, paused, "pause")
		if err != nil {
			return nil, err
		}
		lab.Sleep(ctx, 6*time.Second)
		late := after(s.Provider.Log(), paused.ID, pausedAt)
		checks := []Check{check("R8", refused == nil && late <= 2*time.Second, "pause %s; the last send began %.2f s later", obeyed(refused), late.Seconds())}
		if refused, _, err = s.tell(ctx, paused, "resume"); err != nil {
			return checks, err
		}
		checks = append(checks, check("R8", refused == nil, "resume %s", obeyed(refused)))
		e, err := s.Await(ctx, endLimit, nil, paused)
		if err != nil {
			return checks, err
		}
		checks = append(checks, e.basics()...)
		cancelled, err := s.cancelled(ctx, users)
		return append(checks, cancelled...), err
	})
}

// cancelled starts a campaign without a rate and cancels it.
func (s *System) cancelled(ctx context.Context, users []string) ([]Check, error) {
	s.Provider.Behave(Manners{Delay: 500 * time.Millisecond})
	c, err := s.Post(ctx, Order{Name: "cancelled", Users: users, All: true})
	if err != nil {
		return nil, err
	}
	lab.Sleep(ctx, 2*time.Second)
	refused, at, err := s.tell(ctx, c, "cancel")
	if err != nil {
		return nil, err
	}
	e, err := s.Await(ctx, 30*time.Second, nil, c)
	if err != nil {
		return nil, err
	}
	lab.Sleep(ctx, quietTail)
	late, v := after(s.Provider.Log(), c.ID, at), c.Last()
	sent := map[string]bool{}
	for _, a := range e.Arrivals {
		if a.Campaign == c.ID {
			sent[a.RecvID] = true
		}
	}
	return []Check{
		check("R8", refused == nil && late <= 2*time.Second, "cancel %s; the last send began %.2f s later", obeyed(refused), late.Seconds()),
		check("R8", v.Status == "cancelled" && v.Counts.Sent == int64(len(sent)) && v.Counts.Cancelled > 0, "cancelled: %s %+v, %d at the provider", v.Status, v.Counts, len(sent)),
		e.Sums(),
	}, nil
}

// tell orders the API to pause, resume or cancel a campaign. The API may refuse; err says that no answer came.
func (s *System) tell(ctx context.Context, c *Campaign, what string) (refused *client.Error, at time.Time, err error) {
	order := map[string]func(context.Context, string, ...client.RequestEditorFn) (*http.Response, error){
		"pause": s.Client.PauseCampaign, "resume": s.Client.ResumeCampaign, "cancel": s.Client.CancelCampaign,
	}[what]
	_, err = client.Data[client.Campaign](order(ctx, c.ID))
	at = time.Now()
	if refused = lab.Refusal(err); refused != nil {
		err = nil
	}
	s.note("%s %s", what, obeyed(refused))
	return refused, at, err
}

// obeyed says what became of an order.
func obeyed(refused *client.Error) string {
	if refused == nil {
		return "was obeyed"
	}
	return fmt.Sprintf("was answered %d: %s", refused.Status, refused)
}

// after is how long after t the last arrival of a campaign came; 0 when it came before.
func after(log []Arrival, campaign string, t time.Time) (late time.Duration) {
	for _, a := range log {
		if a.Campaign == campaign {
			late = max(late, a.At.Sub(t))
		}
	}
	return late
}
