package main

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"carillon/internal/testkit/lab"
)

//go:embed probe/probe.go
var probeSource []byte

// probed is the product with probe/probe.go beside its command.
func (b *Bench) probed(ctx context.Context) (string, error) {
	dir := filepath.Join(b.dir, "probed")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	return lab.Build{Dir: dir, Race: b.race, Tags: "chaosprobe", Added: map[string][]byte{"chaosprobe.go": probeSource}}.Run(ctx)
}

// Reading is what a process held at one instant.
type Reading struct {
	At         time.Time
	Goroutines int
	Resident   int // bytes
	Heap       int // bytes of objects, dead ones that are not collected yet too
	Runtime    int // bytes the Go runtime has of the system: heap, stacks and its own
}

// readings are those of one process, of all its lives.
func readings(path string) ([]Reading, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []Reading
	in := bufio.NewScanner(f)
	for in.Scan() {
		var r Reading
		var ms int64
		if _, err := fmt.Sscan(in.Text(), &ms, &r.Goroutines, &r.Resident, &r.Heap, &r.Runtime); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", path, in.Text(), err)
		}
		r.At = time.UnixMilli(ms)
		list = append(list, r)
	}
	return list, in.Err()
}

// series is what one process held while the soak went on.
type series struct {
	name string
	all  []Reading
	idle []Reading // when no campaign was running
}

func seriesOf(name, path string, from, to time.Time, idle [][2]time.Time) (series, error) {
	all, err := readings(path)
	s := series{name: name}
	for _, r := range all {
		if r.At.Before(from) || r.At.After(to) {
			continue
		}
		s.all = append(s.all, r)
		if slices.ContainsFunc(idle, func(span [2]time.Time) bool { return !r.At.Before(span[0]) && !r.At.After(span[1]) }) {
			s.idle = append(s.idle, r)
		}
	}
	if err == nil && len(s.idle) == 0 {
		err = errors.New("no reading of " + name + " at rest")
	}
	return s, err
}

// What may be called flat: the last quarter of the time against the second one.
const (
	fewGoroutines = 8 // connections come and go
	fewMB         = 4 // of the runtime's own: what lies between two collections
	goroutinesPct = 110
	memoryPct     = 125
)

// flatGoroutines compares what was there at rest: under load it is the load that is measured.
func (s series) flatGoroutines(from, to time.Time) Check {
	before, after, ok := quarters(s.idle, from, to, func(r Reading) int { return r.Goroutines })
	ok = ok && after*100 <= before*goroutinesPct+fewGoroutines*100
	return check("S8b", ok, "%s at rest: %d, later %d; %s", s.name, before, after, s.strip(from, to, s.idle, func(r Reading) int { return r.Goroutines }))
}

// flatMemory compares at rest and under load: what the kernel counts, or, of a process with the race detector, what
// the Go runtime has of the system, for the detector keeps shadows of its own for each goroutine there ever was.
func (s series) flatMemory(from, to time.Time, race bool) Check {
	const mb = 1 << 20
	resident := func(r Reading) int { return r.Resident / mb }
	runtime := func(r Reading) int { return r.Runtime / mb }
	what, of, few := "resident", resident, 0
	if race {
		what, of, few = "Go's", runtime, fewMB
	}
	before, after, ok := quarters(s.all, from, to, of)
	ok = ok && after*100 <= before*memoryPct+few*100
	return check("S8c", ok, "%s: %s %d MB, later %d MB; resident %s; of them Go's %s, its live and dead objects %s", s.name, what, before, after, s.strip(from, to, s.all, resident),
		s.strip(from, to, s.all, runtime), s.strip(from, to, s.all, func(r Reading) int { return r.Heap / mb }))
}

// quarters are the medians of the second and the last quarter of the time; not ok when one of them has no reading.
func quarters(list []Reading, from, to time.Time, of func(Reading) int) (second, last int, ok bool) {
	quarter := to.Sub(from) / 4
	second, ok = median(list, from.Add(quarter), from.Add(2*quarter), of)
	last, also := median(list, from.Add(3*quarter), to.Add(time.Second), of)
	return second, last, ok && also
}

func median(list []Reading, from, to time.Time, of func(Reading) int) (int, bool) {
	var values []int
	for _, r := range list {
		if !r.At.Before(from) && r.At.Before(to) {
			values = append(values, of(r))
		}
	}
	if len(values) == 0 {
		return 0, false
	}
	slices.Sort(values)
	return values[len(values)/2], true
}

// strip is the series as twelve medians; "-" where there is no reading.
func (s series) strip(from, to time.Time, list []Reading, of func(Reading) int) string {
	const parts = 12
	var out []string
	for i := range parts {
		lo, hi := from.Add(to.Sub(from)*time.Duration(i)/parts), from.Add(to.Sub(from)*time.Duration(i+1)/parts)
		if v, ok := median(list, lo, hi, of); ok {
			out = append(out, fmt.Sprint(v))
		} else {
			out = append(out, "-")
		}
	}
	return strings.Join(out, " ")
}
