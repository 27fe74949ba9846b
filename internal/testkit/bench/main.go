// Command bench measures what Carillon costs: the real binary over private MariaDB, with its default durability,
// and private Redis, sending to a provider in a process of its own, all on this machine. What it does is set
// against a bare loop that does nothing but the same requests and the same inserts, in the same run: figures of
// two runs or two machines are not comparable, their ratios are.
//
//	go run ./internal/testkit/bench
//	go run ./internal/testkit/bench --only one,batch --recipients 20000 --json bench.json
//
// docs/benchmarks.md says what each row means. The exit code is 1 when something could not be measured, or when
// the provider did not get what it should have; a goal that is missed is shown, and is no fault of the run.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"carillon/internal/testkit/lab"
	"carillon/internal/testkit/openim"
)

func main() { lab.Main(run) }

// Options are what a run was asked for.
type Options struct {
	Only    []string
	Sizes   []int // recipients of a campaign, ascending
	Few     int   // recipients of the ways that are too slow for all of them
	Rounds  int   // of each throughput row, of which the median is taken
	Sends   int   // POSTs behind each latency
	Profile string
	Match   string // in the names of the stragglers' rows that are wanted
}

func (o Options) has(section string) bool { return slices.Contains(o.Only, section) }

func (o Options) largest() int { return o.Sizes[len(o.Sizes)-1] }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 1 && args[0] == providerArg {
		return provide(ctx, stdout, stderr)
	}
	if len(args) > 0 && args[0] == doubleArg {
		debug.SetGCPercent(400) // a double remembers all it was sent, which makes each collection dear
		return openim.Run(ctx, args[1:], stdout, stderr)
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var o Options
	only := flags.String("only", strings.Join(sections, ","), "what to measure")
	sizes := flags.String("recipients", "100000,1000000", "of a campaign; growth is the last size against the first")
	flags.IntVar(&o.Few, "few", 20_000, "recipients for the ways that are too slow for all of them")
	flags.IntVar(&o.Rounds, "rounds", 1, "of each throughput row; the median counts")
	flags.IntVar(&o.Sends, "sends", 200, "POSTs behind each latency")
	flags.StringVar(&o.Profile, "profile", "", "a directory for CPU and heap profiles of each carillon process; they cost a little")
	flags.StringVar(&o.Match, "match", "", "of the section stragglers, only rows whose name holds this text")
	out := flags.String("json", "", "write the figures to this file too")
	keep := flags.Bool("keep", false, "keep the logs also when nothing failed")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if err := o.parse(*only, *sizes); err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 2
	}
	dir, err := os.MkdirTemp("", "carillon-bench-")
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	begun := time.Now()
	report, err := measure(ctx, dir, o, stderr)
	report.Print(stdout)
	fmt.Fprintf(stdout, "\n%s\n", time.Since(begun).Round(time.Second))
	if *out != "" {
		if e := report.WriteJSON(*out); e != nil {
			fmt.Fprintln(stderr, "bench:", e)
			err = e
		}
	}
	if err == nil && !*keep {
		_ = os.RemoveAll(dir)
		return 0
	}
	_ = os.RemoveAll(filepath.Join(dir, "mariadb", "data")) // large
	fmt.Fprintf(stdout, "logs: %s\n", dir)
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

func (o *Options) parse(only, sizes string) error {
	for name := range strings.SplitSeq(only, ",") {
		if known := slices.Concat(sections, asked); !slices.Contains(known, name) {
			return fmt.Errorf("--only knows %s, not %q", strings.Join(known, ","), name)
		}
		o.Only = append(o.Only, name)
	}
	for s := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < chunk {
			return fmt.Errorf("--recipients: %q is not a number of %d or more", s, chunk)
		}
		o.Sizes = append(o.Sizes, n)
	}
	slices.Sort(o.Sizes)
	o.Sizes = slices.Compact(o.Sizes)
	if o.Few < 1 || o.Rounds < 1 || o.Sends < 1 {
		return fmt.Errorf("--few, --rounds and --sends must be 1 or more")
	}
	return nil
}

// sections are what --only chooses from.
var sections = []string{"one", "batch", "inbox", "openim", "naive", "post", "send", "slow", "import", "purge", "stragglers", "console"}

// asked are sections that run only when they are asked for: growth is for sizes that take long.
var asked = []string{"growth"}

// measure takes all the figures asked for. After an error the report holds what was measured before it.
func measure(ctx context.Context, dir string, o Options, log io.Writer) (*Report, error) {
	report := &Report{Sizes: o.Sizes}
	b := &Bench{dir: dir, log: log, options: o, directories: map[int]*Directory{}}
	defer b.Close()
	if err := b.Start(ctx); err != nil {
		return report, err
	}
	if err := b.describe(ctx, report); err != nil {
		return report, err
	}
	for _, size := range o.Sizes {
		for round := range o.Rounds {
			for _, w := range ways {
				if !slices.ContainsFunc(w.sections, o.has) {
					continue
				}
				b.note("%s, %d recipients (%d of %d)", w.name, size, round+1, o.Rounds)
				row, err := w.run(ctx, b, size)
				if err != nil {
					return report, fmt.Errorf("%s, %d recipients: %w", w.name, size, err)
				}
				row.What, row.Size = w.name, size
				report.Rows = append(report.Rows, row)
			}
		}
	}
	report.settleRows()
	for _, part := range []struct {
		section string
		run     func(context.Context, *Bench, *Report) error
	}{{"slow", slowProvider}, {"openim", slowOpenIM}, {"send", transactionalSends}, {"post", postLatency}, {"import", imports}, {"purge", purges}, {"stragglers", stragglers}, {"console", consoleSpeed}, {"growth", growth}} {
		if !o.has(part.section) {
			continue
		}
		b.note("%s", part.section)
		if err := part.run(ctx, b, report); err != nil {
			return report, fmt.Errorf("%s: %w", part.section, err)
		}
	}
	report.memoryGoals()
	return report, nil
}
