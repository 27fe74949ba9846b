package handlers

import (
	"context"
	"net/http"

	"carillon/handlers/web"
	"carillon/internal/slots"
	"carillon/models"
)

// createSchedule is POST /v1/schedules.
func (a *API) createSchedule(in *web.In) error {
	body, err := bodyOf[ScheduleBody](web.ListBody, scheduleUnknown)(in)
	if err != nil {
		return err
	}
	created, err := a.CreateSchedule(in.Context(), in.Call, body)
	if err != nil {
		return err
	}
	in.W.Header().Set("Location", a.Path("/v1/schedules/"+created.PublicID))
	return web.Answer(in.W, http.StatusCreated, created.Answer)
}

// CreateSchedule makes a schedule. Answer is what the first request with the same Idempotency-Key was answered.
func (a *API) CreateSchedule(ctx context.Context, call web.Call, b ScheduleBody) (created models.Created, err error) {
	now, err := a.Store.Now(ctx)
	if err != nil {
		return created, err
	}
	sch := models.Schedule{Timezone: a.Zone, OperationID: call.OperationID, CreatedBy: call.UserID, CreatedAt: now}
	var c checker
	b.apply(&c, &sch)
	if b.Campaign == nil {
		c.add("campaign", "is required")
	}
	sch.Anchor = now
	if sch.StartAt != 0 {
		sch.Anchor = sch.StartAt
	}
	if err := c.plan(&sch, now); err != nil {
		return created, err
	}
	table, err := slots.Of(sch)
	if err != nil {
		return created, err
	}
	if err := a.resolveChannel(&sch.Campaign, "campaign.", "campaign.message."); err != nil {
		return created, err
	}
	warned, err := a.warnings(ctx, sch.Campaign, "campaign.")
	if err != nil {
		return created, err
	}
	idem, err := call.Idempotency(call.Raw)
	if err != nil {
		return created, err
	}
	return a.Store.CreateSchedule(ctx, sch, a.AdminIDs(), idem, func(made models.Schedule) []byte {
		v := scheduleJSON(made)
		v.Warnings = append(v.Warnings, warned...)
		v.showFiring(table, made, now)
		return web.Success(v)
	})
}

// ScheduleChange is which schedule is changed, and how.
type ScheduleChange struct {
	ID string
	ScheduleBody
}

func readScheduleChange(in *web.In) (c ScheduleChange, err error) {
	if err := decodePatch(in, web.ListBody, &c.ScheduleBody, scheduleUnknown); err != nil {
		return c, err
	}
	c.ID, err = in.Known("schedule")
	return c, err
}

// PatchSchedule changes a schedule from its next slot on.
func (a *API) PatchSchedule(ctx context.Context, call web.Call, asked ScheduleChange) (ScheduleView, error) {
	b := asked.ScheduleBody
	replan := b.Cron != nil || b.Timezone != nil || b.LocalTime != nil || b.StartAt != nil || b.EndAt != nil || b.Campaign != nil && b.Campaign.LocalTime
	var (
		warned []string
		when   slots.Timetable
		from   models.Millis
	)
	changed, err := a.change(ctx, call, asked.ID, slots.Due, func(sch *models.Schedule, now models.Millis) error {
		var c checker
		b.apply(&c, sch)
		if b.StartAt != nil && sch.StartAt != 0 {
			sch.Anchor = sch.StartAt
		}
		if err := c.err(); err != nil {
			return err
		}
		if b.Campaign != nil {
			if err := a.resolveChannel(&sch.Campaign, "campaign.", "campaign.message."); err != nil {
				return err
			}
			if err := a.Store.CheckTemplate(ctx, sch.Campaign, a.AdminIDs()); err != nil {
				return err
			}
			var err error
			if warned, err = a.warnings(ctx, sch.Campaign, "campaign."); err != nil {
				return err
			}
		}
		if !replan {
			if table, err := slots.Of(*sch); err == nil && b.Campaign != nil {
				c.reachable(table, sch, now)
			}
			return c.err()
		}
		if sch.Status == models.ScheduleEnded {
			sch.Status = models.ScheduleActive
		}
		if err := c.plan(sch, now); err != nil {
			return err
		}
		var err error
		from = now
		when, err = slots.Of(*sch)
		return err
	})
	if err != nil {
		return ScheduleView{}, err
	}
	v := scheduleJSON(changed)
	v.Warnings = append(v.Warnings, warned...)
	if replan {
		v.showFiring(when, changed, from)
	}
	return v, nil
}

// dueSlot decides about a slot that is due when its schedule is changed.
type dueSlot func(models.Schedule, models.Millis) (models.Firing, error)

// change changes a schedule, and returns the result. due decides about a slot that is due and that no scheduler has
// acted upon.
func (a *API) change(ctx context.Context, call web.Call, id string, due dueSlot, change func(*models.Schedule, models.Millis) error) (models.Schedule, error) {
	if due != nil {
		mark, err := a.Store.Mark(ctx)
		if err != nil {
			return models.Schedule{}, err
		}
		due = slots.Since(mark.LostUntil, due)
	}
	sch, made, err := a.Store.ChangeSchedule(ctx, id, a.AdminIDs(), due, change)
	for _, c := range made {
		a.Log.Info("a schedule fired", "schedule", sch.PublicID, "name", sch.Name, "campaign", c.PublicID)
		_, _ = a.enqueueCreated(ctx, call, c, nil) // never fails: a stored campaign is enqueued now, or by the reconciler
	}
	return sch, err
}

// changedJSON shows a schedule that was changed, unless that failed.
func changedJSON(sch models.Schedule, err error) (ScheduleView, error) {
	if err != nil {
		return ScheduleView{}, err
	}
	return scheduleJSON(sch), nil
}

