package jobs_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"carillon/channels"
	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/models"
)

// sendLog is a channel that notes what it was given and when.
type sendLog struct {
	mu    sync.Mutex
	seen  map[string]int
	times []time.Time
}

func (*sendLog) Traits() channels.Traits {
	return channels.Traits{Name: "inbox", MaxBatch: 1000, KnowsUsers: true, StoresInInbox: true}
}

func (l *sendLog) Send(_ context.Context, b channels.Batch) []channels.Outcome {
	l.mu.Lock()
	for _, r := range b.Recipients {
		l.seen[r.UserID]++
		l.times = append(l.times, time.Now())
	}
	l.mu.Unlock()
	time.Sleep(5 * time.Millisecond)
	return make([]channels.Outcome, len(b.Recipients))
}

func (l *sendLog) total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.times)
}

// most is the largest number of sends in any second.
func (l *sendLog) most() int {
	most := 0
	for i, j := 0, 0; i < len(l.times); i++ {
		for l.times[i].Sub(l.times[j]) >= time.Second {
			j++
		}
		most = max(most, i-j+1)
	}
	return most
}

// Two workers share one Redis and one ledger, as two processes do: the cap is theirs together.
func TestRateHoldsOverWorkers(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		for name, set := range map[string]func(*models.CampaignSpec, *jobs.Options){
			"campaign": func(c *models.CampaignSpec, _ *jobs.Options) { c.RatePerSecond = 200 },
			"channel":  func(_ *models.CampaignSpec, o *jobs.Options) { o.Rates = map[string]int{"inbox": 200} },
		} {
			log := &sendLog{seen: map[string]int{}}
			opts, sp := jobs.Options{Channels: []channels.Channel{log}}, spec(models.Audience{Type: models.AudienceAll})
			set(&sp, &opts)
			r := newRig(t, s, opts)
			r.with(opts)
			r.users(1000)
			c := r.finished(r.post(sp))
			r.stop()
			if c.Sent != 1000 {
				t.Fatalf("%s: counts %+v", name, c.Counts)
			}
			if most := log.most(); most > 220 {
				t.Errorf("%s: %d sends in one second at 200/s", name, most)
			}
		}
	})
}

// A transactional send finds its tokens although bulk campaigns take all the channel's rate.
func TestTransactionalIsFirst(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		log := &sendLog{seen: map[string]int{}}
		r := newRig(t, s, jobs.Options{Channels: []channels.Channel{log}, Rates: map[string]int{"inbox": 100}})
		r.users(2000)
		r.post(spec(models.Audience{Type: models.AudienceAll}))
		testkit.Eventually(t, "the bulk campaign is under way", testkit.Patience, func() bool { return log.total() > 50 })
		sp := spec(models.Audience{Type: models.AudienceUsers, UserIDs: []string{"user-0001999"}})
		sp.Priority = models.PriorityTransactional
		if c := r.finished(r.post(sp)); c.Sent != 1 {
			t.Fatalf("counts %+v", c.Counts)
		}
		// 100 a second: it took less than 15 seconds of 20.
		if n := log.total(); n > 1500 {
			t.Fatalf("the single message came after %d of the bulk campaign", n)
		}
	})
}

// Transactional campaigns that wait for their own slow rates leave the slots to others.
func TestSlowTransactionalHoldsUpNobody(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		log := &sendLog{seen: map[string]int{}}
		r := newRig(t, s, jobs.Options{Channels: []channels.Channel{log}, TransSlots: 2})
		r.users(200)
		var group []string
		for i := range 20 {
			group = append(group, fmt.Sprintf("user-%07d", i))
		}
		for range 4 {
			sp := spec(models.Audience{Type: models.AudienceUsers, UserIDs: group})
			sp.Priority, sp.RatePerSecond = models.PriorityTransactional, 2
			r.post(sp)
		}
		testkit.Eventually(t, "they are under way", testkit.Patience, func() bool { return log.total() >= 4 })
		var waited time.Duration
		for i := range 5 {
			sp := spec(models.Audience{Type: models.AudienceUsers, UserIDs: []string{fmt.Sprintf("user-%07d", 100+i)}})
			sp.Priority = models.PriorityTransactional
			begun := time.Now()
			r.finished(r.post(sp))
			waited += time.Since(begun)
		}
		if waited > 20*time.Second { // a tenth of a second each is usual, and five or ten seconds each where slots are held
			t.Errorf("five single sends waited %s", waited)
		}
	})
}

// perSecond counts the sends of each whole second after begun.
func (l *sendLog) perSecond(begun time.Time) []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	var n []int
	for _, at := range l.times {
		if at.After(begun) {
			s := int(at.Sub(begun) / time.Second)
			for len(n) <= s {
				n = append(n, 0)
			}
			n[s]++
		}
	}
	return n
}

// Five a second are five in each second, not fifty every ten; and a new rate is obeyed within a second.
func TestSlowRateIsSmoothAndCanBeRaised(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		log := &sendLog{seen: map[string]int{}}
		r := newRig(t, s, jobs.Options{Channels: []channels.Channel{log}})
		r.users(1000)
		sp := spec(models.Audience{Type: models.AudienceAll})
		sp.RatePerSecond = 5
		id := r.post(sp)
		testkit.Eventually(t, "the campaign is under way", testkit.Patience, func() bool { return log.total() > 0 })
		begun := time.Now()
		testkit.Eventually(t, "thirty are sent", testkit.Patience, func() bool { return log.total() >= 30 })
		// in any second, wherever it begins, at most six, and one that a busy machine noted late
		log.mu.Lock()
		most := log.most()
		log.mu.Unlock()
		if took := time.Since(begun); most > 7 || took < 5*time.Second {
			t.Errorf("thirty in %s at 5/s, %d of them in one second: %v", took, most, log.perSecond(begun))
		}
		rate := 500
		if _, err := r.store.UpdateCampaign(t.Context(), id, models.CampaignChange{RatePerSecond: &rate}); err != nil {
			t.Fatal(err)
		}
		before := log.total() // at 5/s, two hundred more would take forty seconds
		testkit.Eventually(t, "the new rate shows", 20*time.Second, func() bool { return log.total() >= before+200 })
	})
}
