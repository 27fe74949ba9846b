package jobs_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"carillon/channels"
	"carillon/channels/inbox"
	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/models"
)

// sizes is an inbox that notes how many recipients each chunk has.
type sizes struct {
	*inbox.Channel
	batch int

	mu   sync.Mutex
	seen []int
}

func (c *sizes) Traits() channels.Traits {
	t := c.Channel.Traits()
	t.MaxBatch = c.batch
	return t
}

func (c *sizes) Send(ctx context.Context, b channels.Batch) []channels.Outcome {
	c.mu.Lock()
	c.seen = append(c.seen, len(b.Recipients))
	c.mu.Unlock()
	return c.Channel.Send(ctx, b)
}

// A chunk is whole requests of its channel, so that a batch is not cut in two by the write after it.
func TestChunksAreWholeRequests(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r := newRig(t, s, jobs.Options{})
		r.users(1000)
		r.stop()
		for batch, want := range map[int][]int{1: {250, 250, 250, 250}, 100: {200, 200, 200, 200, 200}, 300: {300, 300, 300, 100}, 500: {500, 500}, 1000: {500, 500}} {
			ch := &sizes{Channel: inbox.New(r.rdb), batch: batch}
			w := r.with(jobs.Options{Channels: []channels.Channel{ch}})
			if c := w.finished(w.post(spec(models.Audience{Type: models.AudienceAll}))); c.Sent != 1000 {
				t.Fatalf("counts %+v", c.Counts)
			}
			w.stop()
			if !slices.Equal(ch.seen, want) {
				t.Errorf("a batch of %d: chunks of %v, want %v", batch, ch.seen, want)
			}
		}
	})
}

// locker is an inbox that holds up the write of its first chunk: it locks the page before it says that the chunk is sent.
type locker struct {
	sendLog
	db   *sql.DB
	once sync.Once
	tx   *sql.Tx
	err  error
	held chan struct{}
}

func (l *locker) Send(ctx context.Context, b channels.Batch) []channels.Outcome {
	l.once.Do(func() {
		if l.tx, l.err = l.db.BeginTx(context.Background(), nil); l.err == nil {
			_, l.err = l.tx.ExecContext(context.Background(), "UPDATE pages SET size=size WHERE no=0")
		}
		close(l.held)
	})
	return l.sendLog.Send(ctx, b)
}

// While one chunk's outcomes are being written the next is sent, and no more than that: a kill leaves two chunks of a
// page ambiguous at the most. An at-most-once worker waits, claim and all.
func TestOneChunkAhead(t *testing.T) {
	t.Parallel()
	for _, delivery := range []models.Delivery{models.AtLeastOnce, models.AtMostOnce} {
		t.Run(string(delivery), func(t *testing.T) {
			t.Parallel()
			testkit.EachStore(t, func(t *testing.T, s testkit.Stores) { oneChunkAhead(t, s, delivery) })
		})
	}
}

