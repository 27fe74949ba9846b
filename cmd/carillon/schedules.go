package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"carillon/internal/config"
	"carillon/internal/slots"
	"carillon/models"
)

type schedulesCmd struct {
	List   schedulesListCmd   `cmd:"" help:"List schedules, newest first."`
	Next   schedulesNextCmd   `cmd:"" help:"Show the coming slots of a schedule."`
	Pause  schedulesPauseCmd  `cmd:"" help:"Fire no slot, of one schedule or of all."`
	Resume schedulesResumeCmd `cmd:"" help:"Go on with a paused schedule, or with those that pause --all has paused, from the next slot."`
	Run    schedulesRunCmd    `cmd:"" help:"Make a campaign of a schedule's template now."`
	Delete schedulesDeleteCmd `cmd:"" help:"End a schedule for good; its history stays."`

	History schedulesHistoryCmd `cmd:"" help:"List what happened to a schedule and its campaigns, who did it and why, newest first."`
}

// Help is shown by carillon schedules --help.
func (schedulesCmd) Help() string {
	return `Schedules are made over HTTP, since they hold a message:

    curl … http://127.0.0.1:8080/v1/schedules -d '{"name":"Monday","cron":"0 9 * * 1","timezone":"Europe/Berlin",
      "campaign":{"audience":{"all":true},"message":{"sendID":"openIMAdmin","contentType":101,"content":{"content":"Good morning"}}}}'

These commands write to the ledger, which they name on stderr, and every scheduler obeys at once, whether the API answers or not.

    carillon schedules list
    carillon schedules next 01J9ZQ4X… -n 5
    carillon schedules pause --all          # with carillon campaigns pause --all: the kill switch
    carillon schedules resume --all         # what it has paused goes on, and nothing else
    carillon schedules run 01J9ZQ4X…`
}

type schedulesListCmd struct {
	Status string `enum:",active,paused,ended,deleted" default:"" help:"Only those in this state."`
	Limit  int    `default:"20" help:"How many."`
	JSON   bool   `name:"json" help:"Print one JSON object a schedule."`
}

// Run lists schedules.
func (c *schedulesListCmd) Run(a *app) error {
	return withLedger(a, func(ledger *models.Store) error {
		list, err := ledger.Schedules(a.ctx, models.ScheduleFilter{Status: models.ScheduleStatus(c.Status), Limit: c.Limit})
		if err != nil {
			return err
		}
		if c.JSON {
			enc := json.NewEncoder(a.stdout)
			for _, s := range list {
				if err := enc.Encode(scheduleRow(s)); err != nil {
					return err
				}
			}
			return nil
		}
		t := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
		fmt.Fprintln(t, "ID\tSTATUS\tCRON\tTIMEZONE\tNEXT SLOT\tNAME")
		for _, s := range list {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", s.PublicID, s.Status, models.Shown(s.Cron), zoneOf(s), nextSlot(s), models.Shown(s.Name))
		}
		return t.Flush()
	})
}

func zoneOf(s models.Schedule) string {
	if s.LocalTime {
		return "each user's own"
	}
	return s.Timezone
}

// nextSlot is when an active schedule fires next, by the schedule's own clock; "-" if it does not.
func nextSlot(s models.Schedule) string {
	table, err := slots.Of(s)
	if err != nil || s.NextSlot == 0 || s.Status != models.ScheduleActive {
		return "-"
	}
	local, _ := table.Show(s.NextSlot)
	return local
}

// scheduleRow is a schedule as one line of JSON.
func scheduleRow(s models.Schedule) map[string]any {
	return map[string]any{"id": s.PublicID, "name": s.Name, "status": s.Status, "cron": s.Cron, "timezone": s.Timezone, "localTime": s.LocalTime, "nextSlot": nextSlot(s)}
}

func (a *app) showSchedule(s models.Schedule, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(a.stdout).Encode(scheduleRow(s))
	}
	_, err := fmt.Fprintf(a.stdout, "%s is %s, next slot %s\n", s.PublicID, s.Status, nextSlot(s))
	return err
}

type schedulesNextCmd struct {
	ID   string `arg:"" help:"The schedule."`
	N    int    `short:"n" default:"10" help:"How many."`
	JSON bool   `name:"json" help:"Print one JSON object a slot."`
}

