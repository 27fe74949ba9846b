package jobs

import (
	"context"
	"sync"
	"time"

	"carillon/models"
)

// rateOver is what the current rate is measured over.
const rateOver = 5 * time.Second

// Progress watches the running campaigns' counters, once a second, from the ledger: so each process sees what
// all of them do. The zero value is ready.
type Progress struct {
	mu   sync.Mutex
	runs map[int64][]sample
}

type sample struct {
	at    time.Time
	ended int64 // outcomes so far
}

// observe takes a sample of every running campaign.
func (p *Progress) observe(ctx context.Context, store *models.Store) error {
	views, err := store.RunningCounts(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	runs := map[int64][]sample{}
	for _, c := range views {
		runs[c.ID] = keep(p.runs[c.ID], sample{now, c.Counts.Total - c.Pending})
	}
	p.runs = runs
	return nil
}

// keep adds a sample and drops those that the rate's seconds do not need. A retry takes outcomes back, and with them what was
// measured before.
func keep(run []sample, s sample) []sample {
	if len(run) > 0 && s.ended < run[len(run)-1].ended {
		run = nil
	}
	run = append(run, s)
	for len(run) > 2 && s.at.Sub(run[1].at) >= rateOver {
		run = run[1:]
	}
	return run
}

// Rate is how many recipients per second a running campaign has come to an end with over the last seconds; ok
// is false while that is not known.
func (p *Progress) Rate(campaignID int64) (perSecond float64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	run := p.runs[campaignID]
	if len(run) < 2 {
		return 0, false
	}
	last := run[len(run)-1]
	first := run[0]
	for _, s := range run {
		if last.at.Sub(s.at) >= rateOver {
			first = s
		}
	}
	return float64(last.ended-first.ended) / last.at.Sub(first.at).Seconds(), true
}

// Pace is how fast a campaign goes and what holds it back: "campaign rate", "channel rate", "channel slow" (its
// provider is away, fails, slowed down or asked for rest), "workers busy", "waiting" (for a time to come), "paused", or "" when
// nothing does. why says more in words, where there is more to say.
func (r *Reconciler) Pace(ctx context.Context, c models.Campaign) (perSecond float64, known bool, limitedBy, why string) {
	switch c.Status {
	case models.StatusPaused:
		return 0, true, "paused", ""
	case models.StatusScheduled:
		return 0, true, "waiting", ""
	case models.StatusRunning:
	default:
		return 0, false, "", ""
	}
	perSecond, known = r.progress.Rate(c.ID)
	if limitedBy, why = r.worker.limit.holds(ctx, &c); limitedBy != "" {
		return perSecond, known, limitedBy, why
	}
	win, err := r.store.WindowOf(ctx, c.ID)
	switch {
	case err != nil || win == nil:
	case win.Queued > 0 && win.Running == 0:
		limitedBy = "workers busy"
	case (win.Waiting > 0 || win.Later > 0 && win.Planned) && win.Inside() == 0 && win.New == 0:
		limitedBy, why = "waiting", r.waitsFor(ctx, &c)
	}
	return perSecond, known, limitedBy, why
}

// waitsFor says that a campaign that waits does so for attempts alone; empty when it waits for a local time or the morning.
func (r *Reconciler) waitsFor(ctx context.Context, c *models.Campaign) string {
	p, err := r.store.NextDue(ctx, c.ID)
	if err != nil || p == nil || p.PendingRows == 0 || p.Pos < p.Size && p.Rest == models.RecipientPending {
		return ""
	}
	loc, _ := zoneOf(c, p.Zone)
	if _, quiet := quietUntil(c, loc, p.DueAt-1); quiet {
		return ""
	}
	return "the recipients that are left wait for their next attempt; the next one is due at " + p.DueAt.Time().Format(time.RFC3339)
}

// EndRest lets a channel go on although its provider asked for rest, or does not answer.
func (r *Reconciler) EndRest(ctx context.Context, channel string) error {
	return r.worker.limit.endRest(ctx, channel)
}
