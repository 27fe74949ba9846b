package jobs_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon/channels"
	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/models"
)

// running posts a campaign for n users at a rate and waits until it has begun.
func running(t *testing.T, r *rig, log *sendLog, n, rate int) string {
	t.Helper()
	r.users(n)
	sp := spec(models.Audience{Type: models.AudienceAll})
	sp.RatePerSecond = rate
	id := r.post(sp)
	testkit.Eventually(t, "the campaign is under way", testkit.Patience, func() bool { return log.total() > rate/10 })
	return id
}

// quiet waits until nothing was sent for half a second, and returns how long after begun the last send was.
func (l *sendLog) quiet(t *testing.T, begun time.Time) time.Duration {
	t.Helper()
	n, since := l.total(), time.Now()
	testkit.Eventually(t, "no more sends", testkit.Patience, func() bool {
		if now := l.total(); now != n {
			n, since = now, time.Now()
		}
		return time.Since(since) > 500*time.Millisecond
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.times[len(l.times)-1].Sub(begun)
}

// Two workers hold the campaign; what an operator does reaches both.
func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		log := &sendLog{seen: map[string]int{}}
		opts := jobs.Options{Channels: []channels.Channel{log}}
		r := newRig(t, s, opts)
		r.with(opts)
		id := running(t, r, log, 3000, 1000)
		c, err := r.store.PauseCampaign(t.Context(), id, "by an operator")
		paused := time.Now()
		if err != nil || c.Status != models.StatusPaused {
			t.Fatalf("%+v, %v", c, err)
		}
		if late := log.quiet(t, paused); late > 2*time.Second {
			t.Errorf("a send began %s after the answer", late)
		}
		if c, err = r.store.PauseCampaign(t.Context(), id, "again"); err != nil || c.StatusReason != "by an operator" {
			t.Errorf("pausing the paused: %q, %v", c.StatusReason, err)
		}
		if c.Pending == 0 {
			t.Fatal("the campaign was over before it could be paused")
		}
		if _, err := r.store.ResumeCampaign(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		c = r.finished(id)
		if c.Sent != 3000 {
			t.Fatalf("counts %+v", c.Counts)
		}
		for user, n := range log.seen {
			if n != 1 {
				t.Fatalf("%s was sent %d times", user, n)
			}
		}
		if _, err := r.store.ResumeCampaign(t.Context(), id); models.AsError(err).Code != models.CodeIllegalTransition {
			t.Errorf("resuming the completed: %v", err)
		}
	})
}

func TestCancel(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		log := &sendLog{seen: map[string]int{}}
		r := newRig(t, s, jobs.Options{Channels: []channels.Channel{log}})
		id := running(t, r, log, 3000, 1000)
		if _, err := r.store.CancelCampaign(t.Context(), id, "by an operator"); err != nil {
			t.Fatal(err)
		}
		cancelled := time.Now()
		if late := log.quiet(t, cancelled); late > 2*time.Second {
			t.Errorf("a send began %s after the answer", late)
		}
		c := ended(t, r, id, models.StatusCancelled)
		if c.Cancelled == 0 || c.Sent+c.Cancelled != 3000 || c.Sent != int64(len(log.seen)) {
			t.Fatalf("counts %+v, %d at the provider", c.Counts, len(log.seen))
		}
		for id, rec := range r.statuses(c) {
			if want := map[bool]models.RecipientStatus{true: models.RecipientSent, false: models.RecipientCancelled}[log.seen[id] > 0]; rec.Status != want {
				t.Fatalf("%s is %s, want %s", id, rec.Status, want)
			}
		}
		if _, err := r.store.ResumeCampaign(t.Context(), id); models.AsError(err).Code != models.CodeIllegalTransition {
			t.Errorf("resuming the cancelled: %v", err)
		}
	})
}

