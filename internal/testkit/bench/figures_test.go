package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		sorted []time.Duration
		p      float64
		want   time.Duration
	}{
		{nil, 50, 0},
		{[]time.Duration{7}, 50, 7},
		{[]time.Duration{7}, 99, 7},
		{[]time.Duration{1, 2}, 50, 1},
		{[]time.Duration{1, 2, 3}, 50, 2},
		{hundred, 0, 1},
		{hundred, 50, 50},
		{hundred, 99, 99},
		{hundred, 99.5, 100},
		{hundred, 100, 100},
	} {
		if got := percentile(c.sorted, c.p); got != c.want {
			t.Errorf("p%v of %d values: %d, want %d", c.p, len(c.sorted), got, c.want)
		}
	}
}

func TestLatencySortsACopy(t *testing.T) {
	took := []time.Duration{3 * time.Millisecond, 1 * time.Millisecond, 2 * time.Millisecond}
	if got, want := newLatency("x", took), (Latency{"x", 3, 2, 3, 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if took[0] != 3*time.Millisecond {
		t.Error("the caller's values were sorted")
	}
}

func TestRatio(t *testing.T) {
	if got := ratio(3, 2); got != 1.5 {
		t.Error(got)
	}
	if got := ratio(3, 0); got != 0 {
		t.Errorf("nothing to divide by: %v", got)
	}
	if r := newRow(500, 2*time.Second); r.PerSecond != 250 || r.Seconds != 2 {
		t.Errorf("%+v", r)
	}
}

func TestMedians(t *testing.T) {
	rows := []Row{
		{What: "a", Size: 1, PerSecond: 30}, {What: "b", Size: 1, PerSecond: 1}, {What: "a", Size: 1, PerSecond: 10},
		{What: "a", Size: 2, PerSecond: 99}, {What: "a", Size: 1, PerSecond: 20}, {What: "b", Size: 1, PerSecond: 2},
	}
	want := []Row{{What: "a", Size: 1, PerSecond: 20}, {What: "b", Size: 1, PerSecond: 1}, {What: "a", Size: 2, PerSecond: 99}}
	got := medians(rows)
	if len(got) != len(want) {
		t.Fatalf("%d rows: %+v", len(got), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("row %d: %+v, want %+v", i, got[i], want[i])
		}
	}
}

func TestGoals(t *testing.T) {
	for _, c := range []struct {
		value, limit float64
		atLeast, met bool
		verdict      string
	}{
		{0.8, 0.8, true, true, "≥ 0.80  met"},
		{0.79, 0.8, true, false, "≥ 0.80  MISSED"},
		{50, 50, false, true, "≤ 50.0  met"},
		{50.1, 50, false, false, "≤ 50.0  MISSED"},
		{12345, 10000, true, true, "≥ 10000  met"},
		{1, 0, true, true, ""},
		{1, 0, false, true, ""},
	} {
		g := newGoal("x", c.value, "", c.limit, c.atLeast)
		if g.Met != c.met || g.verdict() != c.verdict {
			t.Errorf("%v against %v: %v %q", c.value, c.limit, g.Met, g.verdict())
		}
	}
}

// TestRatiosAreOfOneSize: a row is set against its ceiling at the same size, and growth against itself.
func TestRatiosAreOfOneSize(t *testing.T) {
	r := &Report{Sizes: []int{100, 1000}, Rows: []Row{
		{What: bareFast, Size: 100, Recipients: 100, PerSecond: 100},
		{What: carillonOne, Size: 100, Recipients: 100, PerSecond: 80, PeakRSS: 1, RedisPeak: 1, RowBytes: 1},
		{What: bareFast, Size: 1000, Recipients: 1000, PerSecond: 120},
		{What: carillonOne, Size: 1000, Recipients: 1000, PerSecond: 60, PeakRSS: 1, RedisPeak: 1, RowBytes: 1},
		{What: naiveWay, Size: 100, Recipients: 100, PerSecond: 10},
		{What: naiveWay, Size: 1000, Recipients: 200, PerSecond: 10},
	}}
	r.settleRows()
	got := map[string]Goal{}
	for _, g := range r.Goals {
		got[g.What] = g
	}
	for what, want := range map[string]struct {
		value float64
		met   bool
	}{
		carillonOne + " / " + bareFast + ", at 100":  {0.8, true},
		carillonOne + " / " + bareFast + ", at 1000": {0.5, false},
		carillonOne + " / " + naiveWay + ", at 100":  {8, false},
		carillonOne + " / " + naiveWay + ", at 1000": {6, false},
		"growth: " + carillonOne + ", 1000 / 100":    {0.75, false},
		"growth: " + bareFast + ", 1000 / 100":       {1.2, true},
	} {
		if g, ok := got[what]; !ok || g.Value != want.value || g.Met != want.met {
			t.Errorf("%s: %+v, want %+v", what, g, want)
		}
		delete(got, what)
	}
	if len(got) > 0 {
		t.Errorf("more than asked for: %+v", got)
	}
}

func TestMemoryGoals(t *testing.T) {
	r := &Report{Rows: []Row{
		{What: "a", Size: rowBytesFrom, PeakRSS: 65 << 20, RedisPeak: 20 << 20, RowBytes: 101},
		{What: "b", Size: 1000, PeakRSS: 64 << 20, RedisPeak: 21 << 20, RowBytes: 200},
		{What: "bare", Size: 1000},
	}}
	r.memoryGoals()
	var met []bool
	for _, g := range r.Goals {
		met = append(met, g.Met)
	}
	want := []bool{false, true, false, true, false, true}
	if len(met) != len(want) {
		t.Fatalf("%+v", r.Goals)
	}
	for i := range want {
		if met[i] != want[i] {
			t.Errorf("%+v: want met %v", r.Goals[i], want[i])
		}
	}
}

func TestReport(t *testing.T) {
	r := &Report{
		Servers:   "MariaDB",
		Rows:      []Row{{What: "a way", Size: 1000, Recipients: 500, Seconds: 2, PerSecond: 250, PeakRSS: 33 << 20, RowBytes: 78.25}},
		Latencies: []Latency{{"a wait", 200, 1, 2.5, 30}},
	}
	r.goal("a ratio", 0.5, "×", 0.8, true)
	var out strings.Builder
	r.Print(&out)
	for _, want := range []string{
		"a way  1000   500         2.00     –       –       250           –          –       33.0     –          78.2",
		"a wait   200    1.00    2.50    30.00",
		"a ratio  0.50   ×     ≥ 0.80  MISSED",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no line %q in\n%s", want, out.String())
		}
	}
	file := filepath.Join(t.TempDir(), "bench.json")
	if err := r.WriteJSON(file); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(raw, &back); err != nil || back.Rows[0] != r.Rows[0] || back.Latencies[0] != r.Latencies[0] || back.Goals[0] != r.Goals[0] {
		t.Errorf("%v: %s", err, raw)
	}
}

func TestParsePeak(t *testing.T) {
	if got := parsePeak("Name:\tcarillon\nVmPeak:\t  999 kB\nVmHWM:\t   65432 kB\nVmRSS:\t 1 kB\n"); got != 65432<<10 {
		t.Error(got)
	}
	if got := parsePeak("Name:\tx\n"); got != 0 {
		t.Error(got)
	}
}

func TestOptions(t *testing.T) {
	o := Options{Few: 1, Rounds: 1, Sends: 1}
	if err := o.parse("batch,one", "2000,1000,2000"); err != nil || o.largest() != 2000 || len(o.Sizes) != 2 || !o.has("one") || o.has("inbox") {
		t.Errorf("%v %+v", err, o)
	}
	for _, c := range []struct{ only, sizes string }{{"two", "1000"}, {"one", "x"}, {"one", "10"}, {"", "1000"}} {
		o := Options{Few: 1, Rounds: 1, Sends: 1}
		if err := o.parse(c.only, c.sizes); err == nil {
			t.Errorf("--only %q --recipients %q was taken", c.only, c.sizes)
		}
	}
	if err := (&Options{Few: 1, Sends: 1}).parse("one", "1000"); err == nil {
		t.Error("no rounds were taken")
	}
}
