package jobs_test

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"carillon/channels"
	"carillon/channels/inbox"
	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/models"
)

// stuck is a channel whose requests are answered when the test ends.
type stuck struct {
	channels.Channel
	open chan struct{}
}

// stuck runs a worker with such a channel.
func (r *rig) stuck(opts jobs.Options) *rig {
	r.t.Helper()
	s := stuck{inbox.New(r.rdb), make(chan struct{})}
	opts.Channels = []channels.Channel{s}
	other := r.with(opts)
	r.t.Cleanup(func() { close(s.open) }) // before the worker is stopped
	return other
}

func (s stuck) Send(ctx context.Context, b channels.Batch) []channels.Outcome {
	<-s.open
	return s.Channel.Send(ctx, b)
}

// says waits until the campaign says what holds it back, and twice so, half a second apart. Each of words stands in its statusReason.
func (r *rig) says(id string, by models.LimitedBy, words ...string) {
	r.t.Helper()
	var got models.Pace
	var reason string
	right := func() bool {
		c := r.view(id)
		got = r.rec.Pace(r.t.Context(), c)
		reason = cmp.Or(c.StatusReason, got.Why)
		for _, w := range words {
			if !strings.Contains(reason, w) {
				return false
			}
		}
		return got.LimitedBy == by && (len(words) > 0 || reason == "")
	}
	defer func() {
		if r.t.Failed() {
			r.t.Errorf("%q because %q; want %q because %q", got.LimitedBy, reason, by, words)
		}
	}()
	testkit.Eventually(r.t, "it says what holds it back", testkit.Patience, right)
	time.Sleep(500 * time.Millisecond)
	// A note of what held a campaign back lives for a second or more, and the next comes with the next turn of its page, which is a
	// second or two later where the worker has just lost Redis.
	testkit.Eventually(r.t, "it says so still", testkit.Patience, right)
}

