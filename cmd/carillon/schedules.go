package main

import (
	"fmt"
	"time"

	"carillon/client"
	"carillon/internal/zones"
	"carillon/models"
)

type schedulesCmd struct {
	List   schedulesListCmd   `cmd:"" help:"List schedules, newest first."`
	Show   schedulesShowCmd   `cmd:"" help:"Show a schedule, and what became of its last slots."`
	Next   schedulesNextCmd   `cmd:"" help:"Show the coming slots of a schedule."`
	Create schedulesCreateCmd `cmd:"" help:"Make a schedule."`
	Edit   schedulesEditCmd   `cmd:"" help:"Change a schedule, from its next slot on."`
	Pause  schedulesPauseCmd  `cmd:"" help:"Fire no slot, of one schedule or of all."`
	Resume schedulesResumeCmd `cmd:"" help:"Go on with a paused schedule, or with those that pause --all has paused, from the next slot."`
	Run    schedulesRunCmd    `cmd:"" help:"Make a campaign of a schedule's template now."`
	Skip   schedulesSkipCmd   `cmd:"" help:"Leave out one coming slot."`
	Delete schedulesDeleteCmd `cmd:"" help:"End a schedule for good; its history stays."`

	History schedulesHistoryCmd `cmd:"" help:"List what happened to a schedule and its campaigns, who did it and why, newest first."`
}

// Help is shown by carillon schedules --help.
func (schedulesCmd) Help() string {
	return `These commands call the API, which they name on stderr. With --local, list, pause and resume work on the ledger, for when no API is up.

    carillon schedules create --name Monday --cron "0 9 * * 1" --timezone Europe/Berlin --all --text "Good morning"
    carillon schedules list
    carillon schedules next 01J9ZQ4X… -n 5
    carillon schedules skip 01J9ZQ4X… 2026-12-07T09:00:00+01:00
    carillon schedules edit 01J9ZQ4X… --cron "0 10 * * 1" --text "Good morning, all"
    carillon schedules pause --all          # with carillon campaigns pause --all: the kill switch
    carillon schedules resume --all         # what it has paused goes on, and nothing else
    carillon schedules run 01J9ZQ4X…`
}

var scheduleHead = []string{"ID", "STATUS", "CRON", "TIMEZONE", "NEXT SLOT", "NAME"}

func scheduleRow(s client.Schedule) []string {
	zone := s.Timezone
	if s.LocalTime {
		zone = "each user's own"
	}
	return []string{s.ID, string(s.Status), s.Cron, zone, nextSlot(s), s.Name}
}

// nextSlot is when an active schedule fires next, by the schedule's own clock; "-" if it does not.
func nextSlot(s client.Schedule) string {
	text := textOf(s.NextSlot)
	zone, err := zones.Load(s.Timezone)
	if at, notTime := time.Parse(time.RFC3339, text); notTime == nil && err == nil && !s.LocalTime {
		text = at.In(zone).Format(time.RFC3339)
	}
	return orDash(text)
}

type schedulesListCmd struct {
	Status string `enum:",active,paused,ended,deleted" default:"" help:"Only those in this state."`
	listFlags
	localFlag
}

// Run lists schedules.
func (c *schedulesListCmd) Run(a *app) error {
	if c.Local {
		return c.local(a)
	}
	return withAPI(a, orLocal, func(api *client.Client) error {
		list := api.Schedules(a.ctx, client.ListSchedulesParams{Status: given(client.ScheduleStatus(c.Status)), Limit: c.page()})
		return printList(a, c.listFlags, list, scheduleHead, scheduleRow)
	})
}

// showSchedule prints a schedule on one line, and what the server warns of.
func (a *app) showSchedule(s client.Schedule, asJSON bool) error {
	if asJSON {
		return a.printJSON(s)
	}
	a.warnOf(s.Warnings)
	text := fmt.Sprintf("%s is %s, next slot %s", models.Shown(s.ID), models.Shown(string(s.Status)), models.Shown(nextSlot(s)))
	if fires := textOf(s.Fires); fires != "" {
		text += ", fires " + models.Shown(fires)
	}
	_, err := fmt.Fprintln(a.stdout, text)
	return err
}

type schedulesShowCmd struct {
	ID    string `arg:"" complete:"schedules" help:"The schedule."`
	Limit int    `default:"10" help:"How many past slots."`
	jsonFlag
}

// Run shows a schedule.
func (c *schedulesShowCmd) Run(a *app) error {
	return withAPI(a, "", func(api *client.Client) error {
		l := listFlags{Limit: c.Limit}
		h, err := client.Data[client.ScheduleHistory](api.GetSchedule(a.ctx, c.ID, &client.GetScheduleParams{Limit: l.page()}))
		if err != nil {
			return err
		}
		if c.JSON {
			return a.printJSON(h)
		}
		s := client.Schedule{ID: h.ID, Status: h.Status, NextSlot: h.NextSlot, Timezone: h.Timezone, LocalTime: h.LocalTime, Warnings: h.Warnings}
		if err := a.showSchedule(s, false); err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "%s: %s in %s\n", models.Shown(orDash(h.Name)), models.Shown(h.Cron), models.Shown(orDash(h.Timezone)))
		if len(h.Occurrences) == 0 {
			return nil
		}
		fmt.Fprintln(a.stdout)
		list := each(h.Occurrences, func(o client.Occurrence) client.Occurrence { return o })
		return printList(a, l, list, []string{"SLOT", "OUTCOME", "CAMPAIGN", "REASON"}, func(o client.Occurrence) []string {
			slot := orDash(textOf(o.Slot))
			if o.Slots > 1 {
				slot += fmt.Sprintf(" and %d more, to %s", o.Slots-1, textOf(o.LastSlot))
			}
			return []string{slot, o.Outcome, orDash(o.CampaignID), o.Reason}
		})
	})
}

