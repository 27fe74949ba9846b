package models_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"carillon/internal/testkit"
	"carillon/models"
)

// world is the model: what the ledger must say of one campaign.
type world struct {
	status     models.Status
	recipients map[string]models.RecipientStatus
	closed     bool // the campaign's end has been carried out

	atMostOnce bool
	maybeSent  map[string]bool // who was unknown and is tried again, until an attempt has an outcome
}

func (w *world) count(s models.RecipientStatus) (n int64) {
	for _, r := range w.recipients {
		if r == s {
			n++
		}
	}
	return n
}

// end gives whoever is pending the status of the campaign's end. In an at-most-once campaign those who may have been sent to
// are unknown again.
func (w *world) end(s models.RecipientStatus) {
	for id, r := range w.recipients {
		switch {
		case r != models.RecipientPending:
		case w.atMostOnce && w.maybeSent[id]:
			w.recipients[id] = models.RecipientUnknown
		default:
			w.recipients[id] = s
		}
	}
	w.closed = true
}

// TestModel drives a campaign through random sequences of what workers, operators and the clock do, and compares the
// ledger with a map after every step. More sequences: go test ./models -run TestModel -rapid.checks=10000
func TestModel(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		users(t, store, 12)
		var d *driver
		store.Observe(models.Observer{
			Moved: func(to models.Status, _ models.ReasonCode, n int64) {
				d.told = append(d.told, slices.Repeat([]models.Status{to}, int(n))...)
			},
			Settled: func(_ string, n models.Counts) { d.settled = plus(d.settled, n) },
		})
		rapid.Check(t, func(rt *rapid.T) {
			d = &driver{t: t, rt: rt, store: store, model: &world{status: models.StatusRunning, recipients: map[string]models.RecipientStatus{}, maybeSent: map[string]bool{}}}
			d.begin()
			rt.Repeat(map[string]func(*rapid.T){
				"send":   d.send,
				"pause":  d.pause,
				"resume": d.resume,
				"cancel": d.cancel,
				"expire": d.expire,
				"retry":  d.retry,
				"finish": d.finish,
				"":       d.compare,
			})
		})
	})
}

type driver struct {
	t     *testing.T
	rt    *rapid.T
	store *models.Store
	model *world
	id    string
	row   models.Campaign

	told           []models.Status // what the store's observer was told
	settled, undid models.Counts   // the same of recipients; and what retries have taken back
}

// plus adds outcomes to outcomes.
func plus(a, b models.Counts) models.Counts {
	return models.Counts{Sent: a.Sent + b.Sent, Failed: a.Failed + b.Failed, Skipped: a.Skipped + b.Skipped,
		Expired: a.Expired + b.Expired, Cancelled: a.Cancelled + b.Cancelled, Unknown: a.Unknown + b.Unknown}
}

func (d *driver) ok(err error) {
	if err != nil {
		d.rt.Fatal(err)
	}
}

func (d *driver) begin() {
	ids := make([]string, rapid.IntRange(1, 12).Draw(d.rt, "recipients"))
	for i := range ids {
		ids[i] = fmt.Sprintf("user-%07d", i)
		d.model.recipients[ids[i]] = models.RecipientPending
	}
	sp := spec(models.Audience{Type: models.AudienceUsers, UserIDs: ids})
	if rapid.Bool().Draw(d.rt, "atMostOnce") {
		sp.Delivery, d.model.atMostOnce = models.AtMostOnce, true
	}
	c, err := d.store.CreateCampaign(d.t.Context(), sp, []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return []byte("{}") })
	d.ok(err)
	d.id = c.PublicID
	view, err := d.store.Campaign(d.t.Context(), d.id)
	d.ok(err)
	d.row = view.Campaign
}

