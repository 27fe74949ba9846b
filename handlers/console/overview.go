package console

import (
	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/models"
)

type overview struct {
	Running []handlers.CampaignView
}

func (c *Console) overview(in *web.In) error {
	running, err := c.api.ListCampaigns(in.Context(), in.Call, models.CampaignFilter{Status: models.StatusRunning, Limit: 20})
	if err != nil {
		return err
	}
	return c.show(in, "overview.html", page{Title: "Overview", Here: "overview", Data: overview{running.Campaigns}})
}
