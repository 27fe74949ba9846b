package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"carillon/internal/config"
	"carillon/models"
)

type campaignsCmd struct {
	List     listCmd     `cmd:"" help:"List campaigns, newest first."`
	Pause    pauseCmd    `cmd:"" help:"Stop sending, for one campaign or for all."`
	Resume   resumeCmd   `cmd:"" help:"Go on with a paused campaign, or with those that pause --all has paused."`
	Cancel   cancelCmd   `cmd:"" help:"End a campaign for good: who is still pending becomes cancelled."`
	Retry    retryCmd    `cmd:"" help:"Try a finished campaign's failed recipients again."`
	Failures failuresCmd `cmd:"" help:"Count why recipients of a campaign failed or are unknown."`
	History  historyCmd  `cmd:"" help:"List what happened to a campaign, who did it and why, newest first."`
}

// Help is shown by carillon campaigns --help.
func (campaignsCmd) Help() string {
	return `These commands write to the ledger, which they name on stderr, and every process that sends obeys within two seconds, whether the API answers or not.

    carillon campaigns list --status running
    carillon campaigns pause --all          # the kill switch
    carillon campaigns resume --all         # what it has paused goes on, and nothing else
    carillon campaigns resume 01J9ZQ4X…
    carillon campaigns retry 01J9ZQ4X… --err-code 90004
    carillon campaigns failures 01J9ZQ4X…
    carillon campaigns history 01J9ZQ4X…    # who paused it, when and why`
}

// withLedger runs a command on the ledger that the settings name.
func withLedger(a *app, f func(*models.Store) error) error {
	if err := a.settings(config.ForDatabase); err != nil {
		return err
	}
	ledger, err := a.toldLedger()
	if err != nil {
		return err
	}
	defer func() { _ = ledger.Close() }()
	return plain(f(ledger))
}

// plain turns an error meant for the API into one for a terminal.
func plain(err error) error {
	var e *models.Error
	if !errors.As(err, &e) || e.Code == models.CodeInternal {
		return err
	}
	return errors.New(e.Words())
}

// notify leaves a notice of what was done here, for the log of a process that serves. If the notice
// cannot be left, the command has succeeded all the same.
func (a *app) notify(ledger *models.Store, what, campaign string, campaigns int64) {
	_ = ledger.Notify(a.ctx, models.Notice{What: what, Campaign: campaign, Campaigns: campaigns})
}

type listCmd struct {
	Status string `enum:",scheduled,running,paused,completed,failed,expired,cancelled" default:"" help:"Only those in this state."`
	Limit  int    `default:"20" help:"How many."`
	JSON   bool   `name:"json" help:"Print one JSON object a campaign."`
}

// Run lists campaigns.
func (c *listCmd) Run(a *app) error {
	return withLedger(a, func(ledger *models.Store) error {
		list, err := ledger.Campaigns(a.ctx, models.CampaignFilter{Status: models.Status(c.Status), Limit: c.Limit})
		if err != nil {
			return err
		}
		if c.JSON {
			enc := json.NewEncoder(a.stdout)
			for _, v := range list {
				if err := enc.Encode(row(v)); err != nil {
					return err
				}
			}
			return nil
		}
		paces, err := measure(a.ctx, ledger, list)
		if err != nil {
			return err
		}
		return campaignTable(a.stdout, list, paces)
	})
}

// row is a campaign on one line of JSON.
func row(v models.CampaignView) map[string]any {
	return map[string]any{"id": v.PublicID, "name": v.Name, "status": v.Status, "statusReason": v.StatusReason, "statusReasonCode": v.StatusReasonCode, "counts": v.Counts,
		"createdAt": v.CreatedAt.Shown(time.RFC3339Nano), "createdBy": v.CreatedBy, "ratePerSecond": v.RatePerSecond}
}

// show prints what a campaign is now.
func (a *app) show(v models.CampaignView, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(a.stdout).Encode(row(v))
	}
	_, err := fmt.Fprint(a.stdout, campaignText(v))
	return err
}

type pauseCmd struct {
	ID   string `arg:"" optional:"" help:"The campaign."`
	All  bool   `help:"Every campaign that runs or is scheduled, at once."`
	JSON bool   `name:"json" help:"Print the campaign as JSON."`
}

// Help is shown by carillon campaigns pause --help.
func (pauseCmd) Help() string { return helpAll }

// Run pauses.
func (c *pauseCmd) Run(a *app) error {
	const reason = "paused from the command line"
	if err := oneOrAll("campaign", c.ID, c.All); err != nil {
		return err
	}
	return withLedger(a, func(ledger *models.Store) error {
		if c.All {
			list, err := ledger.PauseAll(a.ctx, reason)
			if len(list) > 0 {
				a.notify(ledger, "all campaigns paused", "", int64(len(list)))
			}
			return a.reportAll("paused", "campaigns", list, c.JSON, "no campaign of this ledger runs or is scheduled", err)
		}
		v, err := ledger.PauseCampaign(a.ctx, c.ID, reason)
		if err != nil {
			return err
		}
		a.notify(ledger, "campaign paused", c.ID, 1)
		return a.show(v, c.JSON)
	})
}

