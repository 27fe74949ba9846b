package pacing

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/internal/testkit"
	"carillon/models"
)

// line is one channel's shared state under a clock that the test drives.
type line struct {
	t   *testing.T
	s   *sharedState
	now int64
	c   models.Campaign
	who string // asks for tokens
}

func eachLine(t *testing.T, f func(t *testing.T, d *line)) {
	t.Helper()
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb *redis.Client) {
		d := &line{t: t, s: newSharedState(rdb, Defaults()), now: 1_800_000_000_000, c: models.Campaign{ID: 1, Channel: "webhook"}}
		d.s.at = func() int64 { return d.now }
		f(t, d)
	})
}

// eachRedis runs f on the embedded Redis and on a real one.
func eachRedis(t *testing.T, f func(t *testing.T, rdb *redis.Client)) {
	t.Helper()
	testkit.EachRedis(t, func(t *testing.T, url string) {
		opts, err := redis.ParseURL(url)
		if err != nil {
			t.Fatal(err)
		}
		rdb := redis.NewClient(opts)
		t.Cleanup(func() { _ = rdb.Close() })
		f(t, rdb)
	})
}

func (d *line) pass(by time.Duration) { d.now += by.Milliseconds() }

func (d *line) take(n int) Grant {
	d.t.Helper()
	g, err := d.s.take(d.t.Context(), &d.c, 0, n, Recipient{ID: d.who})
	if err != nil {
		d.t.Fatal(err)
	}
	return g
}

func (d *line) publish(t tally) providerState {
	d.t.Helper()
	view, err := d.s.observe(d.t.Context(), "webhook", t)
	if err != nil {
		d.t.Fatal(err)
	}
	return view.state
}

// ceil is the channel's ceiling; 0 = none.
func (d *line) ceil() float64 {
	d.t.Helper()
	v, err := d.s.rdb.HGet(d.t.Context(), healthKey("webhook"), "ceil").Float64()
	if err != nil && err != redis.Nil { //nolint:errorlint // the client returns it as it is
		d.t.Fatal(err)
	}
	return v
}

// answers is what a process tells after so many good ones, each in so many milliseconds.
func answers(n int, ms float64) tally {
	return tally{answered: n, began: time.Now(), ended: time.Now(), recipients: n, logTook: float64(n) * math.Log(ms), timed: n}
}

func failures(n int) tally { return tally{failed: evidence{n, n}} }

// run lets time pass in steps of a tenth of a second, with perSecond answers, or fewer under a
// ceiling.
func (d *line) run(span time.Duration, perSecond, ms float64) {
	d.t.Helper()
	for ; span > 0; span -= d.s.PublishEvery {
		d.pass(d.s.PublishEvery)
		now := perSecond
		if c := d.ceil(); c > 0 {
			now = min(now, c)
		}
		d.publish(answers(int(math.Ceil(now/10)), ms))
	}
}

func (d *line) opened() {
	d.t.Helper()
	if h := d.publish(failures(20)); h == healthy {
		d.t.Fatal("twenty failures and no answer are healthy")
	}
	d.pass(600 * time.Millisecond)
	if h := d.publish(failures(1)); h != away {
		d.t.Fatalf("the breaker is not open: %v", h)
	}
}

func TestBreakerOpensProbesAndCloses(t *testing.T) {
	eachLine(t, func(t *testing.T, d *line) {
		d.run(5*time.Second, 1000, 5)
		if h := d.publish(failures(11)); h != healthy {
			t.Fatalf("eleven failures just after answers: %v", h)
		}
		if h := d.publish(failures(1)); h != suspect {
			t.Fatalf("twelve, and somebody was answered a moment ago: %v", h)
		}
		d.pass(600 * time.Millisecond)
		if h := d.publish(tally{}); h != away {
			t.Fatalf("twelve, and nobody was answered since: %v", h)
		}
		probes := 0
		for range 240 { // a minute; all processes ask
			for range 3 {
				switch g := d.take(250); {
				case !g.Open || g.N > 1 || g.N == 1 && !g.Probe || g.N == 0 && g.Wait <= 0:
					t.Fatalf("an open breaker grants %+v", g)
				case g.N == 1:
					probes++
				}
			}
			d.pass(250 * time.Millisecond)
		}
		if probes != 39 { // every 1.5 s, the first after as long
			t.Errorf("%d probes in a minute, want 39", probes)
		}
		late := answers(3, 5)
		late.began = time.Now().Add(-5 * time.Minute)
		if h := d.publish(late); h != away {
			t.Errorf("answers to requests from before it opened: %v", h)
		}
		if h := d.publish(answers(1, 5)); h != healthy {
			t.Fatalf("a probe was answered: %v", h)
		}
		if c := d.ceil(); c < 4 || c > 100 {
			t.Errorf("it starts again at %.0f/s", c)
		}
		if g := d.take(250); g.Open || g.N > 20 {
			t.Errorf("the first grant is %+v", g)
		}
	})
}

