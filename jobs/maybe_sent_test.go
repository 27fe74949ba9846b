package jobs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"carillon/channels"
	"carillon/internal/testkit"
	"carillon/models"
)

// asker is a channel that keeps what it is given. Its answer to a user's nth request is the nth of
// the user's answers, and Sent after the last.
type asker struct {
	asks    bool
	answers map[string][]channels.Outcome

	mu    sync.Mutex
	given map[string][]channels.Recipient
	once  map[bool]int // requests by Batch.AtMostOnce
}

func newAsker(asks bool, answers map[string][]channels.Outcome) *asker {
	return &asker{asks: asks, answers: answers, given: map[string][]channels.Recipient{}, once: map[bool]int{}}
}

func (a *asker) Traits() channels.Traits {
	return channels.Traits{Name: "inbox", MaxBatch: models.PageSize, Asks: a.asks}
}

func (a *asker) Send(_ context.Context, b channels.Batch) []channels.Outcome {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]channels.Outcome, len(b.Recipients))
	for i, r := range b.Recipients {
		if n, all := len(a.given[r.UserID]), a.answers[r.UserID]; n < len(all) {
			out[i] = all[n]
		}
		a.given[r.UserID] = append(a.given[r.UserID], r)
		a.once[b.AtMostOnce]++
	}
	return out
}

// last is what was given for a user last, as "attempt" or "attempt, maybe sent"; "" = nothing.
func (a *asker) last(user string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.given[user]
	if len(all) == 0 {
		return ""
	}
	r := all[len(all)-1]
	if r.MaybeSent {
		return fmt.Sprintf("%d, maybe sent", r.Attempt)
	}
	return fmt.Sprint(r.Attempt)
}

// lasts wants what last says of each user.
func (a *asker) lasts(t *testing.T, want map[string]string) {
	t.Helper()
	for _, user := range slices.Sorted(maps.Keys(want)) {
		if got := a.last(user); got != want[user] {
			t.Errorf("the channel was given %s as %q, want %q", user, got, want[user])
		}
	}
}

var (
	noAnswer  = channels.Outcome{Result: channels.Ambiguous, ErrCode: models.CodeNetwork, ErrMsg: "no answer"}
	gateway   = channels.Outcome{Result: channels.Retry, ErrCode: models.CodeNetwork, ErrMsg: "504", Unsure: true, HTTP: 504}
	notNow    = channels.Outcome{Result: channels.Retry, ErrCode: models.CodeCallback, ErrMsg: "not now"}
	noSuch    = channels.Outcome{Result: channels.Failed, ErrCode: models.CodeCallback, ErrMsg: "no such user"}
	notBegun  = channels.Outcome{Result: channels.NotTried}
	dueAgain  = "UPDATE recipients SET next_attempt_at=1 WHERE next_attempt_at IS NOT NULL"
	pageAgain = "UPDATE pages SET due_at=1 WHERE state IN (0,3)"
)

// run works on the ledger as another process would, until stop.
func (i idle) run(o Options) (stop func()) {
	i.t.Helper()
	s := NewShared(i.store, i.queue, o, i.log)
	w, r := NewWorker(s), NewReconciler(s, Retention{IdempotencyKeys: time.Hour})
	if err := w.Start(); err != nil {
		i.t.Fatal(err)
	}
	r.Start()
	stop = func() { w.Stop(); r.Stop() }
	i.t.Cleanup(stop)
	return stop
}

// to stores a campaign to users of these IDs.
func (i idle) to(delivery models.Delivery, ids ...string) models.Created {
	i.t.Helper()
	c := i.campaign(models.Audience{Type: models.AudienceUsers, UserIDs: ids})
	i.sql("UPDATE campaigns SET delivery=?", string(delivery))
	return c
}

// ended waits for the campaign to be completed.
func (i idle) ended(id string) (c models.CampaignView) {
	i.t.Helper()
	i.eventually("the campaign is completed", id, func(v models.CampaignView) bool { c = v; return v.Status == models.StatusCompleted })
	return c
}

func (i idle) eventually(what, id string, ok func(models.CampaignView) bool) {
	i.t.Helper()
	testkit.Eventually(i.t, what, testkit.Patience, func() bool {
		v, err := i.store.Campaign(i.t.Context(), id)
		if err != nil {
			i.t.Fatal(err)
		}
		return ok(v)
	})
}

