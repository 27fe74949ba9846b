package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/client"
	"carillon/internal/testkit/lab"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// truth is what an honest run of one campaign leaves behind: 2,500 recipients in three pages, each page sent
// by another worker, 100 recipients a second and worker.
func truth() *Evidence {
	c := &Campaign{Order: Order{Name: "c", Users: userIDs(2500)}, ID: "C"}
	e := &Evidence{Chunk: chunkSize, Campaigns: []*Campaign{c}}
	for i, u := range c.Users {
		key := "key-" + u
		e.Arrivals = append(e.Arrivals, Arrival{
			Campaign: "C", RecvID: u, ClientMsgID: key, Sender: fmt.Sprint("worker", i/pageSize+1), Answer: 200,
			At: noon.Add(time.Duration(i%pageSize) * 10 * time.Millisecond),
		})
		c.Rows = append(c.Rows, lab.Row{UserID: u, Status: "sent", Attempts: 1, ClientMsgID: key})
	}
	slices.SortStableFunc(e.Arrivals, func(a, b Arrival) int { return a.At.Compare(b.At) })
	for sent := int64(0); sent <= 2500; sent += 500 {
		v := client.Campaign{ID: "C", Status: "running", Planned: true, Counts: client.Counts{Total: 2500, Pending: 2500 - sent, Sent: sent}}
		if sent == 2500 {
			v.Status = "completed"
		}
		c.Samples = append(c.Samples, Sample{noon.Add(time.Duration(sent) * time.Millisecond), v})
	}
	return e
}

func kill(worker int, at time.Duration) Event {
	return Event{Fault: Fault{Kind: KillWorker, Worker: worker - 1}, Start: noon.Add(at), End: noon.Add(at + time.Second)}
}

func freeze(worker int, at time.Duration) Event {
	return Event{Fault: Fault{Kind: FreezeWorker, Worker: worker - 1}, Start: noon.Add(at), End: noon.Add(at + 18*time.Second)}
}

func down(kind Kind, from, to time.Duration) Event {
	return Event{Fault: Fault{Kind: kind}, Start: noon.Add(from), End: noon.Add(to)}
}

// again repeats a recipient's first arrival, later.
func (e *Evidence) again(user int, later time.Duration) *Arrival {
	u := e.Campaigns[0].Users[user]
	i := slices.IndexFunc(e.Arrivals, func(a Arrival) bool { return a.RecvID == u })
	a := e.Arrivals[i]
	a.At = a.At.Add(later)
	e.Arrivals = append(e.Arrivals, a)
	return &e.Arrivals[len(e.Arrivals)-1]
}

// unknown writes recipients down as such.
func (e *Evidence) unknown(users ...int) {
	c := e.Campaigns[0]
	for _, u := range users {
		c.Rows[u].Status = "unknown"
	}
	c.Samples[len(c.Samples)-1].Counts.Sent -= int64(len(users))
	c.Samples[len(c.Samples)-1].Counts.Unknown += int64(len(users))
}

// halt makes a page stand still: what came after from comes so much later.
func (e *Evidence) halt(page int, from, by time.Duration) {
	pages := e.pages()
	for i, a := range e.Arrivals {
		if pages[a.Campaign][a.RecvID] == page && a.At.After(noon.Add(from)) {
			e.Arrivals[i].At = a.At.Add(by)
		}
	}
	slices.SortStableFunc(e.Arrivals, func(a, b Arrival) int { return a.At.Compare(b.At) })
}

func (e *Evidence) all() map[string]Check {
	return map[string]Check{
		"lost": e.Lost(), "sums": e.Sums(), "repeats": e.Repeats(), "clean": e.Clean(), "terms": e.Terms(true),
		"R4": e.Moving("R4", true, KillWorker), "R6": e.Moving("R6", true, FlushRedis, KillRedis),
	}
}

func TestTheOracleFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	gone := func(e *Evidence, user string) {
		e.Arrivals = slices.DeleteFunc(e.Arrivals, func(a Arrival) bool { return a.RecvID == user })
	}
	for _, tc := range []struct {
		name   string
		doctor func(*Evidence)
		fails  string // the checks that must fail, and no other; "" = none
	}{
		{"nothing", func(*Evidence) {}, ""},
		{"a recipient the provider never saw", func(e *Evidence) { gone(e, "user-000007") }, "lost"},
		{"a recipient without a row", func(e *Evidence) { e.Campaigns[0].Rows = e.Campaigns[0].Rows[1:] }, "lost sums"},
		{"a recipient with two rows", func(e *Evidence) { e.Campaigns[0].Rows[1] = e.Campaigns[0].Rows[0] }, "lost"},
		{"a stranger", func(e *Evidence) { e.again(3, 0).RecvID = "stranger" }, "lost"},
		{"sent in the ledger, refused by the provider", func(e *Evidence) { e.Arrivals[5].Answer = 422 }, "lost"},
		{"given up", func(e *Evidence) { e.Campaigns[0].Rows[5].Status = "failed" }, "lost sums"},
		{"a campaign that did not end", func(e *Evidence) { e.Campaigns[0].Rows = nil }, "lost"},
		{"a wrong sum", func(e *Evidence) { e.Campaigns[0].Samples[2].Counts.Pending-- }, "sums"},
		{"a total that changes", func(e *Evidence) {
			n := &e.Campaigns[0].Samples[2].Counts
			n.Total, n.Pending = n.Total-1, n.Pending-1
		}, "sums"},
		{"pending grows", func(e *Evidence) {
			s := e.Campaigns[0].Samples
			s[2], s[3] = s[3], s[2]
		}, "sums"},
		{"pending grows, and MariaDB was killed at another time", func(e *Evidence) {
			s := e.Campaigns[0].Samples
			s[2], s[3] = s[3], s[2]
			e.Events = []Event{down(KillMariaDB, 100*time.Millisecond, 400*time.Millisecond)}
		}, "sums"},
		{"pending grows as MariaDB is killed", func(e *Evidence) {
			n := &e.Campaigns[0].Samples[2].Counts // a second after noon, the next one 500 ms later
			n.Sent, n.Pending = n.Sent+600, n.Pending-600
			e.Events = []Event{down(KillMariaDB, 1100*time.Millisecond, 1400*time.Millisecond)}
		}, ""},
		{"completed too early", func(e *Evidence) { e.Campaigns[0].Samples[4].Status = "completed" }, "sums"},
		{"no samples", func(e *Evidence) { e.Campaigns[0].Samples = nil }, "sums"},
		{"a repeat without a crash", func(e *Evidence) { e.again(3, time.Second) }, "repeats"},
		{"a repeat that the ledger knows, with nothing that disturbed the provider", func(e *Evidence) {
			e.again(3, time.Second)
			e.Campaigns[0].Rows[3].Attempts = 2
		}, "repeats"},
		{"a repeat after an ambiguous answer", func(e *Evidence) {
			e.again(3, time.Second)
			e.Campaigns[0].Rows[3].Attempts = 2
			e.Events = []Event{down(SpoilProvider, 0, time.Second)}
		}, ""},
		{"a repeat that the ledger knows, of a worker that was frozen", func(e *Evidence) {
			e.again(3, time.Second)
			e.Campaigns[0].Rows[3].Attempts = 2
			e.Events = []Event{freeze(1, 5*time.Second)}
		}, ""},
		{"a repeat that the ledger knows, of a worker that was killed", func(e *Evidence) {
			e.again(3, time.Second)
			e.Campaigns[0].Rows[3].Attempts = 2
			e.Events = []Event{kill(1, 5*time.Second)}
		}, "repeats"},
		{"more of them than a frozen worker held", func(e *Evidence) {
			e.Events = []Event{freeze(1, 5*time.Second)}
			for i := range 501 {
				e.again(i, time.Second)
				e.Campaigns[0].Rows[i].Attempts = 2
			}
		}, "repeats"},
		{"a repeat too many after an ambiguous answer", func(e *Evidence) {
			e.again(3, time.Second)
			e.again(3, time.Second)
			e.Campaigns[0].Rows[3].Attempts = 2
			e.Events = []Event{down(SpoilProvider, 0, time.Second)}
		}, "repeats"},
		{"as many repeats as a crash may bring", func(e *Evidence) { // one page was held: 2 × 250
			e.Events = []Event{kill(1, 5*time.Second)}
			for i := range 500 {
				e.again(i, time.Second)
			}
		}, ""},
		{"one more than that", func(e *Evidence) {
			e.Events = []Event{kill(1, 5*time.Second)}
			for i := range 501 {
				e.again(i, time.Second)
			}
		}, "repeats"},
		{"repeats after a crash of a worker that held nothing", func(e *Evidence) {
			e.Events = []Event{kill(4, 5*time.Second)}
			e.again(3, time.Second)
		}, "repeats"},
		{"a repeat under another key", func(e *Evidence) {
			e.Events = []Event{kill(1, 5*time.Second)}
			e.again(3, time.Second).ClientMsgID = "other"
		}, "repeats"},
		{"a repeat with atMostOnce after a crash", func(e *Evidence) {
			e.Campaigns[0].Delivery = atMostOnce
			e.Events = []Event{kill(1, 5*time.Second)}
			e.again(3, time.Second)
		}, "repeats"},
		{"unknown after a crash with atMostOnce, sent or not", func(e *Evidence) {
			e.Campaigns[0].Delivery = atMostOnce
			e.Events = []Event{kill(1, 5*time.Second)}
			e.unknown(3, 4)
			gone(e, "user-000004")
		}, ""},
		{"unknown without a crash", func(e *Evidence) {
			e.Campaigns[0].Delivery = atMostOnce
			e.unknown(3)
		}, "repeats"},
		{"unknown although each send may be repeated", func(e *Evidence) {
			e.Events = []Event{kill(1, 5*time.Second)}
			e.unknown(3)
		}, "lost"},
		{"a page that moves again in time", func(e *Evidence) {
			e.Events = []Event{kill(1, 5*time.Second)}
			e.halt(0, 5*time.Second, 29*time.Second)
		}, ""},
		{"a page that moves again too late", func(e *Evidence) {
			e.Events = []Event{kill(1, 5*time.Second)}
			e.halt(0, 5*time.Second, 31*time.Second)
		}, "R4"},
		{"a page that never moves again", func(e *Evidence) {
			e.Events = []Event{kill(1, 5*time.Second)}
			e.Arrivals = slices.DeleteFunc(e.Arrivals, func(a Arrival) bool { return a.Sender == "worker1" && a.At.After(noon.Add(5*time.Second)) })
			last := e.Campaigns[0].Samples[5]
			last.At = noon.Add(time.Minute)
			e.Campaigns[0].Samples = append(e.Campaigns[0].Samples, last)
		}, "lost R4"},
		{"another worker's page", func(e *Evidence) {
			e.Events = []Event{kill(2, 5*time.Second)}
			e.halt(0, 5*time.Second, 31*time.Second)
		}, ""},
		{"a database that was away meanwhile", func(e *Evidence) {
			e.Events = []Event{kill(1, 5*time.Second), down(KillMariaDB, 6*time.Second, 20*time.Second)}
			e.halt(0, 5*time.Second, 31*time.Second)
		}, ""},
		{"too late after Redis came back", func(e *Evidence) {
			e.Events = []Event{down(KillRedis, 5*time.Second, 8*time.Second)}
			e.halt(1, 5*time.Second, 34*time.Second)
		}, "R6"},
		{"a process that does not obey", func(e *Evidence) {
			ev := Event{Fault: Fault{Kind: TermWorker}, Took: 11 * time.Second}
			e.Events = []Event{ev}
		}, "terms"},
		{"a process that ends badly", func(e *Evidence) { e.Events = []Event{{Fault: Fault{Kind: TermWorker}, Exit: 1}} }, "terms"},
		{"a 500", func(e *Evidence) { e.Refusals = []Refusal{{Status: 500}} }, "clean"},
		{"a 503 that does not say when", func(e *Evidence) { e.Refusals = []Refusal{{Status: 503}} }, "clean"},
		{"a good 503", func(e *Evidence) { e.Refusals = []Refusal{{Status: 503, RetryAfter: 5 * time.Second}} }, ""},
		{"a data race", func(e *Evidence) { e.Races = []string{"worker1.log"} }, "clean"},
		{"a fault that could not be dealt", func(e *Evidence) { e.Events = []Event{{Err: io.EOF}} }, "clean"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			e := truth()
			tc.doctor(e)
			for name, c := range e.all() {
				if want := slices.Contains(strings.Fields(tc.fails), name); want != (c.Verdict == Fail) {
					t.Errorf("%s: %s: %s", name, c.Verdict, c.Figure)
				}
			}
		})
	}
}

