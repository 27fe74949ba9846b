package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"carillon/client"
	"carillon/models"
)

// campaignFlags are all that makes a campaign.
type campaignFlags struct {
	audienceFlags
	messageFlags
	At        string `placeholder:"TIME" help:"When: 2026-12-04T09:00 by this machine's clock, 2026-12-04T09:00:00+01:00, or 2h from now; by default at once."`
	LocalTime bool   `help:"--at is by each user's own clock."`
	Expire    string `placeholder:"TIME" help:"Whoever is pending then does not get it any more: a time as of --at, or how long after it, such as 24h."`
}

type sendCmd struct {
	campaignFlags
	IdempotencyKey string `placeholder:"TEXT" help:"A second send with the same key makes no second campaign."`
	Watch          bool   `help:"Follow the campaign to its end, as carillon campaigns watch does."`
	Yes            bool   `help:"Do not ask before a message goes to all users."`
	jsonFlag
}

// Help is shown by carillon send --help.
func (sendCmd) Help() string {
	return `Makes a campaign and shows it. Before a message goes to all users, the command shows how many get it, who is left out and how long it will take, and asks you to type the number. A script says --yes. carillon estimate shows the same and sends nothing; carillon test sends it to a few users first. --channel NAME says how it leaves: inbox, webhook or openim.

    carillon send --to alice,bob --text "Hello"
    carillon send --all --text "We open at nine" --rate 100 --watch
    carillon send --group testers --text "Please try this" --at 2026-12-04T09:00
    carillon send --all --local-time --at 2026-12-04T09:00 --quiet 22:00-08:00 --expire 24h --text "Good morning" --yes
    carillon send --to-file users.txt --type 102 --content-file picture.json

` + helpOutcome + ` Without --watch: 0 it is stored, 1 it was refused.`
}

// Run sends.
func (c *sendCmd) Run(a *app) error {
	request, err := c.request(a, &c.audienceFlags)
	if err != nil {
		return err
	}
	return withAPI(a, "", func(api *client.Client) error {
		asked := c.All && !c.Yes
		if asked {
			if err := a.confirm(api, request); err != nil {
				return err
			}
		}
		v, err := api.Send(a.ctx, c.IdempotencyKey, request)
		if err != nil {
			return err
		}
		if !asked {
			a.warnOf(v.Warnings)
		}
		return a.follow(api, v, c.Watch, c.JSON)
	})
}

// follow shows a campaign that was just made, or watches it.
func (a *app) follow(api *client.Client, v client.Campaign, watch, asJSON bool) error {
	if watch {
		fmt.Fprintf(a.stderr, "campaign: %s\n", v.ID)
		return a.watch(api, v.ID, asJSON)
	}
	return a.show(v, asJSON)
}

// request makes the request of the flags. to = nil: it has no audience.
func (c *campaignFlags) request(a *app, to *audienceFlags) (r client.CampaignRequest, err error) {
	t, err := c.campaign(a, to)
	if err != nil {
		return r, err
	}
	r = client.CampaignRequest{Audience: t.Audience, Message: t.Message, Name: t.Name, Channel: t.Channel, QuietHours: t.QuietHours, RatePerSecond: t.RatePerSecond}
	now := time.Now()
	at, err := instant("--at", c.At, now, c.LocalTime)
	if err != nil {
		return r, err
	}
	if c.LocalTime {
		r.LocalTime = &c.LocalTime
	}
	r.SendAt = given(at)
	from := now
	if begins, err := time.Parse(time.RFC3339, at); err == nil {
		from = begins
	} else if begins, err := time.Parse("2006-01-02T15:04:05", at); err == nil {
		from = begins.Add(12 * time.Hour) // the last zone comes to the time half a day after UTC does
	}
	expire, err := instant("--expire", c.Expire, from, false)
	r.ExpireAt = given(expire)
	return r, err
}

// confirm shows what a message to all users will do, and asks to type how many get it.
func (a *app) confirm(api *client.Client, r client.CampaignRequest) error {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return errors.New("this goes to all users, and there is no terminal to ask on: say --yes if that is meant")
	}
	e, err := api.Estimate(a.ctx, r)
	if err != nil {
		return err
	}
	a.warnOf(&e.Warnings)
	users := "all " + counted(int(e.Total), "users")
	if e.Sent != e.Total {
		users = fmt.Sprintf("%d of %s", e.Sent, users)
		for _, l := range e.LeftOut {
			if l.Status != "" {
				fmt.Fprintf(a.stderr, "%d %s: %s\n", l.Count, l.Status, models.Shown(l.Text))
			}
		}
	}
	if e.Sent == 0 {
		return errors.New("nobody would get it")
	}
	if e.StartsAt != nil {
		fmt.Fprintln(a.stderr, span(e))
	}
	fmt.Fprintf(a.stderr, "This goes to %s of %s, %s.\nType %d to send it: ", users, api.Address(), takes(e), e.Sent)
	typed, err := readLine(a.ctx, os.Stdin)
	switch {
	case err != nil:
		return errors.New("nothing was sent")
	case typed != strconv.FormatInt(e.Sent, 10):
		return fmt.Errorf("%q is not %d: nothing was sent", typed, e.Sent)
	}
	return nil
}

// readLine reads what the user types. It does not wait longer than ctx.
func readLine(ctx context.Context, from io.Reader) (string, error) {
	type read struct {
		line string
		err  error
	}
	typed := make(chan read, 1)
	go func() { // it may outlive the command's end, which is the process's end
		line, err := bufio.NewReader(from).ReadString('\n')
		typed <- read{strings.TrimSpace(line), err}
	}()
	select {
	case r := <-typed:
		return r.line, r.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
