package jobs_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/channels"
	"carillon/channels/webhook"
	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/models"
)

// judge is a provider that answers a recipient with a status, and counts the requests.
type judge struct {
	mu     sync.Mutex
	url    string
	answer func(recvID string) int
	n      int
}

func (j *judge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	var body providerBody
	if err := json.Unmarshal(raw, &body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	j.mu.Lock()
	id := body.Recipients[0].RecvID
	status := j.answer(id)
	j.n++
	j.mu.Unlock()
	if status == says {
		_, _ = fmt.Fprintf(w, `{"results":[{"recvID":%q,"status":"failed","errCode":1302,"errMsg":"blocked by peer"}]}`, id)
		return
	}
	w.WriteHeader(status)
}

func (j *judge) requests() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.n
}

// from sets what it answers from now on.
func (j *judge) from(answer func(recvID string) int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.answer = answer
}

func always(status int) func(string) int { return func(string) int { return status } }

// inspected is a rig of so many workers, each with its own webhook channel to the one provider.
func inspected(t *testing.T, s testkit.Stores, workers int, answer func(string) int) (*rig, *judge) {
	t.Helper()
	j := &judge{answer: answer}
	srv := httptest.NewServer(j)
	t.Cleanup(srv.Close)
	j.url = srv.URL
	r := &rig{t: t, store: testkit.OpenStore(t, s.DatabaseURL)}
	r.connect(s)
	for range workers {
		r.with(j.options(t))
	}
	return r, j
}

// options are those of a worker that sends to the provider.
func (j *judge) options(t *testing.T) jobs.Options {
	t.Helper()
	hook, err := webhook.New(webhook.Config{URL: j.url, Secret: webhookSecret})
	if err != nil {
		t.Fatal(err)
	}
	return jobs.Options{Channels: []channels.Channel{hook}, MaxAttempts: 3, Backoff: 500 * time.Millisecond}
}

func (r *rig) hooked(a models.Audience, rate int) string {
	r.t.Helper()
	sp := spec(a)
	sp.Channel, sp.RatePerSecond = "webhook", rate
	return r.post(sp)
}

func listed(n int) models.Audience {
	a := models.Audience{Type: models.AudienceUsers}
	for i := range n {
		a.UserIDs = append(a.UserIDs, fmt.Sprintf("user-%07d", i))
	}
	return a
}

// paused waits until a campaign has paused itself.
func (r *rig) paused(id string) (c models.CampaignView) {
	r.t.Helper()
	testkit.Eventually(r.t, "the campaign pauses itself", testkit.Patience, func() bool {
		var err error
		if c, err = r.store.Campaign(r.t.Context(), id); err != nil {
			r.t.Fatal(err)
		}
		if c.Status == models.StatusCompleted {
			r.t.Fatalf("the campaign went on to its end: %+v", c.Counts)
		}
		return c.Status == models.StatusPaused
	})
	return c
}

func (r *rig) resume(id string) {
	r.t.Helper()
	if _, err := r.store.ResumeCampaign(r.t.Context(), id); err != nil {
		r.t.Fatal(err)
	}
}

// The provider refuses the caller: the campaign pauses after few requests, by what two processes see, and nobody has failed.
func TestGuardRefusedToEverybody(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, j := inspected(t, s, 2, always(http.StatusUnauthorized))
		r.users(8000)
		id := r.hooked(models.Audience{Type: models.AudienceAll}, 0)
		c := r.paused(id)
		if !strings.Contains(c.StatusReason, "80000: the provider answered 401 Unauthorized") {
			t.Errorf("it paused with %q", c.StatusReason)
		}
		j.settled(t)
		t.Logf("%d requests", j.requests())
		if n := j.requests(); n < 20 || n > 1000 {
			t.Errorf("%d requests went out", n)
		}
		if c.Failed != 0 {
			t.Errorf("%d recipients failed", c.Failed)
		}
		j.from(always(http.StatusOK))
		r.resume(id)
		testkit.Eventually(t, "it goes on", testkit.Patience, func() bool {
			c, err := r.store.Campaign(t.Context(), id)
			return err == nil && c.Status == models.StatusRunning && c.Sent > 500
		})
	})
}

// settled waits until no request has come for a while.
func (j *judge) settled(t *testing.T) {
	t.Helper()
	n, since := j.requests(), time.Now()
	testkit.Eventually(t, "no more requests", testkit.Patience, func() bool {
		if now := j.requests(); now != n {
			n, since = now, time.Now()
		}
		return time.Since(since) > 700*time.Millisecond
	})
}

// some fails the users of so many in a thousand.
func some(status, inThousand int) func(string) int {
	return func(recvID string) int {
		var n int
		_, _ = fmt.Sscanf(recvID, "user-%d", &n)
		if n*617%1000 < inThousand {
			return status
		}
		return http.StatusOK
	}
}

