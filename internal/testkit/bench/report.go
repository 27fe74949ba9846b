package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// Report is all that a run has measured.
type Report struct {
	At        time.Time `json:"at"`
	CPUs      int       `json:"cpus"`
	Go        string    `json:"go"`
	Servers   string    `json:"servers"`
	Sizes     []int     `json:"sizes"`
	Rows      []Row     `json:"rows"`
	Latencies []Latency `json:"latencies"`
	Goals     []Goal    `json:"goals"`
}

func (r *Report) goal(what string, value float64, unit string, limit float64, atLeast bool) {
	r.Goals = append(r.Goals, newGoal(what, value, unit, limit, atLeast))
}

// row finds a way's row at one size.
func (r *Report) row(what string, size int) (Row, bool) {
	i := slices.IndexFunc(r.Rows, func(o Row) bool { return o.What == what && o.Size == size })
	if i < 0 {
		return Row{}, false
	}
	return r.Rows[i], true
}

// settleRows reduces the rounds to their medians, and sets the ways against each other and themselves.
func (r *Report) settleRows() {
	r.Rows = medians(r.Rows)
	for _, size := range r.Sizes {
		for _, c := range compared {
			mine, ok := r.row(c.name, size)
			other, against := r.row(c.against, size)
			if ok && against {
				r.goal(fmt.Sprintf("%s / %s, at %d", c.name, c.against, size), ratio(mine.PerSecond, other.PerSecond), "×", c.atLeast, true)
			}
		}
	}
	first, last := r.Sizes[0], r.Sizes[len(r.Sizes)-1]
	for _, w := range ways {
		few, ok := r.row(w.name, first)
		many, also := r.row(w.name, last)
		// A ceiling that falls with the size is not Carillon's doing, and stands beside it to tell so.
		if ok && also && first != last && many.Recipients == last {
			limit := 0.0
			if many.PeakRSS > 0 {
				limit = growthGoal
			}
			r.goal(fmt.Sprintf("growth: %s, %d / %d", w.name, last, first), ratio(many.PerSecond, few.PerSecond), "×", limit, true)
		}
	}
}

// memoryGoals looks at every carillon process that was measured.
func (r *Report) memoryGoals() {
	for _, row := range r.Rows {
		if row.RowBytes == 0 { // not a campaign
			continue
		}
		at := fmt.Sprintf("%s, at %d", row.What, row.Size)
		r.goal("process memory: "+at, mib(row.PeakRSS), "MiB", mib(processGoal), false)
		r.goal("Redis memory: "+at, mib(row.RedisPeak), "MiB", mib(redisGoal), false)
		limit := float64(rowBytesGoal)
		if row.Size < rowBytesFrom {
			limit = 0
		}
		r.goal("database: "+at, row.RowBytes, "bytes/recipient", limit, false)
	}
}

// Print writes the tables.
func (r *Report) Print(w io.Writer) {
	if r.Servers != "" {
		fmt.Fprintf(w, "%s; %d CPUs; %s; %s\n", r.At.Format(time.DateTime), r.CPUs, r.Go, r.Servers)
	}
	table(w, len(r.Rows), "way\tusers\trecipients\tseconds\tlead s\ttail s\trecipients/s\ta request\tbody B\tRSS MiB\tRedis MiB\tB/recipient", func(i int) string {
		o := r.Rows[i]
		return fmt.Sprintf("%s\t%d\t%d\t%.2f\t%s\t%s\t%.0f\t%s\t%s\t%s\t%s\t%s", o.What, o.Size, o.Recipients, o.Seconds, number(o.Lead), number(o.Tail), o.PerSecond,
			number(o.PerRequest), number(o.BytesPerRequest), number(mib(o.PeakRSS)), number(mib(o.RedisPeak)), number(o.RowBytes))
	})
	table(w, len(r.Latencies), "latency\ttries\tp50 ms\tp99 ms\tmax ms", func(i int) string {
		o := r.Latencies[i]
		return fmt.Sprintf("%s\t%d\t%.2f\t%.2f\t%.2f", o.What, o.Tries, o.P50, o.P99, o.Max)
	})
	table(w, len(r.Goals), "figure\tvalue\tunit\tgoal", func(i int) string {
		g := r.Goals[i]
		return fmt.Sprintf("%s\t%s\t%s\t%s", g.What, number(g.Value), g.Unit, g.verdict())
	})
}

func table(w io.Writer, rows int, head string, row func(i int) string) {
	if rows == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\n%s\n", head)
	for i := range rows {
		fmt.Fprintln(t, row(i))
	}
	_ = t.Flush()
}

// WriteJSON writes everything to a file.
func (r *Report) WriteJSON(file string) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(raw, '\n'), 0o600)
}
