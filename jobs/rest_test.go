package jobs_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/channels"
	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/models"
)

func asksForRest(d time.Duration) channels.Outcome {
	return channels.Outcome{Result: channels.Retry, ErrCode: models.CodeCallback, ErrMsg: "429", RetryAfter: d}
}

// single posts a campaign to one user, as an API does for a message of its own.
func (r *rig) single(user string) string {
	r.t.Helper()
	return r.singleBy("webhook", user)
}

// singleBy is single on any channel.
func (r *rig) singleBy(channel, user string) string {
	r.t.Helper()
	s := spec(models.Audience{Type: models.AudienceUsers, UserIDs: []string{user}})
	s.Channel, s.Priority = channel, models.PriorityTransactional
	return r.post(s)
}

// ill makes some users known to the provider for whom it always answers so.
func (p *sick) ill(as channels.Outcome, n int) (ids []string) {
	p.of = map[string]channels.Outcome{}
	for i := range n {
		ids = append(ids, fmt.Sprintf("ill-%d", i))
		p.of[ids[i]] = as
	}
	return ids
}

// untilFailed waits until the tries of those end for whom the provider always fails. What others get shows whose the failures
// are; while nobody else is sent, they may be the provider's.
func (r *rig) untilFailed(p *sick, ids []string) {
	r.t.Helper()
	for _, id := range ids {
		testkit.Eventually(r.t, "the tries of one for whom the provider always fails end", testkit.Patience, func() bool {
			r.finished(r.single(fmt.Sprintf("more-%d", p.since(time.Time{}))))
			v, err := r.store.Campaign(r.t.Context(), id)
			return err == nil && v.Failed == 1
		})
	}
}

// Users for whom the provider always answers like a channel that is away, or asks for rest, hold up no other single
// message for long, and their own tries end. What "long" is tell the messages of a channel that is well: a busy
// machine takes its time for both.
func TestOneRecipientIsNotTheChannel(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		as  channels.Outcome
		ill int
	}{
		"one 503":          {down503, 1},
		"five 503":         {down503, 5},
		"one 429":          {asksForRest(2 * time.Second), 1},
		"three 429":        {asksForRest(2 * time.Second), 3},
		"one 503 and rest": {channels.Outcome{Result: channels.Retry, Fault: channels.Away, ErrCode: models.CodeCallback, RetryAfter: 2 * time.Second}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
				p := &sick{}
				users := p.ill(c.as, c.ill)
				all := []channels.Channel{p, &sick{name: "well"}}
				r := newRig(t, s, jobs.Options{Channels: all, MaxAttempts: 3, Backoff: 50 * time.Millisecond})
				var ids []string
				for _, u := range users {
					ids = append(ids, r.single(u))
				}
				testkit.Eventually(t, "the provider met them", testkit.Patience, func() bool { return p.since(time.Time{}) >= c.ill })
				const n = 20
				took := map[string][]time.Duration{}
				for i := range n {
					for _, channel := range []string{"webhook", "well"} {
						begun := time.Now()
						r.finished(r.singleBy(channel, fmt.Sprintf("well-%d", i)))
						took[channel] = append(took[channel], time.Since(begun))
					}
				}
				r.untilFailed(p, ids)
				others, well := took["webhook"], took["well"]
				slices.Sort(others)
				slices.Sort(well)
				most := time.Second + 2*well[n/2] // some meet the first second of a rest
				t.Logf("%s: half of the others within %s of %s, all within %s", name, others[n/2], most, others[n-1])
				if others[n/2] > most {
					t.Errorf("half of the others waited for %s or longer", others[n/2])
				}
			})
		})
	}
}

// After an outage those who can be served are, although some still get the answer of the outage.
func TestOutageThatStaysForSome(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		p := &sick{as: down503}
		users := p.ill(down503, 4)
		r := newRig(t, s, jobs.Options{Channels: []channels.Channel{p}, MaxAttempts: 3, Backoff: 50 * time.Millisecond})
		var well, ill []string
		for _, u := range users {
			ill = append(ill, r.single(u))
		}
		for i := range 150 {
			well = append(well, r.single(fmt.Sprintf("well-%d", i)))
		}
		testkit.Eventually(t, "the breaker is open", testkit.Patience, func() bool { return p.since(time.Time{}) > 3 })
		testkit.Eventually(t, "two probes failed", testkit.Patience, func() bool { return p.since(time.Time{}) > 5 })
		p.turn(channels.Outcome{})
		back := time.Now()
		for _, id := range well {
			if v := r.finished(id); v.Sent != 1 {
				t.Fatalf("%+v", v.Counts)
			}
		}
		t.Logf("everybody else was sent within %s", time.Since(back))
		r.untilFailed(p, ill)
	})
}

