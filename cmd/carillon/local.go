package main

import (
	"errors"
	"fmt"
	"iter"

	"carillon/client"
	"carillon/internal/config"
	"carillon/internal/slots"
	"carillon/models"
)

// localFlag is --local of the commands that also work without an API.
type localFlag struct {
	Local bool `help:"Work on the ledger that the settings name, without an API."`
}

// withLedger runs a command on the ledger that the settings name, and says which on stderr.
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

// fromLedger is a campaign as the API shows it, without what takes an API to know: its message, its
// audience, how fast it goes.
func fromLedger(v models.CampaignView) client.Campaign {
	n := v.Counts
	return client.Campaign{
		ID: v.PublicID, Name: v.Name, Status: client.CampaignStatus(v.Status), StatusReason: v.StatusReason, StatusReasonCode: client.ReasonCode(v.StatusReasonCode),
		Counts:    client.Counts{Total: n.Total, Pending: n.Pending, Sent: n.Sent, Failed: n.Failed, Skipped: n.Skipped, Expired: n.Expired, Cancelled: n.Cancelled, Unknown: n.Unknown},
		CreatedAt: v.CreatedAt.Time(), CreatedBy: v.CreatedBy, RatePerSecond: v.RatePerSecond,
	}
}

// localRow is what --local --json prints of a campaign: fields of the API's.
func localRow(v client.Campaign) map[string]any {
	row := map[string]any{"id": v.ID, "name": v.Name, "status": v.Status, "statusReason": v.StatusReason, "statusReasonCode": v.StatusReasonCode,
		"counts": v.Counts, "createdAt": v.CreatedAt, "createdBy": v.CreatedBy, "ratePerSecond": v.RatePerSecond}
	if v.Retrying != nil {
		row["retrying"] = *v.Retrying
	}
	return row
}

// showLocal prints what a campaign is now.
func (a *app) showLocal(v client.Campaign, asJSON bool) error {
	if asJSON {
		return a.printJSON(localRow(v))
	}
	return a.show(v, false)
}

func (c *listCmd) local(a *app) error {
	return withLedger(a, func(ledger *models.Store) error {
		found, err := ledger.Campaigns(a.ctx, models.CampaignFilter{Status: models.Status(c.Status), Limit: max(1, c.Limit)})
		if err != nil {
			return err
		}
		if c.JSON {
			return printList(a, c.listFlags, each(found, func(v models.CampaignView) map[string]any { return localRow(fromLedger(v)) }), nil, nil)
		}
		return printList(a, c.listFlags, each(found, fromLedger), campaignHead, campaignRow)
	})
}

// each is a list with each entry in another form.
func each[From, To any](list []From, as func(From) To) iter.Seq2[To, error] {
	return func(yield func(To, error) bool) {
		for _, one := range list {
			if !yield(as(one), nil) {
				return
			}
		}
	}
}

// named are campaigns or schedules as the API names them.
func named(list []models.Named) (out []client.Named) {
	for _, one := range list {
		out = append(out, client.Named{ID: one.PublicID, Name: one.Name})
	}
	return out
}

// changeLocal changes one campaign in the ledger, and tells the process that serves what was done.
func (c control) changeLocal(a *app, id, what string, do func(*models.Store) (models.CampaignView, error)) error {
	return withLedger(a, func(ledger *models.Store) error {
		v, err := do(ledger)
		if err != nil {
			return err
		}
		a.notify(ledger, what, id, 1)
		return a.showLocal(fromLedger(v), c.JSON)
	})
}

func (c *pauseCmd) local(a *app, nothing string) error {
	if !c.All {
		return c.changeLocal(a, c.ID, "campaign paused", func(l *models.Store) (models.CampaignView, error) {
			return l.PauseCampaign(a.ctx, c.ID, pausedHere)
		})
	}
	return withLedger(a, func(ledger *models.Store) error {
		list, err := ledger.PauseAll(a.ctx, pausedHere)
		if len(list) > 0 {
			a.notify(ledger, "all campaigns paused", "", int64(len(list)))
		}
		return a.reportAll("paused", "campaigns", named(list), c.JSON, nothing, err)
	})
}

