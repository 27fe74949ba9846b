package pacing

import (
	"math"
	"testing"
	"time"
)

func TestCeilingFallsAndRises(t *testing.T) {
	for name, slow := range map[string]func(d *line){
		"429": func(d *line) {
			d.pass(d.s.PublishEvery)
			if h := d.publish(tally{askedRest: 5, rest: d.s.PublishEvery, who: "a"}); h != resting {
				d.t.Errorf("five ask for rest: %v", h)
			}
			d.pass(d.s.PublishEvery)
			if g := d.take(10); g.N != 1 || !g.Probe {
				d.t.Errorf("after the rest: %+v", g)
			}
			d.publish(answers(1, 5))
		},
		"latency": func(d *line) { d.run(d.s.PublishEvery, 1000, 2000) },
		"failures in the majority": func(d *line) {
			d.pass(d.s.PublishEvery)
			d.publish(tally{answered: 3, recipients: 3, began: time.Now(), ended: time.Now(), failed: evidence{30, 30}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachLine(t, func(t *testing.T, d *line) {
				d.run(10*time.Second, 1000, 5)
				if c := d.ceil(); c != 0 {
					t.Fatalf("a ceiling of %.0f/s and nothing wrong", c)
				}
				for range 50 {
					slow(d)
				}
				low := d.ceil()
				if low == 0 || low > 150 {
					t.Fatalf("five seconds of it leave %.0f/s of 1000", low)
				}
				if g := d.take(1000); g.N > 10 {
					t.Errorf("granted at once: %d at %.0f/s", g.N, low)
				}
				back := time.Duration(0)
				for ; back < time.Minute && d.ceil() > 0 && d.ceil() < 900; back += d.s.PublishEvery {
					before := d.ceil()
					d.run(d.s.PublishEvery, 1000, 5)
					if c := d.ceil(); c > before*2.01 {
						t.Errorf("from %.0f to %.0f/s in one step", before, c)
					}
				}
				if back < time.Second || back > 10*time.Second {
					t.Errorf("nine tenths are back after %s", back)
				}
				d.run(10*time.Second, 1000, 5)
				if c := d.ceil(); c != 0 {
					t.Errorf("a ceiling of %.0f/s over 1000/s stays", c)
				}
			})
		})
	}
}

// A limit of the provider's own is found and kept near to: the ceiling swings around it and does
// not collapse.
func TestCeilingSettlesAtTheProvidersLimit(t *testing.T) {
	eachLine(t, func(t *testing.T, d *line) {
		const limit, want = 200.0, 1000.0
		d.run(5*time.Second, want, 5)
		sum, n := 0.0, 0
		for i := range 900 {
			d.pass(d.s.PublishEvery)
			rate := want
			if c := d.ceil(); c > 0 {
				rate = c
			}
			seen := answers(int(math.Ceil(min(rate, limit)/10)), 5)
			if rate > limit {
				seen.askedRest, seen.rest = 3, d.s.PublishEvery
			}
			d.publish(seen)
			if seen.askedRest > 0 {
				d.pass(d.s.PublishEvery)
				d.publish(answers(1, 5))
			}
			if i > 300 {
				sum, n = sum+min(rate, limit), n+1
			}
		}
		if mean := sum / float64(n); mean < limit*0.6 {
			t.Errorf("%.0f/s on average at a provider that takes %.0f/s", mean, limit)
		}
	})
}

// A provider that stays slower is what is normal after some minutes.
func TestASlowProviderBecomesNormal(t *testing.T) {
	eachLine(t, func(t *testing.T, d *line) {
		d.run(5*time.Second, 100, 5)
		d.run(30*time.Second, 100, 2000)
		if c := d.ceil(); c == 0 || c > 30 {
			t.Fatalf("half a minute at 2 s: %.0f/s", c)
		}
		d.run(5*time.Minute, 100, 2000)
		if c := d.ceil(); c != 0 {
			t.Errorf("five minutes later there still is a ceiling of %.0f/s", c)
		}
	})
}
