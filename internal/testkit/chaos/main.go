// Command chaos tries the promises of the design on the real binary: it builds it, starts an API and workers
// over private MariaDB and Redis, lets a nemesis loose on them, and judges what came of it from outside: by
// the log of a provider of its own, what the API said meanwhile, and the ledger at the end.
//
//	go run ./internal/testkit/chaos --seed 7
//	go run ./internal/testkit/chaos --seed 1 --schedules 200 --trials storm
//
// The same seed draws the same faults. A run that fails keeps all logs in a directory, which it names, and
// exits with 1.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"carillon/internal/testkit/lab"
)

func main() { lab.Main(run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o := Options{Times: true, Freeze: true}
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Uint64Var(&o.Seed, "seed", uint64(time.Now().Unix()), "what the faults are drawn from")
	schedules := flags.Int("schedules", 1, "storms, each with the next seed")
	names := flags.String("trials", "all", "which ones, of "+trialNames(false)+"; and, when named only, "+trialNames(true))
	flags.IntVar(&o.Recipients, "recipients", 20_000, "of the largest campaign; of million and slow 1,000,000")
	flags.IntVar(&o.Workers, "workers", 3, "worker processes")
	flags.IntVar(&o.Batch, "batch", 1, "recipients in one request to the provider")
	flags.DurationVar(&o.Span, "span", 45*time.Second, "of a storm's faults; of soak 20m, of each phase of sag 10s and of dead 30s")
	flags.DurationVar(&o.Every, "every", 4*time.Second, "a fault, on average")
	race := flags.Bool("race", false, "build the binary with the race detector")
	keep := flags.Bool("keep", false, "keep the logs also when nothing failed")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	flags.Visit(func(f *flag.Flag) {
		o.asked.recipients = o.asked.recipients || f.Name == "recipients"
		o.asked.span = o.asked.span || f.Name == "span"
	})
	chosen, err := choose(*names)
	if err != nil {
		fmt.Fprintln(stderr, "chaos:", err)
		return 2
	}
	dir, err := os.MkdirTemp("", "carillon-chaos-")
	if err != nil {
		fmt.Fprintln(stderr, "chaos:", err)
		return 1
	}
	began := time.Now()
	fmt.Fprintf(stdout, "seed %d; %d recipients, %d workers, batch %d\n", o.Seed, o.Recipients, o.Workers, o.Batch)
	report := runTrials(ctx, dir, *race, chosen, *schedules, o, stdout)
	report.Print(stdout)
	fmt.Fprintf(stdout, "\nseed %d, %s\n", o.Seed, time.Since(began).Round(time.Second))
	if report.Failed() || *keep {
		_ = os.RemoveAll(filepath.Join(dir, "servers", "mariadb", "data")) // large, and the ledger's rows were judged
		fmt.Fprintf(stdout, "logs: %s\n", dir)
	} else {
		_ = os.RemoveAll(dir)
	}
	if report.Failed() {
		fmt.Fprintln(stdout, "FAIL")
		return 1
	}
	fmt.Fprintln(stdout, "PASS")
	return 0
}

// trialNames are those that are run only when named, or the others.
func trialNames(named bool) string {
	var names []string
	for _, t := range trials() {
		if t.named == named {
			names = append(names, t.name)
		}
	}
	return strings.Join(names, ",")
}

func choose(names string) ([]trial, error) {
	all := trials()
	if names == "all" {
		return slices.DeleteFunc(all, func(t trial) bool { return t.named }), nil
	}
	var chosen []trial
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(t trial) bool { return t.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no trial is called %q: there are %s,%s", name, trialNames(false), trialNames(true))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// runTrials runs the trials one after the other, so that each has the machine to itself. Storms come as often
// as there are schedules.
func runTrials(ctx context.Context, dir string, race bool, chosen []trial, schedules int, o Options, log io.Writer) *Report {
	report := &Report{}
	b := &Bench{dir: dir, race: race, log: log}
	defer b.Close()
	if err := b.Start(ctx); err != nil {
		report.Add("bench", nil, err)
		return report
	}
	for _, t := range chosen {
		times := 1
		if t.name == "storm" {
			times = schedules
		}
		for i := range times {
			if ctx.Err() != nil {
				report.Add(t.name, nil, errors.New("interrupted"))
				return report
			}
			mine := t.options(o)
			name := t.name
			if t.name == "storm" {
				mine.Seed += uint64(i)
				name = fmt.Sprint("storm ", mine.Seed)
			}
			fmt.Fprintf(log, "\n%s: %s\n", name, t.what)
			checks, err := t.run(ctx, b, mine)
			report.Add(name, checks, err)
			for _, c := range checks {
				if c.Verdict == Fail {
					fmt.Fprintf(log, "  FAIL %s: %s\n", c.Promise, c.Figure)
				}
			}
			if err != nil {
				fmt.Fprintf(log, "  FAIL: %v\n", err)
			}
		}
	}
	return report
}

// races are the processes whose logs the race detector, or a panic, has written to.
func (s *System) races() (found []string) {
	for _, c := range append([]*lab.Process{s.API}, s.Workers...) {
		raw, err := os.ReadFile(c.Log)
		if err == nil && (bytes.Contains(raw, []byte("WARNING: DATA RACE")) || bytes.Contains(raw, []byte("\npanic: "))) {
			found = append(found, c.Log)
		}
	}
	return found
}