func (c *resumeCmd) local(a *app, nothing string) error {
	if !c.All {
		return c.changeLocal(a, c.ID, "campaign resumed", func(l *models.Store) (models.CampaignView, error) { return l.ResumeCampaign(a.ctx, c.ID) })
	}
	return withLedger(a, func(ledger *models.Store) error {
		list, err := ledger.ResumeAll(a.ctx)
		if len(list) > 0 {
			a.notify(ledger, "campaigns resumed", "", int64(len(list)))
		}
		return a.reportAll("resumed", "campaigns", named(list), c.JSON, nothing, err)
	})
}

func (c *cancelCmd) local(a *app) error {
	return c.changeLocal(a, c.ID, "campaign cancelled", func(l *models.Store) (models.CampaignView, error) {
		return l.CancelCampaign(a.ctx, c.ID, cancelledHere)
	})
}

func (c *retryCmd) local(a *app) error {
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
		shown := fromLedger(v)
		if shown.Retrying = &n; !c.JSON {
			if _, err := fmt.Fprintf(a.stdout, "%d recipients are tried again\n", n); err != nil {
				return err
			}
		}
		return a.showLocal(shown, c.JSON)
	})
}

func (c *schedulesPauseCmd) local(a *app, nothing string) error {
	if !c.All {
		return c.changeLocalSchedule(a, c.ID, slots.Forgo(slots.Paused), func(s *models.Schedule, _ models.Millis) error { return s.Pause() })
	}
	return withLedger(a, func(ledger *models.Store) error {
		list, err := ledger.PauseAllSchedules(a.ctx, slots.Forgo(slots.AllPaused))
		return a.reportAll("paused", "schedules", named(list), c.JSON, nothing, err)
	})
}

func (c *schedulesResumeCmd) local(a *app, nothing string) error {
	if !c.All {
		return c.changeLocalSchedule(a, c.ID, nil, slots.Resume)
	}
	return withLedger(a, func(ledger *models.Store) error {
		list, err := ledger.ResumeAllSchedules(a.ctx, slots.Resume)
		return a.reportAll("resumed", "schedules", named(list), c.JSON, nothing, err)
	})
}

// changeLocalSchedule changes one schedule in the ledger and shows it.
func (c control) changeLocalSchedule(a *app, id string, due func(models.Schedule, models.Millis) (models.Firing, error), change func(*models.Schedule, models.Millis) error) error {
	return withLedger(a, func(ledger *models.Store) error {
		s, _, err := ledger.ChangeSchedule(a.ctx, id, nil, due, change)
		if models.AsError(err).Code == models.CodeRecordNotFound {
			return errors.New("there is no such schedule")
		}
		if err != nil {
			return err
		}
		shown := scheduleFromLedger(s)
		if c.JSON {
			return a.printJSON(localScheduleRow(shown))
		}
		return a.showSchedule(shown, false)
	})
}

func (c *schedulesListCmd) local(a *app) error {
	return withLedger(a, func(ledger *models.Store) error {
		found, err := ledger.Schedules(a.ctx, models.ScheduleFilter{Status: models.ScheduleStatus(c.Status), Limit: max(1, c.Limit)})
		if err != nil {
			return err
		}
		if c.JSON {
			return printList(a, c.listFlags, each(found, func(s models.Schedule) map[string]any { return localScheduleRow(scheduleFromLedger(s)) }), nil, nil)
		}
		return printList(a, c.listFlags, each(found, scheduleFromLedger), scheduleHead, scheduleRow)
	})
}

// scheduleFromLedger is a schedule as the API shows it, without its campaign.
func scheduleFromLedger(s models.Schedule) client.Schedule {
	v := client.Schedule{ID: s.PublicID, Name: s.Name, Status: client.ScheduleStatus(s.Status), Cron: s.Cron, Timezone: s.Timezone, LocalTime: s.LocalTime}
	if table, err := slots.Of(s); err == nil && s.NextSlot != 0 && s.Status == models.ScheduleActive {
		local, _ := table.Show(s.NextSlot)
		v.NextSlot = &local
	}
	return v
}

// localScheduleRow is what --local --json prints of a schedule: fields of the API's.
func localScheduleRow(s client.Schedule) map[string]any {
	return map[string]any{"id": s.ID, "name": s.Name, "status": s.Status, "cron": s.Cron, "timezone": s.Timezone, "localTime": s.LocalTime, "nextSlot": s.NextSlot}
}
