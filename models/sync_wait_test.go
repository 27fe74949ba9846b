package models_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/models"
)

// all posts a campaign to all users.
func (k syncKit) all(change ...func(*models.CampaignSpec)) models.CampaignView {
	k.t.Helper()
	sp := spec(models.Audience{Type: models.AudienceAll})
	for _, c := range change {
		c(&sp)
	}
	made, err := k.store.CreateCampaign(k.t.Context(), sp, []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return nil })
	k.ok(err)
	return k.view(made.PublicID)
}

func (k syncKit) view(id string) models.CampaignView {
	k.t.Helper()
	c, err := k.store.Campaign(k.t.Context(), id)
	k.ok(err)
	return c
}

// start is what a scheduler does once, with a campaign as it is then.
func (k syncKit) start(c models.CampaignView) models.CampaignView {
	k.t.Helper()
	due, err := k.store.DueCampaigns(k.t.Context())
	k.ok(err)
	for _, id := range due {
		_, _, err := k.store.StartCampaign(k.t.Context(), id)
		k.ok(err)
	}
	return k.view(c.PublicID)
}

func (k syncKit) waits(c models.CampaignView, text string) {
	k.t.Helper()
	if c.Status != models.StatusScheduled || c.StatusReasonCode != models.ReasonDirectorySync || c.StatusReason != text || c.StartedAt != 0 {
		k.t.Fatalf("%s, %q, %q", c.Status, c.StatusReasonCode, c.StatusReason)
	}
	due, err := k.store.DueCampaigns(k.t.Context())
	k.ok(err)
	if slices.Contains(due, c.ID) {
		k.t.Error("a campaign that waits stands in the way of others")
	}
}

func (k syncKit) runs(c models.CampaignView, total int64) {
	k.t.Helper()
	if c.Status != models.StatusRunning || c.StatusReason != "" || c.Counts.Total != total {
		k.t.Fatalf("%s, %q, %+v", c.Status, c.StatusReason, c.Counts)
	}
}

const waitsForSync = "waiting for the directory sync"

// A campaign to all users starts after the sync, with the users that the sync brought.
func TestCampaignWaitsForTheSync(t *testing.T) {
	t.Parallel()
	eachSync(t, func(k syncKit) {
		k.store.AwaitSync(7_200_000, "inbox")
		c := k.all() // the directory is empty yet
		k.waits(c, waitsForSync)
		y, err := k.store.TakeSync(k.t.Context(), 0)
		k.ok(err)
		if y == nil {
			k.t.Fatal("the campaign asked for no sync")
		}
		k.ok(k.store.SyncPage(k.t.Context(), y, listed("a"), 3))
		k.waits(k.start(c), waitsForSync)
		k.ok(k.store.FailSync(k.t.Context(), y, "OpenIM gives no admin token", false))
		k.waits(k.start(c), waitsForSync+", which fails: OpenIM gives no admin token")
		if row, err := k.store.Sync(k.t.Context()); err != nil || row.WaitUntil <= row.Now {
			k.t.Errorf("a campaign that waits ends the wait of a sync that fails: %+v, %v", row, err)
		}
		y = k.take()
		k.ok(k.store.SyncPage(k.t.Context(), y, listed("b", "c"), 3))
		k.finish(y)
		k.runs(k.start(c), 3)
		k.runs(k.all(), 3)
		k.clock.Tick(2*time.Hour + time.Millisecond)
		c = k.all()
		k.waits(c, waitsForSync)
		k.pass(listed("a", "b", "c", "d")...)
		k.runs(k.start(c), 4)
		var kinds []string
		events, err := k.store.Events(k.t.Context(), models.EventFilter{CampaignID: c.PublicID, Limit: 10})
		k.ok(err)
		for _, e := range events {
			kinds = append(kinds, string(e.Kind)+" "+string(e.ReasonCode))
		}
		if got := strings.Join(kinds, ", "); got != "campaign.started , campaign.created directorySync" {
			k.t.Error(got)
		}
	})
}

// An operator lets a campaign start with the directory as it is, also after a pause.
func TestResumedCampaignWaitsForNoSync(t *testing.T) {
	t.Parallel()
	eachSync(t, func(k syncKit) {
		k.store.AwaitSync(7_200_000, "inbox")
		k.pass(listed("a")...)
		k.clock.Tick(3 * time.Hour)
		c := k.all()
		k.waits(c, waitsForSync)
		_, err := k.store.PauseCampaign(k.t.Context(), c.PublicID, "paused by admin")
		k.ok(err)
		_, err = k.store.ResumeCampaign(k.t.Context(), c.PublicID)
		k.ok(err)
		k.waits(k.start(c), waitsForSync)
		_, err = k.store.ResumeCampaign(k.t.Context(), c.PublicID)
		k.ok(err)
		k.runs(k.start(c), 1)
		cancelled := k.all()
		k.waits(cancelled, waitsForSync)
		_, err = k.store.CancelCampaign(k.t.Context(), cancelled.PublicID, "cancelled by admin")
		k.ok(err)
		if c := k.start(cancelled); c.Status != models.StatusCancelled || c.FinishedAt == 0 {
			k.t.Errorf("%+v", c)
		}
	})
}

// One of a sendAt waits when its time has come, and is not missed by its wait.
func TestScheduledCampaignWaitsForTheSync(t *testing.T) {
	t.Parallel()
	eachSync(t, func(k syncKit) {
		k.store.AwaitSync(7_200_000, "inbox")
		k.pass(listed("a")...)
		c := k.all(func(sp *models.CampaignSpec) { sp.SendAt = models.Millis(syncNoon.Add(3 * time.Hour).UnixMilli()) })
		if c = k.start(c); c.StatusReason != "" {
			k.t.Errorf("it waits before its time: %q", c.StatusReason)
		}
		k.clock.Tick(3 * time.Hour)
		k.waits(k.start(c), waitsForSync)
		k.clock.Tick(5 * time.Hour)
		k.waits(k.start(c), waitsForSync)
		k.pass(listed("a", "b")...)
		k.runs(k.start(c), 2)
	})
}

// Lists, other channels, local times, and everything where no sync is awaited, start at once.
func TestWhoWaitsForNoSync(t *testing.T) {
	t.Parallel()
	eachSync(t, func(k syncKit) {
		_, err := k.store.UpsertUsers(k.t.Context(), listed("a"))
		k.ok(err)
		k.runs(k.all(), 1) // off
		k.store.AwaitSync(7_200_000, "inbox")
		k.waits(k.all(), waitsForSync)
		k.runs(k.all(func(sp *models.CampaignSpec) { sp.Channel = "webhook" }), 1)
		k.runs(k.all(func(sp *models.CampaignSpec) {
			sp.Audience = models.Audience{Type: models.AudienceUsers, UserIDs: []string{"a"}}
		}), 1)
		local := k.all(func(sp *models.CampaignSpec) {
			sp.WallAt, sp.Zone = models.Millis(syncNoon.UnixMilli()), "UTC"
			sp.SendAt = sp.WallAt - 14*3_600_000
		})
		if local.StatusReasonCode != "" {
			k.t.Errorf("%+v", local.Campaign)
		}
	})
}
