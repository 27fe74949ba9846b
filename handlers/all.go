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
	if err == nil && *all.Paused > 0 {
		a.Log.Info("all campaigns paused", "campaigns", *all.Paused, "by", call.UserID, "operationID", call.OperationID)
	}
	return all, err
}

// ResumeAllCampaigns resumes those that the last PauseAllCampaigns has paused and that are paused by it still.
func (a *API) ResumeAllCampaigns(ctx context.Context, call web.Call, _ nothing) (all ChangedAll, err error) {
	all.Resumed, all.Campaigns, err = changedAll(a.Store.ResumeAll(ctx))
	if err == nil && *all.Resumed > 0 {
		a.Log.Info("campaigns resumed", "campaigns", *all.Resumed, "by", call.UserID, "operationID", call.OperationID)
	}
	return all, err
}

// PauseAllSchedules pauses all that are active.
func (a *API) PauseAllSchedules(ctx context.Context, call web.Call, _ nothing) (all ChangedAll, err error) {
	all.Paused, all.Schedules, err = changedAll(a.Store.PauseAllSchedules(ctx))
	if err == nil && *all.Paused > 0 {
		a.Log.Info("all schedules paused", "schedules", *all.Paused, "by", call.UserID, "operationID", call.OperationID)
	}
	return all, err
}

// ResumeAllSchedules resumes those that the last PauseAllSchedules has paused and that are paused by it still.
func (a *API) ResumeAllSchedules(ctx context.Context, call web.Call, _ nothing) (all ChangedAll, err error) {
	all.Resumed, all.Schedules, err = changedAll(a.Store.ResumeAllSchedules(ctx, slots.Resume))
	if err == nil && *all.Resumed > 0 {
		a.Log.Info("schedules resumed", "schedules", *all.Resumed, "by", call.UserID, "operationID", call.OperationID)
	}
	return all, err
}

// DirectoryView is how large the directory is.
type DirectoryView struct {
	Users int64 `json:"users"`
}

// Directory counts the users. It reads an index of all users, which takes a moment where they are millions.
func (a *API) Directory(ctx context.Context, _ web.Call, _ nothing) (v DirectoryView, err error) {
	v.Users, err = a.Store.CountUsers(ctx)
	return v, err
}

// ChannelView is a channel that is set up.
type ChannelView struct {
	Name string `json:"name"`
	// RatePerSecond is the most recipients a second, over all processes; 0 = no limit.
	RatePerSecond int `json:"ratePerSecond"`
}

// ChannelList is all channels, the default first.
type ChannelList struct {
	Channels []ChannelView `json:"channels"`
}

// ListChannels lists the channels that are set up.
func (a *API) ListChannels(_ context.Context, _ web.Call, _ nothing) (ChannelList, error) {
	list := ChannelList{Channels: []ChannelView{}}
	for _, t := range a.Channels {
		list.Channels = append(list.Channels, ChannelView{t.Name, a.Rates[t.Name]})
	}
	return list, nil
}
