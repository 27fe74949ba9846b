package models_test

import (
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/models"
)

// old is a ledger with campaigns that are over, one that ended later and one that runs, under a clock that stands.
type old struct {
	*models.Store
	t              *testing.T
	db             *sql.DB
	clock          *testkit.Clock
	began          time.Time
	large, small   string // over for two days
	young, running string
}

const keepDay = models.Millis(24 * time.Hour / time.Millisecond)

func newOld(t *testing.T, s testkit.Stores) *old {
	t.Helper()
	o := &old{t: t, began: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	o.Store, o.clock = testkit.OpenStoreAt(t, s.DatabaseURL, o.began)
	var err error
	if o.db, _, err = o.Writer(); err != nil {
		t.Fatal(err)
	}
	users(t, o.Store, 2500)
	all := models.Audience{Type: models.AudienceAll}
	large := o.create(all)
	sendAll(t, o.Store, large)
	o.large = large.PublicID
	small := o.create(models.Audience{Type: models.AudienceUsers, UserIDs: []string{"user-0000001", "user-0000002", "user-0000003"}})
	v, err := o.ClaimPage(t.Context(), small.Tasks[0])
	if err != nil || v == nil {
		t.Fatal(err)
	}
	if err := o.WriteChunk(t.Context(), v.Close(models.Chunk{State: models.PageRunning, Outcomes: []models.RecipientOutcome{
		{UserID: "user-0000001", Status: models.RecipientSent, Attempts: 1}, {UserID: "user-0000002", Status: models.RecipientSent, Attempts: 1},
		{UserID: "user-0000003", Status: models.RecipientFailed, Attempts: 5, ErrCode: 80000, ErrMsg: "no"}}})); err != nil {
		t.Fatal(err)
	}
	if done, err := o.FinishCampaign(t.Context(), v.CampaignID); err != nil || !done {
		t.Fatal(done, err)
	}
	o.small = small.PublicID
	running := o.create(all)
	if _, err := o.PlanNext(t.Context(), *running.Plan, nil); err != nil {
		t.Fatal(err)
	}
	o.running = running.PublicID
	o.clock.Set(o.began.Add(24 * time.Hour))
	young := o.create(all)
	sendAll(t, o.Store, young)
	o.young = young.PublicID
	o.clock.Set(o.began.Add(47 * time.Hour))
	return o
}

func (o *old) create(a models.Audience) models.Created {
	o.t.Helper()
	c, err := o.CreateCampaign(o.t.Context(), spec(a), []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return []byte("{}") })
	if err != nil {
		o.t.Fatal(err)
	}
	return c
}

func (o *old) campaign(id string) models.CampaignView {
	o.t.Helper()
	c, err := o.Campaign(o.t.Context(), id)
	if err != nil {
		o.t.Fatal(err)
	}
	return c
}

func (o *old) take(want string) *models.Purge {
	o.t.Helper()
	p, err := o.TakePurge(o.t.Context(), keepDay)
	if err != nil || (p == nil) != (want == "") || p != nil && p.PublicID != want {
		o.t.Fatalf("%+v, %v; want %q", p, err, want)
	}
	return p
}

func (o *old) finish(p *models.Purge, n int) {
	o.t.Helper()
	for done := false; !done; {
		var err error
		if done, err = o.PurgeStep(o.t.Context(), p, n); err != nil {
			o.t.Fatal(err)
		}
	}
}

// rows is what the ledger holds of a campaign besides its row, or of all of them for "".
func (o *old) rows(id string) (list string) {
	o.t.Helper()
	for _, table := range []string{"recipients", "pages", "page_members", "inbox_small"} {
		var n int
		q := "SELECT COUNT(*) FROM " + table + " WHERE campaign_id=?"
		if err := o.db.QueryRowContext(o.t.Context(), q, o.campaign(id).ID).Scan(&n); err != nil {
			o.t.Fatal(err)
		}
		list += fmt.Sprint(n, " ")
	}
	return list
}

func (o *old) inbox(user string) (ids []string) {
	o.t.Helper()
	list, err := o.Inbox(o.t.Context(), user, models.InboxCursor{}, 100)
	if err != nil {
		o.t.Fatal(err)
	}
	for _, m := range list {
		ids = append(ids, m.Campaign.PublicID)
	}
	return ids
}

