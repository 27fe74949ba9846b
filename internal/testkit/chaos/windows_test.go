package main

import (
	"carillon/client"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// steadily adds n arrivals of a campaign, so far apart, by a worker.
func (e *Evidence) steadily(campaign, worker string, from time.Time, apart time.Duration, n int) {
	for i := range n {
		e.Arrivals = append(e.Arrivals, Arrival{Campaign: campaign, RecvID: fmt.Sprint("u", i), Sender: worker, Answer: 200, At: from.Add(time.Duration(i) * apart)})
	}
	slices.SortStableFunc(e.Arrivals, func(a, b Arrival) int { return a.At.Compare(b.At) })
}

func TestExtremes(t *testing.T) {
	t.Parallel()
	var at []time.Time
	for _, ms := range []int{0, 400, 800, 1200, 1250, 1300, 3000} {
		at = append(at, noon.Add(time.Duration(ms)*time.Millisecond))
	}
	least, most := extremes(at, noon, noon.Add(3*time.Second), time.Second)
	if least != 0 || most != 5 { // after 1300; from 400
		t.Errorf("%d to %d", least, most)
	}
	if least, most = extremes(at, noon, noon.Add(2*time.Second), time.Second); least != 2 || most != 5 { // just after 0
		t.Errorf("within two seconds %d to %d", least, most)
	}
	if n := within(at, noon.Add(400*time.Millisecond), noon.Add(1200*time.Millisecond)); n != 2 {
		t.Errorf("%d within [400, 1200)", n)
	}
}

func TestTheOracleKnowsSmoothFromBursts(t *testing.T) {
	t.Parallel()
	const apart = 200 * time.Millisecond
	for _, tc := range []struct {
		name string
		e    func(*Evidence)
		want Verdict
	}{
		{"five a second over two workers", func(e *Evidence) {
			e.steadily("C", "worker1", noon, apart, 40)
			e.steadily("C", "worker2", noon.Add(40*apart), apart, 60)
		}, Pass},
		{"one worker had it all", func(e *Evidence) { e.steadily("C", "worker1", noon, apart, 100) }, NotExercised},
		{"a gap of a second", func(e *Evidence) {
			e.steadily("C", "worker1", noon, apart, 40)
			e.steadily("C", "worker2", noon.Add(45*apart), apart, 60)
		}, Fail},
		{"fifty every ten seconds", func(e *Evidence) {
			for i := range 2 {
				e.steadily("C", fmt.Sprint("worker", i), noon.Add(time.Duration(i)*10*time.Second), time.Millisecond, 50)
			}
		}, Fail},
		{"seven in one second", func(e *Evidence) {
			e.steadily("C", "worker1", noon, apart, 100)
			e.steadily("C", "worker2", noon.Add(5*time.Second), time.Millisecond, 2)
		}, Fail},
		{"nothing", func(*Evidence) {}, Fail},
	} {
		e := &Evidence{}
		tc.e(e)
		if c := e.Smooth(5, 15); c.Verdict != tc.want {
			t.Errorf("%s: %s: %s", tc.name, c.Verdict, c.Figure)
		}
	}
}

func TestTheOracleKnowsAFairShare(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name       string
		one, other int // a second
		want       Verdict
	}{
		{"halves", 500, 500, Pass},
		{"almost halves", 540, 460, Pass},
		{"one has more", 560, 440, Fail},
		{"less than there is", 460, 460, Fail},
		{"more than there is", 540, 540, Fail},
		{"one gets nothing", 1000, 0, Fail},
	} {
		e := &Evidence{Campaigns: []*Campaign{{ID: "A"}, {ID: "B"}}}
		e.steadily("A", "worker1", noon, time.Second/time.Duration(tc.one), tc.one*12)
		if tc.other > 0 {
			e.steadily("B", "worker1", noon, time.Second/time.Duration(tc.other), tc.other*12)
		}
		if c := e.Shared(1000, 10); c.Verdict != tc.want {
			t.Errorf("%s: %s: %s", tc.name, c.Verdict, c.Figure)
		}
	}
}

