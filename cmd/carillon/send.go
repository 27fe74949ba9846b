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
)

type sendCmd struct {
	audienceFlags
	messageFlags
	At             string `placeholder:"TIME" help:"When: 2026-12-04T09:00 by this machine's clock, 2026-12-04T09:00:00+01:00, or 2h from now; by default at once."`
	LocalTime      bool   `help:"--at is by each user's own clock."`
	Expire         string `placeholder:"TIME" help:"Whoever is pending then does not get it any more: a time as of --at, or how long after it, such as 24h."`
	IdempotencyKey string `placeholder:"TEXT" help:"A second send with the same key makes no second campaign."`
	Watch          bool   `help:"Follow the campaign to its end, as carillon campaigns watch does."`
	Yes            bool   `help:"Do not ask before a message goes to all users."`
	jsonFlag
}

// Help is shown by carillon send --help.
func (sendCmd) Help() string {
	return `Makes a campaign and shows it. Before a message goes to all users, the command shows how many they are and how long it will take, and asks you to type the number. A script says --yes. --channel NAME says how it leaves: inbox, webhook or openim.

    carillon send --to alice,bob --text "Hello"
    carillon send --all --text "We open at nine" --rate 100 --watch
    carillon send --group testers --text "Please try this" --at 2026-12-04T09:00
    carillon send --all --local-time --at 2026-12-04T09:00 --quiet 22:00-08:00 --expire 24h --text "Good morning" --yes
    carillon send --to-file users.txt --type 102 --content-file picture.json

` + helpOutcome + ` Without --watch: 0 it is stored, 1 it was refused.`
}

// Run sends.
func (c *sendCmd) Run(a *app) error {
	request, err := c.request(a)
	if err != nil {
		return err
	}
	return withAPI(a, "", func(api *client.Client) error {
		if c.All && !c.Yes {
			if err := c.confirm(a, api, request); err != nil {
				return err
			}
		}
		v, err := api.Send(a.ctx, c.IdempotencyKey, request)
		if err != nil {
			return err
		}
		a.warnOf(v.Warnings)
		if c.Watch {
			fmt.Fprintf(a.stderr, "campaign: %s\n", v.ID)
			return a.watch(api, v.ID, c.JSON)
		}
		return a.show(v, c.JSON)
	})
}

// request makes the request of the flags.
func (c *sendCmd) request(a *app) (r client.CampaignRequest, err error) {
	t, err := c.campaign(a, &c.audienceFlags)
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

// confirm shows how many users a message to all goes to and how long it will take, and asks to type
// the number.
func (c *sendCmd) confirm(a *app, api *client.Client, r client.CampaignRequest) error {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return errors.New("this goes to all users, and there is no terminal to ask on: say --yes if that is meant")
	}
	n, err := c.count(a, api, r)
	if err != nil {
		return err
	}
	if n == 0 {
		return errors.New("the directory holds no users; run carillon users import")
	}
	takes, err := c.takes(a, api, n)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "This goes to all %s of %s, %s.\nType %d to send it: ", counted(int(n), "users"), api.Address(), takes, n)
	typed, err := readLine(a.ctx, os.Stdin)
	switch {
	case err != nil:
		return errors.New("nothing was sent")
	case typed != strconv.FormatInt(n, 10):
		return fmt.Errorf("%q is not %d: nothing was sent", typed, n)
	}
	return nil
}

// count is how many users a message to all goes to: every user but the sender.
func (c *sendCmd) count(a *app, api *client.Client, r client.CampaignRequest) (int64, error) {
	d, err := client.Data[client.Directory](api.GetDirectory(a.ctx))
	if err != nil {
		return 0, err
	}
	_, err = client.Data[client.User](api.GetUser(a.ctx, r.Message.SendID))
	switch {
	case err == nil:
		return d.Users - 1, nil
	case client.CodeOf(err) == client.CodeRecordNotFound:
		return d.Users, nil
	}
	return 0, err
}

// takes words how long a message to n users takes, by the rate of the campaign and of the channel.
func (c *sendCmd) takes(a *app, api *client.Client, n int64) (string, error) {
	set, err := client.Data[client.Channels](api.ListChannels(a.ctx))
	if err != nil {
		return "", err
	}
	slowest, channel := c.Rate, a.channel()
	for i, ch := range set.Channels {
		mine := channel != nil && ch.Name == *channel || channel == nil && i == 0
		if mine && ch.RatePerSecond > 0 && (slowest == 0 || ch.RatePerSecond < slowest) {
			slowest = ch.RatePerSecond
		}
	}
	if slowest == 0 {
		return "as fast as the channel takes it", nil
	}
	took := time.Duration(float64(n)/float64(slowest)) * time.Second
	return fmt.Sprintf("at %d a second: about %s", slowest, max(took, time.Second)), nil
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
