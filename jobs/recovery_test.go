package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"carillon/channels"
	"carillon/channels/inbox"
	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/models"
)

// slow is the inbox with a delay a chunk, so that a test has time to break things in the middle.
type slow struct {
	*inbox.Channel
	delay time.Duration
}

func (s slow) Send(ctx context.Context, b channels.Batch) []channels.Outcome {
	time.Sleep(s.delay)
	return s.Channel.Send(ctx, b)
}

func TestFlushallInTheMiddle(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r := newRig(t, s, jobs.Options{})
		r.stop()
		r = r.with(jobs.Options{ChunkSize: 50, BulkSlots: 4, Channels: []channels.Channel{slow{inbox.New(r.rdb), 20 * time.Millisecond}}})
		r.users(3000)
		id := r.post(spec(models.Audience{Type: models.AudienceAll}))
		testkit.Eventually(t, "the campaign is under way", testkit.Patience, func() bool {
			c, err := r.store.Campaign(t.Context(), id)
			return err == nil && c.Sent > 500
		})
		if err := r.rdb.FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		if c := r.finished(id); c.Sent != 3000 {
			t.Fatalf("counts %+v", c.Counts)
		}
	})
}

// All of a campaign's tasks are lost before any worker saw one.
func TestFlushallOfTheQueue(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r := newRig(t, s, jobs.Options{})
		r.stop()
		r.users(1500)
		var ids []string
		for i := range 1500 {
			ids = append(ids, fmt.Sprintf("user-%07d", i))
		}
		id := r.post(spec(models.Audience{Type: models.AudienceUsers, UserIDs: ids}))
		if err := r.rdb.FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		r = r.with(jobs.Options{})
		if c := r.finished(id); c.Sent != 1500 {
			t.Fatalf("counts %+v", c.Counts)
		}
	})
}

func TestRedisAwayAtThePost(t *testing.T) {
	t.Parallel()
	redis := testkit.PrivateRedis(t)
	r := newRig(t, testkit.Stores{DatabaseURL: testkit.MySQLURL(t), RedisURL: redis.URL()}, jobs.Options{})
	r.users(100)
	if err := redis.Stop(); err != nil {
		t.Fatal(err)
	}
	id := r.post(spec(models.Audience{Type: models.AudienceAll}))
	if c, err := r.store.Campaign(t.Context(), id); err != nil || c.Status != models.StatusRunning || c.Pending != 100 {
		t.Fatalf("%+v, %v", c, err)
	}
	if err := redis.Start(); err != nil {
		t.Fatal(err)
	}
	if c := r.finished(id); c.Sent != 100 {
		t.Fatalf("counts %+v", c.Counts)
	}
}

// A worker that claims a page and dies leaves a page running with nobody to renew its lease.
func TestDeadWorkersPageMovesAgain(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r := newRig(t, s, jobs.Options{})
		r.users(10)
		created, err := r.store.CreateCampaign(t.Context(), spec(models.Audience{Type: models.AudienceUsers, UserIDs: []string{"user-0000001"}}),
			[]string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return nil })
		if err != nil {
			t.Fatal(err)
		}
		dead, err := r.store.ClaimPage(t.Context(), created.Tasks[0])
		if err != nil || dead == nil {
			t.Fatalf("%v, %v", dead, err)
		}
		c := r.finished(created.PublicID)
		if c.Sent != 1 {
			t.Fatalf("counts %+v", c.Counts)
		}
		// The dead one wakes up: it may write nothing, neither a row that stands by now nor one over it, nor the page alone.
		failed := models.RecipientOutcome{UserID: "user-0000001", Status: models.RecipientFailed}
		over := failed
		over.HasRow = true
		for _, late := range [][]models.RecipientOutcome{{failed}, {over}, nil} {
			stale := *dead
			err = r.store.WriteChunk(t.Context(), stale.Close(models.Chunk{State: models.PageRunning, Outcomes: late}))
			if !errors.Is(err, models.ErrFenced) {
				t.Fatalf("a fenced worker's write of %+v: %v", late, err)
			}
		}
		if err := r.store.RenewPage(t.Context(), created.Tasks[0]); !errors.Is(err, models.ErrFenced) {
			t.Fatalf("a fenced worker's renewal: %v", err)
		}
		if again, err := r.store.Campaign(t.Context(), created.PublicID); err != nil || again.Counts != c.Counts {
			t.Fatalf("%+v, %v", again.Counts, err)
		}
	})
}

func TestStopLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		first := newRig(t, s, jobs.Options{})
		first.stop()
		log := &sendLog{seen: map[string]int{}}
		opts := jobs.Options{ChunkSize: 50, BulkSlots: 4, Channels: []channels.Channel{log}}
		first = first.with(opts)
		first.users(3000)
		id := first.post(spec(models.Audience{Type: models.AudienceAll}))
		testkit.Eventually(t, "the campaign is under way", testkit.Patience, func() bool { return log.total() > 300 })
		begun := time.Now()
		first.stop()
		if d := time.Since(begun); d > 10*time.Second {
			t.Errorf("Stop took %s", d)
		}
		second := first.with(opts)
		if c := second.finished(id); c.Sent != 3000 {
			t.Fatalf("counts %+v", c.Counts)
		}
		for user, n := range log.seen {
			if n != 1 {
				t.Fatalf("%s was sent %d times", user, n)
			}
		}
	})
}

// oneByOne is sendLog with a request for each recipient.
type oneByOne struct{ *sendLog }

func (o oneByOne) Send(ctx context.Context, b channels.Batch) []channels.Outcome {
	out := make([]channels.Outcome, len(b.Recipients))
	for i := range b.Recipients {
		if !b.MayStart() {
			out[i].Result = channels.NotTried
			continue
		}
		o.sendLog.Send(ctx, channels.Batch{Recipients: b.Recipients[i : i+1]})
	}
	return out
}

// A worker that ends starts no further request of the chunk that it is at. Without that the other
// hundreds of the chunk would be sent first.
func TestStopStartsNoRequest(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r := newQuietRig(t, s)
		log := &sendLog{seen: map[string]int{}}
		r = r.with(jobs.Options{ChunkSize: 500, BulkSlots: 1, Channels: []channels.Channel{oneByOne{log}}})
		r.users(500)
		id := r.post(spec(models.Audience{Type: models.AudienceAll}))
		testkit.Eventually(t, "the chunk is under way", testkit.Patience, func() bool { return log.total() > 0 })
		before := log.total()
		r.stop()
		sent := log.total()
		if sent-before > 300 { // a busy machine may take its time to say so
			t.Errorf("%d requests were made before the worker was to end, and %d after", before, sent-before)
		}
		if c, err := r.store.Campaign(t.Context(), id); err != nil || c.Counts != (models.Counts{Total: 500, Sent: int64(sent), Pending: int64(500 - sent)}) {
			t.Errorf("%d were sent: %+v, %v", sent, c.Counts, err)
		}
	})
}