// Some users for whom the provider always fails are not its end: neither beside others, nor late
// ones whose requests hung while others were served.
func TestPoisonDoesNotOpenTheBreaker(t *testing.T) {
	eachLine(t, func(t *testing.T, d *line) {
		for range 300 {
			d.pass(d.s.PublishEvery)
			some := answers(10, 5)
			some.failed = evidence{9, 9}
			if h := d.publish(some); h != healthy {
				t.Fatalf("nearly half fail: %v", h)
			}
		}
		d.pass(1500 * time.Millisecond) // the others are done; what hung since then comes back
		if h := d.publish(tally{slow: evidence{50, 50}, slowAsked: time.Now().Add(-2 * time.Second)}); h != healthy {
			t.Fatalf("fifty hung while others were served: %v", h)
		}
		if c := d.ceil(); c != 0 {
			t.Errorf("poison slows the channel down to %.0f/s", c)
		}
		d.pass(3 * time.Second)
		if h := d.publish(tally{slow: evidence{50, 50}, slowAsked: time.Now().Add(-2 * time.Second)}); h != away {
			t.Errorf("fifty hung and nobody was served: %v", h)
		}
	})
}

// A rest that is longer than the channel's state is kept otherwise is kept to its end.
func TestALongRestIsKept(t *testing.T) {
	eachLine(t, func(t *testing.T, d *line) {
		d.publish(answers(10, 5))
		if h := d.publish(tally{askedRest: 5, rest: time.Hour, who: "somebody"}); h != resting {
			t.Fatalf("health %v", h)
		}
		if left := d.s.rdb.PTTL(t.Context(), healthKey("webhook")).Val(); left < time.Hour {
			t.Errorf("the rest is forgotten after %s", left)
		}
	})
}

// The state of a Redis that was emptied is that of a provider of which nothing is known.
func TestHealthAfterFlush(t *testing.T) {
	eachLine(t, func(t *testing.T, d *line) {
		d.run(time.Second, 100, 5)
		d.opened()
		if err := d.s.rdb.Del(t.Context(), healthKey("webhook")).Err(); err != nil {
			t.Fatal(err)
		}
		if g := d.take(10); g.N != 10 {
			t.Errorf("granted %+v", g)
		}
		if h := d.publish(failures(12)); h != away {
			t.Errorf("twelve failures with nothing known: %v", h)
		}
	})
}

// asks is what a process tells of so many recipients whose answer asks for rest.
func asks(n int, rest time.Duration, who string) tally {
	return tally{askedRest: n, rest: rest, who: who}
}

// probe asks for tokens on behalf of a recipient and says whether it was let through as the probe.
func (d *line) probe(r Recipient) bool {
	d.t.Helper()
	g, err := d.s.take(d.t.Context(), &d.c, 0, 100, r)
	if err != nil {
		d.t.Fatal(err)
	}
	if !g.Open || g.N > 1 {
		d.t.Fatalf("an open breaker grants %+v", g)
	}
	return g.Probe
}

