package handlers

import (
	"net/http"
	"strconv"
	"time"

	"carillon/internal/slots"
	"carillon/models"
)

// createSchedule is POST /v1/schedules.
func (a *API) createSchedule(w http.ResponseWriter, r *http.Request) error {
	body, err := a.readBody(w, r, listBody)
	if err != nil {
		return err
	}
	var b scheduleBody
	if err := decodeJSON(body, &b, scheduleUnknown); err != nil {
		return err
	}
	now, err := a.Store.Now(r.Context())
	if err != nil {
		return err
	}
	sch := models.Schedule{Timezone: a.Zone, OperationID: operationID(r.Context()), CreatedBy: callerOf(r).UserID, CreatedAt: now}
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
		return err
	}
	table, err := slots.Of(sch)
	if err != nil {
		return err
	}
	if err := a.resolveChannel(&sch.Campaign, "campaign.", "campaign.message."); err != nil {
		return err
	}
	warned, err := a.warnings(r.Context(), sch.Campaign, "campaign.")
	if err != nil {
		return err
	}
	idem, err := idempotency(r, body)
	if err != nil {
		return err
	}
	created, err := a.Store.CreateSchedule(r.Context(), sch, a.AdminIDs(), idem, func(made models.Schedule) []byte {
		v := scheduleJSON(made)
		v.Warnings = append(v.Warnings, warned...)
		v.showFiring(table, now)
		return success(v)
	})
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/schedules/"+created.PublicID)
	return answer(w, http.StatusCreated, created.Answer)
}

