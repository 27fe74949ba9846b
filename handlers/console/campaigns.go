package console

import (
	"context"
	"html/template"

	"github.com/gorilla/mux"

	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/models"
)

// campaignFuncs are the functions of the campaigns' templates.
var campaignFuncs = template.FuncMap{}

func (c *Console) campaignRoutes(r *mux.Router) {
	r.Handle("/campaigns", c.page(c.campaigns)).Methods(get, head)
	r.Handle("/campaigns/{id}", c.page(c.campaign)).Methods(get, head)
	r.Handle("/campaigns/{id}/live", c.page(c.campaignLive)).Methods(get)
	r.Handle("/campaigns/{id}/pause", c.page(c.control(c.api.PauseCampaign, "paused"))).Methods(post)
	r.Handle("/campaigns/{id}/resume", c.page(c.control(c.api.ResumeCampaign, "resumed"))).Methods(post)
	r.Handle("/campaigns/{id}/cancel", c.page(c.control(c.api.CancelCampaign, "cancelled"))).Methods(post)
}

type campaignList struct {
	Status   models.Status
	Statuses []models.Status
	List     []handlers.CampaignView
	More     more
}

// campaigns lists campaigns.
func (c *Console) campaigns(in *web.In) error {
	f, err := handlers.ReadCampaignFilter(in)
	if err != nil {
		return err
	}
	list, err := c.api.ListCampaigns(in.Context(), in.Call, f)
	if err != nil {
		return err
	}
	return c.show(in, "campaigns.html", page{Title: "Campaigns", Here: "campaigns", Data: campaignList{
		f.Status, models.Statuses, list.Campaigns, pageOf(in.R.URL.Query(), list.NextCursor),
	}})
}

// campaign shows one campaign.
func (c *Console) campaign(in *web.In) error {
	id, err := in.Known("campaign")
	if err != nil {
		return err
	}
	v, err := c.api.GetCampaign(in.Context(), in.Call, id)
	if err != nil {
		return err
	}
	title := v.Name
	if title == "" {
		title = "Campaign " + v.ID
	}
	return c.show(in, "campaign.html", page{Title: title, Here: "campaigns", Data: v})
}

// campaignLive streams the part of a campaign's page that moves.
func (c *Console) campaignLive(in *web.In) error {
	id, err := in.Known("campaign")
	if err != nil {
		return err
	}
	return c.api.FollowCampaign(in, id, func(v handlers.CampaignView) (string, error) {
		body, err := c.pages.render("campaign-live", v)
		return string(body), err
	})
}

// control serves a button that changes a campaign's state.
func (c *Console) control(do func(context.Context, web.Call, string) (handlers.CampaignView, error), did string) web.Handler {
	return func(in *web.In) error {
		id, err := in.Known("campaign")
		if err != nil {
			return err
		}
		v, err := do(in.Context(), in.Call, id)
		if err != nil {
			return err
		}
		return c.next(in, c.pages.path("/campaigns/", v.ID), did)
	}
}