// Whose request may have been accepted is known after a restart, and for good: an attempt that was
// surely refused in between changes nothing.
func TestMaybeSentOutlivesARestart(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		i := newIdle(t, s)
		ch := newAsker(true, map[string][]channels.Outcome{
			"ambiguous": {noAnswer}, "unsure": {gateway}, "certain": {notNow}, "then certain": {noAnswer, notNow}, "then not begun": {noAnswer, notBegun},
		})
		o := Options{Channels: []channels.Channel{ch}, Backoff: time.Minute}
		c := i.to(models.AtLeastOnce, "ambiguous", "certain", "sent", "then certain", "then not begun", "unsure")
		if err := i.queue.Stored(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		stop := i.run(o)
		outcomes := func(n int) {
			t.Helper()
			i.eventually("the attempts are written", c.PublicID, func(v models.CampaignView) bool {
				list, _, err := i.store.Recipients(t.Context(), v.Campaign, models.RecipientFilter{Limit: 10})
				if err != nil {
					t.Fatal(err)
				}
				waits := 0
				for _, r := range list {
					if r.Status != models.RecipientSent && r.SentAt != nil {
						t.Errorf("a recipient who is %s is shown as sent at %s", r.Status, r.SentAt.Time())
					}
					if r.NextAttemptAt != nil && *r.NextAttemptAt > 1 {
						waits++
					}
				}
				return waits == n
			})
		}
		outcomes(5)
		stop()
		i.sql(dueAgain)
		i.sql(pageAgain)
		stop = i.run(o)
		i.eventually("the second attempts are sent", c.PublicID, func(v models.CampaignView) bool { return v.Sent == 5 })
		stop()
		ch.lasts(t, map[string]string{
			"ambiguous": "2, maybe sent", "unsure": "2, maybe sent", "certain": "2", "sent": "1", "then certain": "2, maybe sent", "then not begun": "2, maybe sent",
		})
		i.sql(dueAgain)
		i.sql(pageAgain)
		i.run(o)
		i.ended(c.PublicID)
		ch.lasts(t, map[string]string{"then certain": "3, maybe sent"})
	})
}

// letters are the IDs of n members of a page, in order.
func letters(n int) (ids []string) {
	for i := range n {
		ids = append(ids, string(rune('a'+i)))
	}
	return ids
}

// dead is a page whose worker wrote some outcomes and then died. Its lease has ended.
func (i idle) dead(c models.Created, outcomes ...models.RecipientOutcome) {
	i.t.Helper()
	v, err := i.store.ClaimPage(i.t.Context(), c.Tasks[0])
	if err != nil || v == nil {
		i.t.Fatalf("%v, %v", v, err)
	}
	if err := i.store.WriteChunk(i.t.Context(), v.Close(models.Chunk{State: models.PageRunning, Outcomes: outcomes})); err != nil {
		i.t.Fatal(err)
	}
	now, err := i.store.Now(i.t.Context())
	if err != nil {
		i.t.Fatal(err)
	}
	i.sql("UPDATE pages SET due_at=?", int64(now)-1)
}

// A worker is killed with two chunks of two under way. Those four members may have been sent to, and
// so may those with a row whose next attempt was due. A visit that ends early changes nothing.
func TestMaybeSentByAWorkerThatIsGone(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		i := newIdle(t, s)
		c := i.to(models.AtLeastOnce, letters(9)...)
		i.dead(c,
			models.RecipientOutcome{UserID: "a", Status: models.RecipientSent, Attempts: 1},
			models.RecipientOutcome{UserID: "b", Status: models.RecipientPending, Attempts: 1, RetryIn: -time.Minute},
			models.RecipientOutcome{UserID: "c", Status: models.RecipientPending, Attempts: 1, RetryIn: time.Minute},
		)
		ch := newAsker(true, nil)
		o := Options{Channels: []channels.Channel{ch}, ChunkSize: 2}
		i.do(rescuer{i.requeuer(), steadyFrom(true), o.inFlight}.takeOver)
		_, epoch, _ := i.page()
		early, err := i.store.ClaimPage(t.Context(), models.PageTask{Campaign: 1, Page: 0, Epoch: epoch})
		if err != nil || early == nil {
			t.Fatalf("%v, %v", early, err)
		}
		if err := i.store.WriteChunk(t.Context(), early.Close(models.Chunk{State: models.PageWaiting})); err != nil {
			t.Fatal(err)
		}
		i.sql("UPDATE recipients SET next_attempt_at=1 WHERE user_id='c'")
		i.run(o)
		i.ended(c.PublicID)
		ch.lasts(t, map[string]string{
			"a": "", "b": "2, maybe sent", "c": "2",
			"d": "1, maybe sent", "e": "1, maybe sent", "f": "1, maybe sent", "g": "1, maybe sent", "h": "1", "i": "1",
		})
	})
}

