package console

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/models"
)

// scheduleForm is the form of a schedule. Its message, audience and pace are the controls of a new campaign.
type scheduleForm struct {
	campaignForm
	Schedule string            // which schedule is changed; empty = a new one
	Preview  *handlers.Preview // of what is typed; nil = not asked for, or not possible
	Fault    string            // why there is no preview
	Kept     int               // how many listed recipients the form stands for without showing them
}

// Form is the part that a campaign's form has too, for the templates of that.
func (f scheduleForm) Form() campaignForm { return f.campaignForm }

// scheduleControls are the labels of the controls that a campaign's form does not have, by name.
var scheduleControls = map[string]string{
	"cron": "When it fires", "timezone": "Time zone", "localTime": "By each user’s own clock", "startAt": "Not before", "endAt": "Not after",
	"overlap": "If the last one still runs", "expireAfter": "Ends after",
}

// newSchedule shows the form of a new schedule.
func (c *Console) newSchedule(in *web.In) error {
	sent := c.emptyForm(in)
	sent.Del("when") // a schedule has slots
	sent.Set("timezone", c.api.Zone)
	return c.showScheduleForm(in, http.StatusOK, scheduleForm{campaignForm: campaignForm{Sent: sent}})
}

// editSchedule shows the form with what the schedule is now.
func (c *Console) editSchedule(in *web.In) error {
	v, err := c.scheduleToChange(in)
	if err != nil {
		return err
	}
	f := scheduleForm{campaignForm: campaignForm{Sent: c.emptyForm(in)}, Schedule: v.ID}
	f.Sent.Del("when")
	f.fill(v)
	return c.showScheduleForm(in, http.StatusOK, f)
}

func (c *Console) scheduleToChange(in *web.In) (handlers.ScheduleView, error) {
	id, err := in.Known("schedule")
	if err != nil {
		return handlers.ScheduleView{}, err
	}
	v, err := c.api.GetSchedule(in.Context(), in.Call, handlers.OlderPage{ID: id, Limit: 1})
	return v.ScheduleView, err
}

// fill fills the form with a schedule.
func (f *scheduleForm) fill(v handlers.ScheduleView) {
	t := v.Campaign
	for name, text := range map[string]string{
		"seen": stateOf(v), "name": v.Name, "cron": v.Cron, "timezone": v.Timezone, "missed": string(v.Missed), "missedGrace": span(v.MissedGrace), "overlap": string(v.Overlap),
		"startAt": writeTime(deref(v.StartAt), v.Timezone), "endAt": writeTime(deref(v.EndAt), v.Timezone),
		"channel": t.Channel, "priority": string(t.Priority), "delivery": string(t.Delivery), "expireAfter": span(t.ExpireAfter),
	} {
		f.Sent.Set(name, text)
	}
	if v.LocalTime {
		f.Sent.Set("localTime", "1")
	}
	if t.RatePerSecond > 0 {
		f.Sent.Set("ratePerSecond", plainNumber(int64(t.RatePerSecond)))
	}
	if t.QuietHours != nil {
		f.Sent.Set("quietHours.from", t.QuietHours.From)
		f.Sent.Set("quietHours.to", t.QuietHours.To)
	}
	fillMessage(f.Sent, t.Message)
	switch {
	case t.Audience.All != nil:
		f.Sent.Set("audience", "all")
	case t.Audience.GroupID != nil:
		f.Sent.Set("audience", "group")
		f.Sent.Set("audience.groupID", *t.Audience.GroupID)
	case len(*t.Audience.UserIDs) > membersInForm:
		f.Sent.Set("audience", "users")
		f.Kept = len(*t.Audience.UserIDs)
	default:
		f.Sent.Set("audience", "users")
		f.Sent.Set("audience.userIDs", strings.Join(*t.Audience.UserIDs, "\n"))
	}
}

