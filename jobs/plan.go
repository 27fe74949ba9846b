package jobs

import (
	"context"
	"errors"

	"carillon/models"
)

// plan cuts a campaign's audience, some pages a transaction, and queues the first of them as soon as they
// stand. It may be cut short anywhere: the next to plan goes on where the last commit came to.
func (w *Worker) plan(ctx context.Context, t models.PlanTask) error {
	for {
		step, err := w.store.PlanNext(ctx, t, turn)
		if errors.Is(err, models.ErrFenced) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.queue.Pages(ctx, step.Tasks); err != nil {
			return err
		}
		if err := w.windows.advance(ctx, t.Campaign); err != nil || step.Done { // the window may have run dry meanwhile
			return err
		}
		if w.drain.Err() != nil {
			return nil // the plan's lease ends by itself and another process goes on
		}
	}
}
