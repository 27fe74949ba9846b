package handlers

import (
	"context"
	"slices"

	"carillon/handlers/web"
	"carillon/models"
)

// EventView is one event of the log as the API shows it.
type EventView struct {
	ID          int64             `json:"id"`
	At          string            `json:"at"`
	Kind        models.EventKind  `json:"kind"`
	CampaignID  string            `json:"campaignID"` // empty = about no campaign
	ScheduleID  string            `json:"scheduleID"` // empty = about no schedule
	From        string            `json:"from"`       // the state before; empty = none, or the state did not change
	To          string            `json:"to"`
	ReasonCode  models.ReasonCode `json:"reasonCode"`
	Reason      string            `json:"reason"`
	Actor       string            `json:"actor"` // empty = the program itself
	Via         models.Via        `json:"via"`
	OperationID string            `json:"operationID"`
	Data        models.EventData  `json:"data"` // null = no details
}

// EventJSON renders an event.
func EventJSON(e models.Event) EventView {
	return EventView{e.ID, shown(e.At), e.Kind, e.CampaignID, e.ScheduleID, e.FromStatus, e.ToStatus, e.ReasonCode, e.Reason, e.Actor, e.Via, e.OperationID, e.Data}
}

// EventList is a page of the event log.
type EventList struct {
	Events     []EventView `json:"events"`
	NextCursor string      `json:"nextCursor"`
}

func eventFilter(in *web.In) (models.EventFilter, error) {
	f := models.EventFilter{Kind: models.EventKind(in.Query("kind")), CampaignID: in.Query("campaign"), ScheduleID: in.Query("schedule"), Actor: in.Query("actor")}
	if f.Kind != "" && !slices.Contains(models.EventKinds, f.Kind) {
		return f, web.Refuse("kind", "must be a kind of event, such as campaign.paused")
	}
	if why := models.CheckID(f.Actor); f.Actor != "" && why != "" {
		return f, web.Refuse("actor", why)
	}
	var err error
	f.Before, f.Limit, err = web.ParseBeforePage(in.R)
	return f, err
}

// ListEvents lists the event log, newest first.
func (a *API) ListEvents(ctx context.Context, _ web.Call, f models.EventFilter) (list EventList, err error) {
	limit := f.Limit
	f.Limit++
	found, err := a.Store.Events(ctx, f)
	if err != nil {
		return list, err
	}
	found, list.NextCursor = web.CutPage(found, limit, func(e models.Event) string { return web.BeforeCursor(e.ID) })
	list.Events = make([]EventView, len(found))
	for i, e := range found {
		list.Events[i] = EventJSON(e)
	}
	return list, nil
}

// CampaignHistory lists what happened to a campaign, newest first.
func (a *API) CampaignHistory(ctx context.Context, call web.Call, p OlderPage) (EventList, error) {
	c, err := a.Store.Campaign(ctx, p.ID)
	if err != nil {
		return EventList{}, err
	}
	return a.ListEvents(ctx, call, models.EventFilter{CampaignID: c.PublicID, Before: p.Before, Limit: p.Limit})
}

// ScheduleHistory lists what happened to a schedule and to the campaigns that it made, newest first.
func (a *API) ScheduleHistory(ctx context.Context, call web.Call, p OlderPage) (EventList, error) {
	sch, err := a.Store.Schedule(ctx, p.ID)
	if err != nil {
		return EventList{}, err
	}
	return a.ListEvents(ctx, call, models.EventFilter{ScheduleID: sch.PublicID, Before: p.Before, Limit: p.Limit})
}
