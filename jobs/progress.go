package jobs

import (
	"context"
	"sync"
	"time"

	"carillon/internal/zones"
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
	tried int64
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
		runs[c.ID] = keep(p.runs[c.ID], sample{now, c.Tried()})
	}
	p.runs = runs
	return nil
}

// keep adds a sample and drops those that the rate's seconds do not need. A retry takes outcomes back, and with them what was
// measured before.
func keep(run []sample, s sample) []sample {
	if len(run) > 0 && s.tried < run[len(run)-1].tried {
		run = nil
	}
	run = append(run, s)
	for len(run) > 2 && s.at.Sub(run[1].at) >= rateOver {
		run = run[1:]
	}
	return run
}

// Rate is how many recipients per second the channel had over the last seconds, of a running campaign; ok is false
// while that is not known. Who is passed over costs no rate.
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
	return float64(last.tried-first.tried) / last.at.Sub(first.at).Seconds(), true
}

// Pace is how fast a campaign goes, what holds it back, and when it will be done.
func (r *Reconciler) Pace(ctx context.Context, c models.CampaignView) models.Pace {
	switch c.Status {
	case models.StatusPaused:
		return models.Pace{Known: true, LimitedBy: models.LimitedByPaused, Why: c.StatusReason}
	case models.StatusScheduled:
		return models.Pace{Known: true, LimitedBy: models.LimitedByWaiting, Why: "it starts at " + shown(c.SendAt)}
	case models.StatusRunning:
	default:
		return models.Pace{}
	}
	var p models.Pace
	p.PerSecond, p.Known = r.progress.Rate(c.ID)
	win, err := r.store.WindowOf(ctx, c.ID)
	if err != nil || win == nil {
		return p
	}
	var stands bool
	if p.LimitedBy, p.Why, stands = r.limitedBy(ctx, win); !stands {
		r.foresee(ctx, &p, c, win)
	}
	return p
}

// redisWithin is how long Redis may take to say what holds a campaign back.
const redisWithin = time.Second

const noRedis = "Redis does not answer or cannot be written, and nothing is sent without it"

// limitedBy is what holds a running campaign back. What keeps it from being sent at all comes first: then it stands.
func (r *Reconciler) limitedBy(ctx context.Context, win *models.Window) (by models.LimitedBy, why string, stands bool) {
	c := &win.Campaign
	idle := win.Planned && win.Later > 0 && win.Inside() == 0 && win.Waiting == 0 && win.New == 0 && win.Parked == 0
	until, attempts := "", false
	if idle {
		if until, attempts = r.waitsFor(ctx, c); until != "" && !attempts {
			return models.LimitedByWaiting, until, true
		}
	}
	asked, cancel := context.WithTimeout(ctx, redisWithin)
	defer cancel()
	e, err := r.worker.pace.Rates.Explain(asked, c)
	if err != nil {
		return models.LimitedByRedis, noRedis, true
	}
	switch {
	case e.Open:
		return e.LimitedBy, e.Why, true
	case attempts:
		return models.LimitedByWaiting, until, true
	}
	still := win.Running == 0 && win.Parked == 0
	if still {
		switch n, err := r.queue.slots(c.Priority); {
		case err != nil:
			return models.LimitedByRedis, noRedis, true
		case n == 0:
			return models.LimitedByNoWorkers, "no worker runs that takes " + string(c.Priority) + " campaigns", true
		}
	}
	switch e.LimitedBy {
	case models.LimitedByNothing:
	case models.LimitedByTurn, models.LimitedByNoWorkers: // of one process; another may have a place for it
		if still {
			return e.LimitedBy, e.Why, true
		}
	default:
		return e.LimitedBy, e.Why, false
	}
	if !still {
		return models.LimitedByNothing, "", false
	}
	if n, err := r.queue.waiting(asked, c.Priority); err == nil && n > 0 {
		return models.LimitedByWorkersBusy, "all slots of the workers are taken", true
	}
	return models.LimitedByNothing, "", false
}

// foresee reckons when the campaign will be done: not before all who are left were sent at the present rate, nor before the last
// zone's time or attempt that is known.
func (r *Reconciler) foresee(ctx context.Context, p *models.Pace, c models.CampaignView, win *models.Window) {
	if !p.Known || p.PerSecond <= 0 {
		return
	}
	p.ETA, p.ETAKnown = time.Duration(float64(c.Pending)/p.PerSecond*float64(time.Second)), true
	if win.Later == 0 {
		return
	}
	last, err := r.store.LastDue(ctx, c.ID)
	if err != nil {
		p.ETA, p.ETAKnown = 0, false
		return
	}
	if last != nil {
		if now, err := r.store.Now(ctx); err == nil {
			p.ETA = max(p.ETA, time.Duration(last.DueAt-now)*time.Millisecond)
		}
	}
}

// waitsFor says which time a campaign waits for that has nothing to send now; attempts says that it is one of its recipients'.
func (r *Reconciler) waitsFor(ctx context.Context, c *models.Campaign) (why string, attempts bool) {
	p, err := r.store.NextDue(ctx, c.ID)
	if err != nil || p == nil {
		return "", false
	}
	at := shown(p.DueAt)
	zone := ""
	if p.Zone != "" {
		zone = " in " + p.Zone
	}
	loc, _ := zones.Of(p.Zone, c.Zone)
	if _, quiet := quietUntil(c, loc, p.DueAt-1); quiet && c.Quiet() {
		return "it is night" + zone + "; quiet hours end at " + at, false
	}
	if p.PendingRows == 0 || p.Pos < p.Size && p.Rest == models.RecipientPending {
		if c.WallAt == 0 {
			return "", false
		}
		return "the local time" + zone + " comes at " + at, false
	}
	why = "the recipients that are left wait for their next attempt; the next one is due at " + at
	if words, err := r.store.LastWords(ctx, *c, *p); err == nil && words != "" {
		why += "; one of them has failed with: " + words
	}
	return why, true
}

// shown is a time in words.
func shown(at models.Millis) string { return at.Time().Format(time.RFC3339) }

// EndRest lets a channel go on although its provider asked for rest, or does not answer.
func (r *Reconciler) EndRest(ctx context.Context, channel string) error {
	return r.worker.pace.Health.EndRest(ctx, channel)
}