// stateOf tells one state of a schedule from another: what its slots are, and what it sends.
func stateOf(v handlers.ScheduleView) string {
	v.NextSlot, v.Warnings, v.Status = nil, nil, ""
	text, err := models.JSON(v)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

func (c *Console) showScheduleForm(in *web.In, status int, f scheduleForm) error {
	f.Forms = contentForms
	for _, t := range c.api.Channels {
		f.Channels = append(f.Channels, t.Name)
	}
	title := "New schedule"
	if f.Schedule != "" {
		title = "Change the schedule"
	}
	if f.Preview == nil && f.Sent.Get("cron") != "" {
		f.Preview, f.Fault = c.slotsAhead(in, f.Sent)
	}
	return c.showWith(in, status, "schedule_form.html", page{Title: title, Here: "schedules", Data: f})
}

// slotsInPreview is how many coming slots a preview shows.
const slotsInPreview = 8

// slotsAhead are the slots that the typed times would have. fault says in words why there are none.
func (c *Console) slotsAhead(in *web.In, sent url.Values) (p *handlers.Preview, fault string) {
	times, err := scheduleTimes(sent, c.api.Zone)
	if err == nil {
		var found handlers.Preview
		if found, err = c.api.PreviewTimes(in.Context(), in.Call, times, slotsInPreview); err == nil {
			return &found, ""
		}
	}
	e := models.AsError(err)
	if len(e.Fields) == 0 {
		return nil, e.Words()
	}
	for i, found := range e.Fields {
		if i > 0 {
			fault += " "
		}
		fault += scheduleControls[found.Field] + ": " + found.Reason + "."
	}
	return nil, fault
}

// previewSlots answers with the coming slots of what is typed, as a part of the page.
func (c *Console) previewSlots(in *web.In) error {
	sent, err := form(in, web.ControlBody)
	if err != nil {
		return err
	}
	f := scheduleForm{campaignForm: campaignForm{Sent: sent}}
	if sent.Get("cron") != "" {
		f.Preview, f.Fault = c.slotsAhead(in, sent)
	}
	return c.part(in, http.StatusOK, "schedule-preview", f)
}

// scheduleTimes reads when a schedule fires. Dates and clocks are those of its zone.
func scheduleTimes(sent url.Values, zone string) (b handlers.ScheduleBody, err error) {
	cron, local := strings.TrimSpace(sent.Get("cron")), sent.Get("localTime") != ""
	if typed := strings.TrimSpace(sent.Get("timezone")); typed != "" {
		zone = typed
	}
	b.Cron, b.Timezone, b.LocalTime = &cron, &zone, &local
	var found []models.FieldError
	for name, into := range map[string]**string{"startAt": &b.StartAt, "endAt": &b.EndAt} {
		text := ""
		at, reason := readTime(sent.Get(name), zone)
		if reason != "" {
			found = append(found, models.FieldError{Field: name, Reason: reason})
		} else if !at.IsZero() {
			text = at.Format(time.RFC3339)
		}
		*into = &text
	}
	return b, models.Invalid(found)
}

// scheduleBody is the body of a POST or PATCH for what the form holds.
func scheduleBody(sent url.Values, zone string) (b handlers.ScheduleBody, err error) {
	b, wrongTimes := scheduleTimes(sent, zone)
	name := sent.Get("name")
	b.Name = &name
	if missed := models.Missed(sent.Get("missed")); missed != "" {
		b.Missed = &missed
	}
	if overlap := models.Overlap(sent.Get("overlap")); overlap != "" {
		b.Overlap = &overlap
	}
	if grace := strings.TrimSpace(sent.Get("missedGrace")); grace != "" {
		b.MissedGrace = &grace
	}
	template := maps.Clone(sent)
	for _, own := range []string{"name", "missed", "missedGrace", "expireAt", "sendAt"} {
		template.Del(own)
	}
	template.Set("when", "now")
	_, campaign, err := campaignBody(template)
	if err == nil {
		err = wrongTimes
	}
	campaign.ExpireAfter = strings.TrimSpace(sent.Get("expireAfter"))
	b.Campaign = &campaign
	return b, err
}

// saveSchedule makes or changes a schedule, or shows the form again with its coming slots.
func (c *Console) saveSchedule(in *web.In) error {
	sent, err := form(in, web.ListBody)
	if err != nil {
		return err
	}
	f := scheduleForm{campaignForm: campaignForm{Sent: sent}}
	for name, values := range sent {
		if !utf8.ValidString(name + strings.Join(values, "")) {
			return web.Refuse("body", "must be UTF-8")
		}
	}
	var old handlers.ScheduleView
	if in.Var("id") != "" {
		if old, err = c.scheduleToChange(in); err != nil {
			return err
		}
		f.Schedule = old.ID
		if old.Campaign.Audience.UserIDs != nil && len(*old.Campaign.Audience.UserIDs) > membersInForm {
			f.Kept = len(*old.Campaign.Audience.UserIDs)
		}
	}
	if sent.Get("key") == "" {
		sent.Set("key", newKey())
	}
	step := sent.Get("step")
	sent.Del("step")
	if step == "preview" {
		return c.showScheduleForm(in, http.StatusOK, f)
	}
	if f.Kept > 0 && sent.Get("audience") == "users" && strings.TrimSpace(sent.Get("audience.userIDs")) == "" {
		sent.Set("audience.userIDs", strings.Join(*old.Campaign.Audience.UserIDs, "\n"))
		defer sent.Del("audience.userIDs")
	}
	body, err := scheduleBody(sent, c.api.Zone)
	if err != nil {
		return c.refuseSchedule(in, f, err)
	}
	if f.Schedule == "" {
		raw := maps.Clone(sent)
		raw.Del("key")
		made, err := c.api.CreateSchedule(in.Context(), in.WithKey(sent.Get("key"), []byte(raw.Encode())), body)
		if err != nil {
			return c.refuseSchedule(in, f, err)
		}
		return c.next(in, c.pages.path("/schedules/", made.PublicID), "schedule")
	}
	if now := stateOf(old); sent.Get("seen") != now {
		sent.Set("seen", now)
		return c.refuseSchedule(in, f, models.Errorf(models.CodeIllegalTransition, "somebody changed this schedule while you typed. Look at the schedule, then save again if yours is right"))
	}
	keepHidden(&body, old, sent)
	if _, err := c.api.PatchSchedule(in.Context(), in.Call, handlers.ScheduleChange{ID: f.Schedule, ScheduleBody: body}); err != nil {
		return c.refuseSchedule(in, f, err)
	}
	return c.next(in, c.pages.path("/schedules/", f.Schedule), "changed")
}

// keepHidden keeps what the form has no control for, or shows in less detail than it is.
func keepHidden(b *handlers.ScheduleBody, old handlers.ScheduleView, sent url.Values) {
	for name, instant := range map[string]struct {
		old *string
		to  **string
	}{"startAt": {old.StartAt, &b.StartAt}, "endAt": {old.EndAt, &b.EndAt}} {
		if instant.old != nil && sent.Get("timezone") == old.Timezone && sent.Get(name) == writeTime(*instant.old, old.Timezone) {
			*instant.to = nil
		}
	}
	b.Campaign.Name = old.Campaign.Name
	b.Campaign.Message.SenderPlatformID = old.Campaign.Message.SenderPlatformID
	was := old.Campaign.Message.OfflinePushInfo
	if was == nil || was.Ex == "" && was.IOSPushSound == "" && !was.IOSBadgeCount {
		return
	}
	push := *was
	push.Title, push.Desc = sent.Get("offlinePushInfo.title"), sent.Get("offlinePushInfo.desc")
	b.Campaign.Message.OfflinePushInfo = &push
}

// refuseSchedule shows the form again with all that was typed.
func (c *Console) refuseSchedule(in *web.In, f scheduleForm, err error) error {
	status, e := formStatus(in, err)
	f.Said = "Nothing was saved. Mend what is marked below."
	f.refuse(e)
	switch {
	case e.Code == models.CodeIdempotencyMismatch: // the form was sent, changed and sent again
		f.Sent.Set("key", newKey())
		f.Said = "This form has made a schedule already. What you changed since was not saved. To make another schedule, go on here."
	case len(e.Fields) == 0:
		f.Said = sentence(e.Words()) + " Nothing was saved."
	}
	return c.showScheduleForm(in, status, f)
}
