package jobs

import (
	"context"
	"errors"

	"carillon/internal/slots"
	"carillon/models"
)

// plan cuts a campaign's audience into pages, some pages a transaction. It queues the first pages
// as soon as they stand. It may be cut short anywhere: the next plan task goes on where the last
// commit came to.
func (w *Worker) plan(ctx context.Context, t models.PlanTask) error {
	ctx, span := w.tracePlan(ctx, t)
	defer span.End()
	for {
		step, err := w.store.PlanNext(ctx, t, slots.Turn)
		if errors.Is(err, models.ErrFenced) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.queue.Pages(ctx, step.Tasks); err != nil {
			return err
		}
		// The window may have run dry meanwhile.
		if err := w.windows.advance(ctx, t.Campaign); err != nil {
			return err
		}
		if step.Done {
			return nil
		}
		if w.drain.Err() != nil {
			return nil // the plan's lease ends by itself, and another process goes on
		}
	}
}
