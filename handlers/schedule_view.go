package handlers

import (
	"carillon/internal/slots"
	"carillon/models"
)

// ScheduleView is a schedule as /v1 shows it. Slots are instants, or with localTime local dates and
// clocks.
type ScheduleView struct {
	ID          string                `json:"id"`
	Name        string                `json:"name"`
	Status      models.ScheduleStatus `json:"status"`
	Cron        string                `json:"cron"`
	Timezone    string                `json:"timezone"`
	LocalTime   bool                  `json:"localTime"`
	StartAt     *string               `json:"startAt"`
	EndAt       *string               `json:"endAt"`
	Missed      models.Missed         `json:"missed"`
	MissedGrace string                `json:"missedGrace"`
	Overlap     models.Overlap        `json:"overlap"`
	NextSlot    *string               `json:"nextSlot"` // the next one that nobody leaves out; null while paused and after the last slot
	OperationID string                `json:"operationID"`
	CreatedBy   string                `json:"createdBy"`
	CreatedAt   string                `json:"createdAt"`
	Campaign    *TemplateView         `json:"campaign,omitempty"` // left out of lists
	Warnings    []string              `json:"warnings,omitempty"` // about how often it fires, and about the template if the request held one

	// These fields say when the schedule fires. They stand in the answers to POST and to a PATCH
	// that changes that.
	FiresPerDay float64    `json:"firesPerDay,omitempty"` // on average
	Fires       string     `json:"fires,omitempty"`       // the same in words
	Slots       []SlotView `json:"slots,omitempty"`       // the next five
}

// slotsShown is how many coming slots the answer to POST and PATCH shows.
const slotsShown = 5

// showFiring adds when the schedule fires after an instant.
func (v *ScheduleView) showFiring(t slots.Timetable, sch models.Schedule, after models.Millis) {
	v.FiresPerDay, v.Fires = t.Often()
	v.Slots = slotsJSON(t, sch, after, slotsShown)
}

// TemplateView is a template in a form that can be sent again.
type TemplateView struct {
	Name          string          `json:"name,omitempty"`
	Channel       string          `json:"channel"`
	Message       models.Message  `json:"message"`
	Audience      AudienceBody    `json:"audience"`
	RatePerSecond int             `json:"ratePerSecond,omitempty"`
	Priority      models.Priority `json:"priority"`
	Delivery      models.Delivery `json:"delivery,omitempty"`
	ExpireAfter   string          `json:"expireAfter,omitempty"`
	QuietHours    *QuietHours     `json:"quietHours,omitempty"`
}

func scheduleJSON(s models.Schedule) ScheduleView {
	v := ScheduleView{
		ID: s.PublicID, Name: s.Name, Status: s.Status, Cron: s.Cron, Timezone: s.Timezone, LocalTime: s.LocalTime,
		StartAt: instantJSON(s.StartAt, false), EndAt: instantJSON(s.EndAt, false), Missed: s.Missed, MissedGrace: durationJSON(s.MissedGrace), Overlap: s.Overlap,
		OperationID: s.OperationID, CreatedBy: s.CreatedBy, CreatedAt: shown(s.CreatedAt), Campaign: templateJSON(s.Campaign),
	}
	if s.Status == models.ScheduleActive {
		v.NextSlot = instantJSON(s.NextSlot, s.LocalTime)
	}
	table, err := slots.Of(s)
	if err != nil {
		v.Warnings = []string{models.AsError(err).Detail}
		return v
	}
	v.Warnings = table.Warnings()
	if s.Status == models.ScheduleActive {
		v.NextSlot = instantJSON(table.FirstKept(s), s.LocalTime)
	}
	return v
}

func templateJSON(c models.CampaignSpec) *TemplateView {
	v := &TemplateView{
		Name: c.Name, Channel: c.Channel, Message: c.Message, RatePerSecond: c.RatePerSecond, Priority: c.Priority, Delivery: c.Delivery,
		QuietHours: timingJSON(c.Timing).QuietHours,
	}
	if c.ExpireAfter > 0 {
		v.ExpireAfter = durationJSON(c.ExpireAfter)
	}
	switch c.Audience.Type {
	case models.AudienceAll:
		all := true
		v.Audience.All = &all
	case models.AudienceUsers:
		v.Audience.UserIDs = &c.Audience.UserIDs
	case models.AudienceGroup:
		v.Audience.GroupID = &c.Audience.GroupID
	}
	return v
}

// ScheduleDetails is one schedule with what became of its slots.
type ScheduleDetails struct {
	ScheduleView
	Occurrences []OccurrenceView `json:"occurrences"`
	NextCursor  string           `json:"nextCursor"`
}

// OccurrenceView is what became of a slot.
type OccurrenceView struct {
	Slot       *string        `json:"slot"`               // null = run by hand
	LastSlot   *string        `json:"lastSlot,omitempty"` // the last of a run of missed slots
	Slots      int            `json:"slots"`              // how many this entry stands for
	Outcome    models.Outcome `json:"outcome"`
	Reason     string         `json:"reason"`
	CampaignID string         `json:"campaignID"` // empty = no campaign was made
	At         string         `json:"at"`
}

func occurrenceJSON(s models.Schedule, o models.Occurrence) OccurrenceView {
	v := OccurrenceView{
		LastSlot: instantJSON(o.LastSlot, s.LocalTime), Slots: o.Slots, Outcome: o.Outcome, Reason: o.Reason, CampaignID: o.CampaignID, At: shown(o.CreatedAt),
	}
	if o.Slot != nil {
		v.Slot = instantJSON(*o.Slot, s.LocalTime)
	}
	return v
}

// SlotView is one slot to come.
type SlotView struct {
	UTC   string `json:"utc"`   // with localTime: in the zone where it comes first
	Local string `json:"local"` // with its offset; with localTime the date and clock, the same everywhere
	Note  string `json:"note"`  // that the slot is left out; on days on which the clocks change
}

// SkippedNote marks a slot that somebody leaves out.
const SkippedNote = "skipped"

// slotsJSON returns up to n slots after an instant.
func slotsJSON(t slots.Timetable, sch models.Schedule, after models.Millis, n int) []SlotView {
	views := []SlotView{}
	for slot, fire := t.Next(after); slot != 0 && len(views) < n; slot, fire = t.After(slot) {
		local, note := t.Show(slot)
		switch {
		case !sch.Skips(slot):
		case note == "":
			note = SkippedNote
		default:
			note = SkippedNote + "; " + note
		}
		views = append(views, SlotView{shown(fire), local, note})
	}
	return views
}
