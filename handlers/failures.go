package handlers

import (
	"net/http"

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

// failuresView are the reasons of a campaign. Total is the sum of all counts, Rest and Uncounted.
type failuresView struct {
	Failures  []FailureView `json:"failures"`
	Rest      int64         `json:"rest"`      // recipients with other reasons
	Uncounted int64         `json:"uncounted"` // recipients that were not looked at, since the time ran out
	Total     int64         `json:"total"`
}

// campaignFailures counts why recipients failed or are unknown, the most frequent reason first.
func (a *API) campaignFailures(w http.ResponseWriter, r *http.Request) error {
	_, limit, err := parsePage(r)
	if err != nil {
		return err
	}
	c, err := a.campaign(r)
	if err != nil {
		return err
	}
	free, err := a.waiters.acquireReader(r.Context()) // many who ask at once would be in the way of the workers
	if err != nil {
		return err
	}
	defer free()
	f, err := a.Store.Failures(r.Context(), c.Campaign, limit)
	if err != nil {
		return err
	}
	view := failuresView{Failures: make([]FailureView, len(f.List)), Rest: f.Rest, Uncounted: f.Uncounted, Total: f.Total}
	for i, one := range f.List {
		view.Failures[i] = FailureJSON(one)
	}
	return answerData(w, http.StatusOK, view)
}