func TestTheOracleMeasuresRates(t *testing.T) {
	t.Parallel()
	steady := func(every time.Duration, n int) *Evidence {
		e := &Evidence{}
		for i := range n {
			e.Arrivals = append(e.Arrivals, Arrival{At: noon.Add(time.Duration(i) * every), Sender: fmt.Sprint("worker", i%4)})
		}
		return e
	}
	for _, tc := range []struct {
		name string
		e    *Evidence
		want Verdict
	}{
		{"500/s", steady(2*time.Millisecond, 11_000), Pass},
		{"485/s", steady(time.Second/485, 11_000), Fail},
		{"515/s", steady(time.Second/515, 11_000), Fail},
		{"nothing", &Evidence{}, Fail},
	} {
		if c := tc.e.Rate(noon, 500, 20, 4); c.Verdict != tc.want {
			t.Errorf("%s: %s: %s", tc.name, c.Verdict, c.Figure)
		}
	}
	if c := steady(2*time.Millisecond, 11_000).Rate(noon, 500, 20, 5); c.Verdict != NotExercised {
		t.Errorf("one of five workers had no part in it: %s: %s", c.Verdict, c.Figure)
	}
	uneven := steady(2*time.Millisecond, 11_000)
	for i := 2000; i < 2100; i++ { // 100 come half a second early
		uneven.Arrivals[i].At = uneven.Arrivals[i].At.Add(-500 * time.Millisecond)
	}
	slices.SortFunc(uneven.Arrivals, func(a, b Arrival) int { return a.At.Compare(b.At) })
	if c := uneven.Rate(noon, 500, 20, 4); c.Verdict != Fail {
		t.Errorf("a second with 20 %% too many: %s: %s", c.Verdict, c.Figure)
	}
}