// send is a worker's visit: one chunk of random size with random outcomes, from what is due.
func (d *driver) send(rt *rapid.T) {
	ctx := d.t.Context()
	pages, err := d.store.Windows(ctx)
	d.ok(err)
	i := slices.IndexFunc(pages, func(w models.Window) bool { return w.ID == d.row.ID })
	if i < 0 || !pages[i].Unfinished() {
		rt.Skip("no page is open, or the campaign does not run")
	}
	page := d.page()
	task, queued, err := d.store.QueuePage(ctx, page, models.PriorityBulk)
	d.ok(err)
	if !queued {
		rt.Fatal("a page that nobody else touches could not be queued")
	}
	v, err := d.store.ClaimPage(ctx, task)
	d.ok(err)
	chunk := models.Chunk{State: models.PageWaiting}
	for _, id := range slices.Sorted(maps.Keys(v.Attempts)) {
		if rapid.Bool().Draw(rt, "again") {
			chunk.Outcomes = append(chunk.Outcomes, d.outcome(rt, id, true))
		}
	}
	for _, id := range v.Untried(rapid.IntRange(0, 12).Draw(rt, "fresh")) {
		chunk.Outcomes = append(chunk.Outcomes, d.outcome(rt, id, false))
	}
	d.ok(d.store.WriteChunk(ctx, v.Close(chunk)))
	for _, o := range chunk.Outcomes {
		d.model.recipients[o.UserID] = o.Status
		delete(d.model.maybeSent, o.UserID)
	}
}

func (d *driver) outcome(rt *rapid.T, id string, again bool) models.RecipientOutcome {
	status := rapid.SampledFrom([]models.RecipientStatus{models.RecipientPending, models.RecipientSent, models.RecipientFailed,
		models.RecipientSkipped, models.RecipientUnknown}).Draw(rt, "outcome")
	o := models.RecipientOutcome{UserID: id, Status: status, Attempts: 1, HasRow: again}
	if status == models.RecipientFailed {
		o.ErrCode = 1302
	}
	return o
}

// page reads the campaign's one page as it is.
func (d *driver) page() models.Page {
	page, err := d.store.PageOf(d.t.Context(), d.row.ID, 0)
	d.ok(err)
	return page
}

// move checks an operator's step against the table of transitions: legal ones happen, others are 3001.
func (d *driver) move(to models.Status, legal bool, err error) bool {
	if d.model.status == to {
		d.ok(err)
		return false
	}
	if !legal {
		if models.AsError(err).Code != models.CodeIllegalTransition {
			d.rt.Fatalf("%s → %s: %v", d.model.status, to, err)
		}
		return false
	}
	d.ok(err)
	d.model.status = to
	return true
}

func (d *driver) pause(*rapid.T) {
	_, err := d.store.PauseCampaign(d.t.Context(), d.id, "")
	d.move(models.StatusPaused, d.model.status == models.StatusRunning, err)
}

func (d *driver) resume(*rapid.T) {
	_, err := d.store.ResumeCampaign(d.t.Context(), d.id)
	d.move(models.StatusRunning, d.model.status == models.StatusPaused, err)
}

func (d *driver) cancel(*rapid.T) {
	_, err := d.store.CancelCampaign(d.t.Context(), d.id, "")
	if d.move(models.StatusCancelled, d.model.status == models.StatusRunning || d.model.status == models.StatusPaused, err) {
		d.model.end(models.RecipientCancelled)
	}
}

func (d *driver) expire(*rapid.T) {
	past := models.Millis(1)
	_, err := d.store.UpdateCampaign(d.t.Context(), d.id, models.CampaignChange{ExpireAt: &past})
	open := d.model.status == models.StatusRunning || d.model.status == models.StatusPaused
	if !open {
		if models.AsError(err).Code != models.CodeIllegalTransition {
			d.rt.Fatal(err)
		}
		return
	}
	d.ok(err)
	d.ok(d.store.ExpireCampaigns(d.t.Context()))
	view, err := d.store.Campaign(d.t.Context(), d.id)
	d.ok(err)
	_, err = d.store.CloseCampaign(d.t.Context(), view.Campaign, false)
	d.ok(err)
	d.model.status = models.StatusExpired
	d.model.end(models.RecipientExpired)
}

