package jobs

import (
	"context"
	"time"

	"carillon/internal/pacing"
	"carillon/internal/slots"
	"carillon/internal/zones"
	"carillon/models"
)

// explainer says how fast a campaign goes and what holds it back. It asks the ledger and Redis, and
// sends nothing.
type explainer struct {
	store    *models.Store
	queue    *Queue
	progress *progress
	pacer    *pacing.Pacer
}

// pace is how fast a campaign goes, what holds it back, and when it will be done.
func (e *explainer) pace(ctx context.Context, c models.CampaignView) models.Pace {
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
	p.PerSecond, p.Known = e.progress.rate(c.ID)
	win, err := e.store.WindowOf(ctx, c.ID)
	if err != nil || win == nil {
		return p
	}
	var blocked bool
	p.LimitedBy, p.Why, blocked = e.limitedBy(ctx, win)
	if !blocked {
		e.foresee(ctx, &p, c, win)
	}
	return p
}

// redisWithin is how long Redis may take to say what holds a campaign back.
const redisWithin = time.Second

const noRedis = "Redis does not answer or cannot be written, and nothing is sent without it"

// limitedBy is what holds a running campaign back. Reasons why nothing of it is sent at all come
// first: then it is blocked.
func (e *explainer) limitedBy(ctx context.Context, win *models.Window) (by models.LimitedBy, why string, blocked bool) {
	c := &win.Campaign
	allLater := win.AllLater()
	until, forAttempts := "", false
	if allLater {
		until, forAttempts = e.waitsFor(ctx, c)
		if until != "" && !forAttempts {
			return models.LimitedByWaiting, until, true
		}
	}
	asked, cancel := context.WithTimeout(ctx, redisWithin)
	defer cancel()
	held, err := e.pacer.Rates.Explain(asked, c)
	if err != nil {
		return models.LimitedByRedis, noRedis, true
	}
	switch {
	case held.Open:
		return held.LimitedBy, held.Why, true
	case forAttempts:
		return models.LimitedByWaiting, until, true
	}
	nobodyWorks := win.Running == 0 && win.Parked == 0
	if nobodyWorks {
		switch n, err := e.queue.slots(c.Priority); {
		case err != nil:
			return models.LimitedByRedis, noRedis, true
		case n == 0:
			return models.LimitedByNoWorkers, "no worker runs that takes " + string(c.Priority) + " campaigns", true
		}
	}
	switch held.LimitedBy {
	case models.LimitedByNothing:
	// This process alone says so. Another process may have a place for the campaign.
	case models.LimitedByTurn, models.LimitedByNoWorkers:
		if nobodyWorks {
			return held.LimitedBy, held.Why, true
		}
	default:
		return held.LimitedBy, held.Why, false
	}
	if !nobodyWorks {
		return models.LimitedByNothing, "", false
	}
	n, err := e.queue.waiting(asked, c.Priority)
	if err == nil && n > 0 {
		return models.LimitedByWorkersBusy, "all slots of the workers are taken", true
	}
	return models.LimitedByNothing, "", false
}

// foresee estimates when the campaign will be done. That is not before all who are left were sent
// at the present rate. Nor is it before the last zone's time, or the last attempt, that is known.
func (e *explainer) foresee(ctx context.Context, p *models.Pace, c models.CampaignView, win *models.Window) {
	if !p.Known || p.PerSecond <= 0 {
		return
	}
	p.ETA, p.ETAKnown = time.Duration(float64(c.Pending)/p.PerSecond*float64(time.Second)), true
	if win.Later == 0 {
		return
	}
	last, err := e.store.LastDue(ctx, c.ID)
	if err != nil {
		p.ETA, p.ETAKnown = 0, false
		return
	}
	if last != nil {
		if now, err := e.store.Now(ctx); err == nil {
			p.ETA = max(p.ETA, time.Duration(last.DueAt-now)*time.Millisecond)
		}
	}
}

// waitsFor says which time a campaign waits for that has nothing to send now. attempts says that it
// waits for its recipients' next attempts.
func (e *explainer) waitsFor(ctx context.Context, c *models.Campaign) (why string, attempts bool) {
	p, err := e.store.NextDue(ctx, c.ID)
	if err != nil || p == nil {
		return "", false
	}
	at := shown(p.DueAt)
	zone := ""
	if p.Zone != "" {
		zone = " in " + p.Zone
	}
	loc, _ := zones.Of(p.Zone, c.Zone)
	if _, quiet := slots.QuietUntil(c, loc, p.DueAt-1); quiet && c.Quiet() {
		return "it is night" + zone + "; quiet hours end at " + at, false
	}
	if p.PendingRows == 0 || p.Pos < p.Size && p.AheadStatus == models.RecipientPending {
		if c.WallAt == 0 {
			return "", false
		}
		return "the local time" + zone + " comes at " + at, false
	}
	why = "the recipients that are left wait for their next attempt; the next one is due at " + at
	if words, err := e.store.LastWords(ctx, *c, *p); err == nil && words != "" {
		why += "; one of them has failed with: " + words
	}
	return why, true
}

// shown is a time in words.
func shown(at models.Millis) string { return at.Time().Format(time.RFC3339) }
