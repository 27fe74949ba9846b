package handlers

import (
	"net/http"
	"slices"

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

// listEvents lists the event log, newest first.
func (a *API) listEvents(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	f := models.EventFilter{Kind: models.EventKind(query.Get("kind")), CampaignID: query.Get("campaign"), ScheduleID: query.Get("schedule"), Actor: query.Get("actor")}
	if f.Kind != "" && !slices.Contains(models.EventKinds, f.Kind) {
		return queryError("kind", "must be a kind of event, such as campaign.paused")
	}
	if why := models.CheckID(f.Actor); f.Actor != "" && why != "" {
		return queryError("actor", why)
	}
	return a.eventPage(w, r, f)
}

// campaignHistory lists what happened to a campaign, newest first.
func (a *API) campaignHistory(w http.ResponseWriter, r *http.Request) error {
	c, err := a.campaign(r)
	if err != nil {
		return err
	}
	return a.eventPage(w, r, models.EventFilter{CampaignID: c.PublicID})
}

// scheduleEvents lists what happened to a schedule and to the campaigns that it made, newest first.
func (a *API) scheduleEvents(w http.ResponseWriter, r *http.Request) error {
	sch, err := a.schedule(r)
	if err != nil {
		return err
	}
	return a.eventPage(w, r, models.EventFilter{ScheduleID: sch.PublicID})
}

// eventPage answers with a page of the events that a filter selects.
func (a *API) eventPage(w http.ResponseWriter, r *http.Request, f models.EventFilter) error {
	before, limit, err := parseBeforePage(r)
	if err != nil {
		return err
	}
	f.Before, f.Limit = before, limit+1
	list, err := a.Store.Events(r.Context(), f)
	if err != nil {
		return err
	}
	page, next := cutPage(list, limit, func(e models.Event) string { return beforeCursor(e.ID) })
	views := make([]EventView, len(page))
	for i, e := range page {
		views[i] = EventJSON(e)
	}
	return answerData(w, http.StatusOK, map[string]any{"events": views, "nextCursor": next})
}