// What fails few pauses nothing, to the end, where only they are left; what fails most pauses a campaign.
func TestGuardByShare(t *testing.T) {
	t.Parallel()
	const all, refused, denied, ill = 1000, http.StatusUnprocessableEntity, http.StatusForbidden, http.StatusInternalServerError
	for _, tc := range []struct {
		status, inThousand int
		pauses             bool
	}{
		{refused, 1, false}, {refused, 10, false}, {refused, 300, false}, {refused, 600, true}, {refused, 1000, true},
		{denied, 1, false}, {denied, 10, false}, {denied, 300, false}, {denied, 600, true},
		{says, 600, true},
		{ill, 300, false},
	} {
		t.Run(fmt.Sprintf("%d to %d in 1000", tc.status, tc.inThousand), func(t *testing.T) {
			t.Parallel()
			testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
				r, j := inspected(t, s, 1, some(tc.status, tc.inThousand))
				id := r.hooked(listed(all), 0)
				if tc.pauses {
					c := r.paused(id)
					j.settled(t)
					if n := j.requests(); n == all {
						t.Errorf("%d requests went out before %q", n, c.StatusReason)
					}
					return
				}
				failed := int64(all * tc.inThousand / 1000)
				if c := r.finished(id); c.Failed != failed || c.Sent != all-failed {
					t.Errorf("counts %+v", c.Counts)
				}
			})
		})
	}
}

// A campaign of 30 is watched too: those whom it spared are sent once the provider takes them.
func TestGuardOfSmallCampaign(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusUnauthorized, http.StatusNotFound, says} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
				r, j := inspected(t, s, 2, always(status))
				id := r.hooked(listed(30), 20) // a slow one: both processes have a part of it
				c := r.paused(id)
				j.settled(t)
				if n := j.requests(); n < 20 || n > 28 {
					t.Errorf("%d requests went out before %q", n, c.StatusReason)
				}
				j.from(always(http.StatusOK))
				r.resume(id)
				if c := r.finished(id); c.Sent < 5 || c.Sent+c.Failed != 30 {
					t.Errorf("once that was mended: %+v", c.Counts)
				}
			})
		})
	}
}

// Where nobody is left to be spared, a campaign is not left paused.
func TestGuardWithNobodyLeft(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, _ := inspected(t, s, 1, always(http.StatusGone))
		if c := r.finished(r.hooked(listed(20), 0)); c.Failed != 20 {
			t.Errorf("counts %+v", c.Counts)
		}
	})
}

// An operator who resumes lets one kind of failure pass and no other.
func TestGuardAfterResume(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, j := inspected(t, s, 2, always(http.StatusUnauthorized))
		id := r.hooked(listed(600), 0)
		if c := r.paused(id); !strings.Contains(c.StatusReason, "401") || len(c.GuardAllows) != 1 {
			t.Fatalf("it paused with %q, %v", c.StatusReason, c.GuardAllows)
		}
		if c, err := r.store.PauseCampaign(t.Context(), id, "by an operator"); err != nil || !strings.Contains(c.StatusReason, "401") {
			t.Errorf("pausing the paused: %q, %v", c.StatusReason, err)
		}
		before := j.requests()
		r.resume(id)
		testkit.Eventually(t, "it goes on regardless", testkit.Patience, func() bool { return j.requests() > before+100 })
		j.from(always(http.StatusForbidden))
		if c := r.paused(id); !strings.Contains(c.StatusReason, "403") || len(c.GuardAllows) != 2 {
			t.Fatalf("of the new kind it said %q, %v", c.StatusReason, c.GuardAllows)
		}
		r.resume(id)
		if c := r.finished(id); c.Failed != 600 {
			t.Errorf("regardless of both: %+v", c.Counts)
		}
	})
}

// What failed before a retry does not count in it, and what fails in it does.
func TestGuardOfRetry(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, j := inspected(t, s, 2, some(says, 900))
		id := r.hooked(listed(500), 0)
		r.paused(id)
		r.resume(id)
		if c := r.finished(id); c.Failed != 448 {
			t.Fatalf("regardless: %+v", c.Counts)
		}
		again := models.Retry{Statuses: []models.RecipientStatus{models.RecipientFailed}, ErrCodes: []models.Code{1302}}
		retry := func() {
			t.Helper()
			if _, _, err := r.store.RetryCampaign(t.Context(), id, again); err != nil {
				t.Fatal(err)
			}
		}
		before := j.requests()
		retry()
		if c := r.paused(id); !strings.Contains(c.StatusReason, "blocked by peer") {
			t.Errorf("it paused with %q", c.StatusReason)
		}
		j.settled(t)
		if n := j.requests() - before; n < 20 || n >= 448 {
			t.Errorf("%d requests went out in the retry", n)
		}
		r.resume(id)
		if c := r.finished(id); c.Failed != 448 {
			t.Fatalf("regardless: %+v", c.Counts)
		}
		j.from(some(says, 400)) // 250 of the 448 are well
		retry()
		if c := r.finished(id); c.Failed != 198 || c.StatusReason != "" {
			t.Errorf("%q, %+v", c.StatusReason, c.Counts)
		}
	})
}

// Whoever loses Redis forgets the window, and a new process never knew it. In the end only those are left who fail; the ledger
// knows that others were sent.
func TestGuardWithoutItsWindow(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, j := inspected(t, s, 0, some(http.StatusForbidden, 100))
		opts := j.options(t)
		opts.MaxAttempts = 100
		first := r.with(opts)
		id := r.hooked(listed(300), 0)
		testkit.Eventually(t, "the others are sent", testkit.Patience, func() bool {
			c, err := r.store.Campaign(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			return c.Sent == 273
		})
		first.stop()
		if err := r.rdb.FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		if c, err := r.store.Campaign(t.Context(), id); err != nil || c.Pending != 27 {
			t.Fatalf("%+v, %v", c.Counts, err)
		}
		opts.MaxAttempts = 1
		r.with(opts)
		if c := r.finished(id); c.Failed != 27 {
			t.Errorf("counts %+v", c.Counts)
		}
	})
}
