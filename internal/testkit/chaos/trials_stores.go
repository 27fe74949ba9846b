package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"carillon/client"
	"carillon/internal/testkit/lab"
)

// durable is R1: clients post while the API is killed again and again. Each retries under its key until it is
// answered; afterwards each answered campaign must be there, and no other one.
func durable(ctx context.Context, b *Bench, o Options) ([]Check, error) {
	const posts, clients, killings = 1000, 8, 4
	rnd := Random(o.Seed, "durable")
	at := map[int64]bool{} // the numbers of answers at which the API is killed
	for i := range killings {
		at[int64(i*posts/killings+20+rnd.IntN(posts/killings-40))] = true
	}
	users := userIDs(posts)
	return b.on(ctx, Setup{Trial: "durable", Workers: 1, Batch: o.Batch}, users, func(ctx context.Context, s *System) ([]Check, error) {
		var answered, tries atomic.Int64
		ids, errs := make([]string, posts), make([]error, clients)
		var killer, wg sync.WaitGroup
		for k := range clients {
			wg.Go(func() {
				for i := k; i < posts && errs[k] == nil; i += clients {
					ids[i], errs[k] = s.postOnce(ctx, users[i], &tries)
					if at[answered.Add(1)] {
						killer.Go(func() {
							if e := s.Deal(ctx, Fault{Kind: KillAPI, For: 300 * time.Millisecond}); e.Err != nil {
								s.note("the API did not start again: %v", e.Err)
							}
						})
					}
				}
			})
		}
		wg.Wait()
		killer.Wait()
		for _, err := range errs {
			if err != nil {
				return nil, err
			}
		}
		return s.judgeDurable(ctx, ids, users, int(tries.Load()), killings)
	})
}

// postOnce posts a campaign for one user until it is answered, and returns its ID.
func (s *System) postOnce(ctx context.Context, user string, tries *atomic.Int64) (string, error) {
	request := Order{Name: user, Users: []string{user}}.request()
	for {
		tries.Add(1)
		made, err := s.Client.Send(ctx, "key-"+user, request)
		refused := lab.Refusal(err)
		switch {
		case err == nil:
			return made.ID, nil
		case refused != nil && refused.Status != http.StatusServiceUnavailable && refused.Status != http.StatusConflict:
			return "", fmt.Errorf("a POST was answered %d: %w", refused.Status, err)
		}
		if !lab.Sleep(ctx, 20*time.Millisecond) {
			return "", ctx.Err()
		}
	}
}

func (s *System) judgeDurable(ctx context.Context, ids, users []string, tries, killings int) ([]Check, error) {
	if err := s.API.AwaitReady(ctx, s.token, 30*time.Second); err != nil {
		return nil, err
	}
	lost := 0
	for _, id := range ids {
		if _, err := s.Client.Campaign(ctx, id); lab.Refusal(err) != nil {
			lost++
		} else if err != nil {
			return nil, err
		}
	}
	listed := 0
	for _, err := range s.Client.Campaigns(ctx, client.ListCampaignsParams{Limit: &listLimit}) {
		if err != nil {
			return nil, err
		}
		listed++
	}
	deadline := time.Now().Add(60 * time.Second)
	for s.Provider.Len() < len(users) && time.Now().Before(deadline) && lab.Sleep(ctx, 100*time.Millisecond) {
	}
	lab.Sleep(ctx, quietTail)
	got := map[string]int{}
	repeats := 0
	for _, a := range s.Provider.Log() {
		if got[a.RecvID]++; got[a.RecvID] > 1 {
			repeats++
		}
	}
	races := (&Evidence{Races: s.races()}).Clean()
	return []Check{
		check("R1", lost == 0, "%d of %d answered POSTs lost; %d × kill -9 of the API, %d POSTs in all", lost, len(ids), killings, tries),
		check("R2", len(got) == len(users), "%d of %d recipients reached the provider", len(got), len(users)),
		check("R3", repeats == 0, "%d repeats", repeats),
		check("R11", listed == len(ids), "%d campaigns for %d keys", listed, len(ids)),
		races,
	}, nil
}

