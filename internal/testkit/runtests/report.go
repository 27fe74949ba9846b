package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// event is one line of `go test -json` (go doc test2json).
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build-output
	Test        string // empty: about the package
	Elapsed     float64
	Output      string
	FailedBuild string
}

// stores are the subtests of testkit.EachStore; results are counted for each.
var stores = []string{"embedded", "mariadb+redis"}

const slowest = 10

type testID struct{ pkg, name string }

func (id testID) String() string { return id.pkg + " " + id.name }

// result is what became of one test.
type result struct {
	id      testID
	action  string // pass, fail or skip
	elapsed float64
}

// report turns the events into progress lines and, at the end, the figures.
type report struct {
	out     io.Writer
	all     bool                        // show what passed tests have printed, too
	output  map[testID]*strings.Builder // of what has not finished yet; a package's own under the name ""
	parents map[testID]map[string]bool  // which actions the subtests of a test ended with
	results []result
	builds  map[string]*strings.Builder
	faults  []string // failures that are no test's
}

func newReport(out io.Writer) *report {
	return &report{
		out:     out,
		output:  map[testID]*strings.Builder{},
		parents: map[testID]map[string]bool{},
		builds:  map[string]*strings.Builder{},
	}
}

// read takes events until the stream ends. Lines that are no event are shown as they are.
func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil && e.Action != "" {
				r.add(e)
			} else {
				fmt.Fprintf(r.out, "%s\n", strings.TrimRight(string(line), "\n"))
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) add(e event) {
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "run", "start":
		r.output[id] = &strings.Builder{}
	case "output":
		if b := r.output[id]; b != nil {
			b.WriteString(e.Output)
		}
	case "build-output":
		if r.builds[e.ImportPath] == nil {
			r.builds[e.ImportPath] = &strings.Builder{}
		}
		r.builds[e.ImportPath].WriteString(e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(e)
		} else {
			r.endTest(id, e.Action, e.Elapsed)
		}
	}
}

func (r *report) endTest(id testID, action string, elapsed float64) {
	if action != "pass" || r.all {
		r.show(id)
	}
	delete(r.output, id)
	below := r.parents[id]
	if i := strings.LastIndexByte(id.name, '/'); i >= 0 {
		r.mark(testID{id.pkg, id.name[:i]}, action)
	}
	// A test with subtests counts only for what it did itself: failing or skipping when none of them did.
	if below == nil || (action != "pass" && !below[action]) {
		r.results = append(r.results, result{id, action, elapsed})
	}
}

func (r *report) mark(parent testID, action string) {
	if r.parents[parent] == nil {
		r.parents[parent] = map[string]bool{}
	}
	r.parents[parent][action] = true
}

func (r *report) endPackage(e event) {
	own := testID{e.Package, ""}
	if e.Action == "fail" {
		if b := r.builds[e.FailedBuild]; b != nil {
			fmt.Fprintf(r.out, "\n%s", b)
		}
		died := r.endUnfinished(e.Package)
		outside := r.count(func(x result) bool { return x.id.pkg == e.Package })["fail"] == 0
		if died || outside {
			r.show(own) // the stack of a panic or a time-out is the package's
		}
		if outside {
			r.faults = append(r.faults, e.Package+" failed outside of its tests")
		}
	}
	delete(r.output, own)
	took := time.Duration(e.Elapsed * float64(time.Second)).Round(10 * time.Millisecond)
	switch e.Action {
	case "skip":
		fmt.Fprintf(r.out, "-     %s has no tests\n", e.Package)
	default:
		word := map[string]string{"pass": "ok", "fail": "FAIL"}[e.Action]
		n := r.count(func(x result) bool { return x.id.pkg == e.Package })
		fmt.Fprintf(r.out, "%-5s %s  %s, %d passed, %d failed, %d skipped\n", word, e.Package, took, n["pass"], n["fail"], n["skip"])
	}
}

// endUnfinished fails the tests that a dying package left open, the innermost first; false when there are none.
func (r *report) endUnfinished(pkg string) bool {
	var open []testID
	for id := range r.output {
		if id.pkg == pkg && id.name != "" {
			open = append(open, id)
		}
	}
	slices.SortFunc(open, func(a, b testID) int { return strings.Compare(b.name, a.name) })
	for _, id := range open {
		r.endTest(id, "fail", 0)
	}
	return len(open) > 0
}

func (r *report) show(id testID) {
	if b := r.output[id]; b != nil && b.Len() > 0 {
		fmt.Fprintf(r.out, "\n>>> %s\n%s\n", id, strings.TrimRight(b.String(), "\n"))
	}
}

// fault notes a failure that is no test's.
func (r *report) fault(err error) { r.faults = append(r.faults, err.Error()) }

func (r *report) failed() int {
	return r.count(func(result) bool { return true })["fail"] + len(r.faults)
}

func (r *report) count(of func(result) bool) map[string]int {
	n := map[string]int{}
	for _, x := range r.results {
		if of(x) {
			n[x.action]++
		}
	}
	return n
}

// summary prints the figures and tells whether all is well.
func (r *report) summary() bool {
	fmt.Fprintf(r.out, "\n%-14s %7s %7s %7s\n", "store", "passed", "failed", "skipped")
	row := func(name string, of func(result) bool) {
		n := r.count(of)
		fmt.Fprintf(r.out, "%-14s %7d %7d %7d\n", name, n["pass"], n["fail"], n["skip"])
	}
	for _, s := range stores {
		row(s, func(x result) bool { return x.onStore(s) })
	}
	row("neither", func(x result) bool { return !slices.ContainsFunc(stores, x.onStore) })
	r.printSlowest()
	for _, action := range []string{"skip", "fail"} {
		for _, x := range r.results {
			if x.action == action {
				fmt.Fprintf(r.out, "%s %s\n", map[string]string{"skip": "SKIPPED, which is a failure here:", "fail": "FAILED"}[action], x.id)
			}
		}
	}
	n := r.count(func(result) bool { return true })
	if n["pass"] == 0 && r.failed() == 0 {
		r.faults = append(r.faults, "no test ran")
	}
	for _, f := range r.faults {
		fmt.Fprintln(r.out, "FAILED", f)
	}
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", n["pass"], r.failed(), n["skip"])
	return r.failed() == 0 && n["skip"] == 0
}

func (r *report) printSlowest() {
	byTime := slices.Clone(r.results)
	slices.SortStableFunc(byTime, func(a, b result) int { return cmp.Compare(b.elapsed, a.elapsed) })
	fmt.Fprintln(r.out, "\nslowest tests")
	for _, x := range byTime[:min(slowest, len(byTime))] {
		fmt.Fprintf(r.out, "%7.2fs %s\n", x.elapsed, x.id)
	}
	fmt.Fprintln(r.out)
}

func (x result) onStore(store string) bool { return strings.Contains(x.id.name+"/", "/"+store+"/") }