// patchSchedule changes a schedule from its next slot on.
func (a *API) patchSchedule(w http.ResponseWriter, r *http.Request) error {
	body, err := a.readBody(w, r, listBody)
	if err != nil {
		return err
	}
	var b scheduleBody
	if err := decodePatch(body, &b, scheduleUnknown); err != nil {
		return err
	}
	replan := b.Cron != nil || b.Timezone != nil || b.LocalTime != nil || b.StartAt != nil || b.EndAt != nil || b.Campaign != nil && b.Campaign.LocalTime
	var (
		warned []string
		when   slots.Timetable
		from   models.Millis
	)
	v, err := a.change(r, slots.Due, func(sch *models.Schedule, now models.Millis) error {
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
			if err := a.Store.CheckTemplate(r.Context(), sch.Campaign, a.AdminIDs()); err != nil {
				return err
			}
			var err error
			if warned, err = a.warnings(r.Context(), sch.Campaign, "campaign."); err != nil {
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
		return err
	}
	v.Warnings = append(v.Warnings, warned...)
	if replan {
		v.showFiring(when, from)
	}
	return answerData(w, http.StatusOK, v)
}

// dueSlot decides about a slot that is due when its schedule is changed.
type dueSlot func(models.Schedule, models.Millis) (models.Firing, error)

// change changes the schedule that the path names, and returns the result. due decides about a slot
// that is due and that no scheduler has acted upon.
func (a *API) change(r *http.Request, due dueSlot, change func(*models.Schedule, models.Millis) error) (scheduleView, error) {
	id, err := pathID(r, "id")
	if err != nil {
		return scheduleView{}, models.NotFound("schedule")
	}
	if due != nil {
		mark, err := a.Store.Mark(r.Context())
		if err != nil {
			return scheduleView{}, err
		}
		due = slots.Since(mark.LostUntil, due)
	}
	sch, made, err := a.Store.ChangeSchedule(r.Context(), id, a.AdminIDs(), due, change)
	for _, c := range made {
		a.Log.Info("a schedule fired", "schedule", sch.PublicID, "name", sch.Name, "campaign", c.PublicID)
		_, _ = a.enqueueCreated(r, c, nil) // never fails: a stored campaign is enqueued now, or by the reconciler
	}
	if err != nil {
		return scheduleView{}, err
	}
	return scheduleJSON(sch), nil
}

// changeAndAnswer calls change and answers with the schedule.
func (a *API) changeAndAnswer(w http.ResponseWriter, r *http.Request, due dueSlot, change func(*models.Schedule, models.Millis) error) error {
	v, err := a.change(r, due, change)
	if err != nil {
		return err
	}
	return answerData(w, http.StatusOK, v)
}

func (a *API) pauseSchedule(w http.ResponseWriter, r *http.Request) error {
	return a.changeAndAnswer(w, r, slots.Forgo(slots.Paused), func(sch *models.Schedule, _ models.Millis) error { return sch.Pause() })
}

func (a *API) resumeSchedule(w http.ResponseWriter, r *http.Request) error {
	return a.changeAndAnswer(w, r, nil, slots.Resume)
}

func (a *API) deleteSchedule(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "id")
	if err != nil {
		return models.NotFound("schedule")
	}
	sch, err := a.Store.DeleteSchedule(r.Context(), id, slots.Forgo(slots.Deleted))
	if err != nil {
		return err
	}
	return answerData(w, http.StatusOK, scheduleJSON(sch))
}

// runSchedule makes a campaign of a schedule's template now.
func (a *API) runSchedule(w http.ResponseWriter, r *http.Request) error {
	sch, err := a.schedule(r)
	if err != nil {
		return err
	}
	// The key's scope is the route, and the schedule stands in the path: so the key covers the
	// schedule.
	idem, err := idempotency(r, []byte(sch.PublicID))
	if err != nil {
		return err
	}
	wait, _, err := preferWait(r)
	if err != nil {
		return err
	}
	spec := slots.RunNow(sch)
	spec.OperationID, spec.CreatedBy = operationID(r.Context()), callerOf(r).UserID
	var made models.Campaign
	created, err := a.Store.RunSchedule(r.Context(), sch.PublicID, spec, a.AdminIDs(), idem, func(c models.Campaign) []byte {
		made = c
		return success(campaignJSON(models.CampaignView{Campaign: c, Counts: models.Counts{Total: c.Total, Pending: c.Total}}))
	})
	if created, err = a.enqueueCreated(r, created, err); err != nil {
		return err
	}
	a.tellCreated(r, created, made)
	return a.accepted(w, r, created, wait, nil)
}

// schedule reads the schedule that the path names.
func (a *API) schedule(r *http.Request) (models.Schedule, error) {
	id, err := pathID(r, "id")
	if err != nil {
		return models.Schedule{}, models.NotFound("schedule")
	}
	return a.Store.Schedule(r.Context(), id)
}

// listSchedules lists schedules without their templates.
func (a *API) listSchedules(w http.ResponseWriter, r *http.Request) error {
	before, limit, err := parseBeforePage(r)
	if err != nil {
		return err
	}
	f := models.ScheduleFilter{Status: models.ScheduleStatus(r.URL.Query().Get("status")), Before: before, Limit: limit + 1}
	switch f.Status {
	case "", models.ScheduleActive, models.SchedulePaused, models.ScheduleEnded, models.ScheduleDeleted:
	default:
		return queryError("status", "must be active, paused, ended or deleted")
	}
	list, err := a.Store.Schedules(r.Context(), f)
	if err != nil {
		return err
	}
	list, next := cutPage(list, limit, func(sch models.Schedule) string { return beforeCursor(sch.ID) })
	views := make([]scheduleView, len(list))
	for i, sch := range list {
		views[i] = scheduleJSON(sch)
		views[i].Campaign = nil
	}
	return answerData(w, http.StatusOK, map[string]any{"schedules": views, "nextCursor": next})
}

// getSchedule answers with a schedule and what became of its slots, the newest first.
func (a *API) getSchedule(w http.ResponseWriter, r *http.Request) error {
	sch, err := a.schedule(r)
	if err != nil {
		return err
	}
	before, limit, err := parseBeforePage(r)
	if err != nil {
		return err
	}
	list, err := a.Store.Occurrences(r.Context(), sch.ID, before, limit+1)
	if err != nil {
		return err
	}
	v := scheduleHistory{scheduleView: scheduleJSON(sch), Occurrences: []occurrenceView{}}
	list, v.NextCursor = cutPage(list, limit, func(o models.Occurrence) string { return beforeCursor(o.ID) })
	for _, o := range list {
		v.Occurrences = append(v.Occurrences, occurrenceJSON(sch, o))
	}
	return answerData(w, http.StatusOK, v)
}

const (
	defaultSlots = 10
	maxSlots     = 100
)

// nextSlots shows the coming slots of a schedule.
func (a *API) nextSlots(w http.ResponseWriter, r *http.Request) error {
	sch, err := a.schedule(r)
	if err != nil {
		return err
	}
	n := defaultSlots
	if text := r.URL.Query().Get("n"); text != "" {
		if n, err = strconv.Atoi(text); err != nil || n < 1 || n > maxSlots {
			return queryError("n", "must be from 1 to "+strconv.Itoa(maxSlots))
		}
	}
	now, err := a.Store.Now(r.Context())
	if err != nil {
		return err
	}
	table, err := slots.Of(sch)
	if err != nil {
		return err
	}
	if sch.Status != models.ScheduleActive && sch.Status != models.SchedulePaused {
		n = 0
	}
	return answerData(w, http.StatusOK, map[string]any{"slots": slotsJSON(table, now, n)})
}

type previewBody struct {
	Cron      string  `json:"cron"`
	Timezone  string  `json:"timezone"`
	LocalTime bool    `json:"localTime"`
	From      *string `json:"from"` // absent = now
	N         *int    `json:"n"`    // default 10
}

// previewSchedule shows the slots that a cron text would have.
func (a *API) previewSchedule(w http.ResponseWriter, r *http.Request) error {
	body, err := a.readBody(w, r, controlBody)
	if err != nil {
		return err
	}
	var b previewBody
	if err := decodeJSON(body, &b, refuseUnknown); err != nil {
		return err
	}
	var c checker
	from := models.Millis(time.Now().UnixMilli())
	if b.From != nil {
		from, _ = c.instant("from", *b.From)
	}
	n := defaultSlots
	set(&n, b.N)
	if n < 1 || n > maxSlots {
		c.add("n", "must be from 1 to %d", maxSlots)
	}
	if b.Timezone == "" {
		b.Timezone = a.Zone
	}
	table := c.timetable(models.Schedule{Cron: b.Cron, Timezone: b.Timezone, LocalTime: b.LocalTime, Anchor: from})
	if err := c.err(); err != nil {
		return err
	}
	perDay, words := table.Often()
	return answerData(w, http.StatusOK, map[string]any{"slots": slotsJSON(table, from, n), "firesPerDay": perDay, "fires": words, "warnings": table.Warnings()})
}
