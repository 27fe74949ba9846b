package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"text/tabwriter"

	"carillon/handlers"
	"carillon/models"
)

// operator is the person who runs a command: the name of the system's user, or the number if there
// is no name.
func operator() models.Actor {
	name := strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil && models.CheckID(u.Username) == "" {
		name = u.Username
	}
	return models.Actor{ID: name, Via: models.ViaCLI}
}

type eventsCmd struct {
	Kind     string `placeholder:"KIND" help:"Only those of this kind, such as campaign.paused."`
	Campaign string `placeholder:"ID" help:"Only those of this campaign."`
	Schedule string `placeholder:"ID" help:"Only those of this schedule and of the campaigns that it made."`
	Actor    string `placeholder:"ID" help:"Only what this admin, or this user of the system, did."`
	Limit    int    `default:"20" help:"How many."`
	JSON     bool   `name:"json" help:"Print one JSON object an event."`
}

// Help is shown by carillon events --help.
func (eventsCmd) Help() string {
	return `The newest comes first. BY is who did it: an admin over the API (api, console) or a user of the system on the command line (cli); what the program did by itself has no name.

    carillon events --limit 50
    carillon events --kind campaign.paused
    carillon events --campaign 01J9ZQ4X…
    carillon events --actor openIMAdmin --json`
}

// Run lists events.
func (c *eventsCmd) Run(a *app) error {
	f := models.EventFilter{Kind: models.EventKind(c.Kind), CampaignID: c.Campaign, ScheduleID: c.Schedule, Actor: c.Actor}
	if known := kinds(); c.Kind != "" && !strings.Contains(known, " "+c.Kind+",") {
		return fmt.Errorf("--kind must be one of%s", strings.TrimSuffix(known, ","))
	}
	return withLedger(a, func(ledger *models.Store) error { return a.listEvents(ledger, f, c.Limit, c.JSON) })
}

// kinds lists all kinds of events, each with a space before and a comma behind.
func kinds() string {
	var text strings.Builder
	for _, kind := range models.EventKinds {
		text.WriteString(" " + string(kind) + ",")
	}
	return text.String()
}

type historyCmd struct {
	ID    string `arg:"" help:"The campaign."`
	Limit int    `default:"100" help:"How many events."`
	JSON  bool   `name:"json" help:"Print one JSON object an event."`
}

// Run lists what happened to a campaign.
func (c *historyCmd) Run(a *app) error {
	return withLedger(a, func(ledger *models.Store) error {
		if _, err := ledger.Campaign(a.ctx, c.ID); err != nil {
			return err
		}
		return a.listEvents(ledger, models.EventFilter{CampaignID: c.ID}, c.Limit, c.JSON)
	})
}

type schedulesHistoryCmd struct {
	ID    string `arg:"" help:"The schedule."`
	Limit int    `default:"100" help:"How many events."`
	JSON  bool   `name:"json" help:"Print one JSON object an event."`
}

// Run lists what happened to a schedule and to the campaigns that it made.
func (c *schedulesHistoryCmd) Run(a *app) error {
	return withLedger(a, func(ledger *models.Store) error {
		if _, err := ledger.Schedule(a.ctx, c.ID); err != nil {
			return noSchedule(err)
		}
		return a.listEvents(ledger, models.EventFilter{ScheduleID: c.ID}, c.Limit, c.JSON)
	})
}

// listEvents prints up to limit events, newest first.
func (a *app) listEvents(ledger *models.Store, f models.EventFilter, limit int, asJSON bool) error {
	if limit < 1 {
		return errors.New("--limit must be 1 or more")
	}
	f.Limit = limit
	list, err := ledger.Events(a.ctx, f)
	if err != nil {
		return err
	}
	if asJSON {
		enc := json.NewEncoder(a.stdout)
		enc.SetEscapeHTML(false)
		for _, e := range list {
			if err := enc.Encode(handlers.EventJSON(e)); err != nil {
				return err
			}
		}
		return nil
	}
	t := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "AT\tWHAT\tCAMPAIGN\tSCHEDULE\tFROM\tTO\tBY\tVIA\tWHY\tREASON\tMORE")
	for _, e := range list {
		v := handlers.EventJSON(e)
		more := []byte("-")
		if len(v.Data) > 0 {
			if more, err = models.JSON(v.Data); err != nil {
				return err
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", v.At, v.Kind, cmp.Or(v.CampaignID, "-"), cmp.Or(v.ScheduleID, "-"), cmp.Or(v.From, "-"), cmp.Or(v.To, "-"),
			models.Shown(cmp.Or(v.Actor, "-")), v.Via, cmp.Or(v.ReasonCode, "-"), models.Shown(cmp.Or(v.Reason, "-")), models.Shown(string(more)))
	}
	return t.Flush()
}
