package web

import (
	"context"
	"time"

	"carillon/models"
)

// tellRefused logs and records that a log-in was refused. Who tried is not known, and where from is left out. A flood of tries is
// one event in tellRefusals, so that nobody without a token can fill the event log.
func (g *Gate) tellRefused(ctx context.Context, call Call, err error) {
	n := g.refusedLogins.due()
	if n == 0 {
		return
	}
	code := int(models.AsError(err).Code)
	g.Log.Warn("log-ins were refused", "refused", n, "route", call.Route, "errCode", code, "operationID", call.OperationID)
	g.Record(ctx, call, "", models.Event{Kind: models.EventLoginRefused, Data: models.EventData{"refused": n, "route": call.Route, "errCode": code}})
}

// RecordWithin is for an event that tells of no change of the ledger. Whoever logs in waits no longer when the database is away.
const RecordWithin = time.Second

// Record stores such an event, by whom and under the request's operationID. A log-in needs no database, so one that cannot be
// recorded is logged, and goes on.
func (g *Gate) Record(ctx context.Context, call Call, userID string, e models.Event) {
	by := models.Actor{ID: userID, Via: models.ViaAPI, OperationID: call.OperationID}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), RecordWithin)
	defer cancel()
	if err := g.Store.Record(models.WithActor(ctx, by), e); err != nil {
		g.Log.Warn("an event is not in the event log", "kind", e.Kind, "err", err, "operationID", by.OperationID)
	}
}
