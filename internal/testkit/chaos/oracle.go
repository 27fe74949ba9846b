package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"carillon/client"
	"carillon/internal/testkit/lab"
)

// What the oracle knows of the product's sizes: jobs.Options and models.PageSize.
const (
	chunkSize    = 250
	pageSize     = 1000
	channelPages = 12 // pages of one channel that a process holds at once: three quarters of 16 slots
)

// Evidence is what one trial left behind. The oracle judges it and nothing else, so that it can be tried on
// evidence that was tampered with.
type Evidence struct {
	Chunk     int
	Campaigns []*Campaign
	Arrivals  []Arrival // at the provider, in order
	Events    []Event   // of the nemesis, in order
	Refusals  []Refusal // answers to the sampler that were not 200
	Races     []string  // logs that tell of a data race or a panic
	Poison    Manners   // whom the provider does not serve

	NeverSent func(user string) bool // who is sent nothing, because the product knows better; nil = nobody
}

// Check is one figure under a promise.
type Check struct {
	Promise string
	Verdict Verdict
	Figure  string
}

// Verdict is what became of a check.
type Verdict string

// The verdicts.
const (
	Pass         Verdict = "PASS"
	Fail         Verdict = "FAIL"
	NotExercised Verdict = "not exercised"
)

func verdict(ok bool) Verdict {
	if ok {
		return Pass
	}
	return Fail
}

func check(promise string, ok bool, figure string, args ...any) Check {
	return Check{promise, verdict(ok), fmt.Sprintf(figure, args...)}
}

// arrivalsOf are the arrivals by campaign and recipient.
func (e *Evidence) arrivalsOf() map[string]map[string][]Arrival {
	by := map[string]map[string][]Arrival{}
	for _, a := range e.Arrivals {
		users := by[a.Campaign]
		if users == nil {
			users = map[string][]Arrival{}
			by[a.Campaign] = users
		}
		users[a.RecvID] = append(users[a.RecvID], a)
	}
	return by
}

// Lost is R2: each recipient of each campaign stands once in the ledger and reached the provider, nobody else
// did, and what the ledger calls sent was.
func (e *Evidence) Lost() Check {
	by := e.arrivalsOf()
	var recipients, lost, invented, misrecorded, unserved, unknown int
	var unfinished []string
	for _, c := range e.Campaigns {
		arrived := by[c.ID]
		recipients += len(c.Users)
		if c.Rows == nil {
			unfinished = append(unfinished, fmt.Sprintf("%s %s %+v", c.Name, c.Last().Status, c.Last().Counts))
			continue
		}
		rows := map[string]lab.Row{}
		for _, r := range c.Rows {
			if _, twice := rows[r.UserID]; twice {
				misrecorded++
			}
			rows[r.UserID] = r
		}
		for _, u := range c.Users {
			r, stands := rows[u]
			here := arrived[u]
			ok := slices.ContainsFunc(here, Arrival.Accepted)
			switch {
			case stands && r.Status == "unknown" && c.Delivery == atMostOnce:
				unknown++ // claimed, and perhaps never sent
			case !stands, len(here) == 0:
				lost++
			case r.Status == "sent" && !ok:
				misrecorded++
			case r.Status != "sent" && e.Poison.answer(u) == (Manners{}).answer(u):
				unserved++
			case r.Status == "sent" && r.ClientMsgID != here[0].ClientMsgID:
				misrecorded++
			}
			delete(rows, u)
			delete(arrived, u)
		}
		invented += len(rows) + len(arrived)
	}
	figure := fmt.Sprintf("%d of %d recipients lost", lost, recipients)
	for _, n := range []struct {
		n    int
		what string
	}{
		{invented, "who were not in the audience"},
		{misrecorded, "recorded wrongly"},
		{unserved, "given up though the provider serves them"},
	} {
		if n.n > 0 {
			figure += fmt.Sprintf(", %d %s", n.n, n.what)
		}
	}
	if unknown > 0 {
		figure += fmt.Sprintf(", %d unknown", unknown)
	}
	if len(unfinished) > 0 {
		figure += ", NOT FINISHED: " + strings.Join(unfinished, "; ")
	}
	return check("R2", lost+invented+misrecorded+unserved+len(unfinished) == 0, "%s", figure)
}

