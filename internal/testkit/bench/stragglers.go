package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"carillon/client"
	"carillon/internal/testkit/lab"
	"carillon/internal/testkit/services"
)

const (
	stragglersOne   = 60_000  // recipients where each has a request of its own
	stragglersBatch = 200_000 // where 500 share one
	stragglersRate  = 4_000   // recipients/s
	nearlyAll       = 0.998   // of the recipients that can be reached: the tail after them is the stragglers' own
	fewGoal         = 1.1     // times as long as with a provider that treats everybody well: 1 in 1,000
	moreGoal        = 1.25    // the same: 1 in 100
	silenceGoal     = 1.0     // seconds
	fewEvery        = 1_000
	moreEvery       = 100
	waitingSample   = 8 * time.Second
	retriedEvery    = 33 // about 3 %
)

// straggling is one way of being slow with few: a campaign to everybody at a provider in a mood.
type straggling struct {
	what     string
	mood     Mood
	size     int
	embedded bool
	body     map[string]any // of the POST, beside what all have
	settings []string
	than     string  // the row of a provider that treats everybody well
	goal     float64 // times as long as that; 0 = none
}

func stragglings(largest int) []straggling {
	one, batch := min(stragglersOne, largest), min(stragglersBatch, largest)
	each := []string{"CARILLON_WEBHOOK_BATCH=1"}
	many := []string{fmt.Sprint("CARILLON_WEBHOOK_BATCH=", batchSize)}
	rate := map[string]any{"ratePerSecond": stragglersRate}
	once := map[string]any{"delivery": "atMostOnce"}
	few := func(kind string) Mood { return Mood{Kind: kind, Every: fewEvery} }
	well := Mood{Kind: moodWell, Every: 1}
	return []straggling{
		{what: "one each, all well", mood: well, size: one, settings: each},
		{what: "one each, 1 in 1,000 always 500", mood: few(moodFails), size: one, settings: each, than: "one each, all well", goal: fewGoal},
		{what: "one each, 1 in 100 always 500", mood: Mood{Kind: moodFails, Every: moreEvery}, size: one, settings: each, than: "one each, all well", goal: moreGoal},
		{what: "one each, 5 % of requests 500", mood: Mood{Kind: moodRandom, Every: 20}, size: one, settings: each, than: "one each, all well"},
		{what: "one each, 1 in 1,000 after 8 s", mood: few(moodSlow), size: one, settings: each, than: "one each, all well"},
		{what: "one each, everybody retry once", mood: Mood{Kind: moodFirst, Every: 1}, size: one, settings: each, than: "one each, all well"},
		{what: "at most once, all well", mood: well, size: one, settings: each, body: once},
		{what: "at most once, 1 in 1,000 retry", mood: few(moodRetry), size: one, settings: each, body: once, than: "at most once, all well", goal: fewGoal},
		{what: "500 a request, all well", mood: well, size: batch, settings: many},
		{what: "500 a request, 1 in 1,000 retry", mood: few(moodRetry), size: batch, settings: many, than: "500 a request, all well", goal: fewGoal},
		{what: "500 a request at 4,000/s, all well", mood: well, size: one, settings: many, body: rate},
		{what: "500 a request at 4,000/s, 1 in 1,000 retry", mood: few(moodRetry), size: one, settings: many, body: rate, than: "500 a request at 4,000/s, all well", goal: fewGoal},
		{what: "embedded, one each, all well", mood: well, size: one, embedded: true, settings: each},
		{what: "embedded, one each, 1 in 1,000 always 500", mood: few(moodFails), size: one, embedded: true, settings: each, than: "embedded, one each, all well", goal: fewGoal},
	}
}

