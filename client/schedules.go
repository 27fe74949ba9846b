package client

import (
	"context"
	"iter"
)

// MakeSchedule makes a schedule. key is its Idempotency-Key, as that of Send.
func (c *Client) MakeSchedule(ctx context.Context, key string, schedule ScheduleRequest) (Schedule, error) {
	var p CreateScheduleParams
	if key != "" {
		p.IdempotencyKey = &key
	}
	return Data[Schedule](c.CreateSchedule(ctx, &p, schedule))
}

// Schedules lists schedules, newest first, without their campaigns. The deleted come only when their
// status is asked for.
func (c *Client) Schedules(ctx context.Context, p ListSchedulesParams) iter.Seq2[Schedule, error] {
	return Pages(func(cursor *string) ([]Schedule, string, error) {
		p.Cursor = cursor
		page, err := Data[Schedules](c.ListSchedules(ctx, &p))
		return page.Schedules, page.NextCursor, err
	})
}

// Occurrences lists what became of a schedule's slots, newest first.
func (c *Client) Occurrences(ctx context.Context, id string, p GetScheduleParams) iter.Seq2[Occurrence, error] {
	return Pages(func(cursor *string) ([]Occurrence, string, error) {
		p.Cursor = cursor
		page, err := Data[ScheduleHistory](c.GetSchedule(ctx, id, &p))
		return page.Occurrences, page.NextCursor, err
	})
}

// ScheduleEvents lists what happened to a schedule and its campaigns, newest first.
func (c *Client) ScheduleEvents(ctx context.Context, id string, p ScheduleHistoryParams) iter.Seq2[Event, error] {
	return Pages(func(cursor *string) ([]Event, string, error) {
		p.Cursor = cursor
		page, err := Data[Events](c.ScheduleHistory(ctx, id, &p))
		return page.Events, page.NextCursor, err
	})
}
