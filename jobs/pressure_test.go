package jobs_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"carillon/channels"
	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/models"
)

// sick is a channel whose provider fails as it is told to.
type sick struct {
	name  string // of the channel; "" = webhook
	mu    sync.Mutex
	as    channels.Outcome            // of everybody; the zero value is Sent
	of    map[string]channels.Outcome // of some
	tries []time.Time
}

func (p *sick) Traits() channels.Traits {
	return channels.Traits{Name: cmp.Or(p.name, "webhook"), MaxBatch: 1}
}

func (p *sick) turn(as channels.Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.as = as
}

func (p *sick) since(at time.Time) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.tries {
		if t.After(at) {
			n++
		}
	}
	return n
}

// Send makes the requests one after the other, each within a millisecond.
func (p *sick) Send(_ context.Context, b channels.Batch) []channels.Outcome {
	out := make([]channels.Outcome, len(b.Recipients))
	for i, r := range b.Recipients {
		if !b.MayStart() {
			out[i].Result = channels.NotTried
			continue
		}
		begun := time.Now()
		time.Sleep(time.Millisecond)
		p.mu.Lock()
		p.tries = append(p.tries, time.Now())
		var some bool
		if out[i], some = p.of[r.UserID]; !some {
			out[i] = p.as
		}
		p.mu.Unlock()
		b.Answered(i, out[i:i+1], time.Since(begun))
	}
	return out
}

var (
	refused  = channels.Outcome{Result: channels.Retry, Fault: channels.Away, ErrCode: models.CodeNetwork, ErrMsg: "refused"}
	down503  = channels.Outcome{Result: channels.Retry, Fault: channels.Away, ErrCode: models.CodeCallback, ErrMsg: "503"}
	error500 = channels.Outcome{Result: channels.Retry, Fault: channels.Stumble, ErrCode: models.CodeCallback, ErrMsg: "500"}
	cutOff   = channels.Outcome{Result: channels.Ambiguous, Fault: channels.Stumble, ErrCode: models.CodeNetwork, ErrMsg: "reset"}
)

// Two workers, as two processes: a provider that dies in mid-campaign gets less than one request a second from
// both together, nobody pays an attempt, and all is delivered when it is back.
func TestDeadProvider(t *testing.T) {
	t.Parallel()
	for name, death := range map[string]channels.Outcome{"refused": refused, "503": down503, "500": error500} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
				p := &sick{}
				opts := jobs.Options{Channels: []channels.Channel{p}, MaxAttempts: 2, Backoff: 50 * time.Millisecond}
				r := newRig(t, s, opts)
				r.with(opts)
				r.users(1500)
				sp := spec(models.Audience{Type: models.AudienceAll})
				sp.Channel, sp.RatePerSecond = "webhook", 300
				id := r.post(sp)
				start := time.Now()
				testkit.Eventually(t, "it is under way", testkit.Patience, func() bool { return p.since(start) > 300 })
				p.turn(death)
				time.Sleep(3 * time.Second) // what is under way, and the breaker
				dead := time.Now()
				time.Sleep(9 * time.Second)
				if n := p.since(dead); n < 1 || n > 9 {
					t.Errorf("%d requests in 9 s to a dead provider", n)
				}
				p.turn(channels.Outcome{})
				c := r.finished(id)
				if c.Sent != 1500 {
					t.Fatalf("counts %+v", c.Counts)
				}
				// Fewer than twelve 500s may be about their recipients, as far as anybody can tell: those count, and end nothing.
				// Each of the two processes judges its own before it knows of the other's.
				charged := 0
				for id, rec := range r.statuses(c) {
					switch {
					case rec.Attempts == 2 && death == error500:
						charged++
					case rec.Attempts != 1:
						t.Errorf("%s took %d attempts", id, rec.Attempts)
					}
				}
				if charged >= 2*12 {
					t.Errorf("%d recipients paid an attempt for the provider", charged)
				}
			})
		})
	}
}