// What asks for rest opens the breaker at once. Whether it was about the channel shows a second
// later.
func TestRestOfOneOrOfAll(t *testing.T) {
	const rest = 20 * time.Second
	restsFor := func(d *line) (n time.Duration) {
		d.t.Helper()
		for i := 0; !d.probe(Recipient{ID: fmt.Sprint("new-", i)}); i++ {
			d.pass(d.s.PublishEvery)
			n += d.s.PublishEvery
		}
		return n
	}
	for name, c := range map[string]struct {
		tell func(d *line)
		want time.Duration
		ceil bool // the channel goes slower after it
	}{
		"one recipient":                   {func(d *line) { d.publish(asks(1, rest, "a")) }, time.Second, false},
		"one recipient, for less":         {func(d *line) { d.publish(asks(1, 300*time.Millisecond, "a")) }, 300 * time.Millisecond, false},
		"the same one again":              {func(d *line) { d.publish(asks(1, rest, "a")); d.publish(asks(1, rest, "a")) }, time.Second, false},
		"two of many":                     {func(d *line) { t := answers(100, 5); t.askedRest, t.rest, t.who = 2, rest, "a"; d.publish(t) }, time.Second, false},
		"two of three":                    {func(d *line) { t := answers(1, 5); t.askedRest, t.rest, t.who = 2, rest, "a"; d.publish(t) }, rest, true},
		"two, in two processes":           {func(d *line) { d.publish(asks(1, rest, "a")); d.publish(asks(1, rest, "b")) }, rest, true},
		"the probe too":                   {func(d *line) { d.publish(asks(1, rest, "a")); restsFor(d); d.publish(asks(1, rest, "b")) }, rest, true},
		"the probe, which is the same":    {func(d *line) { d.publish(asks(1, rest, "a")); restsFor(d); d.publish(asks(1, rest, "a")) }, 1500 * time.Millisecond, false},
		"ended by an operator, and again": {func(d *line) { d.publish(asks(9, rest, "a")); d.end(); d.publish(asks(1, rest, "a")) }, time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			eachLine(t, func(t *testing.T, d *line) {
				d.run(5*time.Second, 1000, 5)
				d.pass(time.Second)
				d.publish(answers(3, 5)) // what was answered half a second before counts too
				c.tell(d)
				if h := d.publish(tally{}); h != resting {
					t.Fatalf("asked for rest: %v", h)
				}
				if n := restsFor(d); n < c.want-d.s.PublishEvery || n > c.want+d.s.PublishEvery {
					t.Errorf("it rests for %s, want %s", n, c.want)
				}
				if h := d.publish(answers(1, 5)); h != healthy {
					t.Fatalf("the probe was answered: %v", h)
				}
				if got := d.ceil() > 0; got != c.ceil {
					t.Errorf("a ceiling of %.0f/s after it", d.ceil())
				}
			})
		})
	}
}

func (d *line) end() {
	d.t.Helper()
	if err := (&Health{sharedState: d.s}).EndRest(d.t.Context(), "webhook"); err != nil {
		d.t.Fatal(err)
	}
	if h := d.publish(tally{}); h != healthy {
		d.t.Errorf("an ended rest: %v", h)
	}
}

// A probe is first for those that never failed, then for those that did, and last for the one that
// was probed before.
func TestWhoIsProbed(t *testing.T) {
	eachLine(t, func(t *testing.T, d *line) {
		d.run(time.Second, 100, 5)
		d.opened()
		failed := Recipient{ID: "ill", FailingSince: time.Unix(1, 0)}
		for _, step := range []struct {
			pass time.Duration
			who  Recipient
			want bool
		}{
			{1400 * time.Millisecond, Recipient{ID: "a"}, false},
			{200 * time.Millisecond, failed, false},
			{0, Recipient{ID: "a"}, true},
			{1600 * time.Millisecond, failed, false},
			{500 * time.Millisecond, failed, true},
			{2100 * time.Millisecond, failed, false}, // the last one's own turn has not come
			{0, Recipient{ID: "worse", FailingSince: time.Unix(1, 0)}, true},
			{1600 * time.Millisecond, Recipient{ID: "worse"}, false},
			{2 * time.Second, Recipient{ID: "worse"}, true}, // nobody else wants it
		} {
			d.pass(step.pass)
			if got := d.probe(step.who); got != step.want {
				t.Errorf("after %s more, %s: %t", step.pass, step.who.ID, got)
			}
		}
	})
}