// A campaign expires under a worker that dies, and is retried.
func TestMaybeSentOfAPageThatWasClosed(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		for _, rows := range []bool{false, true} {
			i := newIdle(t, s)
			i.sql("DELETE FROM recipients")
			i.sql("DELETE FROM pages")
			i.sql("DELETE FROM campaigns")
			c := i.to(models.AtLeastOnce, letters(4)...)
			var outcomes []models.RecipientOutcome
			want := map[string]string{"a": "1, maybe sent", "b": "1, maybe sent", "c": "1, maybe sent", "d": "1, maybe sent"}
			if rows {
				outcomes = []models.RecipientOutcome{
					{UserID: "a", Status: models.RecipientPending, Attempts: 1, RetryIn: -time.Minute},
					{UserID: "b", Status: models.RecipientPending, Attempts: 1, RetryIn: time.Minute},
				}
				want["a"], want["b"] = "2, maybe sent", "2"
			}
			i.dead(c, outcomes...)
			i.sql("UPDATE campaigns SET expire_at=1")
			i.do(finisher{i.store, steadyFrom(true), i.log}.finish)
			if _, n, err := i.store.RetryCampaign(t.Context(), c.PublicID, models.Retry{Statuses: []models.RecipientStatus{models.RecipientExpired}}); err != nil || n != 4 {
				t.Fatalf("%d are tried again, %v", n, err)
			}
			ch := newAsker(true, nil)
			stop := i.run(Options{Channels: []channels.Channel{ch}})
			i.ended(c.PublicID)
			stop()
			ch.lasts(t, want)
		}
	})
}

// A campaign fails as a whole. Who may have been sent to is unknown, and all others are failed. A retry of the failed
// leaves the unknown alone, and a retry of the unknown asks about them.
func TestMaybeSentWhenTheCampaignFails(t *testing.T) {
	t.Parallel()
	rows := []models.RecipientOutcome{
		{UserID: "a", Status: models.RecipientSent, Attempts: 1},
		{UserID: "b", Status: models.RecipientPending, Attempts: 1, RetryIn: time.Minute},
		{UserID: "c", Status: models.RecipientPending, Attempts: 1, RetryIn: time.Minute, MaybeSent: true},
	}
	for _, tc := range []struct {
		what                string
		rows                []models.RecipientOutcome
		takenOver, ownHands bool              // by another worker, which then closes the page itself
		unknown, failed     map[string]string // what a retry gives the channel
	}{
		{"taken over", rows, true, false, maybeSentOnce("defg", "c"), map[string]string{"b": "2", "h": "1"}},
		{"taken over without a row", nil, true, false, maybeSentOnce("abcd"), map[string]string{"e": "1", "f": "1", "g": "1", "h": "1"}},
		{"closed by its worker", rows, true, true, maybeSentOnce("defg", "c"), map[string]string{"b": "2", "h": "1"}},
		{"the worker is gone", nil, false, false, maybeSentOnce("abcdefgh"), map[string]string{}},
	} {
		t.Run(tc.what, func(t *testing.T) {
			t.Parallel()
			testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
				i := newIdle(t, s)
				c := i.to(models.AtLeastOnce, letters(8)...)
				i.dead(c, tc.rows...)
				ch := newAsker(true, nil)
				o := Options{Channels: []channels.Channel{ch}, ChunkSize: 2}
				if tc.takenOver {
					i.do(rescuer{i.requeuer(), steadyFrom(true), o.inFlight}.takeOver)
				}
				i.fail(c, tc.ownHands)
				want := models.Counts{Total: 8, Sent: 8 - int64(len(tc.unknown)+len(tc.failed)), Unknown: int64(len(tc.unknown)), Failed: int64(len(tc.failed))}
				if v, err := i.store.Campaign(t.Context(), c.PublicID); err != nil || v.FinishedAt == 0 || v.Counts != want {
					t.Fatalf("%+v, finished at %d, want %+v, %v", v.Counts, v.FinishedAt, want, err)
				}
				if r, err := i.store.Verify(t.Context(), c.PublicID); err != nil || !r.OK {
					t.Errorf("%+v, %v", r, err)
				}
				i.run(o)
				for _, again := range []struct {
					status models.RecipientStatus
					want   map[string]string
				}{{models.RecipientFailed, tc.failed}, {models.RecipientUnknown, tc.unknown}} {
					_, n, err := i.store.RetryCampaign(t.Context(), c.PublicID, models.Retry{Statuses: []models.RecipientStatus{again.status}})
					if err != nil || n != int64(len(again.want)) {
						t.Fatalf("%d of the %s are tried again, %v", n, again.status, err)
					}
					want.Sent += n
					i.eventually("the retry is over", c.PublicID, func(v models.CampaignView) bool { return v.FinishedAt != 0 && v.Sent == want.Sent })
					ch.lasts(t, again.want)
				}
			})
		})
	}
}

