package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/models"
)

// campaignForm is the form of a new campaign. The names of its controls are the fields of the API's body, where one control is one
// field.
type campaignForm struct {
	Sent     url.Values
	Refused  map[string]string // by control; "" = of none of them
	Said     string            // why the form is shown again; empty = it is new
	Notes    []string
	Channels []string
	Forms    []contentForm
	Tries    []models.FieldError // all refusals, with the controls' labels
}

// formControls are the labels of the controls that are not of a content type, by name.
var formControls = map[string]string{
	"name": "Name", "channel": "Channel", "audience": "Who gets it", "audience.groupID": "Group", "audience.userIDs": "User IDs", "groupMode": "How the group gets it",
	"kind": "Kind of message", "message.sendID": "Sender", "message.senderNickname": "Name of the sender", "message.senderFaceURL": "Picture of the sender",
	"message.ex": "Further text (ex)", "offlinePushInfo.title": "Title on the phone", "offlinePushInfo.desc": "Text on the phone",
	"when": "When", "sendAt": "Date and clock", "zone": "Time zone", "expireAt": "Ends at", "missed": "If that time is over", "missedGrace": "How late",
	"quietHours.from": "Quiet from", "quietHours.to": "Quiet to", "ratePerSecond": "At most … a second", "priority": "Priority", "delivery": "When an answer is lost",
	"testUsers": "Users of the test", "typed": "The number of recipients",
}

// labelOf is the label of a control; "" = there is no such control.
func labelOf(name string) string {
	for _, controls := range []map[string]string{formControls, scheduleControls} {
		if label := controls[name]; label != "" {
			return label
		}
	}
	for _, form := range contentForms {
		for _, field := range form.Fields {
			if field.Name == name {
				return field.Label
			}
		}
	}
	return ""
}

// controlOf finds the control of a field of the API, and what to say before the reason.
func controlOf(field, kind string) (control, before string) {
	field = strings.TrimPrefix(field, "campaign.")
	if rest, ok := strings.CutPrefix(field, "message.content."); ok {
		if form := contentFormOf(kind); form != nil {
			for _, f := range form.Fields {
				for _, path := range f.Paths {
					if rest == path || strings.HasPrefix(rest, path+".") {
						return f.Name, ""
					}
				}
			}
		}
		return "raw.content", rest + " "
	}
	for list, control := range map[string]string{"audience.userIDs.": "audience.userIDs", "userIDs.": "testUsers"} {
		if at, ok := strings.CutPrefix(field, list); ok {
			if n, err := strconv.Atoi(at); err == nil {
				return control, "ID number " + strconv.Itoa(n+1) + " "
			}
		}
	}
	switch field {
	case "message.sessionType":
		return "groupMode", ""
	case "message.contentType":
		return "raw.type", ""
	case "message.content":
		if kind == rawKind {
			return "raw.content", ""
		}
		return "kind", ""
	case "userIDs":
		return "testUsers", ""
	}
	if rest, ok := strings.CutPrefix(field, "message.offlinePushInfo"); ok {
		return "offlinePushInfo" + rest, ""
	}
	return field, ""
}

// refuse puts the findings of an error beside their controls.
func (f *campaignForm) refuse(e *models.Error) {
	if f.Refused == nil {
		f.Refused = map[string]string{}
	}
	for _, found := range e.Fields {
		control, before := controlOf(found.Field, f.Sent.Get("kind"))
		label, reason := labelOf(control), before+found.Reason
		if label == "" {
			control, reason = "", found.Field+" "+reason
		}
		if f.Refused[control] == "" {
			f.Refused[control] = reason
		}
		f.Tries = append(f.Tries, models.FieldError{Field: control, Reason: strings.TrimSpace(label + ": " + reason)})
	}
}

// emptyForm is a form that nobody has typed into.
func (c *Console) emptyForm(in *web.In) url.Values {
	return url.Values{
		"key": {newKey()}, "kind": {"101"}, "message.sendID": {in.UserID}, "when": {"now"}, "zone": {c.api.Zone}, "groupMode": {"2"}, "notification.type": {"1"},
	}
}

