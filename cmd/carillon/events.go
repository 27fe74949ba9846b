package main

import (
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"os/user"
	"strconv"

	"carillon/client"
	"carillon/models"
)

// operator is the person who runs a command on the ledger: the name of the system's user, or the
// number if there is no name.
func operator() models.Actor {
	name := strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil && models.CheckID(u.Username) == "" {
		name = u.Username
	}
	return models.Actor{ID: name, Via: models.ViaCLI}
}

type eventsCmd struct {
	After    string `placeholder:"PLACE" help:"Oldest first, behind this place: the one that an earlier call printed, the eventID of an event, 0 for all, or now."`
	Kind     string `placeholder:"KIND" help:"Only those of this kind, such as campaign.paused."`
	Campaign string `placeholder:"ID" complete:"campaigns" help:"Only those of this campaign."`
	Schedule string `placeholder:"ID" complete:"schedules" help:"Only those of this schedule and of the campaigns that it made."`
	Actor    string `placeholder:"ID" help:"Only what this admin, or this user of the system, did."`
	listFlags
}

// Help is shown by carillon events --help.
func (eventsCmd) Help() string {
	return `The newest comes first. BY is who did it: an admin over the API (api, console, or cli with these commands), or with --local a user of the system (cli). What the program did by itself has no name.

    carillon events --limit 50
    carillon events --kind campaign.paused
    carillon events --campaign 01J9ZQ4X…
    carillon events --actor openIMAdmin --json

With --after the oldest comes first, and the last line on stderr says where the next call goes on. So a script gets each event once:

    carillon events --after 0 --limit 1000 --json
    carillon events --after evt_7_1767225600123 --limit 1000 --json`
}

// Run lists events.
func (c *eventsCmd) Run(a *app) error {
	return withAPI(a, "", func(api *client.Client) error {
		which := client.ListEventsParams{Kind: given(c.Kind), Campaign: given(c.Campaign), Schedule: given(c.Schedule), Actor: given(c.Actor), Limit: c.page()}
		if c.After == "" {
			return printEvents(a, c.listFlags, api.Events(a.ctx, which))
		}
		var place string
		if err := printEvents(a, c.listFlags, api.EventsAfter(a.ctx, c.After, which, &place)); err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "carillon: go on with --after %s\n", models.Shown(place))
		return nil
	})
}

// pastFlags are listFlags of a history.
type pastFlags struct {
	Limit int  `default:"100" help:"How many events."`
	JSON  bool `name:"json" help:"Print one JSON object an event."`
}

type historyCmd struct {
	ID string `arg:"" complete:"campaigns" help:"The campaign."`
	pastFlags
}

// Run lists what happened to a campaign.
func (c *historyCmd) Run(a *app) error {
	return withAPI(a, "", func(api *client.Client) error {
		l := listFlags(c.pastFlags)
		return printEvents(a, l, api.CampaignEvents(a.ctx, c.ID, client.CampaignHistoryParams{Limit: l.page()}))
	})
}

type schedulesHistoryCmd struct {
	ID string `arg:"" complete:"schedules" help:"The schedule."`
	pastFlags
}

// Run lists what happened to a schedule and to the campaigns that it made.
func (c *schedulesHistoryCmd) Run(a *app) error {
	return withAPI(a, "", func(api *client.Client) error {
		l := listFlags(c.pastFlags)
		return printEvents(a, l, api.ScheduleEvents(a.ctx, c.ID, client.ScheduleHistoryParams{Limit: l.page()}))
	})
}

var eventHead = []string{"AT", "WHAT", "CAMPAIGN", "SCHEDULE", "FROM", "TO", "BY", "VIA", "WHY", "REASON", "MORE"}

// printEvents prints up to l.Limit events, in the order of the list.
func printEvents(a *app, l listFlags, list iter.Seq2[client.Event, error]) error {
	return printList(a, l, list, eventHead, func(e client.Event) []string {
		more := ""
		if e.Data != nil && len(*e.Data) > 0 {
			raw, err := json.Marshal(*e.Data)
			if err == nil {
				more = string(raw)
			}
		}
		return []string{stamp(e.At), e.Kind, orDash(e.CampaignID), orDash(e.ScheduleID), orDash(e.From), orDash(e.To), orDash(e.Actor), e.Via,
			orDash(e.ReasonCode), orDash(e.Reason), orDash(more)}
	})
}