// Run shows the coming slots.
func (c *schedulesNextCmd) Run(a *app) error {
	return withLedger(a, func(ledger *models.Store) error {
		s, err := ledger.Schedule(a.ctx, c.ID)
		if err != nil {
			return noSchedule(err)
		}
		table, err := slots.Of(s)
		if err != nil {
			return err
		}
		enc := json.NewEncoder(a.stdout)
		slot, fire := table.Next(models.Millis(time.Now().UnixMilli()))
		for range c.N {
			if slot == 0 {
				break
			}
			local, note := table.Show(slot)
			if c.JSON {
				err = enc.Encode(map[string]any{"utc": fire.Time(), "local": local, "note": note})
			} else {
				_, err = fmt.Fprintf(a.stdout, "%s  %s  %s\n", fire.Time().Format(time.RFC3339), local, note)
			}
			if err != nil {
				return err
			}
			slot, fire = table.After(slot)
		}
		return nil
	})
}

// noSchedule words the error for a schedule that does not exist. withLedger would call it a
// campaign.
func noSchedule(err error) error {
	if models.AsError(err).Code == models.CodeRecordNotFound {
		return errors.New("there is no such schedule")
	}
	return err
}

// changeSchedule changes one schedule and shows it.
func (a *app) changeSchedule(id string, asJSON bool, due func(models.Schedule, models.Millis) (models.Firing, error), change func(*models.Schedule, models.Millis) error) error {
	return withLedger(a, func(ledger *models.Store) error {
		s, _, err := ledger.ChangeSchedule(a.ctx, id, nil, due, change)
		if err != nil {
			return noSchedule(err)
		}
		return a.showSchedule(s, asJSON)
	})
}

type schedulesPauseCmd struct {
	ID   string `arg:"" optional:"" help:"The schedule."`
	All  bool   `help:"Every active schedule, at once."`
	JSON bool   `name:"json" help:"Print the schedule as JSON."`
}

// Help is shown by carillon schedules pause --help.
func (schedulesPauseCmd) Help() string { return helpAll }

// Run pauses.
func (c *schedulesPauseCmd) Run(a *app) error {
	if err := oneOrAll("schedule", c.ID, c.All); err != nil {
		return err
	}
	if !c.All {
		return a.changeSchedule(c.ID, c.JSON, slots.Forgo(slots.Paused), func(s *models.Schedule, _ models.Millis) error { return s.Pause() })
	}
	return withLedger(a, func(ledger *models.Store) error {
		list, err := ledger.PauseAllSchedules(a.ctx)
		return a.reportAll("paused", "schedules", list, c.JSON, "no schedule of this ledger is active", err)
	})
}

type schedulesResumeCmd struct {
	ID   string `arg:"" optional:"" help:"The schedule."`
	All  bool   `help:"Those that the last pause --all has paused."`
	JSON bool   `name:"json" help:"Print the schedule as JSON."`
}

// Help is shown by carillon schedules resume --help.
func (schedulesResumeCmd) Help() string { return helpAll }

// Run resumes.
func (c *schedulesResumeCmd) Run(a *app) error {
	if err := oneOrAll("schedule", c.ID, c.All); err != nil {
		return err
	}
	if !c.All {
		return a.changeSchedule(c.ID, c.JSON, nil, slots.Resume)
	}
	return withLedger(a, func(ledger *models.Store) error {
		list, err := ledger.ResumeAllSchedules(a.ctx, slots.Resume)
		return a.reportAll("resumed", "schedules", list, c.JSON, "no schedule of this ledger is paused by its last pause --all", err)
	})
}

type schedulesDeleteCmd struct {
	ID   string `arg:"" help:"The schedule."`
	JSON bool   `name:"json" help:"Print the schedule as JSON."`
}

// Run deletes.
func (c *schedulesDeleteCmd) Run(a *app) error {
	return withLedger(a, func(ledger *models.Store) error {
		s, err := ledger.DeleteSchedule(a.ctx, c.ID, slots.Forgo(slots.Deleted))
		if err != nil {
			return noSchedule(err)
		}
		return a.showSchedule(s, c.JSON)
	})
}

type schedulesRunCmd struct {
	ID   string `arg:"" help:"The schedule."`
	JSON bool   `name:"json" help:"Print the campaign as JSON."`
}

// Run makes a campaign now. The process that serves finds the campaign in the ledger.
func (c *schedulesRunCmd) Run(a *app) error {
	return withLedger(a, func(ledger *models.Store) error {
		s, err := ledger.Schedule(a.ctx, c.ID)
		if err != nil {
			return noSchedule(err)
		}
		if err := a.cfg.Validate(config.ForToken); err != nil { // the admins may send without standing in the directory
			return err
		}
		spec := slots.RunNow(s)
		spec.OperationID, spec.CreatedBy = "command-line", a.cfg.Admins[0]
		created, err := ledger.RunSchedule(a.ctx, c.ID, spec, a.cfg.Admins, models.Idempotency{}, func(models.Campaign) []byte { return nil })
		if err != nil {
			return err
		}
		v, err := ledger.Campaign(a.ctx, created.PublicID)
		if err != nil {
			return err
		}
		return a.show(v, c.JSON)
	})
}
