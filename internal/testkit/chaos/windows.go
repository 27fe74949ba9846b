package main

import (
	"slices"
	"time"
)

// times are when a campaign's recipients reached the provider, in order; of all campaigns with "".
func (e *Evidence) times(campaign string) []time.Time {
	var at []time.Time
	for _, a := range e.Arrivals {
		if campaign == "" || a.Campaign == campaign {
			at = append(at, a.At)
		}
	}
	return at
}

// within counts the times in [from, to).
func within(at []time.Time, from, to time.Time) int {
	lo, _ := slices.BinarySearchFunc(at, from, time.Time.Compare)
	hi, _ := slices.BinarySearchFunc(at, to, time.Time.Compare)
	return max(0, hi-lo)
}

// extremes are the fewest and the most times in a window of the given width, wherever it begins within
// [from, to]. A count is least just after a time has left the window, and most while one is its first.
func extremes(at []time.Time, from, to time.Time, width time.Duration) (least, most int) {
	least = within(at, from, from.Add(width))
	most = least
	for _, t := range at {
		for _, start := range []time.Time{t, t.Add(1)} {
			if start.Before(from) || start.Add(width).After(to) {
				continue
			}
			n := within(at, start, start.Add(width))
			least, most = min(least, n), max(most, n)
		}
	}
	return least, most
}

// percentile of sorted durations, by nearest rank; 0 of none.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(1, (len(sorted)*p+99)/100)-1]
}