// maybeSentOnce is what a channel is given of who may have been sent to: these letters before any attempt, and the others
// after one.
func maybeSentOnce(first string, second ...string) map[string]string {
	out := map[string]string{}
	for _, id := range first {
		out[string(id)] = "1, maybe sent"
	}
	for _, id := range second {
		out[id] = "2, maybe sent"
	}
	return out
}

// fail ends a campaign as a whole and closes its page. With ownHands a worker has the page and closes it.
func (i idle) fail(c models.Created, ownHands bool) {
	i.t.Helper()
	var v *models.Visit
	if ownHands {
		_, epoch, _ := i.page()
		var err error
		if v, err = i.store.ClaimPage(i.t.Context(), models.PageTask{Campaign: c.Tasks[0].Campaign, Epoch: epoch}); err != nil || v == nil {
			i.t.Fatalf("%v, %v", v, err)
		}
	}
	if failed, err := i.store.FailCampaign(i.t.Context(), c.Tasks[0].Campaign, "refused"); err != nil || !failed {
		i.t.Fatalf("failed %t, %v", failed, err)
	}
	if v != nil {
		if err := i.store.CloseVisit(i.t.Context(), v, models.StatusFailed); err != nil {
			i.t.Fatal(err)
		}
	}
	i.do(finisher{i.store, steadyFrom(true), i.log}.finish)
}

// An at-most-once campaign ends early. Who may have been sent to is unknown, and all others have the status of its end.
func TestMaybeSentAtMostOnceWhenTheCampaignEnds(t *testing.T) {
	t.Parallel()
	for _, status := range []models.Status{models.StatusCancelled, models.StatusExpired} {
		for _, ownHands := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s own hands %t", status, ownHands), func(t *testing.T) {
				t.Parallel()
				testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
					i := newIdle(t, s)
					c := i.to(models.AtMostOnce, letters(5)...)
					v, err := i.store.ClaimPage(t.Context(), c.Tasks[0])
					if err != nil {
						t.Fatal(err)
					}
					state := models.PageWaiting
					if ownHands {
						state = models.PageRunning
					}
					if err := i.store.WriteChunk(t.Context(), v.Close(models.Chunk{State: state, Outcomes: []models.RecipientOutcome{
						{UserID: "a", Status: models.RecipientSent, Attempts: 1},
						{UserID: "b", Status: models.RecipientPending, Attempts: 1, RetryIn: time.Minute},
						{UserID: "c", Status: models.RecipientPending, Attempts: 1, RetryIn: time.Minute, MaybeSent: true},
					}})); err != nil {
						t.Fatal(err)
					}
					if status == models.StatusExpired {
						i.sql("UPDATE campaigns SET expire_at=1")
						if err := i.store.ExpireCampaigns(t.Context()); err != nil {
							t.Fatal(err)
						}
					} else if _, err := i.store.CancelCampaign(t.Context(), c.PublicID, ""); err != nil {
						t.Fatal(err)
					}
					if ownHands {
						if err := i.store.CloseVisit(t.Context(), v, status); err != nil {
							t.Fatal(err)
						}
					}
					i.do(finisher{i.store, steadyFrom(true), i.log}.finish)
					want := models.Counts{Total: 5, Sent: 1, Unknown: 1}
					if status == models.StatusExpired {
						want.Expired = 3
					} else {
						want.Cancelled = 3
					}
					if v, err := i.store.Campaign(t.Context(), c.PublicID); err != nil || v.FinishedAt == 0 || v.Counts != want {
						t.Errorf("%+v, finished at %d, want %+v, %v", v.Counts, v.FinishedAt, want, err)
					}
					if r, err := i.store.Verify(t.Context(), c.PublicID); err != nil || !r.OK {
						t.Errorf("%+v, %v", r, err)
					}
				})
			})
		}
	}
}