// campaignBody is the body of a POST /v1/campaigns for what the form holds. It goes through the API's own reader, so that a form is
// checked as strictly as a body.
func campaignBody(sent url.Values) (raw []byte, body handlers.CampaignBody, err error) {
	object := map[string]any{}
	text := func(control, path string) {
		if v := sent.Get(control); v != "" {
			putAt(object, path, v)
		}
	}
	for _, same := range []string{"name", "channel", "priority", "delivery", "message.sendID", "message.senderNickname", "message.senderFaceURL", "message.ex"} {
		text(same, same)
	}
	text("offlinePushInfo.title", "message.offlinePushInfo.title")
	text("offlinePushInfo.desc", "message.offlinePushInfo.desc")
	for _, is := range []string{"message.isOnlineOnly", "message.notOfflinePush"} {
		if sent.Get(is) != "" {
			putAt(object, is, true)
		}
	}
	if rate := sent.Get("ratePerSecond"); rate != "" {
		object["ratePerSecond"] = contentField{Input: "number"}.value(rate)
	}
	var found []models.FieldError
	session := models.SessionSingle
	switch sent.Get("audience") {
	case "all":
		putAt(object, "audience.all", true)
	case "group":
		putAt(object, "audience.groupID", strings.TrimSpace(sent.Get("audience.groupID")))
		if session, err = strconv.Atoi(sent.Get("groupMode")); err != nil {
			found = append(found, models.FieldError{Field: "groupMode", Reason: "must be chosen"})
		}
	case "users":
		putAt(object, "audience.userIDs", splitIDs(sent.Get("audience.userIDs")))
	default:
		found = append(found, models.FieldError{Field: "audience", Reason: "must be chosen"})
	}
	if form := contentFormOf(sent.Get("kind")); form == nil {
		found = append(found, models.FieldError{Field: "kind", Reason: "must be chosen"})
	} else {
		contentType, content := form.typed(sent)
		putAt(object, "message.contentType", contentType)
		putAt(object, "message.content", content)
		if form.Kind == "1400" || form.Kind == rawKind && strings.TrimSpace(sent.Get("raw.type")) == "1400" {
			session = models.SessionNotification
		}
	}
	putAt(object, "message.sessionType", session)
	found = append(found, putTimes(object, sent)...)
	if len(found) > 0 {
		return nil, body, models.Invalid(found)
	}
	if raw, err = models.JSON(object); err != nil {
		return nil, body, err
	}
	return raw, body, web.Decode(raw, &body, web.RefuseUnknown)
}

// putTimes sets when the campaign goes out and when it ends.
func putTimes(object map[string]any, sent url.Values) (found []models.FieldError) {
	instant := func(field string) {
		at, reason := readTime(sent.Get(field), sent.Get("zone"))
		if reason != "" {
			found = append(found, models.FieldError{Field: field, Reason: reason})
		} else if !at.IsZero() {
			object[field] = at.Format(time.RFC3339)
		}
	}
	instant("expireAt")
	if when := sent.Get("when"); when == "at" || when == "local" {
		if sent.Get("sendAt") == "" {
			found = append(found, models.FieldError{Field: "sendAt", Reason: "is required"})
		} else if when == "at" {
			instant("sendAt")
		} else {
			wall := sent.Get("sendAt")
			if _, err := time.Parse(controlTime, wall); err == nil {
				wall += ":00"
			}
			object["sendAt"], object["localTime"] = wall, true
		}
		for _, name := range []string{"missed", "missedGrace"} {
			if v := sent.Get(name); v != "" {
				object[name] = v
			}
		}
	} else if when != "now" {
		found = append(found, models.FieldError{Field: "when", Reason: "must be chosen"})
	}
	for _, end := range []string{"from", "to"} {
		if sent.Get("quietHours.from") != "" || sent.Get("quietHours.to") != "" {
			putAt(object, "quietHours."+end, sent.Get("quietHours."+end))
		}
	}
	return found
}

// mostCopied is how many listed recipients are copied into a form.
const mostCopied = 1000