// ended waits until a campaign in a state has nothing pending and knows when it ended.
func ended(t *testing.T, r *rig, id string, status models.Status) (c models.CampaignView) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s, %q, planned %t: %+v", c.Status, c.StatusReason, c.Planned, c.Counts)
		}
	})
	testkit.Eventually(t, fmt.Sprintf("the campaign is %s for good", status), testkit.Patience, func() bool {
		var err error
		if c, err = r.store.Campaign(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		return c.Status == status && c.FinishedAt > 0 && c.Pending == 0
	})
	return c
}

func TestExpiryAndRetry(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		log := &sendLog{seen: map[string]int{}}
		r := newRig(t, s, jobs.Options{Channels: []channels.Channel{log}})
		id := running(t, r, log, 2500, 200)
		now, err := r.store.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		end := now + 300
		if _, err := r.store.UpdateCampaign(t.Context(), id, models.CampaignChange{ExpireAt: &end}); err != nil {
			t.Fatal(err)
		}
		c := ended(t, r, id, models.StatusExpired)
		if c.Expired == 0 || c.Sent == 0 || c.Sent+c.Expired != 2500 {
			t.Fatalf("counts %+v", c.Counts)
		}
		rate := 5000
		if _, err := r.store.UpdateCampaign(t.Context(), id, models.CampaignChange{RatePerSecond: &rate}); models.AsError(err).Code != models.CodeIllegalTransition {
			t.Errorf("the rate of an expired campaign: %v", err)
		}
		if _, _, err := r.store.RetryCampaign(t.Context(), id, models.Retry{Statuses: []models.RecipientStatus{models.RecipientExpired}}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.store.UpdateCampaign(t.Context(), id, models.CampaignChange{RatePerSecond: &rate}); err != nil {
			t.Fatal(err)
		}
		if c := r.finished(id); c.Sent != 2500 {
			t.Fatalf("counts %+v", c.Counts)
		}
		for user, n := range log.seen {
			if n != 1 {
				t.Fatalf("%s was sent %d times", user, n)
			}
		}
	})
}

// failing is a channel that refuses some users until it is mended.
type failing struct {
	sendLog
	mended bool
}

func (f *failing) Send(ctx context.Context, b channels.Batch) []channels.Outcome {
	out := f.sendLog.Send(ctx, b)
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, r := range b.Recipients {
		switch {
		case f.mended:
		case strings.HasSuffix(r.UserID, "1"):
			out[i] = channels.Outcome{Result: channels.Failed, ErrCode: 1302, ErrMsg: "blocked"}
		case strings.HasSuffix(r.UserID, "2"):
			out[i] = channels.Outcome{Result: channels.Failed, ErrCode: 1402, ErrMsg: "muted"}
		}
	}
	return out
}

func TestRetryOnlyTheFailed(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		ch := &failing{sendLog: sendLog{seen: map[string]int{}}}
		r := newRig(t, s, jobs.Options{Channels: []channels.Channel{ch}})
		r.users(2000)
		id := r.post(spec(models.Audience{Type: models.AudienceAll}))
		if c := r.finished(id); c.Failed != 400 || c.Sent != 1600 {
			t.Fatalf("counts %+v", c.Counts)
		}
		ch.mu.Lock()
		ch.mended = true
		ch.mu.Unlock()
		failed := []models.RecipientStatus{models.RecipientFailed}
		if _, n, err := r.store.RetryCampaign(t.Context(), id, models.Retry{Statuses: failed, ErrCodes: []models.Code{1302, 1302}}); err != nil || n != 200 {
			t.Fatal(n, err)
		}
		if c := r.finished(id); c.Failed != 200 || c.Sent != 1800 {
			t.Fatalf("after the first retry: %+v", c.Counts)
		}
		if _, n, err := r.store.RetryCampaign(t.Context(), id, models.Retry{Statuses: failed}); err != nil || n != 200 {
			t.Fatal(n, err)
		}
		c := r.finished(id)
		if c.Failed != 0 || c.Sent != 2000 {
			t.Fatalf("after the second retry: %+v", c.Counts)
		}
		for user, rec := range r.recipients(id) {
			if rec.Attempts != ch.seen[user] {
				t.Fatalf("%s was sent %d times, the row says %d", user, ch.seen[user], rec.Attempts)
			}
		}
		again, n, err := r.store.RetryCampaign(t.Context(), id, models.Retry{Statuses: failed})
		if err != nil || n != 0 || again.Status != models.StatusCompleted || again.FinishedAt != c.FinishedAt {
			t.Fatalf("a retry of nobody: %d, %s, finished at %d and not %d, %v", n, again.Status, again.FinishedAt, c.FinishedAt, err)
		}
		for user, n := range ch.seen {
			want := 1
			if strings.HasSuffix(user, "1") || strings.HasSuffix(user, "2") {
				want = 2
			}
			if n != want {
				t.Fatalf("%s was sent %d times, want %d", user, n, want)
			}
		}
	})
}

