package main

import (
	"testing"
	"time"
)

// TestJudgeSlots: R10 is able to fail: by a slot without a campaign, by one with two, by one passed over, and by a late one.
func TestJudgeSlots(t *testing.T) {
	from := time.Date(2027, 6, 4, 12, 0, 0, 0, time.UTC)
	first := map[string]time.Time{"a": from, "b": from}
	end := from.Add(10 * time.Second)
	all := func() (made []slotRun) {
		for _, id := range []string{"a", "b"} {
			for i := range 10 {
				made = append(made, slotRun{id, from.Add(time.Duration(i) * time.Second), 1, 20 * time.Millisecond})
			}
		}
		return made
	}
	late := all()
	for i := range 3 {
		late[i].Delay = 3 * time.Second
	}
	for name, c := range map[string]struct {
		made, passed []slotRun
		times        bool
		want         [3]Verdict
	}{
		"all":                    {all(), nil, true, [3]Verdict{Pass, Pass, Pass}},
		"one missing":            {all()[1:], nil, true, [3]Verdict{Fail, Pass, Pass}},
		"one twice":              {append(all(), all()[3]), nil, true, [3]Verdict{Fail, Pass, Pass}},
		"one passed over":        {all()[1:], []slotRun{{"a", from, 1, 0}}, true, [3]Verdict{Pass, Fail, Pass}},
		"late":                   {late, nil, true, [3]Verdict{Pass, Pass, Fail}},
		"late on a busy machine": {late, nil, false, [3]Verdict{Pass, Pass, Pass}},
	} {
		for i, got := range judgeSlots(first, end, c.made, c.passed, c.times) {
			if got.Verdict != c.want[i] {
				t.Errorf("%s: %s, %s", name, got.Verdict, got.Figure)
			}
		}
	}
}
