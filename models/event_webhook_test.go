package models_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/models"
)

// poster is a process that posts events, driven by the test.
type poster struct {
	t     *testing.T
	store *models.Store
	w     models.EventWebhook
}

func takeWebhook(t *testing.T, store *models.Store) (p *poster, taken *models.TakenWebhook) {
	t.Helper()
	taken, err := store.TakeEventWebhook(t.Context())
	if err != nil || taken == nil {
		t.Fatal(taken, err)
	}
	return &poster{t, store, taken.EventWebhook}, taken
}

// move orders, notes and takes, and gives what was given up.
func (p *poster) move(take int, posted ...models.Posted) []models.EventDelivery {
	p.t.Helper()
	if err := p.store.OrderEvents(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	gaveUp, _, err := p.store.MoveDeliveries(p.t.Context(), &p.w, posted, take)
	if err != nil {
		p.t.Fatal(err)
	}
	return gaveUp
}

// due are the deliveries that are to be posted, by what they say.
func (p *poster) due(failed bool) map[string]models.EventDelivery {
	p.t.Helper()
	list, err := p.store.DeliveriesDue(p.t.Context(), failed, false, 100)
	if err != nil {
		p.t.Fatal(err)
	}
	found := map[string]models.EventDelivery{}
	for _, d := range list {
		found[d.Event.Reason] = d
	}
	return found
}

func (p *poster) wantsDue(failed bool, want ...string) map[string]models.EventDelivery {
	p.t.Helper()
	due := p.due(failed)
	ok := len(due) == len(want)
	for _, what := range want {
		ok = ok && due[what].Seq > 0
	}
	if !ok {
		p.t.Errorf("due are %v, want %q", due, want)
	}
	return due
}

func campaignEvent(t *testing.T, store *models.Store, campaign, what string) {
	t.Helper()
	e := models.Event{Kind: models.EventCampaignPaused, CampaignID: campaign, Reason: what}
	if err := store.Record(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

// A stream's events come one after the other. One that fails holds up its stream alone, until three days after it was taken.
func TestStreamsOfEventsGoInOrder(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store, clock := testkit.OpenStoreAt(t, s.DatabaseURL, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
		recordEvent(t, store, "before it was on")
		p, taken := takeWebhook(t, store)
		if !taken.Anew || taken.GivenUp != 0 {
			t.Errorf("%+v", taken)
		}
		for i := range 3 {
			campaignEvent(t, store, "a", fmt.Sprint("a", i))
			campaignEvent(t, store, "b", fmt.Sprint("b", i))
			recordEvent(t, store, fmt.Sprint("alone", i))
		}
		p.move(2)
		due := p.wantsDue(false, "a0", "b0")
		p.move(100, models.Posted{EventDelivery: due["a0"], Failed: true, Wait: time.Minute}, models.Posted{EventDelivery: due["b0"]})
		due = p.wantsDue(false, "b1", "alone0", "alone1", "alone2")
		p.wantsDue(true)
		var all []models.Posted
		for _, d := range due {
			all = append(all, models.Posted{EventDelivery: d})
		}
		p.move(100, all...)
		p.move(100, models.Posted{EventDelivery: p.wantsDue(false, "b2")["b2"]})
		p.wantsDue(false)
		clock.Tick(time.Minute)
		a0 := p.wantsDue(true, "a0")["a0"]
		if a0.Attempts != 1 || a0.Event.CampaignID != "a" || a0.Event.At == 0 || a0.Event.Via != models.ViaServe {
			t.Errorf("%+v", a0)
		}
		backlog, err := store.EventBacklog(t.Context())
		if err != nil || backlog.Waiting != 3 || backlog.Failing != 1 || backlog.OldestAt != a0.Event.At {
			t.Errorf("%+v, %v", backlog, err)
		}

		clock.Tick(3*24*time.Hour - time.Minute)
		gaveUp := p.move(100, models.Posted{EventDelivery: a0, Failed: true, Wait: time.Hour})
		if len(gaveUp) != 1 || gaveUp[0].Event.Reason != "a0" {
			t.Fatalf("%+v", gaveUp)
		}
		p.move(100, models.Posted{EventDelivery: p.wantsDue(false, "a1")["a1"]})
		p.move(100, models.Posted{EventDelivery: p.wantsDue(false, "a2")["a2"]})
		backlog, err = store.EventBacklog(t.Context())
		if err != nil || backlog.Waiting != 0 || backlog.GivenUp != 1 || backlog.GivenUpLast != a0.Event.PublicID() {
			t.Errorf("%+v, %v", backlog, err)
		}
	})
}

// One process posts at a time. Who stood still for longer than the lease can note nothing; who comes next goes on where it was.
func TestOneProcessPostsEvents(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store, clock := testkit.OpenStoreAt(t, s.DatabaseURL, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
		first, _ := takeWebhook(t, store)
		if other, err := store.TakeEventWebhook(t.Context()); err != nil || other != nil {
			t.Fatal(other, err)
		}
		campaignEvent(t, store, "a", "a0")
		first.move(100)
		due := first.wantsDue(false, "a0")
		clock.Tick(time.Duration(models.WebhookLease) * time.Millisecond)
		second, taken := takeWebhook(t, store)
		if taken.Anew {
			t.Error("it begins anew")
		}
		_, _, err := store.MoveDeliveries(t.Context(), &first.w, []models.Posted{{EventDelivery: due["a0"]}}, 1)
		if !errors.Is(err, models.ErrFenced) || !errors.Is(store.ReceiverAway(t.Context(), &first.w, "", 0), models.ErrFenced) {
			t.Error(err)
		}
		second.wantsDue(false, "a0")
		if err := store.LeaveEventWebhook(t.Context(), &second.w); err != nil {
			t.Fatal(err)
		}
		third, _ := takeWebhook(t, store)
		third.wantsDue(false, "a0")
	})
}

// A receiver that is away for three days misses what is older. Time in which nobody posted does not count.
func TestWhatAnAwayReceiverMisses(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store, clock := testkit.OpenStoreAt(t, s.DatabaseURL, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
		p, _ := takeWebhook(t, store)
		campaignEvent(t, store, "a", "taken")
		campaignEvent(t, store, "a", "behind")
		p.move(100)
		away := func() {
			t.Helper()
			if err := store.ReceiverAway(t.Context(), &p.w, "refused"+strings.Repeat("é", 300), time.Second); err != nil {
				t.Fatal(err)
			}
		}
		gone := func() (n int64) {
			t.Helper()
			for {
				some, err := store.GiveUpOld(t.Context(), &p.w)
				if err != nil || some == 0 {
					return n
				}
				n += some
			}
		}
		away()
		campaignEvent(t, store, "b", "in the log")
		clock.Tick(24 * time.Hour)
		away()
		p.move(0)
		clock.Tick(2*24*time.Hour + time.Duration(models.WebhookLease)*time.Millisecond) // in which nobody posts
		p, _ = takeWebhook(t, store)
		away()
		if n := gone(); n != 0 {
			t.Fatalf("%d events are given up after a day", n)
		}
		for range 2 {
			clock.Tick(24 * time.Hour)
			away()
		}
		campaignEvent(t, store, "b", "young")
		if err := store.OrderEvents(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := gone(); n != 3 || p.w.Failures != 5 || p.w.GivenUp != 0 {
			t.Errorf("%d events are given up, %+v", n, p.w)
		}
		if err := store.ReceiverBack(t.Context(), &p.w); err != nil {
			t.Fatal(err)
		}
		p.move(100)
		p.wantsDue(false, "young")
		if p.w.GivenUp != 3 || p.w.Failures != 0 || p.w.FailingSince != 0 {
			t.Errorf("%+v", p.w)
		}
	})
}

// A webhook that is switched on again within three days goes on; later it begins anew, and what waited is given up. Only then a
// purge may take what waits.
func TestAWebhookThatWasOff(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store, clock := testkit.OpenStoreAt(t, s.DatabaseURL, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
		purged := func() int {
			t.Helper()
			now, err := store.Now(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := store.PurgeEvents(t.Context(), now, 100); err != nil {
				t.Fatal(err)
			}
			list, err := store.Events(t.Context(), models.EventFilter{Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
		p, _ := takeWebhook(t, store)
		for i := range 3 {
			campaignEvent(t, store, "a", fmt.Sprint("a", i))
		}
		p.move(2)
		clock.Tick(3 * 24 * time.Hour)
		if n := purged(); n != 3 {
			t.Errorf("%d events are left, want all", n)
		}
		p, _ = takeWebhook(t, store)
		p.move(100, models.Posted{EventDelivery: p.wantsDue(false, "a0")["a0"]})
		if n := purged(); n != 2 {
			t.Errorf("%d events are left, want those that wait", n)
		}
		clock.Tick(3*24*time.Hour + time.Minute)
		campaignEvent(t, store, "a", "while it is off")
		if n := purged(); n != 1 {
			t.Errorf("%d events are left, want the newest", n)
		}
		p, taken := takeWebhook(t, store)
		if !taken.Anew || taken.GivenUp != 2 {
			t.Errorf("%+v", taken)
		}
		p.wantsDue(false)
		campaignEvent(t, store, "a", "from now on")
		p.move(100)
		p.wantsDue(false, "from now on")
	})
}