// Sums is the other half of R2: at every sample total is the sum of all outcomes and does not change, nothing
// that was settled becomes pending again, and at the end the counters equal the rows. MariaDB shows a commit before it
// is on disk, and before whoever made it is told: a kill of the server may take back what the last look showed.
func (e *Evidence) Sums() Check {
	samples, wrong := 0, 0
	first := ""
	bad := func(c *Campaign, s Sample, why string) {
		if wrong++; wrong == 1 {
			first = fmt.Sprintf(", first: %s %s: %+v", c.Name, why, s.Counts)
		}
	}
	for _, c := range e.Campaigns {
		pending, before := int64(len(c.Users)), c.Posted
		for _, s := range c.Samples {
			samples++
			if e.killed(KillMariaDB, before, s.At) {
				pending = int64(len(c.Users))
			}
			switch n := s.Counts; {
			case n.Total != lab.Sum(n):
				bad(c, s, "total is not the sum")
			case n.Total != int64(len(c.Users)):
				bad(c, s, "total is not the audience")
			case n.Pending > pending:
				bad(c, s, "pending grew")
			case s.Status == "completed" && n.Pending > 0:
				bad(c, s, "completed with pending ones")
			}
			pending, before = s.Counts.Pending, s.At
		}
		if c.Rows != nil {
			if last := c.Last(); countRows(c.Rows) != last.Counts {
				bad(c, Sample{Campaign: last}, fmt.Sprintf("the rows say %+v", countRows(c.Rows)))
			}
		}
	}
	return check("R2", wrong == 0 && samples > 0, "%d of %d samples with a wrong sum%s", wrong, samples, first)
}

// killed says whether a fault of that kind lay between two looks.
func (e *Evidence) killed(kind Kind, from, to time.Time) bool {
	return slices.ContainsFunc(e.Events, func(ev Event) bool { return ev.Kind == kind && ev.End.After(from) && ev.Start.Before(to) })
}

func countRows(rows []lab.Row) client.Counts {
	n := client.Counts{Total: int64(len(rows))}
	for _, r := range rows {
		switch r.Status {
		case "pending":
			n.Pending++
		case "sent":
			n.Sent++
		case "failed":
			n.Failed++
		case "skipped":
			n.Skipped++
		case "expired":
			n.Expired++
		case "cancelled":
			n.Cancelled++
		case "unknown":
			n.Unknown++
		}
	}
	return n
}

// Repeats is R3. A repeat is an accepted arrival beyond a recipient's first. One that the ledger counts as an
// attempt followed an ambiguous answer; the others may only come from crashes, each at most 2 × chunk × the
// pages that the worker held. At a provider that honours the key a repeat is one under another clientMsgID.
// An attempt that a faltering provider answered with a failure is not ambiguous.
// With no fault on the provider's link no answer is ambiguous but a frozen worker's, whose requests time out
// while it sleeps, so that without a crash there is none. With atMostOnce a recipient has one arrival at most, and what a crash left open is unknown.
func (e *Evidence) Repeats() Check {
	by := e.arrivalsOf()
	var repeats, beyond, keyed, once, unknown int
	for _, c := range e.Campaigns {
		attempts := map[string]int{}
		for _, r := range c.Rows {
			attempts[r.UserID] = r.Attempts
			if r.Status == "unknown" {
				unknown++
			}
		}
		for user, arrivals := range by[c.ID] {
			accepted, counted, keys := 0, attempts[user], map[string]bool{}
			for _, a := range arrivals {
				keys[a.ClientMsgID] = true
				if a.Accepted() {
					accepted++
				} else if e.Poison.Falters > 0 {
					counted--
				}
			}
			keyed += len(keys) - 1
			repeats += max(0, accepted-1)
			if c.Delivery == atMostOnce {
				once += len(arrivals) - 1
				continue
			}
			beyond += max(0, accepted-max(1, counted))
		}
	}
	crashes, allowed, frozen := e.crashes()
	ok := beyond <= allowed && keyed == 0 && once == 0
	if !e.providerDisturbed() {
		ok = ok && repeats <= allowed && repeats-beyond <= frozen && unknown <= allowed
	}
	return check("R3", ok, "%d repeats: %d after ambiguous answers, %d from %d crashes (at most %d); %d at a provider that honours the key; with atMostOnce %d repeats, %d unknown",
		repeats, repeats-beyond, beyond, crashes, allowed, keyed, once, unknown)
}