// stragglers measures what a few recipients that cannot be reached at once cost all the others.
func stragglers(ctx context.Context, b *Bench, r *Report) error {
	took := map[string][]float64{}
	ways := slices.DeleteFunc(stragglings(b.options.largest()), func(s straggling) bool { return !strings.Contains(s.what, b.options.Match) })
	for round := range b.options.Rounds {
		for _, s := range ways {
			b.note("%s, %d recipients (%d of %d)", s.what, s.size, round+1, b.options.Rounds)
			seconds, silence, err := b.straggle(ctx, s)
			if err != nil {
				return fmt.Errorf("%s: %w", s.what, err)
			}
			b.note("%.2f s to %.1f %%, longest silence %.1f s", seconds, nearlyAll*100, silence)
			took[s.what] = append(took[s.what], seconds)
			if s.than != "" {
				r.goal("longest silence before that: "+s.what, silence, "s", silenceGoal, false)
			}
		}
	}
	for _, s := range ways {
		slices.Sort(took[s.what])
		seconds := took[s.what][len(took[s.what])/2]
		r.goal(fmt.Sprintf("to %.1f %% of %d: %s", nearlyAll*100, s.size, s.what), seconds, "s", 0, false)
		if took[s.than] != nil {
			than := took[s.than][len(took[s.than])/2]
			r.goal(s.what+" / "+s.than, ratio(seconds, than), "×", s.goal, false)
		}
	}
	for name, part := range map[string]func(context.Context, *Bench, *Report) error{"beside": besideStragglers, "waiting": waitingPages, "retried": retriedFew} {
		if !strings.Contains(name, b.options.Match) {
			continue
		}
		if err := part(ctx, b, r); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// straggle measures one campaign from its POST to nearly all of its recipients, and the longest time before that in
// which the provider accepted nobody. What is left of the campaign is cancelled.
func (b *Bench) straggle(ctx context.Context, s straggling) (seconds, silence float64, err error) {
	service, err := b.serveStragglers(ctx, s.size, s.embedded, s.settings...)
	defer func() { err = joinStop(err, service) }()
	if err != nil {
		return 0, 0, err
	}
	s.mood.Goal = int64(float64(s.mood.reachable(s.size)) * nearlyAll)
	if err := b.provider.ResetTo(ctx, s.mood); err != nil {
		return 0, 0, err
	}
	begun := time.Now()
	id, err := service.postWith(ctx, s.body)
	if err != nil {
		return 0, 0, err
	}
	seen, err := b.reached(ctx)
	if err != nil {
		return 0, 0, err
	}
	_, err = client.Data[client.Campaign](service.CancelCampaign(ctx, id))
	if refused := lab.Refusal(err); err != nil && (refused == nil || refused.Status != http.StatusConflict) { // it had just ended
		return 0, 0, err
	}
	return time.Unix(0, seen.Reached).Sub(begun).Seconds(), seen.longestSilence(), nil
}

// serveStragglers starts a service over an empty ledger with n users.
func (b *Bench) serveStragglers(ctx context.Context, n int, embedded bool, settings ...string) (*Service, error) {
	settings = append([]string{"CARILLON_CHANNEL=webhook"}, settings...)
	if embedded {
		d, err := b.embedded(ctx, n)
		if err != nil {
			return nil, err
		}
		return b.Serve(ctx, "stragglers", d, allRoles, settings...)
	}
	d, err := b.directory(ctx, n)
	if err != nil {
		return nil, err
	}
	if err := d.Clean(ctx); err != nil {
		return nil, err
	}
	return b.Serve(ctx, "stragglers", d, allRoles, settings...)
}

// embedded makes a directory of n users in a data directory of its own.
func (b *Bench) embedded(ctx context.Context, n int) (*Directory, error) {
	b.runs++
	d := &Directory{Users: n, Dir: filepath.Join(b.dir, fmt.Sprintf("embedded-%d", b.runs))}
	if err := os.Mkdir(d.Dir, 0o700); err != nil {
		return nil, err
	}
	if _, err := b.command(ctx, d.env(), "migrate"); err != nil {
		return nil, err
	}
	return d, d.fill(ctx, b)
}

// reached waits until the provider has accepted its mood's goal.
func (b *Bench) reached(ctx context.Context) (seen Seen, err error) {
	moved, good := time.Now(), int64(-1)
	for {
		if seen, err = b.provider.Seen(ctx); err != nil || seen.Reached != 0 {
			return seen, err
		}
		switch {
		case seen.Good != good:
			moved, good = time.Now(), seen.Good
		case time.Since(moved) > stuck:
			return seen, fmt.Errorf("the campaign stands still with %d accepted", good)
		}
		if err := wait(ctx, look); err != nil {
			return seen, err
		}
	}
}

// longestSilence is the longest time without an accepted recipient between the first request and Reached, in seconds.
func (s Seen) longestSilence() float64 {
	last := min(int((s.Reached-s.First)/int64(tickLength)), len(s.Ticks))
	longest, now := 0, 0
	for _, n := range s.Ticks[:max(0, last)] {
		now++
		if n > 0 {
			now = 0
		}
		longest = max(longest, now)
	}
	return float64(longest) * tickLength.Seconds()
}

// besideStragglers measures a campaign to recipients whom the provider treats well, alone and beside one to such that always
// fail, and sends to single users beside both.
func besideStragglers(ctx context.Context, b *Bench, r *Report) error {
	size := min(stragglersOne, b.options.largest())
	m := &mood{Mood: Mood{Kind: moodFails, Every: 2}}
	var well, ill []string
	for i := range size {
		if id := userID(i); m.worse([]byte(id)) {
			ill = append(ill, id)
		} else {
			well = append(well, id)
		}
	}
	ill = ill[:min(len(ill), size/6)]
	var took [2]float64
	for i, beside := range []bool{false, true} {
		b.note("a clean campaign, beside one of stragglers: %t", beside)
		err := func() (err error) {
			s, err := b.serveStragglers(ctx, size, false, "CARILLON_WEBHOOK_BATCH=1")
			defer func() { err = joinStop(err, s) }()
			if err != nil {
				return err
			}
			m.Goal = int64(float64(len(well)) * nearlyAll)
			if err := b.provider.ResetTo(ctx, m.Mood); err != nil {
				return err
			}
			bulk := map[string]any{"priority": "bulk"}
			if beside {
				if _, err := s.postWith(ctx, bulk, ill...); err != nil {
					return err
				}
				if err := until(ctx, func() (bool, error) {
					seen, err := b.provider.Seen(ctx)
					return seen.Recipients >= int64(min(20, len(ill))), err
				}); err != nil {
					return err
				}
			}
			begun := time.Now()
			if _, err := s.postWith(ctx, bulk, well...); err != nil {
				return err
			}
			posted, err := s.probes(ctx, min(b.options.Sends, 40))
			if err != nil {
				return err
			}
			seen, err := b.reached(ctx)
			if err != nil {
				return err
			}
			took[i] = time.Unix(0, seen.Reached).Sub(begun).Seconds()
			arrived, err := b.arrivals(ctx, posted)
			if beside {
				r.Latencies = append(r.Latencies, newLatency("send to one user beside a campaign of stragglers and a clean one", arrived))
			}
			return err
		}()
		if err != nil {
			return err
		}
	}
	r.goal(fmt.Sprintf("a clean campaign to %d beside one of %d stragglers / alone", len(well), len(ill)), ratio(took[1], took[0]), "×", 0, false)
	return nil
}

// waitingPages says what the database and Redis have to do each second while nearly every page waits for one recipient.
func waitingPages(ctx context.Context, b *Bench, r *Report) error {
	size := b.options.largest()
	b.note("pages that wait for one, %d recipients", size)
	s, err := b.serveStragglers(ctx, size, false, fmt.Sprint("CARILLON_WEBHOOK_BATCH=", batchSize), "CARILLON_MAX_ATTEMPTS=12")
	defer func() { err = joinStop(err, s) }()
	if err != nil {
		return err
	}
	if err := b.provider.ResetTo(ctx, Mood{Kind: moodRetry, Every: fewEvery, Goal: int64(float64(size) * nearlyAll)}); err != nil {
		return err
	}
	if _, err := s.post(ctx); err != nil {
		return err
	}
	if _, err := b.reached(ctx); err != nil {
		return err
	}
	d := b.directories[size]
	before, err := d.commands(ctx, s.redis)
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := wait(ctx, min(waitingSample, time.Duration(size)*time.Millisecond)); err != nil {
		return err
	}
	after, err := d.commands(ctx, s.redis)
	if err != nil {
		return err
	}
	span := time.Since(begun).Seconds()
	what := fmt.Sprintf(" while up to %d pages wait for one recipient each", size/fewEvery)
	r.goal("SQL"+what, ratio(float64(after[0]-before[0]), span), "/s", 0, false)
	r.goal("Redis"+what, ratio(float64(after[1]-before[1]), span), "/s", 0, false)
	return nil
}

// commands counts the statements that the database and the commands that Redis has run.
func (d *Directory) commands(ctx context.Context, redis *services.Redis) (n [2]int64, err error) {
	var name string
	if err := d.db.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'Questions'").Scan(&name, &n[0]); err != nil {
		return n, err
	}
	n[1], err = redisInfo(redis, "stats", "total_commands_processed")
	return n, err
}

// retriedFew measures the retry of a few percent of a finished campaign.
func retriedFew(ctx context.Context, b *Bench, r *Report) (err error) {
	size := b.options.largest()
	b.note("retry of 1 in %d of %d recipients", retriedEvery, size)
	s, err := b.serveStragglers(ctx, size, false, fmt.Sprint("CARILLON_WEBHOOK_BATCH=", batchSize), "CARILLON_MAX_ATTEMPTS=1")
	defer func() { err = joinStop(err, s) }()
	if err != nil {
		return err
	}
	if err := b.provider.ResetTo(ctx, Mood{Kind: moodRetry, Every: retriedEvery, Goal: int64(size)}); err != nil {
		return err
	}
	id, err := s.post(ctx)
	if err != nil {
		return err
	}
	failed, err := s.finished(ctx, id)
	if err != nil {
		return err
	}
	if err := b.provider.ResetTo(ctx, Mood{Kind: moodWell, Every: 1, Goal: failed}); err != nil {
		return err
	}
	begun := time.Now()
	if _, err := client.Data[client.Campaign](s.RetryCampaign(ctx, id, client.Retry{})); err != nil {
		return err
	}
	ended, err := s.await(ctx, id)
	if err != nil {
		return err
	}
	r.goal(fmt.Sprintf("retry of %d of %d recipients", failed, size), ended.Sub(begun).Seconds(), "s", 0, false)
	return nil
}

// finished waits for a campaign's end and returns how many of it failed.
func (c *Client) finished(ctx context.Context, id string) (failed int64, err error) {
	for begun := time.Now(); time.Since(begun) < 10*stuck; {
		v, err := c.Campaign(ctx, id)
		if err != nil || v.Status == "completed" {
			return v.Counts.Total - v.Counts.Sent, err
		}
		if err := wait(ctx, look); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("campaign %s does not end", id)
}
