package jobs

import (
	"context"

	"carillon/internal/tracing"
	"carillon/models"
)

// The names of a span's attributes.
const (
	attrOperation = "operationID"
	attrCampaign  = "carillon.campaign"
	attrChannel   = "carillon.channel"
	attrPage      = "carillon.page"
	attrSchedule  = "carillon.schedule"
)

// tracePlan begins the span of a plan: under that of the task's header, else under the one that the
// campaign's row names.
func (w *Worker) tracePlan(ctx context.Context, t models.PlanTask) (context.Context, *tracing.Span) {
	if w.opts.Tracer == nil {
		return ctx, nil
	}
	c, err := w.store.CampaignByID(ctx, t.Campaign)
	if err != nil { // the plan itself meets the same
		w.log.Debug("a plan has no attributes in its trace", "campaign", t.Campaign, "err", err)
	}
	ctx, span := w.opts.Tracer.Start(w.opts.Tracer.Under(ctx, c.Traceparent), tracing.Consumer, "plan")
	describe(span, &c.Campaign)
	return ctx, span
}

// traceVisit begins the span of a visit to a page. The visits of one task stand beside each other.
func (w *Worker) traceVisit(ctx context.Context, v *models.Visit) (context.Context, *tracing.Span) {
	ctx, span := w.opts.Tracer.Start(ctx, tracing.Consumer, "visit")
	describe(span, &v.Campaign)
	span.Number(attrPage, v.No)
	return ctx, span
}

// traceSlot begins the span of a schedule's slot, in which the slot's campaign is made.
func (s *Scheduler) traceSlot(ctx context.Context, sch models.Schedule) (context.Context, *tracing.Span) {
	ctx, span := s.tracer.Start(ctx, tracing.Internal, "slot")
	span.Text(attrSchedule, sch.PublicID)
	span.Text(attrOperation, sch.OperationID)
	return ctx, span
}

// describe says which campaign a span is about.
func describe(span *tracing.Span, c *models.Campaign) {
	span.Text(attrCampaign, c.PublicID)
	span.Text(attrChannel, c.Channel)
	span.Text(attrOperation, c.OperationID)
}
