package models_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/models"
)

// puller is a reader of the event log that goes on where it was.
type puller struct {
	store *models.Store
	pull  models.EventPull
	got   []string // the reasons of the events, which say which ones they are
	ids   map[string]int
}

func pullFrom(store *models.Store, after string) *puller {
	return &puller{store: store, pull: models.EventPull{After: after, Limit: 7}, ids: map[string]int{}}
}

// read reads all that is there now.
func (p *puller) read(ctx context.Context) error {
	for {
		found, err := p.store.PullEvents(ctx, p.pull)
		if err != nil {
			return err
		}
		for _, e := range found.Events {
			p.got = append(p.got, e.Reason)
			p.ids[e.PublicID()]++
		}
		p.pull.After = found.Next
		if !found.More {
			return nil
		}
	}
}

func (p *puller) wants(t *testing.T, want ...string) {
	t.Helper()
	if err := p.read(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.got, want) {
		t.Errorf("read %q, want %q", p.got, want)
	}
}

func recordEvent(t *testing.T, store *models.Store, what string) {
	t.Helper()
	if err := store.Record(t.Context(), models.Event{Kind: models.EventServeStarted, Reason: what}); err != nil {
		t.Fatal(err)
	}
}

// Two transactions store their events in one order and commit in the other. Whoever has read the newer event gets the older one
// later. SQLite has one writer: there the second transaction begins when the first has ended.
func TestNoEventIsMissedWhenCommitsComeInReverse(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		recordEvent(t, store, "before")
		reader := pullFrom(store, models.FromFirst)
		reader.wants(t, "before")

		stored, commit, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		first := sync.OnceFunc(func() { close(stored); <-commit }) // the statement is not run again
		go func() {
			ended <- store.RecordIn(t.Context(), models.Event{Kind: models.EventServeStarted, Reason: "lower id"}, first)
		}()
		<-stored
		if s.Name == "embedded" {
			short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if err := store.Record(short, models.Event{Kind: models.EventServeStarted, Reason: "higher id"}); err == nil {
				t.Fatal("a second writer did not wait for the first")
			}
			reader.wants(t, "before")
			close(commit)
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			recordEvent(t, store, "higher id")
			reader.wants(t, "before", "lower id", "higher id")
			return
		}
		recordEvent(t, store, "higher id")
		reader.wants(t, "before", "higher id")
		close(commit)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		reader.wants(t, "before", "higher id", "lower id")
		recordEvent(t, store, "after")
		reader.wants(t, "before", "higher id", "lower id", "after")
		list, err := store.Events(t.Context(), models.EventFilter{Limit: 10})
		if err != nil || len(list) != 4 || list[1].Reason != "higher id" || list[2].Reason != "lower id" {
			t.Fatalf("the ids were not in the other order: %+v, %v", list, err)
		}
	})
}