// A channel that asks for rest gets it from all workers at once, from chunks under way too, and goes on after it.
func TestRestIsKept(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		p := &sick{}
		opts := jobs.Options{Channels: []channels.Channel{p}, MaxAttempts: 2, Backoff: 50 * time.Millisecond}
		r := newRig(t, s, opts)
		other := r.with(opts)
		r.users(5000)
		sp := spec(models.Audience{Type: models.AudienceAll})
		sp.Channel = "webhook"
		start := time.Now()
		id := r.post(sp)
		testkit.Eventually(t, "it is under way", testkit.Patience, func() bool { return p.since(start) > 500 })
		const rest = 8 * time.Second
		p.turn(asksForRest(rest))
		asked := time.Now()
		testkit.Eventually(t, "the provider asked", testkit.Patience, func() bool { return p.since(asked) >= 2 })
		testkit.Eventually(t, "the API says so", testkit.Patience, func() bool {
			c, err := r.store.Campaign(t.Context(), id)
			p := other.rec.Pace(t.Context(), c)
			return err == nil && p.LimitedBy == models.LimitedByChannelSlow && strings.Contains(p.Why, "Retry-After")
		})
		noticed := time.Now()
		before := p.since(asked)
		time.Sleep(rest - time.Since(asked) - 500*time.Millisecond)
		if n := p.since(noticed); before > 200 || n > 3 {
			t.Errorf("%d requests before both workers rested, and %d more in the rest of %s", before, n, rest)
		}
		p.turn(channels.Outcome{})
		if c := r.finished(id); c.Sent != 5000 {
			t.Errorf("%+v", c.Counts)
		}
	})
}

// An operator ends a rest.
func TestRestIsEnded(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		p := &sick{as: asksForRest(time.Hour)}
		r := newRig(t, s, jobs.Options{Channels: []channels.Channel{p}, MaxAttempts: 2, Backoff: 50 * time.Millisecond})
		first, second := r.single("a"), r.single("b")
		testkit.Eventually(t, "both asked", testkit.Patience, func() bool { return p.since(time.Time{}) >= 2 })
		p.turn(channels.Outcome{})
		third := r.single("c")
		time.Sleep(3 * time.Second)
		if c, err := r.store.Campaign(t.Context(), third); err != nil || c.Sent != 0 {
			t.Fatalf("sent during a rest: %+v, %v", c.Counts, err)
		}
		if err := r.rec.EndRest(t.Context(), "webhook"); err != nil {
			t.Fatal(err)
		}
		r.finished(third)
		for _, id := range []string{first, second} {
			c, err := r.store.Campaign(t.Context(), id)
			if err != nil || c.Pending != 1 {
				t.Errorf("whose own time has not come: %+v, %v", c.Counts, err)
			}
		}
	})
}

// A campaign over which the provider always fails costs its own recipients their attempts and pauses itself, and no other
// campaign loses its speed.
func TestCampaignsOwnFault(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		p := &sick{of: map[string]channels.Outcome{}}
		var ill, well []string
		for i := range 300 {
			ill = append(ill, fmt.Sprintf("ill-%03d", i))
			p.of[ill[i]] = error500
		}
		for i := range 1500 {
			well = append(well, fmt.Sprintf("well-%04d", i))
		}
		r := newRig(t, s, jobs.Options{Channels: []channels.Channel{p}, MaxAttempts: 2, Backoff: 50 * time.Millisecond})
		post := func(users []string) string {
			sp := spec(models.Audience{Type: models.AudienceUsers, UserIDs: users})
			sp.Channel, sp.Priority = "webhook", models.PriorityBulk
			return r.post(sp)
		}
		start := time.Now()
		first := post(ill)
		testkit.Eventually(t, "the provider looks dead", testkit.Patience, func() bool { return p.since(start) >= 13 })
		if c := r.finished(post(well)); c.Sent != 1500 {
			t.Errorf("%+v", c.Counts)
		}
		begun := time.Now()
		if c := r.finished(post(well)); c.Sent != 1500 {
			t.Errorf("%+v", c.Counts)
		}
		t.Logf("once it is known whose the failures are, 1,500 others take %s", time.Since(begun))
		// With others served, its failures cost attempts, and the guard sees that nobody of it is sent.
		testkit.Eventually(t, "the failing campaign pauses itself", testkit.Patience, func() bool {
			r.finished(r.single(fmt.Sprintf("more-%d", p.since(start))))
			v, err := r.store.Campaign(t.Context(), first)
			return err == nil && v.Status == models.StatusPaused && v.Failed > 0 && v.Sent == 0
		})
	})
}