// A retry takes up recipients who ended without anybody knowing, and others.
func TestMaybeSentOutlivesTheEnd(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		i := newIdle(t, s)
		unread := channels.Outcome{Result: channels.Ambiguous, ErrCode: models.CodeCallback, ErrMsg: "what?"}
		ch := newAsker(true, map[string][]channels.Outcome{"ambiguous": {noAnswer}, "certain": {noSuch}, "unread": {unread}, "used": {notNow}})
		i.run(Options{Channels: []channels.Channel{ch}, MaxAttempts: 1})
		c := i.to(models.AtLeastOnce, "ambiguous", "certain", "unread", "used")
		if err := i.queue.Stored(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if v := i.ended(c.PublicID); v.Failed != 3 || v.Unknown != 1 {
			t.Fatalf("counts %+v", v.Counts)
		}
		_, n, err := i.store.RetryCampaign(t.Context(), c.PublicID, models.Retry{Statuses: []models.RecipientStatus{models.RecipientFailed, models.RecipientUnknown}})
		if err != nil || n != 4 {
			t.Fatalf("%d are tried again, %v", n, err)
		}
		if v := i.ended(c.PublicID); v.Sent != 4 {
			t.Fatalf("counts %+v", v.Counts)
		}
		ch.lasts(t, map[string]string{"ambiguous": "2, maybe sent", "unread": "2, maybe sent", "certain": "2", "used": "2"})
	})
}

// The claims of a worker that is gone: a channel that asks is given them, and its answer counts.
func TestClaimsAreAskedAbout(t *testing.T) {
	t.Parallel()
	for _, asks := range []bool{true, false} {
		t.Run(fmt.Sprintf("asks %t", asks), func(t *testing.T) {
			t.Parallel()
			testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
				i := newIdle(t, s)
				c := i.to(models.AtMostOnce, letters(6)...)
				var claims []models.RecipientOutcome
				for _, id := range letters(4) {
					claims = append(claims, models.RecipientOutcome{UserID: id, Status: models.RecipientClaimed})
				}
				i.dead(c, claims...)
				ch := newAsker(asks, map[string][]channels.Outcome{"b": {noAnswer}, "c": {notNow}, "d": {notBegun, noAnswer}})
				o := Options{Channels: []channels.Channel{ch}, Backoff: 10 * time.Millisecond}
				i.do(rescuer{i.requeuer(), steadyFrom(true), o.inFlight}.takeOver)
				i.run(o)
				v := i.ended(c.PublicID)
				want, sent := map[string]string{"a": "", "b": "", "c": "", "d": "", "e": "1", "f": "1"}, int64(2)
				if asks {
					want, sent = map[string]string{"a": "1, maybe sent", "b": "1, maybe sent", "c": "2, maybe sent", "d": "1, maybe sent", "e": "1", "f": "1"}, 4
				}
				ch.lasts(t, want)
				if v.Sent != sent || v.Unknown != 6-sent || ch.once[false] != 0 {
					t.Errorf("counts %+v, %d requests without AtMostOnce", v.Counts, ch.once[false])
				}
				if r, err := i.store.Verify(t.Context(), c.PublicID); err != nil || !r.OK {
					t.Errorf("%+v, %v", r, err)
				}
			})
		})
	}
}

// With atMostOnce a request without an answer is asked about once. An answer that leaves it open,
// or none for as long as it is tried, is the end.
func TestAtMostOnceIsAskedAboutOnce(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		i := newIdle(t, s)
		ch := newAsker(true, map[string][]channels.Outcome{
			"found": {noAnswer}, "open": {gateway, noAnswer, noAnswer}, "never asked": {noAnswer, notNow, notNow}, "not found": {notNow, notNow, notNow},
		})
		i.run(Options{Channels: []channels.Channel{ch}, MaxAttempts: 3, Backoff: 10 * time.Millisecond})
		c := i.to(models.AtMostOnce, "found", "open", "never asked", "not found")
		if err := i.queue.Stored(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if v := i.ended(c.PublicID); v.Sent != 1 || v.Unknown != 2 || v.Failed != 1 {
			t.Fatalf("counts %+v", v.Counts)
		}
		ch.lasts(t, map[string]string{"found": "2, maybe sent", "open": "2, maybe sent", "never asked": "3, maybe sent", "not found": "3"})
	})
}
