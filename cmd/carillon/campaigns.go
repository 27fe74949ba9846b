package main

import (
	"fmt"

	"carillon/client"
	"carillon/models"
)

type campaignsCmd struct {
	List     listCmd     `cmd:"" help:"List campaigns, newest first."`
	Show     showCmd     `cmd:"" help:"Show how far a campaign is."`
	Watch    watchCmd    `cmd:"" help:"Follow a campaign to its end."`
	Pause    pauseCmd    `cmd:"" help:"Stop sending, for one campaign or for all."`
	Resume   resumeCmd   `cmd:"" help:"Go on with a paused campaign, or with those that pause --all has paused."`
	Cancel   cancelCmd   `cmd:"" help:"End a campaign for good: who is still pending becomes cancelled."`
	Retry    retryCmd    `cmd:"" help:"Try a finished campaign's failed recipients again."`
	Rate     rateCmd     `cmd:"" help:"Change how fast a campaign may send."`
	Export   exportCmd   `cmd:"" help:"Write what became of all recipients, as CSV or NDJSON."`
	Verify   verifyCmd   `cmd:"" help:"Prove from the ledger that a campaign reached everybody, once."`
	Why      whyCmd      `cmd:"" help:"Show what became of one recipient, and why."`
	Failures failuresCmd `cmd:"" help:"Count why recipients of a campaign failed or are unknown."`
	Zones    zonesCmd    `cmd:"" help:"Show how far a campaign is in each time zone."`
	History  historyCmd  `cmd:"" help:"List what happened to a campaign, who did it and why, newest first."`
}

// Help is shown by carillon campaigns --help.
func (campaignsCmd) Help() string {
	return `These commands call the API, which they name on stderr. With --local, some of them write to the ledger, for when no API is up. Every process that sends obeys within two seconds, in both cases.

    carillon campaigns list --status running
    carillon campaigns watch 01J9ZQ4X…
    carillon campaigns pause --all          # the kill switch
    carillon campaigns pause --all --local  # the same when no API answers
    carillon campaigns resume --all         # what it has paused goes on, and nothing else
    carillon campaigns rate 01J9ZQ4X… 50
    carillon campaigns retry 01J9ZQ4X… --err-code 90004
    carillon campaigns why 01J9ZQ4X… alice
    carillon campaigns export 01J9ZQ4X… --status failed > failed.csv
    carillon campaigns history 01J9ZQ4X…    # who paused it, when and why`
}

type listCmd struct {
	Status string `enum:",scheduled,running,paused,completed,failed,expired,cancelled" default:"" help:"Only those in this state."`
	listFlags
	localFlag
}

// Run lists campaigns.
func (c *listCmd) Run(a *app) error {
	if c.Local {
		return c.local(a)
	}
	return withAPI(a, orLocal, func(api *client.Client) error {
		list := api.Campaigns(a.ctx, client.ListCampaignsParams{Status: given(client.CampaignStatus(c.Status)), Limit: c.page()})
		return printList(a, c.listFlags, list, campaignHead, campaignRow)
	})
}

type showCmd struct {
	ID string `arg:"" complete:"campaigns" help:"The campaign."`
	jsonFlag
}

// Run shows a campaign.
func (c *showCmd) Run(a *app) error {
	return withAPI(a, "", func(api *client.Client) error {
		v, err := api.Campaign(a.ctx, c.ID)
		if err != nil {
			return err
		}
		return a.show(v, c.JSON)
	})
}

// show prints what a campaign is now.
func (a *app) show(v client.Campaign, asJSON bool) error {
	if asJSON {
		return a.printJSON(v)
	}
	_, err := fmt.Fprint(a.stdout, campaignText(v))
	return err
}

// control is a campaign that a command changes, or all of them.
type control struct {
	jsonFlag
	localFlag
}

// change makes a change over the API and shows the campaign as it is then.
func (c control) change(a *app, do func(*client.Client) (client.Campaign, error)) error {
	return withAPI(a, orLocal, func(api *client.Client) error {
		v, err := do(api)
		if err != nil {
			return err
		}
		return a.show(v, c.JSON)
	})
}

// Reasons that stand in the campaigns. The API says who asked.
const (
	pausedHere    = "paused from the command line"
	cancelledHere = "cancelled from the command line"
)

