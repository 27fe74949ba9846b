package handlers

import (
	"context"

	"carillon/handlers/web"
	"carillon/models"
)

// tellCreated logs a campaign that was just made.
func (a *API) tellCreated(ctx context.Context, call web.Call, created models.Created, c models.Campaign) {
	if created.Replayed {
		return
	}
	view := models.CampaignView{Campaign: c, Counts: models.Counts{Total: c.Total, Pending: c.Total}}
	a.Log.Log(ctx, models.LogLevel(c.Total), "campaign created", "campaign", view, "by", models.ViaOf(ctx), "operationID", call.OperationID)
}
