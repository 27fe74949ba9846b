package handlers

import (
	"context"
	"time"

	"carillon/models"
)

// tellCreated logs a campaign that was just made.
func (a *API) tellCreated(ctx context.Context, call call, created models.Created, c models.Campaign) {
	if created.Replayed {
		return
	}
	view := models.CampaignView{Campaign: c, Counts: models.Counts{Total: c.Total, Pending: c.Total}}
	a.Log.Log(ctx, models.LogLevel(c.Total), "campaign created", "campaign", view, "by", call.UserID, "operationID", call.OperationID)
}

// tellRefused logs and records that a log-in was refused. Who tried is not known, and where from is left out. A flood of tries is
// one event in tellRefusals, so that nobody without a token can fill the event log.
func (a *API) tellRefused(ctx context.Context, call call, err error) {
	n := a.refusedLogins.due()
	if n == 0 {
		return
	}
	code := int(models.AsError(err).Code)
	a.Log.Warn("log-ins were refused", "refused", n, "route", call.Route, "errCode", code, "operationID", call.OperationID)
	a.record(ctx, call, "", models.Event{Kind: models.EventLoginRefused, Data: models.EventData{"refused": n, "route": call.Route, "errCode": code}})
}

// recordWithin is for an event that tells of no change of the ledger. Whoever logs in waits no longer when the database is away.
const recordWithin = time.Second

// record stores such an event, by whom and under the request's operationID. A log-in needs no database, so one that cannot be
// recorded is logged, and goes on.
func (a *API) record(ctx context.Context, call call, userID string, e models.Event) {
	by := models.Actor{ID: userID, Via: models.ViaAPI, OperationID: call.OperationID}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	if err := a.Store.Record(models.WithActor(ctx, by), e); err != nil {
		a.Log.Warn("an event is not in the event log", "kind", e.Kind, "err", err, "operationID", by.OperationID)
	}
}