// redisLoss is R6.
func redisLoss(ctx context.Context, b *Bench, o Options) ([]Check, error) {
	rnd := Random(o.Seed, "redis")
	users := userIDs(o.Recipients)
	away := Fault{At: 12*time.Second + between(rnd, 0, 3*time.Second), Kind: KillRedis, For: 6 * time.Second}
	faults := []Fault{{At: between(rnd, 3*time.Second, 6*time.Second), Kind: FlushRedis}, away}
	return b.on(ctx, Setup{Trial: "redis", Workers: o.Workers, Batch: o.Batch}, users, func(ctx context.Context, s *System) ([]Check, error) {
		posted := make(chan Check, 1)
		go func() {
			lab.Sleep(ctx, away.At+2*time.Second)
			posted <- s.postWithoutRedis(ctx, users[:10])
		}()
		e, err := siege(ctx, s, users, paced(o.Recipients, 30*time.Second), faults, endLimit, atLeastOnce)
		if err != nil {
			return nil, err
		}
		return append(e.basics(), e.Moving("R6", o.Times, FlushRedis, KillRedis), <-posted), nil
	})
}

func (s *System) postWithoutRedis(ctx context.Context, users []string) Check {
	begun := time.Now()
	_, err := s.Client.Send(ctx, "", Order{Name: "without Redis", Users: users}.request())
	return check("R6", err == nil, "a POST while Redis is down: answered after %.2f s %s", time.Since(begun).Seconds(), orNothing(err))
}

func orNothing(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// mysqlLoss is R7.
func mysqlLoss(ctx context.Context, b *Bench, o Options) ([]Check, error) {
	rnd := Random(o.Seed, "mysql")
	users := userIDs(o.Recipients)
	away := Fault{At: between(rnd, 4*time.Second, 7*time.Second), Kind: KillMariaDB, For: 30 * time.Second}
	return b.on(ctx, Setup{Trial: "mysql", Workers: o.Workers, Batch: o.Batch}, users, func(ctx context.Context, s *System) ([]Check, error) {
		asked := make(chan []Check, 1)
		go func() {
			lab.Sleep(ctx, away.At+time.Second)
			asked <- s.askWithoutMySQL(ctx, users[:10], 20*time.Second, o.Times)
		}()
		e, err := siege(ctx, s, users, paced(o.Recipients, 20*time.Second), []Fault{away}, endLimit, atLeastOnce)
		if err != nil {
			return nil, err
		}
		return append(append(e.basics(), e.Moving("R7", o.Times, KillMariaDB)), <-asked...), nil
	})
}

// askWithoutMySQL reads and posts for a while: every answer has to be a 503 that says when to come back.
func (s *System) askWithoutMySQL(ctx context.Context, users []string, lasting time.Duration, times bool) []Check {
	var checks []Check
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		var slowest time.Duration
		n, wrong, odd := 0, 0, ""
		for until := time.Now().Add(lasting / 2); time.Now().Before(until) && lab.Sleep(ctx, 200*time.Millisecond); n++ {
			var err error
			begun := time.Now()
			if method == http.MethodPost {
				_, err = s.Client.Send(ctx, "", Order{Name: "without MySQL", Users: users}.request())
			} else {
				_, err = client.Data[client.Campaigns](s.Client.ListCampaigns(ctx, nil))
			}
			slowest = max(slowest, time.Since(begun))
			refused := lab.Refusal(err)
			if refused == nil || refused.Status != http.StatusServiceUnavailable || refused.RetryAfter == 0 {
				wrong++
				odd = ", for example " + cmp.Or(orNothing(err), "a success")
			}
		}
		ok := wrong == 0 && n > 0 && (!times || slowest < 10*time.Second)
		checks = append(checks, check("R7", ok, "%d of %d %s while it is down were not 503 with Retry-After; slowest %.2f s%s", wrong, n, method, slowest.Seconds(), odd))
	}
	return checks
}
