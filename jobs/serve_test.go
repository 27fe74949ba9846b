package jobs

import (
	"encoding/json"
	"testing"

	"github.com/hibiken/asynq"

	"carillon/internal/testkit"
	"carillon/models"
)

// A worker that has no contact with its database puts a task that it took into the queue again, and
// leaves the page to the other workers.
func TestTaskIsPutBackWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		i := newIdle(t, s)
		c := i.campaign(twoUsers).Tasks[0]
		payload, err := json.Marshal(Payload{Version: payloadVersion, Campaign: c.Campaign, Page: c.Page, Epoch: c.Epoch, Priority: c.Priority})
		if err != nil {
			t.Fatal(err)
		}
		w := NewWorker(i.Shared)
		w.contact.lost()
		w.startDrain() // the slot waits for contact, or for the worker's end
		if err := w.handle(t.Context(), asynq.NewTask(KindPage, payload)); err != nil {
			t.Fatal(err)
		}
		i.queued(1)
		i.at("without contact", models.PageQueued, c.Epoch)
	})
}