func TestTheOracleKnowsPoison(t *testing.T) {
	t.Parallel()
	e := truth()
	e.Poison = Manners{Refuses: "13"}
	c := e.Campaigns[0]
	if got := e.Isolated(c); got.Verdict != Fail {
		t.Errorf("users that should have failed were sent: %s", got.Figure)
	}
	for i, r := range c.Rows {
		if strings.HasSuffix(r.UserID, "13") {
			c.Rows[i].Status = "failed"
		}
	}
	if got := e.Isolated(c); got.Verdict != Pass {
		t.Errorf("only they failed: %s", got.Figure)
	}
	if got := e.Lost(); got.Verdict != Pass {
		t.Errorf("they are not lost: %s", got.Figure)
	}
	c.Rows[1].Status = "failed"
	if got := e.Isolated(c); got.Verdict != Fail {
		t.Errorf("another one failed too: %s", got.Figure)
	}
}

// A failure that a faltering provider answered excuses no repeat: the attempt that it cost was not ambiguous.
func TestTheOracleKnowsFalters(t *testing.T) {
	t.Parallel()
	e := truth()
	e.Poison = Manners{Falters: 5}
	e.again(7, time.Second).Answer = 500
	e.Campaigns[0].Rows[7].Attempts = 2
	if c := e.Repeats(); c.Verdict != Pass {
		t.Errorf("a failure and another attempt: %s", c.Figure)
	}
	e.again(7, 2*time.Second)
	if c := e.Repeats(); c.Verdict != Fail {
		t.Errorf("a repeat without a crash: %s", c.Figure)
	}
}

func TestTheReportFailsWithAnyCheck(t *testing.T) {
	t.Parallel()
	var r Report
	r.Add("a", []Check{check("R2", true, "fine"), {"R8", NotExercised, "404"}}, nil)
	if r.Failed() || r.Of("R2") != Pass || r.Of("R8") != NotExercised || r.Of("R9") != NotExercised {
		t.Errorf("R2 %s, R8 %s, R9 %s", r.Of("R2"), r.Of("R8"), r.Of("R9"))
	}
	r.Add("b", []Check{check("R2", false, "1 lost")}, nil)
	if !r.Failed() || r.Of("R2") != Fail {
		t.Errorf("R2 %s", r.Of("R2"))
	}
	var stopped Report
	if stopped.Add("c", nil, io.EOF); !stopped.Failed() {
		t.Error("a trial that could not be run proves nothing and passes")
	}
	var out strings.Builder
	r.Print(&out)
	if !strings.Contains(out.String(), "b: 1 lost") {
		t.Error(out.String())
	}
}