type schedulesNextCmd struct {
	ID   string `arg:"" complete:"schedules" help:"The schedule."`
	N    int    `short:"n" default:"10" help:"How many."`
	JSON bool   `name:"json" help:"Print one JSON object a slot."`
}

// Run shows the coming slots.
func (c *schedulesNextCmd) Run(a *app) error {
	return withAPI(a, "", func(api *client.Client) error {
		next, err := client.Data[client.Slots](api.NextSlots(a.ctx, c.ID, &client.NextSlotsParams{N: &c.N}))
		if err != nil {
			return err
		}
		for _, s := range next.Slots {
			if c.JSON {
				err = a.printJSON(s)
			} else {
				_, err = fmt.Fprintf(a.stdout, "%s  %s  %s\n", stamp(s.Utc), models.Shown(s.Local), models.Shown(s.Note))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// changeSchedule makes a change over the API and shows the schedule as it is then.
func (c control) changeSchedule(a *app, instead string, do func(*client.Client) (client.Schedule, error)) error {
	return withAPI(a, instead, func(api *client.Client) error {
		s, err := do(api)
		if err != nil {
			return err
		}
		return a.showSchedule(s, c.JSON)
	})
}

type schedulesPauseCmd struct {
	ID  string `arg:"" optional:"" complete:"schedules:active" help:"The schedule."`
	All bool   `help:"Every active schedule, at once."`
	control
}

// Help is shown by carillon schedules pause --help.
func (schedulesPauseCmd) Help() string { return helpAll }

// Run pauses.
func (c *schedulesPauseCmd) Run(a *app) error {
	if err := oneOrAll("schedule", c.ID, c.All); err != nil {
		return err
	}
	const nothing = "no schedule is active"
	switch {
	case c.Local:
		return c.local(a, nothing)
	case c.All:
		return c.all(a, "paused", "schedules", nothing, func(api *client.Client) (client.ChangedAll, error) {
			return client.Data[client.ChangedAll](api.PauseAllSchedules(a.ctx))
		})
	}
	return c.changeSchedule(a, orLocal, func(api *client.Client) (client.Schedule, error) {
		return client.Data[client.Schedule](api.PauseSchedule(a.ctx, c.ID))
	})
}

type schedulesResumeCmd struct {
	ID  string `arg:"" optional:"" complete:"schedules:paused" help:"The schedule."`
	All bool   `help:"Those that the last pause --all has paused."`
	control
}

// Help is shown by carillon schedules resume --help.
func (schedulesResumeCmd) Help() string { return helpAll }

// Run resumes.
func (c *schedulesResumeCmd) Run(a *app) error {
	if err := oneOrAll("schedule", c.ID, c.All); err != nil {
		return err
	}
	const nothing = "no schedule is paused by the last pause --all"
	switch {
	case c.Local:
		return c.local(a, nothing)
	case c.All:
		return c.all(a, "resumed", "schedules", nothing, func(api *client.Client) (client.ChangedAll, error) {
			return client.Data[client.ChangedAll](api.ResumeAllSchedules(a.ctx))
		})
	}
	return c.changeSchedule(a, orLocal, func(api *client.Client) (client.Schedule, error) {
		return client.Data[client.Schedule](api.ResumeSchedule(a.ctx, c.ID))
	})
}

type schedulesDeleteCmd struct {
	ID string `arg:"" complete:"schedules" help:"The schedule."`
	jsonFlag
}

// Run deletes.
func (c *schedulesDeleteCmd) Run(a *app) error {
	return control{jsonFlag: c.jsonFlag}.changeSchedule(a, "", func(api *client.Client) (client.Schedule, error) {
		return client.Data[client.Schedule](api.DeleteSchedule(a.ctx, c.ID))
	})
}

type schedulesSkipCmd struct {
	ID   string `arg:"" complete:"schedules" help:"The schedule."`
	Slot string `arg:"" help:"The slot, as carillon schedules next prints it."`
	jsonFlag
}

// Run skips a slot.
func (c *schedulesSkipCmd) Run(a *app) error {
	return control{jsonFlag: c.jsonFlag}.changeSchedule(a, "", func(api *client.Client) (client.Schedule, error) {
		return client.Data[client.Schedule](api.SkipSlot(a.ctx, c.ID, client.SkipRequest{Slot: c.Slot}))
	})
}

type schedulesRunCmd struct {
	ID             string `arg:"" complete:"schedules" help:"The schedule."`
	IdempotencyKey string `placeholder:"TEXT" help:"A second run with the same key makes no second campaign."`
	Watch          bool   `help:"Follow the campaign to its end, as carillon campaigns watch does."`
	jsonFlag
}

// Help is shown by carillon schedules run --help.
func (schedulesRunCmd) Help() string { return helpOutcome }

// Run makes a campaign now.
func (c *schedulesRunCmd) Run(a *app) error {
	return withAPI(a, "", func(api *client.Client) error {
		v, err := client.Data[client.Campaign](api.RunSchedule(a.ctx, c.ID, &client.RunScheduleParams{IdempotencyKey: given(c.IdempotencyKey)}))
		if err != nil {
			return err
		}
		if c.Watch {
			return a.watch(api, v.ID, c.JSON)
		}
		return a.show(v, c.JSON)
	})
}
