package jobs

import (
	"testing"
	"time"
)

// Pages are taken over after 20 s of unbroken contact with a database that has been up for as long, and at no other time.
func TestSteadiness(t *testing.T) {
	t.Parallel()
	start := time.Now()
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	for name, c := range map[string]struct {
		answers  []int // seconds
		lostAt   int   // 0 = never
		uptime   time.Duration
		askedAt  int
		expected bool
	}{
		"no answer yet":                   {nil, 0, time.Hour, 30, false},
		"contact for 19 s":                {[]int{0, 4, 8, 12, 16, 19}, 0, time.Hour, 19, false},
		"contact for 20 s":                {[]int{0, 4, 8, 12, 16, 20}, 0, time.Hour, 20, true},
		"the longest gaps":                {[]int{0, 5, 10, 15, 20}, 0, time.Hour, 25, true},
		"no answer for 6 s":               {[]int{0, 5, 10, 15, 20}, 0, time.Hour, 26, false},
		"a gap of 6 s":                    {[]int{0, 5, 10, 15, 21}, 0, time.Hour, 21, false},
		"contact anew for 20 s":           {[]int{0, 10, 15, 20, 25, 30}, 0, time.Hour, 30, true},
		"an error in between":             {[]int{0, 5, 10, 15, 20}, 12, time.Hour, 20, false},
		"the database came up 19 s ago":   {[]int{0, 5, 10, 15, 20}, 0, 19 * time.Second, 20, false},
		"the database came up 20 s ago":   {[]int{0, 5, 10, 15, 20}, 0, 20 * time.Second, 20, true},
		"the last answer was an error":    {[]int{0, 5, 10, 15, 20}, 21, time.Hour, 21, false},
		"an error, and 20 s of contact":   {[]int{0, 5, 10, 15, 20, 25, 30}, 6, time.Hour, 30, true},
		"an error, and 15 s of contact":   {[]int{0, 5, 10, 15, 20, 25}, 6, time.Hour, 25, false},
		"a gap that an error came into":   {[]int{0, 20}, 10, time.Hour, 20, false},
		"one answer after a long silence": {[]int{0, 100}, 0, time.Hour, 100, false},
	} {
		s := &steadiness{}
		for i, sec := range c.answers {
			s.answered(at(sec), c.uptime)
			next := c.askedAt + 1
			if i+1 < len(c.answers) {
				next = c.answers[i+1]
			}
			if c.lostAt > sec && c.lostAt < next {
				s.lost()
			}
		}
		if got := s.holds(at(c.askedAt)); got != c.expected {
			t.Errorf("%s: %v", name, got)
		}
	}
}
