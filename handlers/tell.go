package handlers

import (
	"net/http"

	"carillon/models"
)

// tellCreated logs a campaign that was just made.
func (a *API) tellCreated(r *http.Request, created models.Created, c models.Campaign) {
	if created.Replayed {
		return
	}
	view := models.CampaignView{Campaign: c, Counts: models.Counts{Total: c.Total, Pending: c.Total}}
	a.Log.Log(r.Context(), models.LogLevel(c.Total), "campaign created", "campaign", view, "by", callerOf(r).UserID, "operationID", operationID(r.Context()))
}

// tellRefused logs and records that a log-in was refused. Who tried is not known, and where from is left out. A flood of tries is
// one event in tellRefusals, so that nobody without a token can fill the event log.
func (a *API) tellRefused(r *http.Request, err error) {
	n := a.refusedLogins.due()
	if n == 0 {
		return
	}
	code := int(models.AsError(err).Code)
	a.Log.Warn("log-ins were refused", "refused", n, "route", routeName(r), "errCode", code, "operationID", operationID(r.Context()))
	a.record(r, "", models.Event{Kind: models.EventLoginRefused, Data: models.EventData{"refused": n, "route": routeName(r), "errCode": code}})
}
