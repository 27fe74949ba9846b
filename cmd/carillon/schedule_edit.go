package main

import (
	"encoding/json"
	"errors"
	"time"

	"carillon/client"
)

// whenFlags say when a schedule fires.
type whenFlags struct {
	Cron      string `placeholder:"TEXT" help:"When it fires: \"0 9 * * 1\" is Mondays at nine."`
	Timezone  string `placeholder:"ZONE" help:"The time zone of the cron text, such as Europe/Berlin."`
	StartAt   string `placeholder:"TIME" help:"Not before this time: 2026-12-04T09:00, or with an offset."`
	EndAt     string `placeholder:"TIME" help:"Not after this time."`
	Missed    string `enum:",once,skip" default:"" help:"What becomes of a slot at which nobody served: once sends late, skip does not."`
	MissedFor string `name:"missed-grace" placeholder:"DURATION" help:"How late --missed once still sends, such as 1h30m."`
	Overlap   string `enum:",skip,allow" default:"" help:"What becomes of a slot whose earlier campaign has not ended: skip or allow."`
	Expire    string `placeholder:"DURATION" help:"How long after its slot a campaign ends, such as 24h."`
}

type schedulesCreateCmd struct {
	whenFlags
	LocalTime bool `help:"The cron text is by each user's own clock."`
	audienceFlags
	messageFlags
	IdempotencyKey string `placeholder:"TEXT" help:"A second create with the same key makes no second schedule."`
	jsonFlag
}

// Help is shown by carillon schedules create --help.
func (schedulesCreateCmd) Help() string {
	return `    carillon schedules create --name Monday --cron "0 9 * * 1" --timezone Europe/Berlin --all --text "Good morning"
    carillon schedules create --cron "0 9 * * *" --local-time --quiet 22:00-08:00 --group testers --text "Good morning" --expire 12h`
}

// Run makes a schedule.
func (c *schedulesCreateCmd) Run(a *app) error {
	if c.Cron == "" {
		return errors.New(`say when: --cron "0 9 * * 1" is Mondays at nine`)
	}
	template, err := c.campaign(a, &c.audienceFlags)
	if err != nil {
		return err
	}
	template.ExpireAfter, template.Name = given(c.Expire), nil // the name is the schedule's
	r := client.ScheduleRequest{Campaign: template, Name: given(c.Name), Cron: c.Cron}
	var change client.ScheduleChange
	if err := c.into(&change); err != nil {
		return err
	}
	r.Timezone, r.StartAt, r.EndAt, r.Missed, r.MissedGrace, r.Overlap = change.Timezone, change.StartAt, change.EndAt, change.Missed, change.MissedGrace, change.Overlap
	if c.LocalTime {
		r.LocalTime = &c.LocalTime
	}
	return control{jsonFlag: c.jsonFlag}.changeSchedule(a, "", func(api *client.Client) (client.Schedule, error) {
		return api.MakeSchedule(a.ctx, c.IdempotencyKey, r)
	})
}

// into puts what is given into a change.
func (f *whenFlags) into(c *client.ScheduleChange) (err error) {
	c.Cron, c.Timezone = given(f.Cron), given(f.Timezone)
	c.Missed, c.MissedGrace, c.Overlap = given(client.Missed(f.Missed)), given(f.MissedFor), given(client.Overlap(f.Overlap))
	start, err := moment("--start-at", f.StartAt)
	if err != nil {
		return err
	}
	end, err := moment("--end-at", f.EndAt)
	c.StartAt, c.EndAt = start, end
	return err
}

// moment reads a time; "none" takes one away.
func moment(flag, text string) (*string, error) {
	if text == "none" {
		return new(string), nil
	}
	at, err := instant(flag, text, time.Now(), false)
	return given(at), err
}

type schedulesEditCmd struct {
	ID string `arg:"" complete:"schedules" help:"The schedule."`
	whenFlags
	LocalTime *bool `negatable:"" help:"The cron text is by each user's own clock, or is not."`
	audienceFlags
	messageFlags
	jsonFlag
}

// Help is shown by carillon schedules edit --help.
func (schedulesEditCmd) Help() string {
	return `Only what is given changes. --start-at none and --end-at none take these times away.

    carillon schedules edit 01J9ZQ4X… --cron "0 10 * * 1"
    carillon schedules edit 01J9ZQ4X… --text "Good morning, all" --rate 100`
}

// Run changes a schedule.
func (c *schedulesEditCmd) Run(a *app) error {
	change := client.ScheduleChange{Name: given(c.Name), LocalTime: c.LocalTime}
	if err := c.into(&change); err != nil {
		return err
	}
	edit, some, err := c.edits(a)
	if err != nil {
		return err
	}
	if !some && change == (client.ScheduleChange{}) {
		return errors.New("say what is to change: carillon schedules edit --help lists it")
	}
	return control{jsonFlag: c.jsonFlag}.changeSchedule(a, "", func(api *client.Client) (s client.Schedule, err error) {
		if some {
			h, err := client.Data[client.ScheduleHistory](api.GetSchedule(a.ctx, c.ID, nil))
			if err != nil {
				return s, err
			}
			if change.Campaign, err = edit(h.Campaign); err != nil {
				return s, err
			}
		}
		return client.Data[client.Schedule](api.ChangeSchedule(a.ctx, c.ID, change))
	})
}

// edits returns what changes a schedule's campaign as the flags say; some is false when they say
// nothing of it.
func (c *schedulesEditCmd) edits(a *app) (edit func(client.CampaignTemplate) (*client.CampaignTemplateRequest, error), some bool, err error) {
	audience, toOthers, err := c.audience()
	if err != nil {
		return nil, false, err
	}
	content, other, err := c.content()
	if err != nil {
		return nil, false, err
	}
	quiet, err := c.quiet()
	if err != nil {
		return nil, false, err
	}
	some = toOthers || other || quiet != nil || c.From != "" || a.channel() != nil || c.Rate != 0 || c.Expire != ""
	return func(now client.CampaignTemplate) (*client.CampaignTemplateRequest, error) {
		var t client.CampaignTemplateRequest
		raw, err := json.Marshal(now) // a template is in a form that can be sent again
		if err == nil {
			err = json.Unmarshal(raw, &t)
		}
		if toOthers {
			t.Audience = audience
		}
		if other {
			from := t.Message.SendID
			t.Message = c.message(a, content)
			t.Message.SendID = from
		}
		set(&t.Message.SendID, c.From)
		if c.Expire != "" {
			t.ExpireAfter = &c.Expire
		}
		if channel := a.channel(); channel != nil {
			t.Channel = channel
		}
		if quiet != nil {
			t.QuietHours = quiet
		}
		if c.Rate != 0 {
			t.RatePerSecond = &c.Rate
		}
		return &t, err
	}, some, nil
}

func set(to *string, text string) {
	if text != "" {
		*to = text
	}
}
