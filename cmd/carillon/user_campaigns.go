package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"

	"carillon/handlers"
	"carillon/models"
)

type userCampaignsCmd struct {
	ID    string `arg:"" help:"The user."`
	Limit int    `default:"20" help:"How many campaigns."`
	JSON  bool   `name:"json" help:"Print one JSON object a campaign."`
}

// Run lists what became of a user.
func (c *userCampaignsCmd) Run(a *app) error {
	if why := models.CheckID(c.ID); why != "" {
		return errors.New("the user's ID " + why)
	}
	if c.Limit < 1 {
		return errors.New("--limit must be 1 or more")
	}
	return withLedger(a, func(ledger *models.Store) error {
		enc := json.NewEncoder(a.stdout)
		enc.SetEscapeHTML(false)
		t := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
		if !c.JSON {
			fmt.Fprintln(t, "CAMPAIGN\tCREATED\tCAMPAIGN IS\tTHE USER IS\tNAME\tWHY")
		}
		for left, from, end := c.Limit, int64(0), false; left > 0 && !end; end = from == 0 {
			list, next, err := ledger.UserCampaigns(a.ctx, c.ID, from, left)
			if err != nil {
				return err
			}
			for _, u := range list {
				v := handlers.UserCampaignJSON(u, ledger.StoresInInbox(u.Campaign.Channel))
				if c.JSON {
					if err := enc.Encode(v); err != nil {
						return err
					}
					continue
				}
				is := "no recipient"
				if v.Recipient != nil {
					is = v.Recipient.Status
				}
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", v.CampaignID, v.CreatedAt, v.CampaignStatus, is, models.Shown(v.Name), models.Shown(v.Why))
			}
			left, from = left-len(list), next
		}
		return t.Flush()
	})
}