// PauseSchedule stops a schedule until it is resumed. Slots that come meanwhile are left out.
func (a *API) PauseSchedule(ctx context.Context, call web.Call, id string) (ScheduleView, error) {
	return changedJSON(a.change(ctx, call, id, slots.Forgo(slots.Paused), func(sch *models.Schedule, _ models.Millis) error { return sch.Pause() }))
}

// ResumeSchedule lets a paused schedule fire again, from its next slot on.
func (a *API) ResumeSchedule(ctx context.Context, call web.Call, id string) (ScheduleView, error) {
	return changedJSON(a.change(ctx, call, id, nil, slots.Resume))
}

// DeleteSchedule ends a schedule for good.
func (a *API) DeleteSchedule(ctx context.Context, _ web.Call, id string) (ScheduleView, error) {
	return changedJSON(a.Store.DeleteSchedule(ctx, id, slots.Forgo(slots.Deleted)))
}

func (a *API) runSchedule(in *web.In) error {
	id, err := in.Known("schedule")
	if err != nil {
		return err
	}
	made, err := a.RunSchedule(in.Context(), in.Call, id)
	return made.answer(in, err)
}

// RunSchedule makes a campaign of a schedule's template now, and waits for it as the call says.
func (a *API) RunSchedule(ctx context.Context, call web.Call, id string) (Accepted, error) {
	sch, err := a.Store.Schedule(ctx, id)
	if err != nil {
		return Accepted{}, err
	}
	// The key's scope is the route, and the schedule stands in the path: so the key covers the
	// schedule.
	idem, err := call.Idempotency([]byte(sch.PublicID))
	if err != nil {
		return Accepted{}, err
	}
	wait, _, err := call.Wait()
	if err != nil {
		return Accepted{}, err
	}
	spec := slots.RunNow(sch)
	spec.OperationID, spec.CreatedBy = call.OperationID, call.UserID
	var made models.Campaign
	created, err := a.Store.RunSchedule(ctx, sch.PublicID, spec, a.AdminIDs(), idem, func(c models.Campaign) []byte {
		made = c
		return web.Success(campaignJSON(models.CampaignView{Campaign: c, Counts: models.Counts{Total: c.Total, Pending: c.Total}}))
	})
	if created, err = a.enqueueCreated(ctx, call, created, err); err != nil {
		return Accepted{}, err
	}
	a.tellCreated(ctx, call, created, made)
	return a.accept(ctx, created, wait, nil)
}

// ScheduleList is a page of schedules without their templates.
type ScheduleList struct {
	NextCursor string         `json:"nextCursor"`
	Schedules  []ScheduleView `json:"schedules"`
}

// ReadScheduleFilter reads the query of GET /v1/schedules.
func ReadScheduleFilter(in *web.In) (f models.ScheduleFilter, err error) {
	if f.Before, f.Limit, err = web.ParseBeforePage(in.R); err != nil {
		return f, err
	}
	switch f.Status = models.ScheduleStatus(in.Query("status")); f.Status {
	case "", models.ScheduleActive, models.SchedulePaused, models.ScheduleEnded, models.ScheduleDeleted:
		return f, nil
	}
	return f, web.Refuse("status", "must be active, paused, ended or deleted")
}

// ListSchedules lists schedules without their templates, the newest first.
func (a *API) ListSchedules(ctx context.Context, _ web.Call, f models.ScheduleFilter) (ScheduleList, error) {
	return a.listSchedules(ctx, f, func(*ScheduleView, models.Schedule) {})
}

// ListSchedulesAhead is ListSchedules with how often each fires, and the next n slots of each that is active.
func (a *API) ListSchedulesAhead(ctx context.Context, _ web.Call, f models.ScheduleFilter, n int) (ScheduleList, error) {
	now, err := a.Store.Now(ctx)
	if err != nil {
		return ScheduleList{}, err
	}
	return a.listSchedules(ctx, f, func(v *ScheduleView, sch models.Schedule) {
		table, err := slots.Of(sch)
		if err != nil { // a warning in the view says so
			return
		}
		v.FiresPerDay, v.Fires = table.Often()
		if sch.Status == models.ScheduleActive {
			v.Slots = slotsJSON(table, sch, now, n)
		}
	})
}

func (a *API) listSchedules(ctx context.Context, f models.ScheduleFilter, add func(*ScheduleView, models.Schedule)) (list ScheduleList, err error) {
	limit := f.Limit
	f.Limit++
	found, err := a.Store.Schedules(ctx, f)
	if err != nil {
		return list, err
	}
	found, list.NextCursor = web.CutPage(found, limit, func(sch models.Schedule) string { return web.BeforeCursor(sch.ID) })
	list.Schedules = make([]ScheduleView, len(found))
	for i, sch := range found {
		list.Schedules[i] = scheduleJSON(sch)
		list.Schedules[i].Campaign = nil
		add(&list.Schedules[i], sch)
	}
	return list, nil
}

// GetSchedule shows a schedule and what became of its slots, the newest first.
func (a *API) GetSchedule(ctx context.Context, _ web.Call, p OlderPage) (v ScheduleDetails, err error) {
	sch, err := a.Store.Schedule(ctx, p.ID)
	if err != nil {
		return v, err
	}
	list, err := a.Store.Occurrences(ctx, sch.ID, p.Before, p.Limit+1)
	if err != nil {
		return v, err
	}
	v = ScheduleDetails{ScheduleView: scheduleJSON(sch), Occurrences: []OccurrenceView{}}
	list, v.NextCursor = web.CutPage(list, p.Limit, func(o models.Occurrence) string { return web.BeforeCursor(o.ID) })
	for _, o := range list {
		v.Occurrences = append(v.Occurrences, occurrenceJSON(sch, o))
	}
	return v, nil
}