type resumeCmd struct {
	ID   string `arg:"" optional:"" help:"The campaign."`
	All  bool   `help:"Those that the last pause --all has paused."`
	JSON bool   `name:"json" help:"Print the campaign as JSON."`
}

// Help is shown by carillon campaigns resume --help.
func (resumeCmd) Help() string { return helpAll }

// Run resumes.
func (c *resumeCmd) Run(a *app) error {
	if err := oneOrAll("campaign", c.ID, c.All); err != nil {
		return err
	}
	return withLedger(a, func(ledger *models.Store) error {
		if c.All {
			list, err := ledger.ResumeAll(a.ctx)
			if len(list) > 0 {
				a.notify(ledger, "campaigns resumed", "", int64(len(list)))
			}
			return a.reportAll("resumed", "campaigns", list, c.JSON, "no campaign of this ledger is paused by its last pause --all", err)
		}
		v, err := ledger.ResumeCampaign(a.ctx, c.ID)
		if err != nil {
			return err
		}
		a.notify(ledger, "campaign resumed", c.ID, 1)
		return a.show(v, c.JSON)
	})
}

type cancelCmd struct {
	ID   string `arg:"" help:"The campaign."`
	JSON bool   `name:"json" help:"Print the campaign as JSON."`
}

// Run cancels.
func (c *cancelCmd) Run(a *app) error {
	return withLedger(a, func(ledger *models.Store) error {
		v, err := ledger.CancelCampaign(a.ctx, c.ID, "cancelled from the command line")
		if err != nil {
			return err
		}
		a.notify(ledger, "campaign cancelled", c.ID, 1)
		return a.show(v, c.JSON)
	})
}

type retryCmd struct {
	ID      string        `arg:"" help:"The campaign."`
	Status  []string      `enum:"failed,skipped,expired,unknown" default:"failed" help:"Which recipients; unknown ones may have been sent, so they are taken only when named."`
	ErrCode []models.Code `help:"Only those with these error codes."`
	JSON    bool          `name:"json" help:"Print the campaign as JSON."`
}

// Run retries.
func (c *retryCmd) Run(a *app) error {
	retry := models.Retry{ErrCodes: c.ErrCode}
	for _, name := range c.Status {
		for i, known := range models.RecipientStatusNames {
			if name == known {
				retry.Statuses = append(retry.Statuses, models.RecipientStatus(i))
			}
		}
	}
	return withLedger(a, func(ledger *models.Store) error {
		v, n, err := ledger.RetryCampaign(a.ctx, c.ID, retry)
		if err != nil {
			return err
		}
		if n > 0 {
			a.notify(ledger, "campaign retried", c.ID, 1)
		}
		if c.JSON {
			shown := row(v)
			shown["retrying"] = n
			return json.NewEncoder(a.stdout).Encode(shown)
		}
		if _, err := fmt.Fprintf(a.stdout, "%d recipients are tried again\n", n); err != nil {
			return err
		}
		return a.show(v, false)
	})
}

// exitUnproven: the ledger does not hold together.
const exitUnproven = 3

type verifyCmd struct {
	ID   string `arg:"" help:"The campaign."`
	JSON bool   `name:"json" help:"Print the report as JSON."`
}

// Help is shown by carillon verify --help.
func (verifyCmd) Help() string {
	return `It reads the ledger alone: the campaign's pages cover the frozen audience without gap or overlap, each recipient stands once, the counters are what the rows say, and nothing is pending in a finished campaign.

Exit codes: 0 all of it holds, 3 some of it does not, 1 it could not be checked.`
}

// Run verifies.
func (c *verifyCmd) Run(a *app) error {
	return withLedger(a, func(ledger *models.Store) error {
		report, err := ledger.Verify(a.ctx, c.ID)
		if err != nil {
			return err
		}
		if c.JSON {
			err = json.NewEncoder(a.stdout).Encode(report)
		} else {
			err = printReport(a, report)
		}
		if err == nil && !report.OK {
			return exit(exitUnproven)
		}
		return err
	})
}

func printReport(a *app, r models.Report) error {
	for _, f := range r.Findings {
		where := ""
		if f.Page != nil {
			where = fmt.Sprintf("page %d: ", *f.Page)
		}
		fmt.Fprintf(a.stdout, "%s%s\n", where, models.Shown(f.What))
	}
	verdict := "holds"
	switch {
	case !r.Planned:
		verdict = "is not wholly planned yet, so it is not proven"
	case !r.OK:
		verdict = "does NOT hold"
	}
	_, err := fmt.Fprintf(a.stdout, "campaign %s %s: %d recipients on %d pages\n", r.CampaignID, verdict, r.Recipients, r.Pages)
	return err
}