func TestTheOracleSeesANewRate(t *testing.T) {
	t.Parallel()
	at := noon.Add(4 * time.Second)
	for _, tc := range []struct {
		name string
		late time.Duration // from at until the new rate
		fast int
		want Verdict
	}{
		{"at once", 0, 1000, Pass},
		{"within a second", 900 * time.Millisecond, 1000, Pass},
		{"after two", 2 * time.Second, 1000, Fail},
		{"never", 0, 100, Fail},
		{"too fast", 0, 1200, Fail},
	} {
		e := &Evidence{}
		e.steadily("C", "worker1", noon, 10*time.Millisecond, int(400+tc.late/(10*time.Millisecond)))
		e.steadily("C", "worker1", at.Add(tc.late), time.Second/time.Duration(tc.fast), tc.fast*5)
		if c := e.Raised(at, 100, 1000); c.Verdict != tc.want {
			t.Errorf("%s: %s: %s", tc.name, c.Verdict, c.Figure)
		}
	}
}

func TestTheOracleTimesTheFirst(t *testing.T) {
	t.Parallel()
	const n = 200
	to := noon.Add(20 * time.Second)
	for _, tc := range []struct {
		name   string
		doctor func(*Evidence)
		want   Verdict
	}{
		{"each after 50 ms", func(*Evidence) {}, Pass},
		{"two of 200 too late", func(e *Evidence) { e.late(2) }, Pass},
		{"three of 200 too late", func(e *Evidence) { e.late(3) }, Fail},
		{"one never came", func(e *Evidence) {
			e.Arrivals = slices.DeleteFunc(e.Arrivals, func(a Arrival) bool { return a.Campaign == "s7" })
		}, Fail},
		{"one came twice", func(e *Evidence) { e.steadily("s7", "worker1", noon.Add(5*time.Second), 1, 1) }, Fail},
		{"the channel was not full", func(e *Evidence) {
			e.Arrivals = slices.DeleteFunc(e.Arrivals, func(a Arrival) bool { return a.Campaign == "B" && a.At.After(noon.Add(10*time.Second)) })
		}, Fail},
	} {
		e := &Evidence{}
		posts := map[string]time.Time{}
		for i := range n {
			id := fmt.Sprint("s", i)
			posts[id] = noon.Add(time.Duration(i) * 100 * time.Millisecond)
			e.Arrivals = append(e.Arrivals, Arrival{Campaign: id, RecvID: "u", At: posts[id].Add(50 * time.Millisecond)})
		}
		e.steadily("B", "worker1", noon, time.Millisecond, 20_000)
		tc.doctor(e)
		slices.SortStableFunc(e.Arrivals, func(a, b Arrival) int { return a.At.Compare(b.At) })
		if c := e.First(posts, "B", 1000, noon, to, true); c.Verdict != tc.want {
			t.Errorf("%s: %s: %s", tc.name, c.Verdict, c.Figure)
		}
	}
}

// late makes so many single sends late.
func (e *Evidence) late(n int) {
	for i, a := range e.Arrivals {
		if a.Campaign != "B" && n > 0 {
			e.Arrivals[i].At = a.At.Add(80 * time.Millisecond)
			n--
		}
	}
}

