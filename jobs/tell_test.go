package jobs_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/channels"
	"carillon/channels/inbox"
	"carillon/internal/metrics"
	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/models"
)

// book is the log of several processes.
type book struct {
	r  *rig
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *book) log() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// lines are those that hold all of words.
func (b *book) lines(words ...string) (found []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range strings.Lines(b.b.String()) {
		all := true
		for _, w := range words {
			all = all && strings.Contains(line, w)
		}
		if all {
			found = append(found, line)
		}
	}
	return found
}

// once waits for a line, and wants it no second time.
func (b *book) once(words ...string) {
	b.r.t.Helper()
	b.r.eventually(strings.Join(words, ", "), func() bool { return len(b.lines(words...)) > 0 })
	if n := len(b.lines(words...)); n != 1 {
		b.r.t.Errorf("%q stands in the log %d times", words, n)
	}
}

// team is two processes that share a ledger, and their log.
func (r *rig) team(opts jobs.Options, schedulers bool) *book {
	r.t.Helper()
	b := &book{r: r}
	if opts.Channels == nil {
		opts.Channels = []channels.Channel{inbox.New(r.rdb)}
	}
	for range 2 {
		shared := jobs.NewShared(r.store, r.queue, opts, b.log())
		worker, rec := jobs.NewWorker(shared), jobs.NewReconciler(shared, jobs.Retention{IdempotencyKeys: time.Hour})
		if err := worker.Start(); err != nil {
			r.t.Fatal(err)
		}
		rec.Start()
		stop := func() { worker.Stop(); rec.Stop() }
		if schedulers {
			sch := jobs.NewScheduler(r.store, r.queue.Stored, func() []string { return []string{"admin"} }, metrics.New(""), nil, b.log())
			sch.Start()
			stop = func() { sch.Stop(); worker.Stop(); rec.Stop() }
		}
		r.t.Cleanup(stop)
	}
	r.t.Cleanup(func() {
		if r.t.Failed() {
			r.t.Log(b.b.String())
		}
	})
	return b
}

// The log of two processes tells the business: each event once, with its figures, and nothing of a recipient.
func TestLogTellsTheBusiness(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, clock := newQuietRigAt(t, s, noon)
		r.users(5)
		b := r.team(jobs.Options{}, true)
		sch := r.every("@every 1h", noon, func(s *models.Schedule) {
			s.Campaign.Audience = models.Audience{Type: models.AudienceAll}
			s.Name = "hourly\n\x1b[31m"
		})
		gone := r.every("@every 1h", noon, func(s *models.Schedule) { s.EndAt = millis(noon.Add(90 * time.Minute)) })
		sp := spec(models.Audience{Type: models.AudienceAll})
		sp.Name, sp.SendAt = "news\r\n\u202e", millis(noon.Add(30*time.Minute))
		id := r.post(sp)
		sp.Audience, sp.SendAt, sp.ExpireAt = listed(5), millis(noon.Add(20*time.Minute)), millis(noon.Add(10*time.Minute))
		ends := r.post(sp)
		clock.Set(noon.Add(11 * time.Minute))
		b.once("campaign finished", ends, "campaign.status=expired", "campaign.expired=5")
		clock.Set(noon.Add(30 * time.Minute))
		b.once("campaign started", id, "by=scheduler")
		b.once("campaign finished", id, "campaign.status=completed", "campaign.total=5", "campaign.sent=5", "campaign.failed=0")
		clock.Set(noon.Add(time.Hour))
		b.once("a schedule fired", sch.PublicID, "slot=2027")
		b.once("a schedule fired", gone.PublicID)
		clock.Set(noon.Add(100 * time.Hour))
		b.once("slots of a schedule were missed", sch.PublicID, "no scheduler was running")
		if err := r.store.Notify(t.Context(), models.Notice{What: "campaign resumed", Campaign: id, Campaigns: 1}); err != nil {
			t.Fatal(err)
		}
		b.once("campaign resumed", id, `by="command line"`)
		if found := b.lines("user-0000"); len(found) > 0 {
			t.Errorf("recipients stand in the log: %s", found)
		}
		if text := b.b.String(); strings.ContainsAny(text, "\x1b\r\u202e") {
			t.Errorf("control characters stand in the log: %q", text)
		}
	})
}

// A provider that fails, and is back, is told of once for two processes.
func TestLogTellsOfTheProvider(t *testing.T) {
	t.Parallel()
	for name, as := range map[string]struct {
		outcome channels.Outcome
		words   string
	}{
		"down":  {down503, "the provider answers nothing but errors"},
		"rests": {asksForRest(time.Second), "the provider asks everybody for rest"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
				r := newRig(t, s, jobs.Options{})
				r.stop()
				p := &sick{as: as.outcome}
				b := r.team(jobs.Options{Channels: []channels.Channel{p}, Backoff: 100 * time.Millisecond}, false)
				id := r.hooked(listed(40), 0)
				b.once(as.words, "channel=webhook", "requests=", "errors=")
				p.turn(channels.Outcome{})
				b.once("the provider is back", "channel=webhook", "seconds=")
				r.finished(id)
				b.once(as.words)
				if line := b.lines("the provider is back")[0]; strings.Contains(line, "errors=0") || strings.Contains(line, "seconds=0 ") {
					t.Errorf("%s", line)
				}
			})
		})
	}
}