// crashes counts the events after which a worker's last chunks are ambiguous, and how many repeats they allow; frozen
// are those of workers that woke up again.
func (e *Evidence) crashes() (n, allowed, frozen int) {
	pages := e.pages()
	for _, ev := range e.Events {
		if !e.crash(ev) {
			continue
		}
		n++
		held := map[string]bool{}
		since := e.calmBefore(ev.Start).Add(-8 * time.Second) // a visit's 5 s, and the time to write
		for _, a := range e.Arrivals {
			if a.Sender == fmt.Sprint("worker", ev.Worker+1) && a.At.After(since) && a.At.Before(ev.Start.Add(time.Second)) {
				held[fmt.Sprint(a.Campaign, pages[a.Campaign][a.RecvID])] = true
			}
		}
		most := 2 * e.Chunk * min(len(held), channelPages)
		allowed += most
		if ev.Kind == FreezeWorker {
			frozen += most
		}
	}
	return n, allowed, frozen
}

// crash says whether an event leaves sends behind that nobody wrote down: a worker killed, frozen past its
// lease, or told to stop while the database was away.
func (e *Evidence) crash(ev Event) bool {
	switch ev.Kind {
	case KillWorker, FreezeWorker:
		return true
	case TermWorker:
		return ev.Exit != 0 || slices.ContainsFunc(e.Events, func(o Event) bool {
			return (o.Kind == KillMariaDB || o.Kind == SpoilDatabase) && o.Start.Before(ev.Start.Add(ev.Took)) && o.End.After(ev.Start)
		})
	default:
		return false
	}
}

func (e *Evidence) providerDisturbed() bool {
	return e.Poison.Hangs != "" || slices.ContainsFunc(e.Events, func(ev Event) bool { return ev.Kind == SpoilProvider })
}

// calmBefore goes back over the outages of the database that reach up to t: a worker's last sends may be as old.
func (e *Evidence) calmBefore(t time.Time) time.Time {
	for i := len(e.Events) - 1; i >= 0; i-- {
		ev := e.Events[i]
		if (ev.Kind == KillMariaDB || ev.Kind == SpoilDatabase) && ev.Start.Before(t) && ev.End.After(t.Add(-8*time.Second)) {
			t = ev.Start
		}
	}
	return t
}

// pages is each recipient's page, by campaign: audiences are cut in key order.
func (e *Evidence) pages() map[string]map[string]int {
	by := map[string]map[string]int{}
	for _, c := range e.Campaigns {
		by[c.ID] = make(map[string]int, len(c.Users))
		for i, u := range c.Users {
			by[c.ID][u] = i / pageSize
		}
	}
	return by
}

// Terms is R5: how processes obeyed SIGTERM.
func (e *Evidence) Terms(times bool) Check {
	var slowest time.Duration
	n, bad := 0, 0
	for _, ev := range e.Events {
		if ev.Kind != TermWorker {
			continue
		}
		n++
		slowest = max(slowest, ev.Took)
		if ev.Exit != 0 || times && ev.Took > stopLimit {
			bad++
		}
	}
	if n == 0 {
		return Check{"R5", NotExercised, "no SIGTERM was drawn"}
	}
	return check("R5", bad == 0, "%d of %d processes did not stop well; slowest %.1f s", bad, n, slowest.Seconds())
}

// Clean says that nothing went wrong beside the promises: no data race, no answer but 200 and 503.
func (e *Evidence) Clean() Check {
	odd := map[int]int{}
	for _, r := range e.Refusals {
		if r.Status != 503 || r.RetryAfter == 0 {
			odd[r.Status]++
		}
	}
	var failed []string
	for _, ev := range e.Events {
		if ev.Err != nil {
			failed = append(failed, fmt.Sprintf("%s: %v", ev.What(), ev.Err))
		}
	}
	figure := fmt.Sprintf("%d refusals of the API, of them %d without 503 and Retry-After", len(e.Refusals), sum(odd))
	if len(odd) > 0 {
		figure += fmt.Sprintf(" %v", odd)
	}
	if len(e.Races) > 0 {
		figure += ", data races or panics in " + strings.Join(e.Races, ", ")
	}
	if len(failed) > 0 {
		figure += ", the nemesis failed: " + strings.Join(failed, "; ")
	}
	return check("health", len(odd)+len(e.Races)+len(failed) == 0, "%s", figure)
}

func sum(m map[int]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}