func TestTheOracleComparesLargeRuns(t *testing.T) {
	t.Parallel()
	e := truth() // from 0 to 10 s
	e.Events = []Event{kill(1, 2*time.Second), kill(2, 9*time.Second)}
	if c := e.Struck(2); c.Verdict != Pass {
		t.Error(c.Figure)
	}
	e.Events[1].Start = noon.Add(11 * time.Second)
	if e.Struck(2).Verdict != Fail {
		t.Error("a kill after the last arrival counts")
	}
	if c := slowed(1000, 2, time.Minute, 119*time.Second, true); c.Verdict != Pass {
		t.Error(c.Figure)
	}
	if c := slowed(1000, 2, time.Minute, 121*time.Second, true); c.Verdict != Fail {
		t.Error(c.Figure)
	}
	if c := beside10(1000, []time.Duration{10, 20}, []time.Duration{12, 20}, true); c.Verdict != Pass {
		t.Error(c.Figure)
	}
	if c := beside10(1000, []time.Duration{10, 20}, []time.Duration{20, 20}, true); c.Verdict != Fail {
		t.Error(c.Figure)
	}
}

func TestTheOracleWatchesTheSlowOne(t *testing.T) {
	t.Parallel()
	spans := [][2]time.Time{{noon, noon.Add(20 * time.Second)}, {noon.Add(40 * time.Second), noon.Add(60 * time.Second)}}
	for _, tc := range []struct {
		name  string
		apart time.Duration
		want  Verdict
	}{
		{"one a second", time.Second, Pass},
		{"one in two seconds", 2 * time.Second, Fail},
		{"two a second", time.Second / 2, Fail},
	} {
		e := &Evidence{}
		e.steadily("C", "worker1", noon, tc.apart, int(time.Minute/tc.apart))
		if c := e.Steady(&Campaign{ID: "C"}, 1, spans); c.Verdict != tc.want {
			t.Errorf("%s: %s: %s", tc.name, c.Verdict, c.Figure)
		}
	}
	if c := (&Evidence{}).Steady(&Campaign{ID: "C"}, 1, nil); c.Verdict != Fail {
		t.Errorf("nothing: %s", c.Figure)
	}
}

func TestTheOracleJudgesASoaksCampaign(t *testing.T) {
	t.Parallel()
	failed := func(e *Evidence, cancelled bool) (found []string) {
		for _, c := range e.Ended(cancelled) {
			if c.Verdict == Fail {
				found = append(found, c.Promise)
			}
		}
		return found
	}
	if got := failed(truth(), false); len(got) > 0 {
		t.Errorf("an honest run fails: %v", got)
	}
	e := truth()
	e.Poison = Manners{Refuses: "13"}
	if got := failed(e, false); !slices.Contains(got, "R12") {
		t.Errorf("users who should have failed were sent: %v", got)
	}
	cancelled := func() *Evidence { // 500 were sent
		e := truth()
		c := e.Campaigns[0]
		for i := range c.Rows {
			if i >= 500 {
				c.Rows[i].Status = "cancelled"
			}
		}
		e.Arrivals = slices.DeleteFunc(e.Arrivals, func(a Arrival) bool { return a.RecvID >= "user-000500" })
		c.Samples = append(c.Samples[:2], Sample{noon.Add(time.Minute), client.Campaign{Status: "cancelled", Counts: client.Counts{Total: 2500, Sent: 500, Cancelled: 2000}}})
		return e
	}
	if got := failed(cancelled(), true); len(got) > 0 {
		t.Errorf("an honest end fails: %v", got)
	}
	e = cancelled()
	e.Campaigns[0].Rows[3].Status, e.Campaigns[0].Rows[600].Status = "cancelled", "sent"
	if got := failed(e, true); !slices.Contains(got, "R8") {
		t.Errorf("one that was sent is called cancelled: %v", got)
	}
}