// What a campaign says of itself is true, whatever holds it back.
func TestCampaignSaysWhatHoldsItBack(t *testing.T) {
	t.Parallel()
	everybody := models.Audience{Type: models.AudienceAll}
	patient := func(o jobs.Options) jobs.Options {
		o.Backoff = time.Minute
		return o
	}
	for name, stage := range map[string]func(t *testing.T, s testkit.Stores){
		"provider refuses everybody": func(t *testing.T, s testkit.Stores) {
			r, j := inspected(t, s, 0, always(http.StatusForbidden))
			r = r.with(patient(j.options(t)))
			r.says(r.hooked(listed(5), 0), models.LimitedByWaiting, "wait for their next attempt", "is due at 20", "the provider answered 403 Forbidden")
		},
		"paused by the guard": func(t *testing.T, s testkit.Stores) {
			r, j := inspected(t, s, 0, always(http.StatusForbidden))
			r = r.with(j.options(t))
			r.says(r.hooked(listed(50), 0), models.LimitedByPaused, "too many failed", "nobody was sent", "the provider answered 403 Forbidden")
		},
		"paused by an operator": func(t *testing.T, s testkit.Stores) {
			r := newRig(t, s, jobs.Options{})
			r.users(50)
			sp := spec(everybody)
			sp.RatePerSecond = 1
			id := r.post(sp)
			r.must(r.store.PauseCampaign(t.Context(), id, "paused by alice"))
			r.says(id, models.LimitedByPaused, "paused by alice")
		},
		"stragglers wait": func(t *testing.T, s testkit.Stores) {
			r := newRig(t, s, jobs.Options{})
			r.stop()
			r = r.with(patient(jobs.Options{Channels: []channels.Channel{newFussy(channels.Retry, func(id string, _ int) bool { return strings.HasSuffix(id, "7") })}}))
			r.users(30)
			r.says(r.post(spec(everybody)), models.LimitedByWaiting, "wait for their next attempt", "not now")
		},
		"zones wait": func(t *testing.T, s testkit.Stores) {
			r, clock := newRigAt(t, s, wall.Add(-10*time.Hour)) // the first zone's is nine hours before UTC's
			r.upsert([]models.UserChange{{UserID: "tokyo", Timezone: new("Asia/Tokyo")}, {UserID: "berlin", Timezone: new("Europe/Berlin")}})
			id := r.post(localSpec(models.MissedOnce, time.Minute))
			r.until(id, "planned", func(c models.CampaignView) bool { return c.Planned })
			r.says(id, models.LimitedByWaiting, "the local time in Asia/Tokyo comes at 2027-06-04T00:00:00Z")
			clock.Set(wall.Add(-9 * time.Hour))
			r.says(id, models.LimitedByWaiting, "the local time in Europe/Berlin comes at 2027-06-04T07:00:00Z")
		},
		"it starts later": func(t *testing.T, s testkit.Stores) {
			r, _ := newRigAt(t, s, nine)
			r.users(1)
			sp := spec(everybody)
			sp.SendAt = millis(nine.Add(time.Hour))
			r.says(r.post(sp), models.LimitedByWaiting, "it starts at "+nine.Add(time.Hour).UTC().Format(time.RFC3339))
		},
		"quiet hours": func(t *testing.T, s testkit.Stores) {
			r, _ := newRigAt(t, s, time.Date(2027, 6, 4, 5, 30, 0, 0, time.UTC))
			r.upsert([]models.UserChange{{UserID: "berlin"}})
			sp := spec(everybody)
			sp.Timing = models.Timing{QuietFrom: 22 * 60, QuietTo: 8 * 60, Zone: "Europe/Berlin"}
			r.says(r.post(sp), models.LimitedByWaiting, "it is night in Europe/Berlin", "quiet hours end at 2027-06-04T06:00:00Z")
		},
		"campaign rate": func(t *testing.T, s testkit.Stores) {
			r := newRig(t, s, jobs.Options{})
			r.users(50)
			sp := spec(everybody)
			sp.RatePerSecond = 2
			r.says(r.post(sp), models.LimitedByCampaignRate, "its own rate of 2/s is used up")
		},
		"channel rate": func(t *testing.T, s testkit.Stores) {
			r := newRig(t, s, jobs.Options{})
			r.stop()
			r = r.with(jobs.Options{Rates: map[string]int{"inbox": 8}})
			r.users(200)
			id := r.post(spec(everybody))
			r.says(id, models.LimitedByChannelRate, "the rate of the channel inbox, 8/s, is used up")
			r.post(spec(everybody))
			r.says(id, models.LimitedByChannelRate, "it takes turns with another campaign")
		},
		"breaker open": func(t *testing.T, s testkit.Stores) {
			r := newRig(t, s, jobs.Options{})
			r.stop()
			r = r.with(jobs.Options{Channels: []channels.Channel{&sick{as: down503}}})
			r.says(r.hooked(listed(50), 0), models.LimitedByChannelSlow, "the provider does not answer, or fails for everybody", "1.5s")
		},
		"breaker open for one who waits": func(t *testing.T, s testkit.Stores) {
			r := newRig(t, s, jobs.Options{})
			r.stop()
			r = r.with(jobs.Options{Channels: []channels.Channel{&sick{as: down503}}})
			r.hooked(listed(50), 0)
			r.says(r.single("one"), models.LimitedByChannelSlow, "the provider does not answer, or fails for everybody")
		},
		"channel resting": func(t *testing.T, s testkit.Stores) {
			r := newRig(t, s, jobs.Options{})
			r.stop()
			r = r.with(jobs.Options{Channels: []channels.Channel{&sick{as: asksForRest(8 * time.Second)}}})
			r.says(r.hooked(listed(50), 0), models.LimitedByChannelSlow, "the provider asks for rest until 20", "Retry-After", "the next request goes out at 20")
		},
		"no workers": func(t *testing.T, s testkit.Stores) {
			r := newRig(t, s, jobs.Options{})
			r.stop()
			r.users(5)
			r.says(r.post(spec(everybody)), models.LimitedByNoWorkers, "no worker runs that takes bulk campaigns")
		},
		"no worker for the channel": func(t *testing.T, s testkit.Stores) {
			r := newRig(t, s, jobs.Options{})
			r.says(r.hooked(listed(5), 0), models.LimitedByNoWorkers, "the worker that took it is not set up for the channel webhook")
		},
		"Redis away": func(t *testing.T, s testkit.Stores) {
			link, through := testkit.OpenLink(t, s.RedisURL)
			s.RedisURL = through
			r := newRig(t, s, jobs.Options{})
			r.users(50)
			sp := spec(everybody)
			sp.RatePerSecond = 2
			id := r.post(sp)
			r.says(id, models.LimitedByCampaignRate, "its own rate")
			host := link.Host()
			link.Point("")
			link.Cut()
			r.says(id, models.LimitedByRedis, "Redis does not answer")
			link.Point(host)
			r.says(id, models.LimitedByCampaignRate, "its own rate")
		},
		"waiting for a turn": func(t *testing.T, s testkit.Stores) {
			r := newRig(t, s, jobs.Options{})
			r.stop()
			r = r.stuck(jobs.Options{BulkSlots: 3}) // two places, one for each campaign
			r.users(50)
			var first []string
			for range 2 {
				first = append(first, r.post(spec(everybody)))
			}
			for _, id := range first {
				testkit.Eventually(t, "they hold the places", testkit.Patience, func() bool {
					w, err := r.store.WindowOf(t.Context(), r.view(id).ID)
					return err == nil && w.Running == 1
				})
			}
			r.says(r.post(spec(everybody)), models.LimitedByTurn, "other campaigns hold the places on the channel inbox")
			r.says(first[0], models.LimitedByNothing)
		},
		"workers busy": func(t *testing.T, s testkit.Stores) {
			r := newRig(t, s, jobs.Options{})
			r.stop()
			r = r.stuck(jobs.Options{BulkSlots: 1})
			r.users(50)
			first := r.post(spec(everybody))
			testkit.Eventually(t, "it holds the slot", testkit.Patience, func() bool {
				w, err := r.store.WindowOf(t.Context(), r.view(first).ID)
				return err == nil && w.Running == 1
			})
			r.says(r.post(spec(everybody)), models.LimitedByWorkersBusy, "all slots of the workers are taken")
		},
		"nothing": func(t *testing.T, s testkit.Stores) {
			r := newRig(t, s, jobs.Options{})
			r.stop()
			r = r.stuck(jobs.Options{})
			r.users(50)
			id := r.post(spec(everybody))
			testkit.Eventually(t, "it is under way", testkit.Patience, func() bool {
				w, err := r.store.WindowOf(t.Context(), r.view(id).ID)
				return err == nil && w.Running == 1
			})
			r.says(id, models.LimitedByNothing)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testkit.EachStore(t, stage)
		})
	}
}

