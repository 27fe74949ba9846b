package pacing

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"carillon/models"
)

// Campaigns that want more places on a channel than there are come to hold the same number each,
// whoever was first; then they go on as they are, and no place stays empty.
func TestPlacesAreEven(t *testing.T) {
	t.Parallel()
	for _, campaigns := range []int{1, 2, 3, 5, 12} {
		const slots = 16
		s, places := NewPlaces(Defaults(), slots), 12
		all, held := make([]models.Campaign, campaigns), make([]int, campaigns)
		for i := range all {
			all[i] = models.Campaign{ID: int64(i), Channel: "webhook"}
			for range slots { // the first takes what it may
				if _, ok := s.Acquire(all[i]); ok {
					held[i]++
				}
			}
		}
		yields := 0
		for round := range 2000 {
			i := rand.IntN(campaigns)
			if held[i] > 0 && s.MustYield(all[i]) { // at the end of a page
				s.Release(all[i])
				held[i]--
				if round >= 1000 {
					yields++
				}
			}
			for _, i := range rand.Perm(campaigns) { // those turned away come back
				if _, ok := s.Acquire(all[i]); ok {
					held[i]++
				}
			}
		}
		sum, least, most := 0, slots, 0
		for _, n := range held {
			sum, least, most = sum+n, min(least, n), max(most, n)
		}
		if want := min(places, campaigns*slots/2); sum != want || most-least > 1 || most > slots/2 {
			t.Errorf("%d campaigns hold %v of %d places", campaigns, held, want)
		}
		if yields > 0 {
			t.Errorf("%d campaigns still give way when they are even, %d times", campaigns, yields)
		}
	}
}

// More campaigns than places take turns.
func TestPlacesGoRound(t *testing.T) {
	t.Parallel()
	s := NewPlaces(Defaults(), 2) // one place
	var order []int64
	holder := int64(-1)
	for range 9 {
		for id := range int64(3) {
			if _, ok := s.Acquire(models.Campaign{ID: id, Channel: "webhook"}); ok {
				order, holder = append(order, id), id
			}
		}
		if c := (models.Campaign{ID: holder, Channel: "webhook"}); s.MustYield(c) {
			s.Release(c)
		}
	}
	if want := []int64{0, 1, 2, 0, 1, 2, 0, 1, 2}; !slices.Equal(order, want) {
		t.Errorf("the place went to %v, not %v", order, want)
	}
}

// While a campaign without a place waits for one, the next that is free is not taken by a campaign
// that has some.
func TestPlaceIsKeptForWhoHasNone(t *testing.T) {
	t.Parallel()
	s := NewPlaces(Defaults(), 4) // three places on a channel, two for a campaign
	a, b, c := models.Campaign{ID: 1, Channel: "webhook"}, models.Campaign{ID: 2, Channel: "webhook"}, models.Campaign{ID: 3, Channel: "webhook"}
	for i, step := range []struct {
		c    models.Campaign
		want models.PageState // instead of a place
	}{{a, models.PageRunning}, {a, models.PageRunning}, {a, models.PageNew}, {b, models.PageRunning}, {b, models.PageWaiting}, {c, models.PageWaiting}} {
		if instead, ok := s.Acquire(step.c); ok != (step.want == models.PageRunning) || !ok && instead.State != step.want {
			t.Fatalf("step %d: %t, %+v", i, ok, instead)
		}
	}
	if !s.MustYield(a) {
		t.Fatal("a campaign without a place, and the one with two does not give one")
	}
	s.Release(a)
	if _, ok := s.Acquire(a); ok {
		t.Fatal("a campaign that has a place took the one that another waits for")
	}
	if _, ok := s.Acquire(c); !ok {
		t.Fatal("the campaign without a place did not get it")
	}
	if s.MustYield(b) || s.MustYield(c) {
		t.Fatal("each has one place, and is to give it up")
	}
}

// Of more campaigns than can come back in time, each finds a free place when it comes: none is kept
// for those that are away.
func TestPlacesOfManyCampaigns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const many = 1000
		s := NewPlaces(Defaults(), 16)
		var waiting []models.Campaign
		for i := range many {
			waiting = append(waiting, models.Campaign{ID: int64(i), Channel: "webhook"})
		}
		type turn struct {
			c    models.Campaign
			ends time.Time
		}
		var held []turn
		visits, done := 0, 0
		for ; done < many && visits < 20*many; visits++ {
			time.Sleep(6 * time.Millisecond) // all of them take six seconds
			for len(held) > 0 && !held[0].ends.After(time.Now()) {
				s.Release(held[0].c)
				held = held[1:]
				done++
			}
			if len(waiting) == 0 {
				continue
			}
			c := waiting[0]
			waiting = waiting[1:]
			if _, ok := s.Acquire(c); ok {
				took := 50 * time.Millisecond
				if visits < 12 {
					took = 2 * time.Second // meanwhile the others are turned away
				}
				held = append(held, turn{c, time.Now().Add(took)})
			} else {
				waiting = append(waiting, c)
			}
		}
		if done < many || visits > many+2000/6+20 {
			t.Errorf("%d of %d campaigns had their turn in %d visits", done, many, visits)
		}
	})
}

// A page of a slow campaign that has no place waits for one in its slot, half a second at most. Few
// do so at once, one of a campaign.
func TestWaitInTheSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewPlaces(Defaults(), 16) // twelve places on a channel, eight for a campaign
		campaign := func(id int64) models.Campaign { return models.Campaign{ID: id, Channel: "webhook", RatePerSecond: 1} }
		for i := range 12 {
			if _, ok := s.Acquire(campaign(int64(i % 2))); !ok {
				t.Fatal("no place on an empty channel")
			}
		}
		drain, end := context.WithCancel(t.Context())
		begun := time.Now()
		type result struct {
			ok bool
			in time.Duration
		}
		enter := func(id int64) <-chan result {
			got := make(chan result, 1)
			go func() {
				c := campaign(id)
				if id == 9 {
					c.RatePerSecond = s.SlowRate
				}
				_, ok := s.Acquire(c)
				if !ok && s.BeginSlotWait(c) {
					ok = s.AcquireInSlot(drain, c)
					s.EndSlotWait(c)
				}
				got <- result{ok, time.Since(begun)}
			}()
			synctest.Wait()
			return got
		}
		first := enter(2)
		var second <-chan result
		for _, id := range []int64{9, 0, 2, 4} { // it is not slow; it has places; one of its pages waits already; two wait already
			if id == 4 {
				second = enter(3)
			}
			select {
			case r := <-enter(id):
				if r.ok {
					t.Fatalf("campaign %d found a place where none is free", id)
				}
			default:
				t.Fatalf("a page of campaign %d waits in its slot", id)
			}
		}
		time.Sleep(100 * time.Millisecond)
		s.Release(campaign(0))
		if _, ok := s.Acquire(campaign(0)); ok {
			t.Error("a campaign with places took the one that others wait for")
		}
		one, other := <-first, <-second
		if !one.ok {
			one, other = other, one
		}
		if !one.ok || one.in > 150*time.Millisecond || other.ok || other.in < s.SlotWait || other.in > s.SlotWait+50*time.Millisecond {
			t.Errorf("a place was free after 100 ms: %+v and %+v", one, other)
		}
		begun = time.Now()
		third := enter(5)
		end()
		if r := <-third; r.ok || r.in > 50*time.Millisecond {
			t.Errorf("a process that is to end: %+v", r)
		}
	})
}