// stubborn wants everybody to be tried again.
type stubborn struct{ sendLog }

func (b *stubborn) Send(ctx context.Context, batch channels.Batch) []channels.Outcome {
	b.sendLog.Send(ctx, batch)
	return channels.Same(len(batch.Recipients), channels.Outcome{Result: channels.Retry, ErrCode: 80000, ErrMsg: "later"})
}

// A retry keeps the attempts that were made, and gives each recipient as many again.
func TestRetryGivesNewAttempts(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		ch := &stubborn{sendLog{seen: map[string]int{}}}
		r := newRig(t, s, jobs.Options{Channels: []channels.Channel{ch}, MaxAttempts: 2, Backoff: 10 * time.Millisecond})
		r.users(1)
		id := r.post(spec(models.Audience{Type: models.AudienceAll}))
		for round := 1; round <= 2; round++ {
			if c := r.finished(id); c.Failed != 1 {
				t.Fatalf("counts %+v", c.Counts)
			}
			for user, rec := range r.recipients(id) {
				if rec.Attempts != 2*round || ch.seen[user] != 2*round {
					t.Fatalf("round %d: %d attempts, %d sends", round, rec.Attempts, ch.seen[user])
				}
			}
			if round == 1 {
				if _, n, err := r.store.RetryCampaign(t.Context(), id, models.Retry{Statuses: []models.RecipientStatus{models.RecipientFailed}}); err != nil || n != 1 {
					t.Fatal(n, err)
				}
			}
		}
	})
}

// broken refuses everybody.
type broken struct{ sendLog }

func (b *broken) Send(ctx context.Context, batch channels.Batch) []channels.Outcome {
	b.sendLog.Send(ctx, batch)
	return channels.Same(len(batch.Recipients), channels.Outcome{Result: channels.Failed, ErrCode: 80000, ErrMsg: "refused"})
}

func TestGuardPausesAndResumeOverrides(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		ch := &broken{sendLog{seen: map[string]int{}}}
		r := newRig(t, s, jobs.Options{Channels: []channels.Channel{ch}})
		r.users(4000)
		sp := spec(models.Audience{Type: models.AudienceAll})
		sp.RatePerSecond = 500
		id := r.post(sp)
		var c models.CampaignView
		testkit.Eventually(t, "the campaign pauses itself", testkit.Patience, func() bool {
			var err error
			if c, err = r.store.Campaign(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			return c.Status == models.StatusPaused
		})
		if !strings.Contains(c.StatusReason, "too many failed") || c.Failed == 4000 {
			t.Fatalf("%q, %+v", c.StatusReason, c.Counts)
		}
		rate := 0
		if _, err := r.store.UpdateCampaign(t.Context(), id, models.CampaignChange{RatePerSecond: &rate}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.store.ResumeCampaign(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if c := r.finished(id); c.Failed != 4000 {
			t.Fatalf("counts %+v", c.Counts)
		}
	})
}

// unsure answers some sends with "it may have been sent", in both ways there are.
type unsure struct{ sendLog }

func (u *unsure) Send(ctx context.Context, b channels.Batch) []channels.Outcome {
	out := u.sendLog.Send(ctx, b)
	for i, r := range b.Recipients {
		if strings.HasSuffix(r.UserID, "7") {
			out[i] = channels.Outcome{Result: channels.Ambiguous, ErrCode: 90004, ErrMsg: "no answer"}
		}
		if strings.HasSuffix(r.UserID, "3") {
			out[i] = channels.Outcome{Result: channels.Retry, ErrCode: 90004, ErrMsg: "a gateway's answer", Unsure: true}
		}
	}
	return out
}

func TestAtMostOnce(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		ch := &unsure{sendLog{seen: map[string]int{}}}
		r := newRig(t, s, jobs.Options{Channels: []channels.Channel{ch}})
		r.users(1000)
		sp := spec(models.Audience{Type: models.AudienceAll})
		sp.Delivery = models.AtMostOnce
		c := r.finished(r.post(sp))
		if c.Sent != 800 || c.Unknown != 200 {
			t.Fatalf("counts %+v", c.Counts)
		}
		for user, n := range ch.seen {
			if n != 1 {
				t.Fatalf("%s was sent %d times", user, n)
			}
		}
	})
}

