package console

import (
	"context"
	"net/http"

	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/models"
)

// failuresShown is how many reasons the list of failures has.
const failuresShown = 50

type failureGroups struct {
	handlers.CampaignView
	handlers.FailureList
}

// campaignFailures counts why recipients failed. It takes up to some seconds, so the campaign's page fetches it afterwards.
func (c *Console) campaignFailures(in *web.In) error {
	v, err := c.oneCampaign(in)
	if err != nil {
		return err
	}
	part := in.Query("part") != ""
	groups := failureGroups{CampaignView: v}
	if v.PurgedAt == nil {
		read := func(ctx context.Context) (handlers.FailureList, error) {
			return c.api.CampaignFailures(ctx, web.Call{}, handlers.Page{ID: v.ID, Limit: failuresShown})
		}
		if part { // all who open the campaign's page ask for it
			groups.FailureList, err = c.failures.get(in.Context(), v.ID, read)
		} else {
			groups.FailureList, err = read(in.Context())
		}
		if err != nil {
			return err
		}
	}
	if part {
		return c.part(in, http.StatusOK, "failures", groups)
	}
	return c.show(in, "campaign_failures.html", page{Title: "Failures of " + campaignTitle(v), Here: "campaigns", Data: groups})
}

// recipientNames are the outcomes by which recipients can be filtered.
var recipientNames = []string{"sent", "failed", "unknown", "skipped", "expired", "cancelled", "pending"}

type recipientsPage struct {
	handlers.CampaignView
	Names  []string
	Status string
	User   string                  // who was looked up
	One    *handlers.RecipientView // what became of them; nil = they are none
	NotOne string                  // why they are none
	List   handlers.RecipientList
	More   more
}

// campaignRecipients lists what became of a campaign's recipients, or of one of them.
func (c *Console) campaignRecipients(in *web.In) error {
	v, err := c.oneCampaign(in)
	if err != nil {
		return err
	}
	p := recipientsPage{CampaignView: v, Names: recipientNames, Status: in.Query("status"), User: in.Query("user")}
	status := http.StatusOK
	if p.User != "" {
		if err := c.lookUp(in, &p); err != nil {
			return err
		}
		if p.One == nil {
			status = http.StatusNotFound
		}
	} else {
		asked, err := handlers.ReadRecipientPage(in)
		if err != nil {
			return err
		}
		asked.Limit = listLength
		if p.List, err = c.api.ListRecipients(in.Context(), in.Call, asked); err != nil {
			return err
		}
		p.More = pageOf(in.R.URL.Query(), p.List.NextCursor)
	}
	return c.showWith(in, status, "campaign_recipients.html", page{Title: "Recipients of " + campaignTitle(v), Here: "campaigns", Data: p})
}

// lookUp finds what became of one user.
func (c *Console) lookUp(in *web.In, p *recipientsPage) error {
	if why := models.CheckID(p.User); why != "" {
		p.NotOne = sentence("the ID " + why)
		return nil
	}
	found, err := c.api.GetRecipient(in.Context(), in.Call, handlers.RecipientOf{CampaignID: p.ID, UserID: p.User})
	if err != nil {
		if e := models.AsError(err); e.Code == models.CodeRecordNotFound {
			p.NotOne = sentence(e.Words())
			return nil
		}
		return err
	}
	found.Why = sentence(found.Why)
	p.One = &found
	return nil
}
