package models_test

import (
	"testing"

	"carillon/models"
)

// TestScheduledCampaignStoresInTheInbox: a campaign that was posted by one process and is started by another is in the inbox when
// its channel is one that the second was told of. Nothing else says so.
func TestScheduledCampaignStoresInTheInbox(t *testing.T) {
	t.Parallel()
	eachSync(t, func(k syncKit) {
		users(k.t, k.store, 2)
		stores := func(channel string) bool {
			k.store.InboxChannels("elsewhere")
			c := k.all(func(sp *models.CampaignSpec) { sp.Channel, sp.SendAt = channel, 1<<42 })
			if c.Status != models.StatusScheduled || c.Inbox != 0 {
				k.t.Fatalf("%s, inbox %d", c.Status, c.Inbox)
			}
			db, _, err := k.store.Writer()
			k.ok(err)
			_, err = db.ExecContext(k.t.Context(), "UPDATE campaigns SET send_at=? WHERE id=?", c.CreatedAt, c.ID)
			k.ok(err)
			k.store.InboxChannels("kept")
			c = k.start(c)
			k.runs(c, 2)
			return c.Inbox != 0
		}
		if !stores("kept") || stores("elsewhere") {
			k.t.Error("a campaign is stored as its POST was, or not at all")
		}
	})
}
