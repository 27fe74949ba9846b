package main

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"carillon/client"
	"carillon/models"
)

type estimateCmd struct {
	campaignFlags
	jsonFlag
}

// Help is shown by carillon estimate --help.
func (estimateCmd) Help() string {
	return `Takes the flags of carillon send that make a campaign. It shows how many get the message, who is left out and why, how long sending takes at the rate, and when each time zone is done. It makes no campaign. The users are counted as they are now, and no other campaign is reckoned with.

    carillon estimate --all --text "We open at nine" --rate 100
    carillon estimate --all --local-time --at 2026-12-04T09:00 --quiet 22:00-08:00 --expire 24h --text "Good morning"`
}

// Run shows what send would do.
func (c *estimateCmd) Run(a *app) error {
	request, err := c.request(a, &c.audienceFlags)
	if err != nil {
		return err
	}
	return withAPI(a, "", func(api *client.Client) error {
		e, err := api.Estimate(a.ctx, request)
		if err != nil {
			return err
		}
		if c.JSON {
			return a.printJSON(e)
		}
		a.warnOf(&e.Warnings)
		return a.showEstimate(e)
	})
}

// showEstimate prints an estimate for people.
func (a *app) showEstimate(e client.Estimate) error {
	t := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "recipients\t%d\nsent\t%d\n", e.Total, e.Sent)
	for _, l := range e.LeftOut {
		fmt.Fprintf(t, "%s\t%d\t%s\n", cmp.Or(string(l.Status), "not counted"), l.Count, models.Shown(l.Text))
	}
	fmt.Fprintf(t, "time\t%s\n", takes(e))
	fmt.Fprintf(t, "starts\t%s\nends\t%s\n", clockAt(e.StartsAt, time.Local), clockAt(e.EndsAt, time.Local))
	if err := t.Flush(); err != nil || len(e.Zones) == 0 {
		return err
	}
	fmt.Fprintln(t, "\nZONE\tRECIPIENTS\tSENT\tLEFT OUT\tSTARTS\tENDS")
	for _, z := range e.Zones {
		name := models.Shown(z.Zone)
		if z.WithoutZone > 0 {
			name += fmt.Sprintf(" (%d have no zone)", z.WithoutZone)
		}
		cells := []string{name, strconv.FormatInt(z.Total, 10), strconv.FormatInt(z.Sent, 10), strconv.FormatInt(z.Total-z.Sent, 10), clockAt(z.StartsAt, nil), clockAt(z.EndsAt, nil)}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	return t.Flush()
}

// takes words how long sending takes.
func takes(e client.Estimate) string {
	if e.TakesSeconds == nil {
		return "as fast as the channel takes it"
	}
	took := time.Duration(*e.TakesSeconds) * time.Second
	return fmt.Sprintf("at %d a second: about %s", e.RatePerSecond, max(took, time.Second))
}

// span words when a message goes out.
func span(e client.Estimate) string {
	if e.EndsAt == nil {
		return "It starts at " + clockAt(e.StartsAt, time.Local) + "."
	}
	return fmt.Sprintf("It starts at %s and ends at %s.", clockAt(e.StartsAt, time.Local), clockAt(e.EndsAt, time.Local))
}

// clockAt is an instant for people, by the clock of loc; nil = by the clock of its own offset.
func clockAt(at *time.Time, loc *time.Location) string {
	if at == nil {
		return "-"
	}
	shown := *at
	if loc != nil {
		shown = shown.In(loc)
	}
	return shown.Format("2006-01-02 15:04:05 -07:00")
}

type testCmd struct {
	campaignFlags
	IdempotencyKey string `placeholder:"TEXT" help:"A second test with the same key sends nothing."`
	Watch          bool   `help:"Follow the test to its end, as carillon campaigns watch does."`
	jsonFlag
}

// Help is shown by carillon test --help.
func (testCmd) Help() string {
	return `Sends a message to the users of --to, at most 20, now. The test is a campaign of its own, whose name begins with "test". Add --to to the flags of carillon send, and leave the rest as it is: --all, --to-file, --group, --at, --local-time, --expire, --quiet and --rate are checked, and do not count.

    carillon test --to alice --text "We open at nine"
    carillon test --to alice,bob --all --local-time --at 2026-12-04T09:00 --text "Good morning" --watch

` + helpOutcome + ` Without --watch: 0 it is stored, 1 it was refused.`
}

// Run sends the test.
func (c *testCmd) Run(a *app) error {
	users, to := c.To, c.audienceFlags
	if len(users) == 0 {
		return errors.New("say to whom the test goes: --to")
	}
	to.To = nil
	audience := &to
	if !to.All && to.ToFile == "" && to.Group == "" {
		audience = nil
	}
	r, err := c.request(a, audience)
	if err != nil {
		return err
	}
	campaign := client.TestedCampaignRequest{
		Message: r.Message, Name: r.Name, Channel: r.Channel, QuietHours: r.QuietHours, RatePerSecond: r.RatePerSecond, SendAt: r.SendAt, ExpireAt: r.ExpireAt, LocalTime: r.LocalTime,
	}
	if audience != nil {
		campaign.Audience = &r.Audience
	}
	return withAPI(a, "", func(api *client.Client) error {
		v, err := api.SendTest(a.ctx, c.IdempotencyKey, campaign, users...)
		if err != nil {
			return err
		}
		a.warnOf(v.Warnings)
		return a.follow(api, v, c.Watch, c.JSON)
	})
}