// copyCampaign fills the form with a campaign that was made before. status copies the recipients with that outcome alone; empty =
// the whole audience.
func (c *Console) copyCampaign(in *web.In, f *campaignForm, id, status string) error {
	v, err := c.api.GetCampaign(in.Context(), in.Call, id)
	if err != nil {
		return err
	}
	sent, m := f.Sent, v.Message
	sent.Set("name", v.Name)
	sent.Set("channel", v.Channel)
	sent.Set("delivery", string(v.Delivery))
	if v.RatePerSecond > 0 {
		sent.Set("ratePerSecond", strconv.Itoa(v.RatePerSecond))
	}
	if v.QuietHours != nil {
		sent.Set("quietHours.from", v.QuietHours.From)
		sent.Set("quietHours.to", v.QuietHours.To)
	}
	if o := m.OfflinePushInfo; o != nil && (o.Ex != "" || o.IOSPushSound != "" || o.IOSBadgeCount) {
		f.Notes = append(f.Notes, "The sound, the badge and ex of what the phone shows are not copied.")
	}
	fillMessage(sent, *m)
	f.Notes = append(f.Notes, "This is a copy of “"+campaignTitle(v)+"”. The time is not copied.")
	if status == "" && v.Audience.Type != models.AudienceUsers {
		sent.Set("audience", string(v.Audience.Type))
		sent.Set("audience.groupID", v.Audience.GroupID)
		return nil
	}
	return c.copyRecipients(in, f, v, status)
}

// fillMessage fills the form with a message.
func fillMessage(sent url.Values, m models.Message) {
	for name, text := range map[string]string{"message.sendID": m.SendID, "message.senderNickname": m.SenderNickname, "message.senderFaceURL": m.SenderFaceURL, "message.ex": m.Ex} {
		sent.Set(name, text)
	}
	for name, is := range map[string]bool{"message.isOnlineOnly": m.IsOnlineOnly, "message.notOfflinePush": m.NotOfflinePush} {
		if is {
			sent.Set(name, "1")
		}
	}
	if o := m.OfflinePushInfo; o != nil {
		sent.Set("offlinePushInfo.title", o.Title)
		sent.Set("offlinePushInfo.desc", o.Desc)
	}
	sent.Set("groupMode", strconv.Itoa(max(models.SessionGroup, min(m.SessionType, models.SessionLargeGroup))))
	fillContent(sent, m)
}

// copyRecipients fills in the recipients of a campaign, where they are few enough.
func (c *Console) copyRecipients(in *web.In, f *campaignForm, v handlers.CampaignView, status string) error {
	f.Sent.Set("audience", "users")
	asked := handlers.RecipientPage{ID: v.ID}
	asked.Limit = mostCopied
	if status != "" {
		i := slices.Index(models.RecipientStatusNames, status)
		if i < 0 {
			return web.Refuse("status", "must be one of "+strings.Join(models.RecipientStatusNames, ", "))
		}
		wanted := models.RecipientStatus(i)
		asked.Status = &wanted
	}
	list, err := c.api.ListRecipients(in.Context(), in.Call, asked)
	if err != nil {
		return err
	}
	if list.NextCursor != "" || list.PurgedAt != nil || len(list.Recipients) == 0 {
		f.Notes = append(f.Notes, "Its recipients are not copied: they are more than "+count(mostCopied)+", or are not there. Save them from the campaign’s page and paste their IDs here.")
		return nil
	}
	ids := make([]string, len(list.Recipients))
	for i, r := range list.Recipients {
		ids[i] = r.UserID
	}
	f.Sent.Set("audience.userIDs", strings.Join(ids, "\n"))
	return nil
}

// sendAgainTo are the outcomes whose recipients may get another message.
func sendAgainTo(c models.Counts) (list []outcome) {
	for _, o := range outcomes(c) {
		if o.N > 0 && o.N <= mostCopied && o.Name != "pending" {
			list = append(list, o)
		}
	}
	return list
}

// formStatus is an error as a form that is shown again tells it, and the status of that page.
func formStatus(in *web.In, err error) (status int, e *models.Error) {
	status, e = in.Refusal(err)
	if status == http.StatusBadRequest {
		status = http.StatusUnprocessableEntity
	}
	return status, e
}
