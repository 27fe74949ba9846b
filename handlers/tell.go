package handlers

import (
	"net/http"
	"time"

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

// tellRefusals: so often at most the log tells of refused log-ins, and how many there were since it told last.
const tellRefusals = 10 * time.Second

// tellRefused logs that a log-in was refused. Who tried is not known, and where from is left out.
func (a *API) tellRefused(r *http.Request, err error) {
	l := &a.refusedLogins
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	if time.Since(l.last) < tellRefusals {
		return
	}
	e := models.AsError(err)
	a.Log.Warn("log-ins were refused", "refused", l.n, "route", routeName(r), "errCode", int(e.Code), "operationID", operationID(r.Context()))
	l.n, l.last = 0, time.Now()
}
