package handlers

import (
	"context"

	"carillon/handlers/web"
	"carillon/internal/slots"
	"carillon/models"
)

// ChangedAll is what the kill switch has changed: how many, and which. Of each pair one field is set.
type ChangedAll struct {
	Paused    *int            `json:"paused,omitempty"`
	Resumed   *int            `json:"resumed,omitempty"`
	Campaigns *[]models.Named `json:"campaigns,omitempty"`
	Schedules *[]models.Named `json:"schedules,omitempty"`
}

// changedAll makes the list and its length of what a change gave. An error after a part is an error: asked again, the
// change takes the rest.
func changedAll(list []models.Named, err error) (*int, *[]models.Named, error) {
	if list == nil {
		list = []models.Named{}
	}
	n := len(list)
	return &n, &list, err
}

// PauseAllCampaigns pauses all that run or are scheduled, whoever made them.
func (a *API) PauseAllCampaigns(ctx context.Context, call web.Call, _ nothing) (all ChangedAll, err error) {
	all.Paused, all.Campaigns, err = changedAll(a.Store.PauseAll(ctx, "paused by "+call.UserID))
	a.tellAll(ctx, call, "all campaigns paused", "campaigns", *all.Paused, err)
	return all, err
}

// ResumeAllCampaigns resumes those that the last PauseAllCampaigns has paused and that are paused by it still.
func (a *API) ResumeAllCampaigns(ctx context.Context, call web.Call, _ nothing) (all ChangedAll, err error) {
	all.Resumed, all.Campaigns, err = changedAll(a.Store.ResumeAll(ctx))
	a.tellAll(ctx, call, "campaigns resumed", "campaigns", *all.Resumed, err)
	return all, err
}

// PauseAllSchedules pauses all that are active.
func (a *API) PauseAllSchedules(ctx context.Context, call web.Call, _ nothing) (all ChangedAll, err error) {
	all.Paused, all.Schedules, err = changedAll(a.Store.PauseAllSchedules(ctx, slots.Forgo(slots.AllPaused)))
	a.tellAll(ctx, call, "all schedules paused", "schedules", *all.Paused, err)
	return all, err
}

// ResumeAllSchedules resumes those that the last PauseAllSchedules has paused and that are paused by it still.
func (a *API) ResumeAllSchedules(ctx context.Context, call web.Call, _ nothing) (all ChangedAll, err error) {
	all.Resumed, all.Schedules, err = changedAll(a.Store.ResumeAllSchedules(ctx, slots.Resume))
	a.tellAll(ctx, call, "schedules resumed", "schedules", *all.Resumed, err)
	return all, err
}

// tellAll logs what was done to n campaigns or schedules; what are they.
func (a *API) tellAll(ctx context.Context, call web.Call, done, what string, n int, err error) {
	if err == nil && n > 0 {
		a.Log.Info(done, what, n, "by", models.ViaOf(ctx), "operationID", call.OperationID)
	}
}
