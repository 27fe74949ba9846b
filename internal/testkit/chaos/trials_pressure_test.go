package main

import (
	"testing"
	"time"

	"carillon/client"
	"carillon/internal/testkit/lab"
)

// TestPressureChecks: each check of the trials slow and dead is able to fail.
func TestPressureChecks(t *testing.T) {
	t.Parallel()
	before := phase{"well", noon, noon.Add(10 * time.Second)}
	p := phase{"503", before.to, before.to.Add(10 * time.Second)}
	// 100/s before, one request in two seconds under pressure, 20/s for four seconds after it and then 100/s.
	honest := func() *Evidence {
		c := &Campaign{ID: "C"}
		e := &Evidence{Campaigns: []*Campaign{c}}
		arrive := func(from, to time.Time, apart time.Duration, answer int) {
			for at := from; at.Before(to); at = at.Add(apart) {
				e.Arrivals = append(e.Arrivals, Arrival{Campaign: "C", RecvID: at.String(), At: at, Answer: answer})
				if answer == 200 {
					c.Rows = append(c.Rows, lab.Row{UserID: at.String(), Status: "sent", Attempts: 1})
				}
			}
		}
		arrive(before.from, before.to, 10*time.Millisecond, 200)
		arrive(p.from, p.to, 2*time.Second, 503)
		arrive(p.to, p.to.Add(4*time.Second), 50*time.Millisecond, 200)
		arrive(p.to.Add(4*time.Second), p.to.Add(30*time.Second), 10*time.Millisecond, 200)
		c.Samples = []Sample{{At: p.from.Add(5 * time.Second), Campaign: client.Campaign{Status: "running"}}}
		return e
	}
	says := func(what string) []saying { return []saying{{p.from.Add(4 * time.Second), what}} }
	for name, tc := range map[string]struct {
		judge func(e *Evidence) Check
		want  Verdict
	}{
		"unburnt": {func(e *Evidence) Check { return e.Unburnt("S3", 0) }, Pass},
		"an attempt burnt": {func(e *Evidence) Check {
			e.Campaigns[0].Rows[7].Attempts = 2
			return e.Unburnt("S3", 0)
		}, Fail},
		"one given up": {func(e *Evidence) Check {
			e.Campaigns[0].Rows[7].Status = "failed"
			return e.Unburnt("S3", 0)
		}, Fail},
		"one cut on its way": {func(e *Evidence) Check {
			e.Campaigns[0].Rows[7].Attempts = 2
			return e.Unburnt("S4", 1)
		}, Pass},
		"no rows": {func(e *Evidence) Check { return (&Evidence{}).Unburnt("S4", 1) }, Fail},
		"fell":    {func(e *Evidence) Check { return e.Fell(before, p) }, Pass},
		"did not fall": {func(e *Evidence) Check {
			return e.Fell(before, phase{"503", p.to.Add(5 * time.Second), p.to.Add(15 * time.Second)})
		}, Fail},
		"back": {func(e *Evidence) Check { return e.Back(before, p, true) }, Pass},
		"back too late": {func(e *Evidence) Check {
			for i, a := range e.Arrivals {
				if a.At.After(p.to) {
					e.Arrivals[i].At = a.At.Add(12 * time.Second)
				}
			}
			return e.Back(before, p, true)
		}, Fail},
		"never back": {func(e *Evidence) Check {
			e.Arrivals = e.Arrivals[:e.during(before)+e.during(p)]
			return e.Back(before, p, true)
		}, Fail},
		"spared":      {func(e *Evidence) Check { return e.Spared(p) }, Pass},
		"not spared":  {func(e *Evidence) Check { return e.Spared(phase{"503", p.to, p.to.Add(10 * time.Second)}) }, Fail},
		"none failed": {func(e *Evidence) Check { return e.Unfailed(p) }, Pass},
		"one failed": {func(e *Evidence) Check {
			e.Campaigns[0].Samples[0].Counts.Failed = 1
			return e.Unfailed(p)
		}, Fail},
		"no looks":      {func(e *Evidence) Check { return e.Unfailed(before) }, Fail},
		"told":          {func(*Evidence) Check { return judgeTold("S3", says("channel slow"), p) }, Pass},
		"told of other": {func(*Evidence) Check { return judgeTold("S3", says("campaign rate"), p) }, Fail},
		"not told":      {func(*Evidence) Check { return judgeTold("S3", nil, p) }, Fail},
	} {
		if got := tc.judge(honest()); got.Verdict != tc.want {
			t.Errorf("%s: %s, %s", name, got.Verdict, got.Figure)
		}
	}
}
