package jobs_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"carillon/channels"
	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/models"
)

// tardy answers at once, but for some users, whose answers come when they are let go.
type tardy struct {
	sendLog
	late []string
	then channels.Result // what the late answers of a first try say
	let  chan struct{}
	once sync.Once
}

// release lets the late answers come.
func (c *tardy) release() { c.once.Do(func() { close(c.let) }) }

func (c *tardy) Send(ctx context.Context, b channels.Batch) []channels.Outcome {
	out := c.sendLog.Send(ctx, b)
	waits := false
	for i, r := range b.Recipients {
		if slices.Contains(c.late, r.UserID) {
			waits = true
			c.mu.Lock()
			if c.seen[r.UserID] == 1 {
				out[i] = channels.Outcome{Result: c.then, ErrCode: models.CodeCallback, ErrMsg: "not now"}
			}
			c.mu.Unlock()
		} else {
			b.Answered(i, out[i:i+1], time.Millisecond)
		}
	}
	if waits {
		<-c.let
	}
	return out
}

// A page's late answers hold up neither the rest of the page nor the slot, and each comes to its recipient's row. Here the page
// has ten chunks, three of them with a late answer.
func TestLateAnswersHoldUpNobody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		delivery models.Delivery
		then     channels.Result
		tries    int
		ends     models.RecipientStatus
	}{
		{"sent", models.AtLeastOnce, channels.Sent, 1, models.RecipientSent},
		{"failed", models.AtLeastOnce, channels.Failed, 1, models.RecipientFailed},
		{"retry", models.AtLeastOnce, channels.Retry, 2, models.RecipientSent},
		{"at most once, sent", models.AtMostOnce, channels.Sent, 1, models.RecipientSent},
		{"at most once, retry", models.AtMostOnce, channels.Retry, 2, models.RecipientSent},
		{"at most once, ambiguous", models.AtMostOnce, channels.Ambiguous, 1, models.RecipientUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
				const n = 100
				late := []string{"user-0000002", "user-0000033", "user-0000099"}
				ch := &tardy{sendLog: sendLog{seen: map[string]int{}}, late: late, then: c.then, let: make(chan struct{})}
				r := newRig(t, s, jobs.Options{Channels: []channels.Channel{ch}, ChunkSize: 10, BulkSlots: 1, Backoff: 10 * time.Millisecond})
				t.Cleanup(ch.release) // before the worker is stopped
				r.users(n)
				sp := spec(models.Audience{Type: models.AudienceAll})
				sp.Delivery = c.delivery
				id := r.post(sp)
				v := r.until(id, "all others are sent", func(v models.CampaignView) bool { return v.Sent == int64(n-len(late)) })
				if v.Pending != int64(len(late)) || v.Status != models.StatusRunning {
					t.Errorf("%s with %+v", v.Status, v.Counts)
				}
				for _, user := range late {
					if rec := r.recipients(id)[user]; rec.Status.String() != "pending" || rec.Attempts != 0 {
						t.Errorf("%s is %s after %d attempts while the request is out", user, rec.Status, rec.Attempts)
					}
				}
				testkit.Eventually(t, "the visit is parked", testkit.Patience, func() bool { return r.pages(v.ID)[0].state == models.PageParked })
				second := r.post(spec(models.Audience{Type: models.AudienceUsers, UserIDs: []string{"user-0000001"}}))
				r.finished(second)
				ch.release()
				v = r.finished(id)
				all := r.recipients(id)
				for _, user := range late {
					if rec := all[user]; rec.Status != c.ends || ch.seen[user] != c.tries {
						t.Errorf("%s is %s after %d requests: %+v", user, rec.Status, ch.seen[user], rec)
					}
				}
				if got := ch.total(); got != n+1+(c.tries-1)*len(late) {
					t.Errorf("%d requests", got)
				}
				r.verified(id)
			})
		})
	}
}

// A campaign that is paused or cancelled while answers are out begins no request, and takes those answers in.
func TestLateAnswersOfAStoppedCampaign(t *testing.T) {
	t.Parallel()
	for name, cancels := range map[string]bool{"paused": false, "cancelled": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
				late := []string{"user-0000033"}
				ch := &tardy{sendLog: sendLog{seen: map[string]int{}}, late: late, let: make(chan struct{})}
				r := newRig(t, s, jobs.Options{Channels: []channels.Channel{ch}, ChunkSize: 10, BulkSlots: 1})
				t.Cleanup(ch.release) // before the worker is stopped
				r.users(2 * models.PageSize)
				sp := spec(models.Audience{Type: models.AudienceAll})
				sp.RatePerSecond = 200
				id := r.post(sp)
				r.until(id, "the visit goes on", func(v models.CampaignView) bool { return v.Sent > 60 })
				if cancels {
					r.must(r.store.CancelCampaign(t.Context(), id, "stop"))
				} else {
					r.must(r.store.PauseCampaign(t.Context(), id, "stop"))
				}
				ch.quiet(t, time.Now())
				ch.release()
				testkit.Eventually(t, "the late answer is written", testkit.Patience, func() bool { return r.recipients(id)[late[0]].Status == models.RecipientSent })
				if !cancels {
					r.must(r.store.ResumeCampaign(t.Context(), id))
					if v := r.finished(id); v.Sent != 2*models.PageSize {
						t.Errorf("%+v", v.Counts)
					}
				}
				if ch.seen[late[0]] != 1 {
					t.Errorf("%d requests", ch.seen[late[0]])
				}
				testkit.Eventually(t, "verified", testkit.Patience, func() bool {
					report, err := r.store.Verify(t.Context(), id)
					return err == nil && report.OK
				})
			})
		})
	}
}

// The only page of a slow campaign goes on at its rate, though one answer stays out for longer than a visit. A visit that may not
// stay in its slot, as when the database does not answer in time, waits for the answer: so one of three campaigns must go on.
func TestLateAnswerOfASlowCampaign(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		const n, tries, within = 140, 3, 40 * time.Second // it takes seven seconds
		r := newQuietRig(t, s)
		r.users(n)
		sp := spec(models.Audience{Type: models.AudienceAll})
		sp.RatePerSecond = 20
		for try := 1; ; try++ {
			ch := &tardy{sendLog: sendLog{seen: map[string]int{}}, late: []string{"user-0000002"}, let: make(chan struct{})}
			w := r.with(jobs.Options{Channels: []channels.Channel{ch}, BulkSlots: 2})
			t.Cleanup(ch.release) // before the worker is stopped
			id := w.post(sp)
			wentOn := false
			for end := time.Now().Add(within); !wentOn && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
				wentOn = w.view(id).Sent == n-1
			}
			ch.release()
			w.finished(id)
			w.verified(id)
			w.stop()
			if wentOn {
				return
			}
			if try == tries {
				t.Fatalf("none of %d campaigns went on while one answer was out", tries)
			}
			t.Logf("the answer held up campaign %d", try)
		}
	})
}
