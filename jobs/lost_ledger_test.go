package jobs

import (
	"fmt"
	"testing"
	"time"

	"carillon/channels"
	"carillon/internal/testkit"
	"carillon/models"
)

// lose is what a restore from a backup does: the ledger is behind what Redis knows of it.
func (i idle) lose() {
	i.t.Helper()
	i.do(i.contact.compare)
	i.sql("UPDATE ledger_mark SET mark=mark-86400000")
	i.do(i.contact.compare)
}

// half writes outcomes into a campaign's page, and leaves the page waiting.
func (i idle) half(c models.Created, outcomes ...models.RecipientOutcome) {
	i.t.Helper()
	v, err := i.store.ClaimPage(i.t.Context(), c.Tasks[0])
	if err != nil || v == nil {
		i.t.Fatalf("%v, %v", v, err)
	}
	if err := i.store.WriteChunk(i.t.Context(), v.Close(models.Chunk{State: models.PageWaiting, Outcomes: outcomes})); err != nil {
		i.t.Fatal(err)
	}
}

var halfSent = []models.RecipientOutcome{
	{UserID: "a", Status: models.RecipientSent, Attempts: 1},
	{UserID: "b", Status: models.RecipientPending, Attempts: 1, RetryIn: -time.Minute},
}

// The ledger was restored. A resumed campaign asks about everybody without an outcome, also on pages that are planned only
// now. A campaign that is made anew asks about nobody. A retry asks, too.
func TestMaybeSentFromALostLedger(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		i := newIdle(t, s)
		if _, err := i.store.PutUsers(t.Context(), []models.UserChange{{UserID: "x"}, {UserID: "y"}}); err != nil {
			t.Fatal(err)
		}
		c := i.to(models.AtLeastOnce, "a", "b", "c")
		i.half(c, halfSent...)
		planned := i.campaign(models.Audience{Type: models.AudienceAll}) // when the ledger was backed up, it had no page
		i.lose()
		ch := newAsker(true, map[string][]channels.Outcome{"c": {noSuch}})
		o := Options{Channels: []channels.Channel{ch}}
		i.run(o)
		for _, id := range []string{c.PublicID, planned.PublicID} {
			if v, err := i.store.ResumeCampaign(t.Context(), id); err != nil || v.Status != models.StatusRunning {
				t.Fatalf("%s, %v", v.Status, err)
			}
			i.ended(id)
		}
		ch.lasts(t, map[string]string{"a": "", "b": "2, maybe sent", "c": "1, maybe sent", "x": "1, maybe sent", "y": "1, maybe sent"})

		if _, n, err := i.store.RetryCampaign(t.Context(), c.PublicID, models.Retry{Statuses: []models.RecipientStatus{models.RecipientFailed}}); err != nil || n != 1 {
			t.Fatalf("%d are tried again, %v", n, err)
		}
		i.eventually("the retry is over", c.PublicID, func(v models.CampaignView) bool { return v.FinishedAt != 0 && v.Sent == 3 })
		ch.lasts(t, map[string]string{"c": "2, maybe sent"})

		anew := i.campaign(models.Audience{Type: models.AudienceUsers, UserIDs: []string{"a", "d"}})
		if err := i.queue.Stored(t.Context(), anew); err != nil {
			t.Fatal(err)
		}
		i.ended(anew.PublicID)
		ch.lasts(t, map[string]string{"a": "1", "d": "1"})
	})
}

// A campaign of a restored ledger fails as a whole. Nobody without an outcome is said to be surely not sent.
func TestFailedFromALostLedger(t *testing.T) {
	t.Parallel()
	for _, ownHands := range []bool{false, true} {
		t.Run(fmt.Sprintf("own hands %t", ownHands), func(t *testing.T) {
			t.Parallel()
			testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
				i := newIdle(t, s)
				c := i.to(models.AtLeastOnce, "a", "b", "c")
				i.half(c, halfSent...)
				i.lose()
				if _, err := i.store.ResumeCampaign(t.Context(), c.PublicID); err != nil {
					t.Fatal(err)
				}
				if ownHands {
					i.do(promoter{i.requeuer(), i.windows}.promote)
				}
				i.fail(c, ownHands)
				if v, err := i.store.Campaign(t.Context(), c.PublicID); err != nil || v.FinishedAt == 0 || v.Sent != 1 || v.Unknown != 2 {
					t.Errorf("%+v, finished at %d, %v", v.Counts, v.FinishedAt, err)
				}
				if r, err := i.store.Verify(t.Context(), c.PublicID); err != nil || !r.OK {
					t.Errorf("%+v, %v", r, err)
				}
			})
		})
	}
}

// An at-most-once campaign of a restored ledger is held. Whoever resumes it lets it send: to be asked about alone, nobody
// else would be sent anything.
func TestAtMostOnceFromALostLedger(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		i := newIdle(t, s)
		c := i.to(models.AtMostOnce, "a", "b", "c")
		i.half(c, halfSent...)
		i.lose()
		ch := newAsker(true, nil)
		i.run(Options{Channels: []channels.Channel{ch}})
		if _, err := i.store.ResumeCampaign(t.Context(), c.PublicID); err != nil {
			t.Fatal(err)
		}
		i.ended(c.PublicID)
		ch.lasts(t, map[string]string{"a": "", "b": "2", "c": "1"})
	})
}