// A single message is not lost to a provider that cannot be reached, and one that nobody but its recipient is
// behind fails as ever.
func TestFewRecipients(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		p := &sick{of: map[string]channels.Outcome{"ill": error500}, as: refused}
		r := newRig(t, s, jobs.Options{Channels: []channels.Channel{p}, MaxAttempts: 2, Backoff: 50 * time.Millisecond})
		sp := spec(models.Audience{Type: models.AudienceUsers, UserIDs: []string{"ill"}})
		sp.Channel = "webhook"
		if c := r.finished(r.post(sp)); c.Failed != 1 {
			t.Errorf("a provider that fails over one user: %+v", c.Counts)
		}
		sp.Audience.UserIDs = []string{"well"}
		start := time.Now()
		id := r.post(sp)
		testkit.Eventually(t, "it was refused more often than attempts allow", testkit.Patience, func() bool { return p.since(start) > 3 })
		p.turn(channels.Outcome{})
		c := r.finished(id)
		if rec := r.statuses(c)["well"]; rec.Status != models.RecipientSent || rec.Attempts != 1 {
			t.Errorf("%+v", rec)
		}
	})
}

// Users for whom the provider always fails, fail after their attempts and cost the rest nothing, wherever in a
// chunk or in the campaign they stand, and although nothing else is on the channel.
func TestPoisonFailsBesideOthers(t *testing.T) {
	t.Parallel()
	lastOf := func(each int) (ill []int) { // each so many users the last one
		for i := each - 1; i < 1000; i += each {
			ill = append(ill, i)
		}
		return ill
	}
	third := append(rand.New(rand.NewPCG(1, 2)).Perm(990)[:297], 997, 998, 999)
	for name, c := range map[string]struct {
		as  channels.Outcome
		ill []int
	}{
		"500":                    {error500, lastOf(10)},
		"reset":                  {cutOff, lastOf(10)},
		"503":                    {down503, lastOf(10)},
		"503, one in a hundred":  {down503, lastOf(100)},
		"503, one in a thousand": {down503, []int{500}},
		"503, three of ten":      {down503, third},
		"429, two of them":       {asksForRest(2 * time.Second), []int{100, 500}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
				p := &sick{of: map[string]channels.Outcome{}}
				r := newRig(t, s, jobs.Options{Channels: []channels.Channel{p}, MaxAttempts: 3, Backoff: 50 * time.Millisecond})
				r.users(1000)
				sp := spec(models.Audience{Type: models.AudienceAll})
				sp.Channel = "webhook"
				for _, i := range c.ill {
					p.of[fmt.Sprintf("user-%07d", i)] = c.as
				}
				got := r.finished(r.post(sp))
				if ill := int64(len(c.ill)); got.Sent != 1000-ill || got.Failed != ill {
					t.Fatalf("counts %+v", got.Counts)
				}
			})
		})
	}
}

// What may have been sent stays counted, also while the provider is away: at most once, it ends as unknown.
func TestDeadProviderAtMostOnce(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		p := &sick{as: refused}
		r := newRig(t, s, jobs.Options{Channels: []channels.Channel{p}, MaxAttempts: 2, Backoff: 50 * time.Millisecond})
		r.users(100)
		sp := spec(models.Audience{Type: models.AudienceAll})
		sp.Channel, sp.Delivery = "webhook", models.AtMostOnce
		start := time.Now()
		id := r.post(sp)
		testkit.Eventually(t, "its breaker is open", testkit.Patience, func() bool { return p.since(start) > 14 })
		p.turn(cutOff)
		at := time.Now()
		testkit.Eventually(t, "two probes broke", testkit.Patience, func() bool { return p.since(at) >= 2 })
		p.turn(channels.Outcome{})
		c := r.finished(id)
		if c.Failed != 0 || c.Unknown < 2 || c.Sent+c.Unknown != 100 {
			t.Errorf("counts %+v", c.Counts)
		}
	})
}