func oneChunkAhead(t *testing.T, s testkit.Stores, delivery models.Delivery) {
	r := newRig(t, s, jobs.Options{})
	r.stop()
	db, _, err := r.store.Writer()
	if err != nil {
		t.Fatal(err)
	}
	ch := &locker{sendLog: sendLog{seen: map[string]int{}}, db: db, held: make(chan struct{})}
	r = r.with(jobs.Options{ChunkSize: 10, Channels: []channels.Channel{ch}})
	r.users(100)
	sp := spec(models.Audience{Type: models.AudienceAll})
	sp.Delivery = delivery
	id := r.post(sp)
	<-ch.held
	if ch.err != nil {
		t.Fatal(ch.err)
	}
	ahead := 10 // the first chunk alone
	if delivery == models.AtLeastOnce {
		ahead = 20
	}
	testkit.Eventually(t, "the chunks that may be sent are", testkit.Patience, func() bool { return ch.total() >= ahead })
	for range 30 { // and no other follows
		if n := ch.total(); n > ahead {
			t.Fatalf("%d were sent while the first chunk was not written", n)
		}
		time.Sleep(10 * time.Millisecond)
	}
	// Another takes the page: what the worker holds must not be written.
	if _, err := ch.tx.ExecContext(t.Context(), "UPDATE pages SET epoch=epoch+1, rev=rev+1, state=?, due_at=0 WHERE no=0", models.PageWaiting); err != nil {
		t.Fatal(err)
	}
	if err := ch.tx.Commit(); err != nil {
		t.Fatal(err)
	}
	c := r.finished(id)
	sent := int64(100)
	if delivery == models.AtMostOnce {
		sent = 90 // the first chunk was claimed, and nobody wrote what became of it
	}
	if c.Sent != sent || c.Unknown != 100-sent {
		t.Fatalf("counts %+v", c.Counts)
	}
	if n := ch.total(); delivery == models.AtLeastOnce && n != 120 || delivery == models.AtMostOnce && n != 100 {
		t.Fatalf("%d sends", n)
	}
}

// A visit that is over goes on at once, with no reconciler to find its page: here none runs. Twenty-seven at 4/s take longer
// than a visit may.
func TestVisitsFollowEachOther(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r := newRig(t, s, jobs.Options{})
		r.users(27)
		other := r.with(jobs.Options{})
		for _, r := range []*rig{r, other} {
			r.rec.Stop()
		}
		var ids []string
		for i := range 27 {
			ids = append(ids, fmt.Sprintf("user-%07d", i))
		}
		sp := spec(models.Audience{Type: models.AudienceUsers, UserIDs: ids})
		sp.RatePerSecond = 4
		id := r.post(sp)
		if c := r.finished(id); c.Sent != 27 {
			t.Fatalf("counts %+v", c.Counts)
		}
		// A worker that is told to go leaves its page to another.
		id = r.post(sp)
		testkit.Eventually(t, "the second campaign is under way", testkit.Patience, func() bool { return r.view(id).Sent > 2 })
		r.stop()
		if c := other.finished(id); c.Sent != 27 {
			t.Fatalf("counts %+v", c.Counts)
		}
	})
}

// A turn goes from page to page of one campaign only while nobody waits for the slot, or for its place on the channel: a
// later campaign gets in before the large ones that hold all there is are done.
func TestLaterCampaignGetsItsTurn(t *testing.T) {
	t.Parallel()
	for name, slots := range map[string]int{"slots are short": 3, "the channel is short": 8} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testkit.EachStore(t, func(t *testing.T, s testkit.Stores) { laterCampaign(t, s, slots) })
		})
	}
}

func laterCampaign(t *testing.T, s testkit.Stores, slots int) {
	r := newRig(t, s, jobs.Options{})
	r.stop()
	ch := slow{inbox.New(r.rdb), 200 * time.Millisecond}
	r = r.with(jobs.Options{ChunkSize: 100, BulkSlots: slots, Channels: []channels.Channel{ch}})
	r.users(slots * 4500) // a busy machine may take its time to begin the later one
	var first []string
	for range 3 {
		first = append(first, r.post(spec(models.Audience{Type: models.AudienceAll})))
	}
	testkit.Eventually(t, "the first campaigns are under way", testkit.Patience, func() bool {
		c, err := r.store.Campaign(t.Context(), first[0])
		return err == nil && c.Sent > 0
	})
	var ids []string
	for i := range 1500 {
		ids = append(ids, fmt.Sprintf("user-%07d", i))
	}
	r.finished(r.post(spec(models.Audience{Type: models.AudienceUsers, UserIDs: ids})))
	for _, id := range first {
		if c, err := r.store.Campaign(t.Context(), id); err != nil || c.Status != models.StatusRunning {
			t.Errorf("a large campaign was done before one of 1,500: %s, %v", c.Status, err)
		}
	}
}
