package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/models"
)

// fakeReceiver is a receiver of events: answer says what it does with each.
type fakeReceiver struct {
	answer func(ctx context.Context, e models.Event) jobs.EventAnswer

	mu      sync.Mutex
	posts   int
	at      map[string]int      // posts under way, by campaign
	overlap bool                // of one campaign
	got     map[string][]string // what each campaign's events say, in the order in which they were first taken
	ids     map[string]int      // how often each was taken
}

func newFakeReceiver(answer func(context.Context, models.Event) jobs.EventAnswer) *fakeReceiver {
	return &fakeReceiver{answer: answer, at: map[string]int{}, got: map[string][]string{}, ids: map[string]int{}}
}

// Post is a post.
func (f *fakeReceiver) Post(ctx context.Context, e models.Event) jobs.EventAnswer {
	f.mu.Lock()
	f.posts++
	f.at[e.CampaignID]++
	f.overlap = f.overlap || e.CampaignID != "" && f.at[e.CampaignID] > 1
	f.mu.Unlock()
	a := f.answer(ctx, e)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at[e.CampaignID]--
	if a.Err == nil {
		f.ids[e.PublicID()]++
		if f.ids[e.PublicID()] == 1 {
			f.got[e.CampaignID] = append(f.got[e.CampaignID], e.Reason)
		}
	}
	return a
}

func (f *fakeReceiver) taken() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.ids)
}

// wants waits until so many different events were taken.
func (f *fakeReceiver) wants(t *testing.T, n int) {
	t.Helper()
	testkit.Eventually(t, fmt.Sprint(n, " events arrive"), testkit.Patience, func() bool { return f.taken() >= n }, func() any { return f.taken() })
}

var (
	quick     = jobs.NotifyOptions{Look: 20 * time.Millisecond, First: 10 * time.Millisecond, Most: 100 * time.Millisecond, Probe: 50 * time.Millisecond}
	errAnswer = errors.New("the receiver answered 500")
)

func takeAll(context.Context, models.Event) jobs.EventAnswer { return jobs.EventAnswer{} }

// notify runs a notifier until stop.
func notify(t *testing.T, store *models.Store, to jobs.EventPoster) (stop func()) {
	t.Helper()
	n := jobs.NewNotifier(store, to, quick, slog.New(slog.NewTextHandler(t.Output(), nil)))
	n.Start()
	t.Cleanup(n.Stop)
	return n.Stop
}

// begin makes the webhook one that is on: events from now on are posted.
func begin(t *testing.T, store *models.Store) {
	t.Helper()
	w, err := store.TakeEventWebhook(t.Context())
	if err == nil {
		err = store.LeaveEventWebhook(t.Context(), &w.EventWebhook)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func happen(t *testing.T, store *models.Store, campaign, what string) {
	t.Helper()
	if err := store.Record(t.Context(), models.Event{Kind: models.EventCampaignPaused, CampaignID: campaign, Reason: what}); err != nil {
		t.Error(err)
	}
}

// The receiver fails a third of the posts, and two processes that come and go share the work: every event arrives, in order of its
// campaign, never two of one campaign at once. Who pulls has the same ones.
func TestEveryEventIsPostedInOrder(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		const campaigns, each = 12, 5
		stores := []*models.Store{testkit.OpenStore(t, s.DatabaseURL), testkit.OpenStore(t, s.DatabaseURL)}
		begin(t, stores[0])
		to := newFakeReceiver(func(context.Context, models.Event) jobs.EventAnswer {
			if rand.IntN(3) == 0 {
				return jobs.EventAnswer{Err: errAnswer}
			}
			return jobs.EventAnswer{}
		})
		stopFirst := notify(t, stores[0], to)
		notify(t, stores[1], to)
		var writing sync.WaitGroup
		for c := range campaigns {
			writing.Go(func() {
				for i := range each {
					happen(t, stores[i%2], fmt.Sprintf("%026d", c), fmt.Sprint(i))
				}
			})
		}
		to.wants(t, campaigns*each/3)
		stopFirst()
		writing.Wait()
		happen(t, stores[1], "", "about no campaign")
		to.wants(t, campaigns*each+1)
		if to.overlap {
			t.Error("two events of one campaign were posted at once")
		}
		for c := range campaigns {
			if got := fmt.Sprint(to.got[fmt.Sprintf("%026d", c)]); got != "[0 1 2 3 4]" {
				t.Errorf("campaign %d: %s", c, got)
			}
		}
		found, err := stores[0].PullEvents(t.Context(), models.EventPull{After: models.FromFirst, Limit: 1000})
		if err != nil || len(found.Events) != len(to.ids) {
			t.Fatalf("%d pulled, %d posted, %v", len(found.Events), len(to.ids), err)
		}
		for _, e := range found.Events {
			if to.ids[e.PublicID()] == 0 {
				t.Errorf("%s was not posted", e.PublicID())
			}
		}
		testkit.Eventually(t, "nothing waits", testkit.Patience, func() bool {
			b, err := stores[0].EventBacklog(t.Context())
			return err == nil && b.Waiting == 0
		})
	})
}

