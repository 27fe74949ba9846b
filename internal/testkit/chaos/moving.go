package main

import (
	"fmt"
	"slices"
	"sort"
	"time"
)

// movingLimit is what R4 and R6 grant.
const movingLimit = 30 * time.Second

// Moving is R4, R6 and their like: after each event of these kinds, how long until every page that it can have
// stopped moved again. A page moves when the provider gets one of its recipients. The clock begins at a crash,
// or when an outage ends; a later outage begins it anew.
func (e *Evidence) Moving(promise string, times bool, kinds ...Kind) Check {
	tracks := e.tracks()
	var slowest time.Duration
	var what string
	n, pages := 0, 0
	for _, ev := range e.Events {
		if !slices.Contains(kinds, ev.Kind) {
			continue
		}
		n++
		for _, t := range tracks {
			took, hit := e.stood(t, ev)
			if !hit {
				continue
			}
			pages++
			if took > slowest {
				slowest, what = took, fmt.Sprintf(" (page %d of %s)", t.page, t.campaign)
			}
		}
	}
	if n == 0 {
		return Check{promise, NotExercised, fmt.Sprintf("no %v was drawn", kinds)}
	}
	return check(promise, !times || slowest <= movingLimit, "after %d × %v: %d pages stood, the longest for %.1f s%s", n, kinds, pages, slowest.Seconds(), what)
}

// track is one page as the provider saw it.
type track struct {
	campaign string
	page     int
	at       []time.Time
	sender   []string
	last     time.Time // when the last of its recipients came for the first time
}

func (e *Evidence) tracks() []*track {
	pages := e.pages()
	names := map[string]string{}
	for _, c := range e.Campaigns {
		names[c.ID] = c.Name
	}
	type key struct {
		campaign string
		page     int
	}
	by := map[key]*track{}
	var list []*track
	seen := map[[2]string]bool{}
	for _, a := range e.Arrivals {
		page, ok := pages[a.Campaign][a.RecvID]
		if !ok {
			continue
		}
		k := key{a.Campaign, page}
		t := by[k]
		if t == nil {
			t = &track{campaign: names[a.Campaign], page: page}
			by[k], list = t, append(list, t)
		}
		t.at, t.sender = append(t.at, a.At), append(t.sender, a.Sender)
		if user := [2]string{a.Campaign, a.RecvID}; !seen[user] {
			seen[user], t.last = true, a.At
		}
	}
	return list
}

// stood is how long a page stood still after an event; hit is false for one that the event did not concern: not
// begun yet, complete already, or in another worker's hands.
func (e *Evidence) stood(t *track, ev Event) (took time.Duration, hit bool) {
	from := ev.End
	if ev.Kind == KillWorker || ev.Kind == FreezeWorker || ev.Kind == FlushRedis {
		from = ev.Start
	}
	// What the killed worker had on the wire still arrives.
	next := sort.Search(len(t.at), func(i int) bool { return t.at[i].After(from.Add(50 * time.Millisecond)) })
	if next == 0 || !t.last.After(from) || next == len(t.at) {
		return 0, false
	}
	if ev.Kind == KillWorker || ev.Kind == FreezeWorker {
		if t.sender[next-1] != fmt.Sprint("worker", ev.Worker+1) {
			return 0, false
		}
	}
	moved := t.at[next]
	for _, o := range e.Events {
		if outage(o.Kind) && o.End.After(from) && o.Start.Before(moved) {
			from = o.End
		}
	}
	return max(0, moved.Sub(from)), true
}

func outage(k Kind) bool {
	switch k {
	case KillRedis, KillMariaDB, SpoilProvider, SpoilDatabase:
		return true
	default:
		return false
	}
}
