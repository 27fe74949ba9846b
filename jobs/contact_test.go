package jobs_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/models"
)

// One of two workers loses its database and keeps Redis. Small campaigns go through the other one as if it were alone: those that the
// first one takes come back at once, and not when the reconciler misses them, five seconds later.
func TestWorkerWithoutItsDatabaseTakesNoTasks(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"cut", "hangs", "may not write"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := testkit.Stores{Name: "mariadb+redis", DatabaseURL: testkit.MySQLURL(t), RedisURL: testkit.RedisURL(t)}
			r := newRig(t, s, jobs.Options{})
			r.users(1)
			reader := testkit.NewGuest(t, s.DatabaseURL)
			link, through := testkit.OpenLink(t, reader.URL)
			cutOff := *r
			store, err := models.Open(through)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = store.Close() })
			cutOff.store = store
			cutOff.with(jobs.Options{})
			// A task that the worker without a database took waits 5 s for the reconciler. Without the
			// guard those are half of them. A busy machine may make a few as slow.
			const posts, mayBeSlow = 30, 5
			timed := func() (slow int, slowest time.Duration) {
				for range posts {
					began := time.Now()
					c := spec(models.Audience{Type: models.AudienceUsers, UserIDs: []string{"user-0000000"}})
					c.Priority = models.PriorityTransactional
					r.finished(r.post(c))
					d := time.Since(began)
					if slowest = max(slowest, d); d > 4*time.Second {
						slow++
					}
				}
				return slow, slowest
			}
			timed() // each of both has sent
			host := link.Host()
			switch how {
			case "cut":
				link.Cut()
			case "hangs":
				link.Hang()
				link.Point("")
			case "may not write": // as at a replica
				link.Cut()
				reader.May("SELECT")
				link.Point(host)
			}
			if slow, slowest := timed(); slow > mayBeSlow {
				t.Errorf("with one of them cut off %d of %d took longer than 4 s, the slowest %s", slow, posts, slowest)
			} else {
				t.Logf("the slowest took %s", slowest)
			}
			link.Cut()
			reader.May("ALL")
			link.Point(host)
			r.stop() // the one that was cut off is alone now
			c := spec(models.Audience{Type: models.AudienceUsers, UserIDs: []string{"user-0000000"}})
			r.finished(r.post(c))
		})
	}
}

// A task comes before the row that it names, as from a primary to a node that is a little behind: it is put back until the row is there.
func TestTaskBeforeItsRow(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r := newRig(t, s, jobs.Options{})
		r.users(1)
		first := spec(models.Audience{Type: models.AudienceUsers, UserIDs: []string{"user-0000000"}})
		first.Priority = models.PriorityTransactional
		id := r.post(first)
		r.finished(id)
		c, err := r.store.Campaign(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		// The next campaign's task, and one of a campaign that never comes.
		client := asynq.NewClientFromRedisClient(r.rdb)
		for _, next := range []int64{c.ID + 1, c.ID + 1000} {
			payload, err := json.Marshal(jobs.Payload{Version: 1, Campaign: next, Epoch: 1, Priority: models.PriorityTransactional})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.EnqueueContext(t.Context(), asynq.NewTask(jobs.KindPage, payload), asynq.TaskID(fmt.Sprintf("c%d:p0:e1", next)),
				asynq.Queue(string(models.PriorityTransactional)), asynq.MaxRetry(0)); err != nil {
				t.Fatal(err)
			}
		}
		testkit.Eventually(t, "the task was put back", testkit.Patience, func() bool {
			info, err := asynq.NewInspectorFromRedisClient(r.rdb).GetQueueInfo(string(models.PriorityTransactional))
			return err == nil && info.ProcessedTotal > 2
		})
		began := time.Now()
		created, err := r.store.CreateCampaign(t.Context(), first, []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return nil })
		if err != nil {
			t.Fatal(err)
		}
		if created.Tasks[0].Campaign != c.ID+1 {
			t.Fatalf("the campaign is %d, not %d", created.Tasks[0].Campaign, c.ID+1)
		}
		r.finished(created.PublicID)
		if d := time.Since(began); d > 4*time.Second { // the reconciler's way takes five
			t.Errorf("sent %s after its row was there", d)
		}
		testkit.Eventually(t, "the task whose row never comes is given up", testkit.Patience, func() bool {
			info, err := asynq.NewInspectorFromRedisClient(r.rdb).GetQueueInfo(string(models.PriorityTransactional))
			return err == nil && info.Pending+info.Active+info.Retry+info.Archived == 0
		})
	})
}