// Many write at once, two processes read meanwhile: each reader gets every event once, and those of a writer in their order.
func TestEveryReaderGetsTheSameEvents(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		const writers, each = 6, 25
		store := testkit.OpenStore(t, s.DatabaseURL)
		other := testkit.OpenStore(t, s.DatabaseURL)
		readers := []*puller{pullFrom(store, models.FromFirst), pullFrom(other, models.FromFirst)}
		var writing, reading sync.WaitGroup
		over := make(chan struct{})
		for w := range writers {
			writing.Go(func() {
				for i := range each {
					store := []*models.Store{store, other}[i%2]
					if err := store.Record(t.Context(), models.Event{Kind: models.EventServeStarted, Reason: fmt.Sprintf("%d %03d", w, i)}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for _, r := range readers {
			reading.Go(func() {
				for done := false; !done; {
					select {
					case <-over:
						done = true
					default:
					}
					if err := r.read(t.Context()); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		writing.Wait()
		close(over)
		reading.Wait()
		if !slices.Equal(readers[0].got, readers[1].got) {
			t.Error("the readers read in different orders")
		}
		last := map[string]string{}
		for _, what := range readers[0].got {
			writer, _, _ := strings.Cut(what, " ")
			if what <= last[writer] {
				t.Errorf("%q comes after %q", what, last[writer])
			}
			last[writer] = what
		}
		if len(readers[0].got) != writers*each || len(readers[0].ids) != writers*each {
			t.Errorf("%d events, %d different ones, want %d", len(readers[0].got), len(readers[0].ids), writers*each)
		}
	})
}

// Who names a place that is not in the log hears so. The newest event is kept however old it is: who has read it goes on.
func TestPlacesThatAreNotInTheLog(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		store, clock := testkit.OpenStoreAt(t, s.DatabaseURL, began)
		code := func(after string) models.Code {
			t.Helper()
			_, err := store.PullEvents(t.Context(), models.EventPull{After: after, Limit: 10})
			if err == nil {
				return 0
			}
			return models.AsError(err).Code
		}
		pullFrom(store, models.FromNow).wants(t)
		for _, what := range []string{"1", "2", "3"} {
			recordEvent(t, store, what)
		}
		now := pullFrom(store, models.FromNow)
		now.wants(t)
		reader := pullFrom(store, models.FromFirst)
		reader.pull.Limit = 1
		found, err := store.PullEvents(t.Context(), reader.pull)
		if err != nil || !found.More {
			t.Fatal(found, err)
		}
		first := found.Next
		reader.wants(t, "1", "2", "3")
		clock.Set(began.Add(2 * time.Hour))
		if _, err := store.PurgeEvents(t.Context(), models.Millis(began.Add(time.Hour).UnixMilli()), 10); err != nil {
			t.Fatal(err)
		}
		for after, want := range map[string]models.Code{
			first: models.CodeCursorGone, reader.pull.After: 0, now.pull.After: 0, models.FromFirst: 0,
			strings.Replace(reader.pull.After, "_17", "_18", 1): models.CodeCursorGone, // of the log before a backup was restored
			"evt_99_1767225600123":                              models.CodeCursorGone,
			"":                                                  models.CodeArgs, "3": models.CodeArgs, "evt_3": models.CodeArgs, "evt_03_1": models.CodeArgs, "evt_-3_1": models.CodeArgs, "evt_3_1_": models.CodeArgs, "é": models.CodeArgs,
		} {
			if got := code(after); got != want {
				t.Errorf("after %q: %d, want %d", after, got, want)
			}
		}
		recordEvent(t, store, "4")
		reader.wants(t, "1", "2", "3", "4")
		now.wants(t, "4")
		pullFrom(store, models.FromFirst).wants(t, "3", "4")
	})
}

// A log that is older than the order is read in the order of its ids, and then on.
func TestOldLogsAreReadToo(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		var want []string
		for i := range 10 {
			want = append(want, fmt.Sprint("old ", i))
			recordEvent(t, store, want[i])
		}
		if err := store.OldLog(t.Context()); err != nil {
			t.Fatal(err)
		}
		now := pullFrom(store, models.FromNow)
		now.wants(t)
		reader := pullFrom(store, models.FromFirst)
		reader.wants(t, want...)
		for i := range 5 {
			want = append(want, fmt.Sprint("new ", i))
			recordEvent(t, store, want[10+i])
		}
		reader.wants(t, want...)
		pullFrom(store, models.FromFirst).wants(t, want...)
		now.wants(t, want[10:]...)
		recent := pullFrom(store, models.FromFirst)
		recent.pull.Kind = models.EventCampaignPaused
		recent.wants(t)
		recent.pull.Kind = models.EventServeStarted
		recent.wants(t)
		if recent.pull.After != reader.pull.After {
			t.Errorf("a pull that found nothing stays at %s", recent.pull.After)
		}
	})
}

// A pull by kind or campaign gives those alone.
func TestPullsAreFiltered(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		users(t, store, 1)
		var ids []string
		for range 3 {
			c, err := store.CreateCampaign(t.Context(), spec(models.Audience{Type: models.AudienceAll}), []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return nil })
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, c.PublicID)
			if _, err := store.PauseCampaign(t.Context(), c.PublicID, "by hand"); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []struct {
			pull models.EventPull
			n    int
		}{
			{models.EventPull{Kind: models.EventCampaignPaused}, 3},
			{models.EventPull{CampaignID: ids[1]}, 2},
			{models.EventPull{CampaignID: ids[1], Kind: models.EventCampaignCreated}, 1},
			{models.EventPull{CampaignID: "01J9ZQ4X0000000000000000ZZ"}, 0},
		} {
			p := pullFrom(store, models.FromFirst)
			p.pull.Kind, p.pull.CampaignID, p.pull.Limit = c.pull.Kind, c.pull.CampaignID, 2
			if err := p.read(t.Context()); err != nil || len(p.got) != c.n {
				t.Errorf("%+v: %d events, %v", c.pull, len(p.got), err)
			}
		}
	})
}
