package handlers

import (
	"context"

	"carillon/handlers/web"
	"carillon/models"
)

// FailureView is one reason why recipients failed or are unknown.
type FailureView struct {
	Status  string      `json:"status"`
	ErrCode models.Code `json:"errCode"`
	ErrMsg  string      `json:"errMsg"`
	Count   int64       `json:"count"`
}

// FailureJSON is a reason as it is shown.
func FailureJSON(f models.Failure) FailureView {
	return FailureView{f.Status.String(), f.ErrCode, f.ErrMsg, f.Count}
}

// FailureList are the reasons of a campaign. Total is the sum of all counts, Rest and Uncounted.
type FailureList struct {
	Failures  []FailureView `json:"failures"`
	Rest      int64         `json:"rest"`      // recipients with other reasons
	Uncounted int64         `json:"uncounted"` // recipients that were not looked at, since the time ran out
	Total     int64         `json:"total"`
}

// failurePage reads how many reasons are asked for. Of the page, After means nothing.
func failurePage(in *web.In) (p Page, err error) {
	if _, p.Limit, err = web.ParsePage(in.R); err != nil {
		return p, err
	}
	p.ID, err = in.Known("campaign")
	return p, err
}

// CampaignFailures counts why recipients failed or are unknown, the most frequent reason first.
func (a *API) CampaignFailures(ctx context.Context, _ web.Call, p Page) (FailureList, error) {
	c, err := a.Store.Campaign(ctx, p.ID)
	if err != nil {
		return FailureList{}, err
	}
	free, err := a.waiters.acquireReader(ctx) // many who ask at once would be in the way of the workers
	if err != nil {
		return FailureList{}, err
	}
	defer free()
	f, err := a.Store.Failures(ctx, c.Campaign, p.Limit)
	if err != nil {
		return FailureList{}, err
	}
	view := FailureList{Failures: make([]FailureView, len(f.List)), Rest: f.Rest, Uncounted: f.Uncounted, Total: f.Total}
	for i, one := range f.List {
		view.Failures[i] = FailureJSON(one)
	}
	return view, nil
}