// A worker that dies between its claim and its outcomes: whoever takes over sends none of those again.
func TestAtMostOnceTakeOver(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		ch := &sendLog{seen: map[string]int{}}
		r := newRig(t, s, jobs.Options{Channels: []channels.Channel{ch}})
		r.users(10)
		var ids []string
		for i := range 10 {
			ids = append(ids, fmt.Sprintf("user-%07d", i))
		}
		sp := spec(models.Audience{Type: models.AudienceUsers, UserIDs: ids})
		sp.Delivery = models.AtMostOnce
		created, err := r.store.CreateCampaign(t.Context(), sp, []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return []byte("{}") })
		if err != nil {
			t.Fatal(err)
		}
		dead, err := r.store.ClaimPage(t.Context(), created.Tasks[0])
		if err != nil || dead == nil {
			t.Fatalf("%v, %v", dead, err)
		}
		claims := models.Chunk{State: models.PageRunning}
		for _, id := range ids[:4] {
			claims.Outcomes = append(claims.Outcomes, models.RecipientOutcome{UserID: id, Status: models.RecipientClaimed})
		}
		if err := r.store.WriteChunk(t.Context(), dead.Close(claims)); err != nil {
			t.Fatal(err)
		}
		if c, err := r.store.Campaign(t.Context(), created.PublicID); err != nil || c.Pending != 10 {
			t.Fatalf("a claim is pending to readers: %+v, %v", c.Counts, err)
		}
		c := r.finished(created.PublicID)
		if c.Sent != 6 || c.Unknown != 4 || len(ch.seen) != 6 {
			t.Fatalf("counts %+v, %d sent", c.Counts, len(ch.seen))
		}
	})
}

// peek looks at the ledger from within a send.
type peek struct {
	sendLog
	look func(userIDs []string)
}

func (p *peek) Send(ctx context.Context, b channels.Batch) []channels.Outcome {
	var ids []string
	for _, r := range b.Recipients {
		ids = append(ids, r.UserID)
	}
	p.look(ids)
	return p.sendLog.Send(ctx, b)
}

// Whoever an at-most-once send is for stands claimed in the ledger before it begins.
func TestAtMostOnceClaimsFirst(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		ch := &peek{sendLog: sendLog{seen: map[string]int{}}}
		store := testkit.OpenStore(t, s.DatabaseURL)
		db, _, err := store.Writer()
		if err != nil {
			t.Fatal(err)
		}
		ch.look = func(ids []string) {
			for _, id := range ids {
				var n int
				if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM recipients WHERE user_id=? AND status=?", id, models.RecipientClaimed).Scan(&n); err != nil || n != 1 {
					t.Errorf("%s is sent with %d claims, %v", id, n, err)
				}
			}
		}
		r := newRig(t, s, jobs.Options{Channels: []channels.Channel{ch}, ChunkSize: 10})
		r.users(30)
		sp := spec(models.Audience{Type: models.AudienceAll})
		sp.Delivery = models.AtMostOnce
		if c := r.finished(r.post(sp)); c.Sent != 30 {
			t.Fatalf("counts %+v", c.Counts)
		}
	})
}