// What is over for long enough goes, whole, also when its purger dies on the way; its counts stay; nothing else is touched.
func TestPurge(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		o := newOld(t, s)
		before := map[string]models.Counts{}
		for _, id := range []string{o.large, o.small, o.young, o.running} {
			before[id] = o.campaign(id).Counts
		}
		if got := o.inbox("user-0000001"); len(got) != 3 {
			t.Fatalf("before: %v", got)
		}
		first := o.take(o.large)
		for range 3 {
			if done, err := o.PurgeStep(t.Context(), first, 500); err != nil || done {
				t.Fatal(done, err)
			}
		}
		if !first.Busy {
			t.Error("the running campaign was not noticed")
		}
		if _, err := o.PauseCampaign(t.Context(), o.running, "test"); err != nil {
			t.Fatal(err)
		}
		if got := o.rows(o.large); got != "1000 3 3 0 " {
			t.Errorf("after three steps: %s", got)
		}
		// its purger is dead, and holds the lease until that ends
		o.take("")
		o.clock.Set(o.began.Add(47*time.Hour + 2*time.Minute))
		second := o.take(o.large)
		if _, err := o.PurgeStep(t.Context(), first, 500); !errors.Is(err, models.ErrFenced) {
			t.Errorf("a purger whose campaign was taken over: %v", err)
		}
		if _, err := o.PurgeStep(t.Context(), second, 700); err != nil {
			t.Fatal(err)
		}
		if err := o.LeavePurge(t.Context(), second); err != nil { // in good order: the next one need not wait
			t.Fatal(err)
		}
		third := o.take(o.large)
		if err := o.LeavePurge(t.Context(), second); err != nil { // it has it no more
			t.Fatal(err)
		}
		o.finish(third, 700)
		if third.Busy {
			t.Error("a paused campaign is none that runs")
		}
		o.finish(o.take(o.small), 2)
		o.take("")

		for _, id := range []string{o.large, o.small} {
			if got := o.rows(id); got != "0 0 0 0 " {
				t.Errorf("left: %s", got)
			}
			o.refused(id)
		}
		if got := o.rows(o.young); got != "2500 3 3 0 " {
			t.Errorf("the younger one: %s", got)
		}
		if got := o.rows(o.running); got != "0 3 3 0 " {
			t.Errorf("the running one: %s", got)
		}
		for _, id := range []string{o.young, o.running} {
			if r, err := o.Verify(t.Context(), id); err != nil || !r.OK || o.campaign(id).PurgedAt != 0 {
				t.Errorf("%+v, %v", r, err)
			}
		}
		for id, want := range before {
			if got := o.campaign(id).Counts; got != want || want.Total == 0 {
				t.Errorf("counts %+v, were %+v", got, want)
			}
		}
		if got := o.inbox("user-0000001"); len(got) != 1 || got[0] != o.young {
			t.Errorf("the inbox holds %v", got)
		}
		list, err := o.Campaigns(t.Context(), models.CampaignFilter{Limit: 10})
		if err != nil || len(list) != 4 {
			t.Fatal(len(list), err)
		}
		for _, c := range list {
			if c.Counts != before[c.PublicID] {
				t.Errorf("listed with %+v, was %+v", c.Counts, before[c.PublicID])
			}
		}
	})
}

// refused checks that everything which needs the recipients says that they are gone.
func (o *old) refused(id string) {
	o.t.Helper()
	c := o.campaign(id)
	if c.PurgedAt == 0 {
		o.t.Fatal("not purged")
	}
	unaware := c.Campaign // as somebody holds it who read it before
	unaware.PurgedAt = 0
	for name, f := range map[string]func() error{
		"verify": func() error { _, err := o.Verify(o.t.Context(), id); return err },
		"retry": func() error {
			_, _, err := o.RetryCampaign(o.t.Context(), id, models.Retry{Statuses: []models.RecipientStatus{models.RecipientFailed}})
			return err
		},
		"list": func() error {
			_, _, err := o.Recipients(o.t.Context(), unaware, models.RecipientFilter{Limit: 10})
			return err
		},
	} {
		if e := models.AsError(f()); e.Code != models.CodeIllegalTransition || e.Detail == "" {
			o.t.Errorf("%s: %+v", name, e)
		}
	}
	for _, known := range []models.Campaign{c.Campaign, unaware} {
		_, err := o.Recipient(o.t.Context(), known, "user-0000003")
		if e := models.AsError(err); e.Code != models.CodeRecordNotFound || e.Detail != models.AsError(c.ErrPurged()).Detail {
			o.t.Errorf("one recipient: %+v", e)
		}
	}
}

