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
	missing  int       // recipients that never came
}

func (e *Evidence) tracks() []*track {
	pages := e.pages()
	names, sizes := map[string]string{}, map[string]map[int]int{}
	for _, c := range e.Campaigns {
		names[c.ID], sizes[c.ID] = c.Name, map[int]int{}
		for i, u := range c.Users {
			if e.NeverSent == nil || !e.NeverSent(u) {
				sizes[c.ID][i/pageSize]++
			}
		}
		if c.Delivery == atMostOnce {
			clear(sizes[c.ID]) // one that is unknown need never come
		}
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
			t = &track{campaign: names[a.Campaign], page: page, missing: sizes[a.Campaign][page]}
			by[k], list = t, append(list, t)
		}
		t.at, t.sender = append(t.at, a.At), append(t.sender, a.Sender)
		if user := [2]string{a.Campaign, a.RecvID}; !seen[user] {
			seen[user], t.last = true, a.At
			t.missing--
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
	stuck := t.missing > 0 && next == len(t.at)
	if next == 0 || !stuck && (!t.last.After(from) || next == len(t.at)) {
		return 0, false
	}
	if ev.Kind == KillWorker || ev.Kind == FreezeWorker {
		// Whose page it was OpenIM cannot tell: then every page that was begun has to move.
		if who := t.sender[next-1]; who != "" && who != fmt.Sprint("worker", ev.Worker+1) {
			return 0, false
		}
	}
	var moved time.Time
	if stuck { // for as long as anybody looked
		moved = e.end()
	} else {
		moved = t.at[next]
	}
	for _, o := range e.Events {
		if outage(o.Kind) && o.End.After(from) && o.Start.Before(moved) {
			from = o.End
		}
	}
	return max(0, moved.Sub(from)), true
}

// end is when the last sample was taken.
func (e *Evidence) end() (end time.Time) {
	for _, c := range e.Campaigns {
		if n := len(c.Samples); n > 0 && c.Samples[n-1].At.After(end) {
			end = c.Samples[n-1].At
		}
	}
	return end
}

func outage(k Kind) bool {
	switch k {
	case KillRedis, KillMariaDB, SpoilProvider, SpoilDatabase:
		return true
	default:
		return false
	}
}
