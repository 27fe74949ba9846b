package handlers

import (
	"time"

	"carillon/handlers/web"
	"carillon/internal/slots"
	"carillon/internal/zones"
	"carillon/models"
)

// ScheduleBody is the body of POST and PATCH /v1/schedules. On PATCH, an absent field stays as it
// is.
type ScheduleBody struct {
	Name        *string         `json:"name"`
	Cron        *string         `json:"cron"`
	Timezone    *string         `json:"timezone"`
	LocalTime   *bool           `json:"localTime"`
	StartAt     *string         `json:"startAt"` // empty = none
	EndAt       *string         `json:"endAt"`   // empty = none
	Missed      *models.Missed  `json:"missed"`
	MissedGrace *string         `json:"missedGrace"`
	Overlap     *models.Overlap `json:"overlap"`
	Campaign    *CampaignBody   `json:"campaign"`
}

// scheduleUnknown is campaignUnknown for the template.
var scheduleUnknown = func() web.UnknownFields {
	in := web.UnknownFields{}
	for field, reason := range campaignUnknown {
		in["campaign."+field] = reason
	}
	return in
}()

// apply checks the fields that are given, and puts them into sch.
func (b *ScheduleBody) apply(c *checker, sch *models.Schedule) {
	set(&sch.Name, b.Name)
	set(&sch.Cron, b.Cron)
	set(&sch.Timezone, b.Timezone)
	set(&sch.LocalTime, b.LocalTime)
	if b.Name != nil {
		c.name(*b.Name)
	}
	if b.StartAt != nil {
		sch.StartAt = c.instantOrNone("startAt", *b.StartAt)
	}
	if b.EndAt != nil {
		sch.EndAt = c.instantOrNone("endAt", *b.EndAt)
	}
	if sch.EndAt != 0 && sch.EndAt <= sch.StartAt {
		c.add("endAt", "must be after startAt")
	}
	if b.Missed != nil || b.MissedGrace != nil || sch.Missed == "" {
		policy, grace := sch.Missed, ""
		if sch.Missed != "" {
			grace = durationJSON(sch.MissedGrace)
		}
		set(&policy, b.Missed)
		set(&grace, b.MissedGrace)
		sch.Missed, sch.MissedGrace = c.missed(policy, grace, defaultGrace)
	}
	set(&sch.Overlap, b.Overlap)
	switch sch.Overlap {
	case "":
		sch.Overlap = models.OverlapSkip
	case models.OverlapSkip, models.OverlapAllow:
	default:
		c.add("overlap", "must be skip or allow")
	}
	if b.Campaign != nil {
		sch.Campaign = c.template(b.Campaign)
		sch.LocalTime = sch.LocalTime || b.Campaign.LocalTime
	}
	if sch.LocalTime {
		c.prefix = "campaign."
		c.ownZones("localTime", &sch.Campaign)
		c.prefix = ""
	}
}

func set[T any](field, given *T) {
	if given != nil {
		*field = *given
	}
}

// template checks the campaign of a schedule. Fields that name one instant are refused.
func (c *checker) template(b *CampaignBody) models.CampaignSpec {
	c.prefix = "campaign."
	defer func() { c.prefix = "" }()
	spec := c.campaign(b)
	if b.SendAt != nil {
		c.add("sendAt", "cannot be used in a schedule, whose slots say when")
	}
	if b.ExpireAt != "" {
		c.add("expireAt", "cannot be used in a schedule; say expireAfter, such as 12h")
	}
	if b.Missed != "" || b.MissedGrace != "" {
		c.add("missed", "stands in the schedule itself")
	}
	if b.ExpireAfter != "" {
		d, err := time.ParseDuration(b.ExpireAfter)
		if err != nil || d < time.Second || d > maxExpireAfter {
			c.add("expireAfter", "must be a duration like 12h, from 1s to %s", maxExpireAfter)
		}
		spec.ExpireAfter = models.Millis(d.Milliseconds())
	}
	return spec
}

const maxExpireAfter = 366 * 24 * time.Hour

// timetable checks when a schedule fires. With findings it returns the zero Timetable.
func (c *checker) timetable(sch models.Schedule) slots.Timetable {
	loc, err := zones.Load(sch.Timezone)
	if err != nil {
		c.add("timezone", "%s", err)
		loc = time.UTC
	}
	if sch.Cron == "" {
		c.add("cron", "is required")
		return slots.Timetable{}
	}
	spec, err := slots.Parse(sch.Cron, loc, sch.Anchor.Time())
	if err != nil {
		c.add("cron", "%s", err)
		return slots.Timetable{}
	}
	if sch.LocalTime && spec.Interval() {
		c.add("cron", "must be fixed to a local time to go with localTime; an interval follows real time")
	}
	if c.err() != nil {
		return slots.Timetable{}
	}
	table, err := slots.Of(sch)
	if err != nil {
		c.add("cron", "%s", err)
	}
	return table
}

// plan sets a schedule's next slot after now. It refuses a schedule that has none.
func (c *checker) plan(sch *models.Schedule, now models.Millis) error {
	table := c.timetable(*sch)
	if err := c.err(); err != nil {
		return err
	}
	if sch.NextSlot, sch.NextFire = table.Next(now); sch.NextSlot == 0 {
		field := "cron"
		if sch.EndAt != 0 {
			field = "endAt"
		}
		c.add(field, "leaves no slot to come")
	}
	c.reachable(table, sch, now)
	return c.err()
}

// slotsAhead is how many coming slots reachable checks.
const slotsAhead = 100

// reachable refuses a schedule with a slot that could be sent to nobody, because its campaign ends
// before quiet hours end.
func (c *checker) reachable(t slots.Timetable, sch *models.Schedule, now models.Millis) {
	spec := sch.Campaign
	if !spec.Quiet() || spec.ExpireAfter == 0 || c.err() != nil {
		return
	}
	slot, fire := t.Next(now)
	for range slotsAhead {
		if slot == 0 {
			return
		}
		timing, start := spec.Timing, fire
		if sch.LocalTime {
			timing.WallAt, start = slot, 0
		}
		if !slots.Reachable(timing, start, 0, spec.ExpireAfter) {
			local, _ := t.Show(slot)
			c.add("campaign.expireAfter", "is over before quietHours are, at the slot of %s: nobody could get it", local)
			return
		}
		slot, fire = t.After(slot)
	}
}
