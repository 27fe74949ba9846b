package jobs_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/hibiken/asynq"

	"carillon/internal/testkit"
	"carillon/internal/testkit/collector"
	"carillon/internal/tracing"
	"carillon/models"
)

// A task carries the span that enqueued it, and no header without one.
func TestTasksCarryTheTrace(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r := newQuietRig(t, s)
		tracer, err := tracing.Open(t.Context(), collector.Start(t).URL, "v1", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(tracer.Close)
		ctx, span := tracer.Start(context.Background(), tracing.Server, "post")
		defer span.End()
		ok := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		ok(r.queue.Plan(ctx, models.PlanTask{Campaign: 7, Epoch: 1, Priority: models.PriorityBulk}))
		ok(r.queue.Pages(ctx, []models.PageTask{{Campaign: 7, Page: 2, Epoch: 1, Priority: models.PriorityBulk}}))
		ok(r.queue.Pages(context.Background(), []models.PageTask{{Campaign: 7, Page: 3, Epoch: 1, Priority: models.PriorityBulk}}))
		in := asynq.NewInspectorFromRedisClient(r.rdb)
		for id, want := range map[string]string{"c7:plan:e1": span.Traceparent(), "c7:p2:e1": span.Traceparent(), "c7:p3:e1": ""} {
			task, err := in.GetTaskInfo(string(models.PriorityBulk), id)
			if err != nil {
				t.Fatal(id, err)
			}
			if got := task.Headers[tracing.Header]; got != want || want == "" && len(task.Headers) > 0 {
				t.Errorf("%s: %v, not %q", id, task.Headers, want)
			}
		}
	})
}