func TestTheOracleKnowsFlat(t *testing.T) {
	t.Parallel()
	to := noon.Add(20 * time.Minute)
	run := func(of func(minute int) Reading) series {
		s := series{name: "worker1"}
		for m := range 20 {
			r := of(m)
			r.At = noon.Add(time.Duration(m) * time.Minute)
			s.all = append(s.all, r)
		}
		s.idle = s.all
		return s
	}
	const mb = 1 << 20
	for _, tc := range []struct {
		name                        string
		of                          func(minute int) Reading
		goroutines, memory, runtime Verdict
	}{
		{"flat", func(int) Reading { return Reading{Goroutines: 100, Resident: 50 * mb, Runtime: 20 * mb} }, Pass, Pass, Pass},
		{"it warms up", func(m int) Reading {
			return Reading{Goroutines: 100 + min(m, 5), Resident: min(50, 20+10*m) * mb, Runtime: min(20, 4*m) * mb}
		}, Pass, Pass, Pass},
		{"a peak", func(m int) Reading {
			if m == 17 {
				return Reading{Goroutines: 1000, Resident: 500 * mb, Runtime: 400 * mb}
			}
			return Reading{Goroutines: 100, Resident: 50 * mb, Runtime: 20 * mb}
		}, Pass, Pass, Pass},
		{"goroutines leak", func(m int) Reading { return Reading{Goroutines: 100 + 3*m, Resident: 50 * mb, Runtime: 20 * mb} }, Fail, Pass, Pass},
		{"memory leaks", func(m int) Reading {
			return Reading{Goroutines: 100, Resident: (50 + 3*m) * mb, Runtime: (20 + 2*m) * mb}
		}, Pass, Fail, Fail},
		{"the detector's own grows", func(m int) Reading { return Reading{Goroutines: 100, Resident: (50 + 10*m) * mb, Runtime: 20 * mb} }, Pass, Fail, Pass},
	} {
		s := run(tc.of)
		for _, got := range []struct {
			Check
			want Verdict
		}{{s.flatGoroutines(noon, to), tc.goroutines}, {s.flatMemory(noon, to, false), tc.memory}, {s.flatMemory(noon, to, true), tc.runtime}} {
			if got.Verdict != got.want {
				t.Errorf("%s: %s: %s", tc.name, got.Verdict, got.Figure)
			}
		}
	}
	if c := (series{}).flatMemory(noon, to, false); c.Verdict != Fail {
		t.Errorf("no readings: %s", c.Figure)
	}
}

func TestReadingsAtRest(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "api.probe")
	var lines strings.Builder
	for i := range 10 {
		fmt.Fprintf(&lines, "%d %d %d %d 7\n", noon.Add(time.Duration(i)*time.Second).UnixMilli(), 10+i, 1000, 100)
	}
	if err := os.WriteFile(path, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	rest := [][2]time.Time{{noon.Add(3 * time.Second), noon.Add(5 * time.Second)}}
	s, err := seriesOf("api", path, noon.Add(time.Second), noon.Add(8*time.Second), rest)
	if err != nil || len(s.all) != 8 || len(s.idle) != 3 || s.idle[0].Goroutines != 13 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := seriesOf("api", path, noon, noon.Add(time.Hour), nil); err == nil {
		t.Error("no reading at rest, and no error")
	}
	if err := os.WriteFile(path, []byte("12 x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readings(path); err == nil {
		t.Error("a line that is none, and no error")
	}
}

func TestSomeTrialsRunOnlyWhenNamed(t *testing.T) {
	t.Parallel()
	all, err := choose("all")
	if err != nil || slices.ContainsFunc(all, func(t trial) bool { return t.named }) || len(all) == 0 {
		t.Errorf("%d trials, %v", len(all), err)
	}
	chosen, err := choose("soak,storm")
	if err != nil || len(chosen) != 2 || !chosen[0].named {
		t.Fatalf("%+v, %v", chosen, err)
	}
	o := Options{Recipients: 20_000, Span: time.Minute}
	if got := chosen[0].options(o); got.Recipients != 4000 || got.Span != 20*time.Minute {
		t.Errorf("%+v", got)
	}
	if got := chosen[1].options(o); got != o {
		t.Errorf("%+v", got)
	}
	o.asked.recipients, o.asked.span = true, true
	if got := chosen[0].options(o); got != o {
		t.Errorf("%+v", got)
	}
	if _, err := choose("none"); err == nil {
		t.Error("a trial that is none")
	}
}