// A campaign whose events fail, and one whose posts hang, hold up nobody else. What failed comes when the receiver takes it.
func TestAFailingCampaignHoldsUpNobody(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		begin(t, store)
		mended := make(chan struct{})
		to := newFakeReceiver(func(ctx context.Context, e models.Event) jobs.EventAnswer {
			switch e.CampaignID {
			case "hangs":
				select {
				case <-ctx.Done():
					return jobs.EventAnswer{Err: ctx.Err()}
				case <-mended:
				}
			case "fails":
				select {
				case <-mended:
				default:
					return jobs.EventAnswer{Err: errAnswer}
				}
			}
			return jobs.EventAnswer{}
		})
		notify(t, store, to)
		for i := range 4 {
			for _, campaign := range []string{"hangs", "fails", "well"} {
				happen(t, store, campaign, fmt.Sprint(i))
			}
		}
		to.wants(t, 4)
		if len(to.got["well"]) != 4 {
			t.Error(to.got)
		}
		close(mended)
		to.wants(t, 12)
		for campaign, got := range to.got {
			if fmt.Sprint(got) != "[0 1 2 3]" {
				t.Errorf("%s: %v", campaign, got)
			}
		}
	})
}

// A receiver that is away is tried with one event at a time, and then gets all. Events that fail wherever they go do not keep it away.
func TestAnAwayReceiverIsProbed(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		begin(t, store)
		back := make(chan struct{})
		to := newFakeReceiver(func(_ context.Context, e models.Event) jobs.EventAnswer {
			select {
			case <-back:
			default:
				return jobs.EventAnswer{Err: errors.New("connection refused"), Away: true}
			}
			if len(e.CampaignID) > 4 {
				return jobs.EventAnswer{Err: errAnswer}
			}
			return jobs.EventAnswer{}
		})
		for i := range 40 {
			happen(t, store, fmt.Sprint("poison", i), "")
		}
		stop := notify(t, store, to)
		var w models.EventWebhook
		testkit.Eventually(t, "the receiver is away", testkit.Patience, func() bool {
			var err error
			w, err = store.EventWebhook(t.Context())
			return err == nil && w.Failures >= 4
		})
		to.mu.Lock()
		posts := to.posts
		to.mu.Unlock()
		if w.Error != "connection refused" || w.FailingSince == 0 || posts > 40+w.Failures+1 {
			t.Errorf("%d posts, %+v", posts, w)
		}
		stop()
		close(back)
		notify(t, store, to) // which finds the receiver away, and probes it
		for i := range 5 {
			happen(t, store, "good", fmt.Sprint(i))
		}
		to.wants(t, 5)
		if fmt.Sprint(to.got["good"]) != "[0 1 2 3 4]" {
			t.Error(to.got)
		}
	})
}

// A process that ends notes what it has posted: nothing is posted again.
func TestAnEndNotesWhatWasPosted(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		begin(t, store)
		arrived := make(chan struct{}, 100)
		to := newFakeReceiver(func(context.Context, models.Event) jobs.EventAnswer {
			arrived <- struct{}{}
			time.Sleep(20 * time.Millisecond) // the process ends meanwhile
			return jobs.EventAnswer{}
		})
		for i := range 10 {
			happen(t, store, fmt.Sprint(i), "")
		}
		stop := notify(t, store, to)
		<-arrived
		stop()
		before := to.taken()
		if before == 0 {
			t.Error("the posts under way were cut off")
		}
		happen(t, store, "last", "")
		rest := newFakeReceiver(takeAll)
		notify(t, store, rest)
		rest.wants(t, 11-before)
		if n := rest.taken(); n != 11-before {
			t.Errorf("%d were posted by the first, %d by the second", before, n)
		}
	})
}
