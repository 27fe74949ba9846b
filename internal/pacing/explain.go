package pacing

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"carillon/models"
)

// Explanation is what holds a campaign back.
type Explanation struct {
	LimitedBy models.LimitedBy // within the last seconds
	Why       string           // the same in words; empty when nothing does
	Open      bool             // the channel's breaker is open: nothing is sent at all but probes
}

// Explain says what holds c back. A Redis that cannot be written is an error: then nothing is sent.
func (r *Rates) Explain(ctx context.Context, c *models.Campaign) (e Explanation, err error) {
	pipe := r.rdb.Pipeline()
	note := pipe.Get(ctx, limitedByKey(c))
	health := pipe.HMGet(ctx, healthKey(c.Channel), "open", "rest", "probe")
	until := pipe.HGetAll(ctx, waitingUntilKey(c.Channel))
	clock := pipe.Time(ctx)
	try := pipe.Set(ctx, writableKey, "1", time.Second)
	_, _ = pipe.Exec(ctx) // each command has its own error, and an absent note is one
	if err := errors.Join(health.Err(), until.Err(), clock.Err(), try.Err()); err != nil {
		return e, err
	}
	now := clock.Val().UnixMilli()
	if v := health.Val(); v[0] != nil {
		return Explanation{models.LimitedByChannelSlow, r.whyOpen(now, millisOf(v[1]), millisOf(v[2])), true}, nil
	}
	others := 0
	for id, at := range until.Val() {
		if id != strconv.FormatInt(c.ID, 10) && millisOf(at) > now-time.Second.Milliseconds() {
			others++
		}
	}
	e.LimitedBy = models.LimitedBy(note.Val())
	e.Why = r.why(c, e.LimitedBy, others)
	return e, nil
}

// whyOpen says why a breaker is open. The times are in unix ms; rest is until when the provider
// asked for rest, 0 = it did not.
func (r *Rates) whyOpen(now, rest, probe int64) string {
	at := func(ms int64) string { return models.Millis(ms).Time().Format(time.RFC3339) }
	switch {
	case rest > now:
		return fmt.Sprintf("the provider asks for rest until %s (Retry-After); the next request goes out at %s", at(rest), at(probe))
	case rest > 0:
		return "the provider asked for rest until " + at(rest) + " (Retry-After); the next request shows whether it is over"
	default:
		return fmt.Sprintf("the provider does not answer, or fails for everybody; one request every %s tries it", r.ProbeEvery)
	}
}

// why is a reason in words; others is how many other campaigns wait for the channel's rate.
func (r *Rates) why(c *models.Campaign, by models.LimitedBy, others int) string {
	switch by {
	case models.LimitedByCampaignRate:
		return fmt.Sprintf("its own rate of %d/s is used up", c.RatePerSecond)
	case models.LimitedByChannelRate:
		why := "the rate of the channel " + c.Channel
		if rate := r.channels[c.Channel]; rate > 0 {
			why += fmt.Sprintf(", %d/s,", rate)
		}
		why += " is used up"
		switch {
		case others == 1:
			why += "; it takes turns with another campaign"
		case others > 1:
			why += fmt.Sprintf("; it takes turns with %d other campaigns", others)
		}
		return why
	case models.LimitedByChannelSlow:
		return "the provider answers late, fails often or asked for rest; the channel goes slower"
	case models.LimitedByTurn:
		return "other campaigns hold the places on the channel " + c.Channel + "; this one waits for its turn"
	case models.LimitedByNoWorkers:
		return "the worker that took it is not set up for the channel " + c.Channel
	default:
		return ""
	}
}

// Note keeps for Explain why a page of c was given back.
func (r *Rates) Note(ctx context.Context, c *models.Campaign, by models.LimitedBy, keep time.Duration) error {
	return r.rdb.Set(ctx, limitedByKey(c), string(by), keep).Err()
}

// millisOf reads a time that a script has stored.
func millisOf(v any) int64 {
	text, _ := v.(string)
	ms, _ := strconv.ParseFloat(text, 64)
	return int64(ms)
}