// The time that is left counts who will be sent. Who is skipped on the way makes nothing sooner.
func TestTimeLeft(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r := newRig(t, s, jobs.Options{})
		r.users(300)
		sp := spec(models.Audience{Type: models.AudienceAll})
		sp.RatePerSecond = 5
		id := r.post(sp)
		testkit.Eventually(t, "planned", testkit.Patience, func() bool { return r.view(id).Planned })
		r.must(r.store.PauseCampaign(t.Context(), id, "paused"))
		for i := range 240 { // they are gone before they are sent
			if err := r.store.DeleteUser(t.Context(), fmt.Sprintf("user-%07d", 20+i)); err != nil {
				t.Fatal(err)
			}
		}
		if p := r.rec.Pace(t.Context(), r.view(id)); p.ETAKnown {
			t.Errorf("paused, and done in %s", p.ETA)
		}
		_, err := r.store.ResumeCampaign(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		var p models.Pace
		testkit.Eventually(t, "they are skipped and the time is known", testkit.Patience, func() bool {
			c := r.view(id)
			p = r.rec.Pace(t.Context(), c)
			return c.Skipped == 240 && p.ETAKnown
		})
		if p.PerSecond > 8 || p.ETA < 4*time.Second {
			t.Errorf("%.1f/s and %s left, of 40 at 5/s", p.PerSecond, p.ETA)
		}
	})
}

// The last zone's time is known: nothing is done before it. While all wait it is not known how fast they will go.
func TestTimeLeftOfZones(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, clock := newRigAt(t, s, wall.Add(-20*time.Hour))
		var batch []models.UserChange
		for i := range 100 {
			batch = append(batch, models.UserChange{UserID: fmt.Sprintf("tokyo-%d", i), Timezone: new("Asia/Tokyo")})
		}
		r.upsert(append(batch, models.UserChange{UserID: "berlin", Timezone: new("Europe/Berlin")}))
		sp := localSpec(models.MissedOnce, time.Minute)
		sp.RatePerSecond = 10
		id := r.post(sp)
		clock.Set(wall.Add(-14 * time.Hour))
		r.until(id, "planned", func(c models.CampaignView) bool { return c.Planned })
		if p := r.rec.Pace(t.Context(), r.view(id)); p.ETAKnown {
			t.Errorf("all zones wait, and it is done in %s", p.ETA)
		}
		clock.Set(wall.Add(-9 * time.Hour))
		var p models.Pace
		r.eventually("the time is known", func() bool {
			p = r.rec.Pace(t.Context(), r.view(id))
			return p.ETAKnown
		})
		if p.ETA < 6*time.Hour || p.ETA > 7*time.Hour+time.Minute {
			t.Errorf("%s until Berlin's, seven hours later", p.ETA)
		}
	})
}