// A list that was begun before the purge must not show those who are gone as pending.
func TestReadWhilePurged(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		o := newOld(t, s)
		c := o.campaign(o.large).Campaign
		list, next, err := o.Recipients(t.Context(), c, models.RecipientFilter{Limit: 10})
		if err != nil || len(list) != 10 || next == nil {
			t.Fatal(len(list), err)
		}
		if _, err := o.PurgeStep(t.Context(), o.take(o.large), 100); err != nil {
			t.Fatal(err)
		}
		list, _, err = o.Recipients(t.Context(), c, models.RecipientFilter{Limit: 10, From: *next})
		if models.AsError(err).Code != models.CodeIllegalTransition {
			t.Errorf("%d recipients of a page that is half gone, %v", len(list), err)
		}
	})
}

// Several purgers share the work without doing any of it twice, and never have one campaign at the same time.
func TestTwoPurgers(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		o := newOld(t, s)
		var mu sync.Mutex
		taken := map[string]int{}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 50 {
					p, err := o.TakePurge(t.Context(), keepDay)
					if err != nil {
						t.Error(err)
						return
					}
					if p == nil {
						continue
					}
					mu.Lock()
					taken[p.PublicID]++
					mu.Unlock()
					for done := false; !done; {
						if done, err = o.PurgeStep(t.Context(), p, 100); err != nil {
							t.Error(err)
							return
						}
					}
				}
			})
		}
		wg.Wait()
		if len(taken) != 2 || taken[o.large] != 1 || taken[o.small] != 1 {
			t.Errorf("taken: %v", taken)
		}
		if got := o.rows(o.large) + o.rows(o.small); got != "0 0 0 0 0 0 0 0 " {
			t.Errorf("left: %s", got)
		}
	})
}

// A retry takes the counts back from the row, and a campaign under retry is not old.
func TestCountsOverARetry(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		o := newOld(t, s)
		want := models.Counts{Total: 3, Sent: 2, Failed: 1}
		if got := o.campaign(o.small).Counts; got != want {
			t.Fatalf("%+v", got)
		}
		c, _, err := o.RetryCampaign(t.Context(), o.small, models.Retry{Statuses: []models.RecipientStatus{models.RecipientFailed}})
		if err != nil || c.Counts != want {
			t.Fatalf("%+v, %v", c.Counts, err)
		}
		if p := o.take(o.large); p != nil {
			o.finish(p, 1000)
		}
		o.take("") // the retried one runs
		if err := o.ReopenPages(t.Context()); err != nil {
			t.Fatal(err)
		}
		want = models.Counts{Total: 3, Sent: 2, Pending: 1}
		if got := o.campaign(o.small).Counts; got != want {
			t.Fatalf("reopened: %+v", got)
		}
		if done, err := o.FinishCampaign(t.Context(), c.ID); done || err != nil {
			t.Fatalf("finished with one pending: %v", err)
		}
		page, err := o.PageOf(t.Context(), c.ID, 0)
		if err != nil {
			t.Fatal(err)
		}
		task, ok, err := o.QueuePage(t.Context(), page, models.PriorityBulk)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		v, err := o.ClaimPage(t.Context(), task)
		if err != nil || v == nil {
			t.Fatal(err)
		}
		chunk := models.Chunk{State: models.PageRunning, Outcomes: []models.RecipientOutcome{{UserID: "user-0000003", Status: models.RecipientSent, Attempts: 6, HasRow: true}}}
		if err := o.WriteChunk(t.Context(), v.Close(chunk)); err != nil {
			t.Fatal(err)
		}
		if done, err := o.FinishCampaign(t.Context(), c.ID); !done || err != nil {
			t.Fatal(done, err)
		}
		want = models.Counts{Total: 3, Sent: 3}
		if got := o.campaign(o.small).Counts; got != want {
			t.Errorf("in the end: %+v", got)
		}
		if r, err := o.Verify(t.Context(), o.small); err != nil || !r.OK {
			t.Errorf("%+v, %v", r, err)
		}
		if _, err := o.db.ExecContext(t.Context(), "UPDATE campaigns SET final_sent=2, final_failed=1 WHERE id=?", c.ID); err != nil {
			t.Fatal(err)
		}
		if r, err := o.Verify(t.Context(), o.small); err != nil || r.OK {
			t.Errorf("counts that are not the pages' are not found: %+v, %v", r, err)
		}
	})
}

