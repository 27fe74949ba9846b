package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Row is one way of reaching a number of recipients.
type Row struct {
	What            string  `json:"what"`
	Size            int     `json:"size"`       // of the directory
	Recipients      int     `json:"recipients"` // fewer than size where a way is too slow for all of them
	Seconds         float64 `json:"seconds"`
	PerSecond       float64 `json:"perSecond"`
	Lead            float64 `json:"lead,omitempty"` // seconds from the POST to the first request, within Seconds
	Tail            float64 `json:"tail,omitempty"` // seconds from the last request to the end, within Seconds
	PerRequest      float64 `json:"recipientsPerRequest,omitempty"`
	BytesPerRequest float64 `json:"bytesPerRequest,omitempty"` // of its body
	PeakRSS         int64   `json:"peakRSS,omitempty"`         // bytes; of the carillon process
	RedisPeak       int64   `json:"redisPeak,omitempty"`       // bytes
	RowBytes        float64 `json:"bytesPerRecipient,omitempty"`
}

func newRow(n int, took time.Duration) Row {
	return Row{Recipients: n, Seconds: took.Seconds(), PerSecond: ratio(float64(n), took.Seconds())}
}

// Latency is how long something took, of many tries, in milliseconds.
type Latency struct {
	What  string  `json:"what"`
	Tries int     `json:"tries"`
	P50   float64 `json:"p50ms"`
	P99   float64 `json:"p99ms"`
	Max   float64 `json:"maxms"`
}

func newLatency(what string, took []time.Duration) Latency {
	sorted := slices.Sorted(slices.Values(took))
	return Latency{what, len(sorted), ms(percentile(sorted, 50)), ms(percentile(sorted, 99)), ms(percentile(sorted, 100))}
}

// percentile is the smallest value that p percent of all are not above (nearest rank); 0 of nothing.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// ratio is a/b, and 0 where there is nothing to divide by.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// medians keeps of the rows of each way and size the one with the middle speed; of an even number the slower of
// the two in the middle. The order is that of the first of each.
func medians(rows []Row) []Row {
	var kept []Row
	for i, r := range rows {
		same := func(o Row) bool { return o.What == r.What && o.Size == r.Size }
		if slices.ContainsFunc(rows[:i], same) {
			continue
		}
		var all []Row
		for _, o := range rows {
			if same(o) {
				all = append(all, o)
			}
		}
		slices.SortFunc(all, func(a, b Row) int { return cmp.Compare(a.PerSecond, b.PerSecond) })
		kept = append(kept, all[(len(all)-1)/2])
	}
	return kept
}

// Goal is a figure that the design sets a limit to.
type Goal struct {
	What    string  `json:"what"`
	Value   float64 `json:"value"`
	Unit    string  `json:"unit"`
	Limit   float64 `json:"limit"` // 0 = none, the figure is for information
	AtLeast bool    `json:"atLeast"`
	Met     bool    `json:"met"`
}

func newGoal(what string, value float64, unit string, limit float64, atLeast bool) Goal {
	met := value <= limit
	if atLeast {
		met = value >= limit
	}
	return Goal{what, value, unit, limit, atLeast, met || limit == 0}
}

func (g Goal) verdict() string {
	if g.Limit == 0 {
		return ""
	}
	sign, word := "≤", "met"
	if g.AtLeast {
		sign = "≥"
	}
	if !g.Met {
		word = "MISSED"
	}
	return fmt.Sprintf("%s %s  %s", sign, number(g.Limit), word)
}

// number is short: three digits that mean something, and whole from 100 up.
func number(v float64) string {
	switch {
	case v == 0:
		return "–"
	case math.Abs(v) >= 100:
		return fmt.Sprintf("%.0f", v)
	case math.Abs(v) >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