func (d *driver) retry(rt *rapid.T) {
	statuses := rapid.SampledFrom([][]models.RecipientStatus{{models.RecipientFailed}, {models.RecipientExpired}, {models.RecipientUnknown, models.RecipientFailed}}).Draw(rt, "statuses")
	matching := int64(0)
	for _, status := range statuses {
		matching += d.model.count(status)
	}
	before, err := d.store.Campaign(d.t.Context(), d.id)
	d.ok(err)
	after, n, err := d.store.RetryCampaign(d.t.Context(), d.id, models.Retry{Statuses: append(statuses, statuses...)})
	if d.model.status == models.StatusRunning { // not "the state it is in": nothing has failed for good yet
		if models.AsError(err).Code != models.CodeIllegalTransition {
			rt.Fatal(err)
		}
		return
	}
	legal := d.model.status == models.StatusCompleted || d.model.status == models.StatusExpired
	if legal && err == nil && n != matching {
		rt.Fatalf("%d are tried again, the model says %d", n, matching)
	}
	if legal && matching == 0 {
		d.ok(err)
		if !reflect.DeepEqual(after, before) {
			rt.Fatalf("a retry of nobody made %+v of %+v", after, before)
		}
		return
	}
	if !d.move(models.StatusRunning, legal, err) {
		return
	}
	d.model.closed = false
	for range 2 {
		d.ok(d.store.ReopenPages(d.t.Context()))
	}
	for id, r := range d.model.recipients {
		if slices.Contains(statuses, r) {
			d.undid = plus(d.undid, models.SettledAs(r, 1))
			d.model.recipients[id] = models.RecipientPending
			if r == models.RecipientUnknown {
				d.model.maybeSent[id] = true
			}
		}
	}
}

func (d *driver) finish(*rapid.T) {
	done, err := d.store.FinishCampaign(d.t.Context(), d.row.ID)
	d.ok(err)
	can := d.model.status == models.StatusRunning && d.model.count(models.RecipientPending) == 0
	if done != can {
		d.rt.Fatalf("finished %t, the model says %t", done, can)
	}
	if done {
		d.model.status = models.StatusCompleted
		d.model.closed = true
	}
}

// compare holds the ledger against the model: state, counts, every recipient, and the proof.
func (d *driver) compare(rt *rapid.T) {
	ctx := d.t.Context()
	c, err := d.store.Campaign(ctx, d.id)
	d.ok(err)
	want := models.Counts{Total: int64(len(d.model.recipients)), Pending: d.model.count(models.RecipientPending), Sent: d.model.count(models.RecipientSent),
		Failed: d.model.count(models.RecipientFailed), Skipped: d.model.count(models.RecipientSkipped), Expired: d.model.count(models.RecipientExpired),
		Cancelled: d.model.count(models.RecipientCancelled), Unknown: d.model.count(models.RecipientUnknown)}
	if c.Status != d.model.status || c.Counts != want || (c.FinishedAt != 0) != d.model.closed {
		rt.Fatalf("the ledger says %s %+v (finished at %d), the model %s %+v", c.Status, c.Counts, c.FinishedAt, d.model.status, want)
	}
	list, next, err := d.store.Recipients(ctx, c.Campaign, models.RecipientFilter{Limit: 100})
	d.ok(err)
	if next != nil || len(list) != len(d.model.recipients) {
		rt.Fatalf("%d recipients listed", len(list))
	}
	for _, r := range list {
		if r.Status != d.model.recipients[r.UserID] {
			rt.Fatalf("%s is %s, the model says %s", r.UserID, r.Status, d.model.recipients[r.UserID])
		}
	}
	report, err := d.store.Verify(ctx, d.id)
	d.ok(err)
	if !report.OK {
		rt.Fatalf("%+v", report.Findings)
	}
	outcomes := want
	outcomes.Total, outcomes.Pending = 0, 0
	if got := plus(outcomes, d.undid); got != d.settled {
		rt.Fatalf("the observer was told of %+v, the model says %+v", d.settled, got)
	}
	if n := len(d.told); n == 0 || d.told[n-1] != c.Status {
		rt.Fatalf("the observer was told of %s, the campaign is %s", d.told, c.Status)
	}
	if what := broken(c.Campaign, history(d.t, d.store, d.id)); what != "" {
		rt.Fatal("its history: ", what)
	}
}

// TestMain lets TestModel run few sequences unless the command line asks for more: each is some 300 transactions.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "10"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
