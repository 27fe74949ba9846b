package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"

	"carillon/client"
	"carillon/models"
)

type failuresCmd struct {
	ID string `arg:"" complete:"campaigns" help:"The campaign."`
	listFlags
}

// Run counts the reasons.
func (c *failuresCmd) Run(a *app) error {
	return withAPI(a, "", func(api *client.Client) error {
		f, err := client.Data[client.Failures](api.ListFailures(a.ctx, c.ID, &client.ListFailuresParams{Limit: c.page()}))
		if err != nil {
			return err
		}
		if len(f.Failures) > 0 || c.Limit < 1 {
			list := each(f.Failures, func(one client.Failure) client.Failure { return one })
			err = printList(a, c.listFlags, list, []string{"COUNT", "STATUS", "ERRCODE", "REASON"}, func(one client.Failure) []string {
				return []string{strconv.FormatInt(one.Count, 10), string(one.Status), strconv.Itoa(one.ErrCode), one.ErrMsg}
			})
		}
		if err != nil || c.JSON { // the sum is not an entry of the list
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "%d failed or unknown, of them %d for other reasons and %d not counted\n", f.Total, f.Rest, f.Uncounted)
		return err
	})
}

type zonesCmd struct {
	ID string `arg:"" complete:"campaigns" help:"The campaign."`
	listFlags
}

// Run counts the recipients of each time zone.
func (c *zonesCmd) Run(a *app) error {
	return withAPI(a, "", func(api *client.Client) error {
		z, err := client.Data[client.CampaignZones](api.ListZones(a.ctx, c.ID))
		if err != nil {
			return err
		}
		list := each(z.Zones, func(one client.CampaignZone) client.CampaignZone { return one })
		return printList(a, c.listFlags, list, []string{"ZONE", "STARTS", "TOTAL", "PENDING", "SENT", "FAILED", "SKIPPED", "EXPIRED", "CANCELLED", "UNKNOWN"}, func(z client.CampaignZone) []string {
			cells := []string{orDash(z.Zone), clockAt(z.StartsAt, nil)}
			for _, n := range []int64{z.Total, z.Pending, z.Sent, z.Failed, z.Skipped, z.Expired, z.Cancelled, z.Unknown} {
				cells = append(cells, strconv.FormatInt(n, 10))
			}
			return cells
		})
	})
}

type whyCmd struct {
	ID   string `arg:"" complete:"campaigns" help:"The campaign."`
	User string `arg:"" help:"The user; where the message stands once for a group, the group."`
	jsonFlag
}

// Run shows what became of a recipient.
func (c *whyCmd) Run(a *app) error {
	return withAPI(a, "", func(api *client.Client) error {
		r, err := api.Recipient(a.ctx, c.ID, c.User)
		if err != nil {
			return err
		}
		if c.JSON {
			return a.printJSON(r)
		}
		text := fmt.Sprintf("%s is %s after %s", models.Shown(c.User), models.Shown(string(r.Status)), counted(r.Attempts, "attempts"))
		if r.SentAt != nil {
			text += ", sent " + stamp(*r.SentAt)
		}
		if r.ErrMsg != "" {
			text += fmt.Sprintf(", error %d: %s", r.ErrCode, models.Shown(r.ErrMsg))
		}
		if why := textOf(r.Why); why != "" && why != r.ErrMsg {
			text += "\n" + models.Shown(why)
		}
		_, err = fmt.Fprintf(a.stdout, "%s\n", text)
		return err
	})
}

type exportCmd struct {
	ID     string `arg:"" complete:"campaigns" help:"The campaign."`
	Status string `enum:",pending,sent,failed,skipped,expired,cancelled,unknown" default:"" help:"Only recipients with this status."`
	Format string `enum:"csv,ndjson" default:"csv" help:"csv or ndjson."`
	Output string `short:"o" default:"-" placeholder:"FILE" help:"The file to write; - is the standard output."`
	Raw    bool   `help:"Put no apostrophe before what a spreadsheet would take for a formula."`
	BOM    bool   `name:"bom" help:"Begin with a byte order mark, as Excel wants it."`
}

// Help is shown by carillon campaigns export --help.
func (exportCmd) Help() string {
	return `The list is written as it comes, however long it is. A file that could not be written to its end is removed.

    carillon campaigns export 01J9ZQ4X… --status failed > failed.csv
    carillon campaigns export 01J9ZQ4X… --format ndjson -o all.ndjson`
}

// Run exports.
func (c *exportCmd) Run(a *app) error {
	return withAPI(a, "", func(api *client.Client) error {
		res, err := c.open(a.ctx, api)
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }()
		if c.Output == "-" {
			return copied(a.stdout, res.Body)
		}
		file, err := os.Create(c.Output)
		if err != nil {
			return err
		}
		err = copied(file, res.Body)
		if closed := file.Close(); err == nil {
			err = closed
		}
		if err != nil {
			_ = os.Remove(c.Output)
		}
		return err
	})
}

func (c *exportCmd) open(ctx context.Context, api *client.Client) (*http.Response, error) {
	status := given(client.RecipientStatusFilter(c.Status))
	if c.Format == "ndjson" {
		return api.ExportRecipientsNDJSON(ctx, c.ID, &client.ExportRecipientsNDJSONParams{Status: status})
	}
	return api.ExportRecipientsCSV(ctx, c.ID, &client.ExportRecipientsCSVParams{Status: status, Raw: &c.Raw, Bom: &c.BOM})
}

// copied copies an answer to its end.
func copied(to io.Writer, from io.Reader) error {
	if p, ok := to.(plainWriter); ok {
		to = p.w // a file's bytes stay what they are
	}
	_, err := io.Copy(to, from)
	if err != nil {
		return fmt.Errorf("the list broke off: %w", err)
	}
	return nil
}

// exitUnproven: the ledger does not hold together.
const exitUnproven = 3

type verifyCmd struct {
	ID string `arg:"" complete:"campaigns" help:"The campaign."`
	jsonFlag
}

// Help is shown by carillon verify --help.
func (verifyCmd) Help() string {
	return `The server reads the ledger alone: the campaign's pages cover the frozen audience without gap or overlap, each recipient stands once, the counters are what the rows say, and nothing is pending in a finished campaign.

Exit codes: 0 all of it holds, 3 some of it does not, 1 it could not be checked.`
}

// Run verifies.
func (c *verifyCmd) Run(a *app) error {
	return withAPI(a, "", func(api *client.Client) error {
		report, err := client.Data[client.Verification](api.VerifyCampaign(a.ctx, c.ID))
		if err != nil {
			return err
		}
		if c.JSON {
			err = a.printJSON(report)
		} else {
			err = printReport(a, report)
		}
		if err == nil && !report.Ok {
			return exit(exitUnproven)
		}
		return err
	})
}

func printReport(a *app, r client.Verification) error {
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
	case !r.Ok:
		verdict = "does NOT hold"
	}
	_, err := fmt.Fprintf(a.stdout, "campaign %s %s: %d recipients on %d pages\n", r.CampaignID, verdict, r.Recipients, r.Pages)
	return err
}