type pauseCmd struct {
	ID  string `arg:"" optional:"" complete:"campaigns" help:"The campaign."`
	All bool   `help:"Every campaign that runs or is scheduled, at once."`
	control
}

// Help is shown by carillon campaigns pause --help.
func (pauseCmd) Help() string { return helpAll }

// Run pauses.
func (c *pauseCmd) Run(a *app) error {
	if err := oneOrAll("campaign", c.ID, c.All); err != nil {
		return err
	}
	const nothing = "no campaign runs or is scheduled"
	switch {
	case c.Local:
		return c.local(a, nothing)
	case c.All:
		return c.all(a, "paused", "campaigns", nothing, func(api *client.Client) (client.ChangedAll, error) {
			return client.Data[client.ChangedAll](api.PauseAllCampaigns(a.ctx))
		})
	}
	return c.change(a, func(api *client.Client) (client.Campaign, error) {
		return client.Data[client.Campaign](api.PauseCampaign(a.ctx, c.ID))
	})
}

type resumeCmd struct {
	ID  string `arg:"" optional:"" complete:"campaigns:paused" help:"The campaign."`
	All bool   `help:"Those that the last pause --all has paused."`
	control
}

// Help is shown by carillon campaigns resume --help.
func (resumeCmd) Help() string { return helpAll }

// Run resumes.
func (c *resumeCmd) Run(a *app) error {
	if err := oneOrAll("campaign", c.ID, c.All); err != nil {
		return err
	}
	const nothing = "no campaign is paused by the last pause --all"
	switch {
	case c.Local:
		return c.local(a, nothing)
	case c.All:
		return c.all(a, "resumed", "campaigns", nothing, func(api *client.Client) (client.ChangedAll, error) {
			return client.Data[client.ChangedAll](api.ResumeAllCampaigns(a.ctx))
		})
	}
	return c.change(a, func(api *client.Client) (client.Campaign, error) {
		return client.Data[client.Campaign](api.ResumeCampaign(a.ctx, c.ID))
	})
}

type cancelCmd struct {
	ID string `arg:"" complete:"campaigns" help:"The campaign."`
	control
}

// Run cancels.
func (c *cancelCmd) Run(a *app) error {
	if c.Local {
		return c.local(a)
	}
	return c.change(a, func(api *client.Client) (client.Campaign, error) {
		return client.Data[client.Campaign](api.CancelCampaign(a.ctx, c.ID))
	})
}

type rateCmd struct {
	ID        string `arg:"" complete:"campaigns" help:"The campaign."`
	PerSecond int    `arg:"" help:"Recipients a second; 0 = as many as the channel takes."`
	jsonFlag
}

// Run changes the rate.
func (c *rateCmd) Run(a *app) error {
	return control{jsonFlag: c.jsonFlag}.change(a, func(api *client.Client) (client.Campaign, error) {
		return client.Data[client.Campaign](api.ChangeCampaign(a.ctx, c.ID, client.CampaignChange{RatePerSecond: &c.PerSecond}))
	})
}

type retryCmd struct {
	ID      string        `arg:"" complete:"campaigns" help:"The campaign."`
	Status  []string      `enum:"failed,skipped,expired,unknown" default:"failed" help:"Which recipients; unknown ones may have been sent, so they are taken only when named."`
	ErrCode []models.Code `help:"Only those with these error codes."`
	control
}

// Run retries.
func (c *retryCmd) Run(a *app) error {
	if c.Local {
		return c.local(a)
	}
	var statuses []client.RetryStatuses
	for _, name := range c.Status {
		statuses = append(statuses, client.RetryStatuses(name))
	}
	retry := client.Retry{Statuses: &statuses}
	if len(c.ErrCode) > 0 {
		var codes []int32
		for _, code := range c.ErrCode {
			codes = append(codes, int32(code))
		}
		retry.ErrCodes = &codes
	}
	return withAPI(a, orLocal, func(api *client.Client) error {
		v, err := client.Data[client.Campaign](api.RetryCampaign(a.ctx, c.ID, retry))
		if err != nil {
			return err
		}
		if !c.JSON && v.Retrying != nil {
			if _, err := fmt.Fprintf(a.stdout, "%d recipients are tried again\n", *v.Retrying); err != nil {
				return err
			}
		}
		return a.show(v, c.JSON)
	})
}
