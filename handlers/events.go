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
	EventID     string            `json:"eventID"` // the webhook-id under which the event is posted
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
	return EventView{e.ID, e.PublicID(), shown(e.At), e.Kind, e.CampaignID, e.ScheduleID, e.FromStatus, e.ToStatus, e.ReasonCode, e.Reason, e.Actor, e.Via, e.OperationID, e.Data}
}

// EventList is a page of the event log.
type EventList struct {
	Events     []EventView `json:"events"`
	NextCursor string      `json:"nextCursor"` // of older events, or the after of newer ones
	More       bool        `json:"more"`       // there is more already
}

// EventQuery selects events: newest first, or oldest first when After is given.
type EventQuery struct {
	models.EventFilter
	After string
}

// ReadEventQuery reads which events are asked for. With an error it returns what could be read.
func ReadEventQuery(in *web.In) (q EventQuery, err error) {
	q.EventFilter = models.EventFilter{Kind: models.EventKind(in.Query("kind")), CampaignID: in.Query("campaign"), ScheduleID: in.Query("schedule"), Actor: in.Query("actor")}
	if q.Kind != "" && !slices.Contains(models.EventKinds, q.Kind) {
		return q, web.Refuse("kind", "must be a kind of event, such as campaign.paused")
	}
	if why := models.CheckID(q.Actor); q.Actor != "" && why != "" {
		return q, web.Refuse("actor", why)
	}
	q.After = in.Query("after")
	if q.After != "" && in.Query("cursor") != "" {
		return q, web.Refuse("after", "goes to newer events, and cursor to older ones: leave one of them out")
	}
	q.Before, q.Limit, err = web.ParseBeforePage(in.R)
	return q, err
}

// ListEvents lists the event log: newest first, or from a place on in the order in which no event is missed.
func (a *API) ListEvents(ctx context.Context, _ web.Call, q EventQuery) (EventList, error) {
	if q.After == "" {
		return a.pageOfEvents(ctx, q.EventFilter)
	}
	found, err := a.Store.PullEvents(ctx, models.EventPull{
		After: q.After, Kind: q.Kind, CampaignID: q.CampaignID, ScheduleID: q.ScheduleID, Actor: q.Actor, Limit: q.Limit,
	})
	return EventList{eventsJSON(found.Events), found.Next, found.More}, err
}

func (a *API) pageOfEvents(ctx context.Context, f models.EventFilter) (list EventList, err error) {
	limit := f.Limit
	f.Limit++
	found, err := a.Store.Events(ctx, f)
	if err != nil {
		return list, err
	}
	found, list.NextCursor = web.CutPage(found, limit, func(e models.Event) string { return web.BeforeCursor(e.ID) })
	list.Events, list.More = eventsJSON(found), list.NextCursor != ""
	return list, nil
}

func eventsJSON(events []models.Event) []EventView {
	views := make([]EventView, len(events))
	for i, e := range events {
		views[i] = EventJSON(e)
	}
	return views
}

// CampaignHistory lists what happened to a campaign, newest first.
func (a *API) CampaignHistory(ctx context.Context, _ web.Call, p OlderPage) (EventList, error) {
	c, err := a.Store.Campaign(ctx, p.ID)
	if err != nil {
		return EventList{}, err
	}
	return a.pageOfEvents(ctx, models.EventFilter{CampaignID: c.PublicID, Before: p.Before, Limit: p.Limit})
}

// ScheduleHistory lists what happened to a schedule and to the campaigns that it made, newest first.
func (a *API) ScheduleHistory(ctx context.Context, _ web.Call, p OlderPage) (EventList, error) {
	sch, err := a.Store.Schedule(ctx, p.ID)
	if err != nil {
		return EventList{}, err
	}
	return a.pageOfEvents(ctx, models.EventFilter{ScheduleID: sch.PublicID, Before: p.Before, Limit: p.Limit})
}

// NamesOf reads the names of campaigns and schedules by their IDs. What has no name is left out.
func (a *API) NamesOf(ctx context.Context, _ web.Call, ids []string) (map[string]string, error) {
	return a.Store.NamesOf(ctx, ids)
}