// The counts of a finished campaign are read without its pages.
func TestFinishedCountsTouchNoPage(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		o := newOld(t, s)
		want := o.campaign(o.large).Counts
		if _, err := o.db.ExecContext(t.Context(), "UPDATE pages SET sent=sent-1, failed=failed+1"); err != nil {
			t.Fatal(err)
		}
		if got := o.campaign(o.large).Counts; got != want || got.Sent != 2500 {
			t.Errorf("%+v, was %+v", got, want)
		}
		if got := o.campaign(o.running).Counts; got.Failed != 3 || got.Sent != -3 {
			t.Errorf("a running one is read from its pages: %+v", got)
		}
	})
}

// TestCountsOfAnOlderProgram: a program from before the stored counts finishes a campaign, or retries and finishes one,
// and stores none, or leaves old ones. What is read is right, is repaired, and a purge keeps what is right.
func TestCountsOfAnOlderProgram(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		o := newOld(t, s)
		exec := func(query string, args ...any) {
			t.Helper()
			if _, err := o.db.ExecContext(t.Context(), query, args...); err != nil {
				t.Fatal(err)
			}
		}
		const none = "UPDATE campaigns SET final_sent=0, final_failed=0, final_skipped=0, final_expired=0, final_cancelled=0, final_unknown=0"
		large, small := o.campaign(o.large), o.campaign(o.small)
		exec(none)
		for _, c := range []models.CampaignView{large, small} {
			if got := o.campaign(c.PublicID).Counts; got != c.Counts {
				t.Errorf("finished without stored counts: %+v, not %+v", got, c.Counts)
			}
		}
		// It retries without taking the old counts back: an unfinished campaign counts by its pages.
		exec("UPDATE campaigns SET final_sent=2, final_failed=1, finished_at=0, status='running' WHERE id=?", small.ID)
		exec("UPDATE pages SET sent=3, failed=0 WHERE campaign_id=?", small.ID)
		retried := models.Counts{Total: 3, Sent: 3}
		if got := o.campaign(o.small).Counts; got != retried {
			t.Errorf("retried: %+v", got)
		}
		exec("UPDATE campaigns SET finished_at=?, status='completed' WHERE id=?", small.FinishedAt+1, small.ID)
		o.recountAll()
		if got := o.campaign(o.small).Counts; got != retried {
			t.Errorf("retried, finished and recounted: %+v", got)
		}
		exec("UPDATE pages SET sent=0 WHERE campaign_id=?", large.ID) // from here on the row must speak
		if got := o.campaign(o.large).Counts; got != large.Counts {
			t.Errorf("recounted: %+v, not %+v", got, large.Counts)
		}
		exec("UPDATE pages SET sent=1000 WHERE campaign_id=? AND no<2", large.ID)
		exec("UPDATE pages SET sent=500 WHERE campaign_id=? AND no=2", large.ID)
		exec(none)
		for range 2 {
			p, err := o.TakePurge(t.Context(), keepDay)
			if err != nil || p == nil {
				t.Fatal(p, err)
			}
			for done := false; !done; {
				if done, err = o.PurgeStep(t.Context(), p, 1000); err != nil {
					t.Fatal(err)
				}
			}
		}
		for id, want := range map[string]models.Counts{o.large: large.Counts, o.small: retried} {
			if got := o.campaign(id); got.PurgedAt == 0 || got.Counts != want {
				t.Errorf("purged: %+v, not %+v", got.Counts, want)
			}
		}
	})
}

// recountAll recounts two campaigns at a time, to the last.
func (o *old) recountAll() {
	o.t.Helper()
	for from := (models.Finished{}); ; {
		next, err := o.Recount(o.t.Context(), from, 2)
		if err != nil {
			o.t.Fatal(err)
		}
		if next == from {
			return
		}
		from = next
	}
}
