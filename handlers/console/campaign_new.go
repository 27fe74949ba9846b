package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/models"
)

// newCampaign shows the form. The query may fill it: copy=ID with status=OUTCOME, user=ID or group=ID.
func (c *Console) newCampaign(in *web.In) error {
	f := campaignForm{Sent: c.emptyForm(in)}
	if id := in.Query("copy"); id != "" {
		if err := c.copyCampaign(in, &f, id, in.Query("status")); err != nil {
			return err
		}
	}
	if users := in.R.URL.Query()["user"]; len(users) > 0 {
		f.Sent.Set("audience", "users")
		f.Sent.Set("audience.userIDs", strings.Join(users, "\n"))
	}
	if id := in.Query("group"); id != "" {
		f.Sent.Set("audience", "group")
		f.Sent.Set("audience.groupID", id)
	}
	return c.showCampaignForm(in, http.StatusOK, f)
}

func (c *Console) showCampaignForm(in *web.In, status int, f campaignForm) error {
	f.Forms = contentForms
	for _, t := range c.api.Channels {
		f.Channels = append(f.Channels, t.Name)
	}
	return c.showWith(in, status, "campaign_new.html", page{Title: "New campaign", Here: "campaigns", Data: f})
}

// postCampaign does what the pressed button says: look what the campaign would do, send a test, send it, or go back to the form.
func (c *Console) postCampaign(in *web.In) error {
	sent, err := form(in, web.ListBody)
	if err != nil {
		return err
	}
	f := campaignForm{Sent: sent}
	for name, values := range sent {
		if !utf8.ValidString(name + strings.Join(values, "")) {
			return web.Refuse("body", "must be UTF-8")
		}
	}
	if sent.Get("key") == "" {
		sent.Set("key", newKey())
	}
	step := sent.Get("step")
	for _, once := range []string{"step", "typed", "total", "testUsers", "testKey"} {
		if step == "edit" || once == "step" {
			sent.Del(once)
		}
	}
	if step == "edit" {
		return c.showCampaignForm(in, http.StatusOK, f)
	}
	raw, body, err := campaignBody(sent)
	if err != nil {
		return c.refuseForm(in, f, err)
	}
	switch step {
	case "send":
		if sent.Get("audience") != "all" {
			return c.sendCampaign(in, f, raw, body)
		}
		if total := sent.Get("total"); total != "" && onlyDigits(sent.Get("typed")) == total {
			return c.sendCampaign(in, f, raw, body)
		}
		f.Refused = map[string]string{"typed": "is not the number of recipients that stands here"}
		return c.checkCampaign(in, http.StatusUnprocessableEntity, f, body, nil)
	case "test":
		return c.testCampaign(in, f, raw, body)
	}
	return c.checkCampaign(in, http.StatusOK, f, body, nil)
}

// onlyDigits leaves out what people write between the digits of a number.
func onlyDigits(text string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, text)
}

// refuseForm shows the form again with all that was typed, whatever went wrong.
func (c *Console) refuseForm(in *web.In, f campaignForm, err error) error {
	status, e := formStatus(in, err)
	f.Said = "Nothing was sent. Mend what is marked below."
	f.refuse(e)
	switch {
	case e.Code == models.CodeIdempotencyMismatch: // the form was sent, changed and sent again
		f.Sent.Set("key", newKey())
		f.Said = "This form has made a campaign already. What you changed since was not sent. To make another campaign, go on here."
	case len(e.Fields) == 0:
		f.Said = sentence(e.Words()) + " Nothing was sent."
	}
	return c.showCampaignForm(in, status, f)
}

// sendCampaign makes the campaign. The form's key makes one campaign of a form that is sent twice.
func (c *Console) sendCampaign(in *web.In, f campaignForm, raw []byte, body handlers.CampaignBody) error {
	made, err := c.api.CreateCampaign(in.Context(), in.WithKey(f.Sent.Get("key"), raw), body)
	if made.ID == "" && err != nil {
		return c.refuseForm(in, f, err)
	}
	return c.next(in, c.pages.path("/campaigns/", made.ID), "created")
}

// campaignCheck is the page before a campaign goes out.
type campaignCheck struct {
	campaignForm
	handlers.Estimate
	Kept    []keptField
	All     bool // it goes to all users, and the number must be typed
	Name    string
	Message preview
	TestKey string
	Tested  string // the campaign of the test that was just sent; empty = none
	Testers []string
}

// keptField is a field of the form, which the page hands on.
type keptField struct{ Name, Value string }

// checkCampaign says what the campaign would do. tested is the campaign of a test that was just sent.
func (c *Console) checkCampaign(in *web.In, status int, f campaignForm, body handlers.CampaignBody, tested *handlers.Accepted) error {
	estimate, err := c.api.EstimateCampaign(in.Context(), in.Call, body)
	if err != nil {
		return c.refuseForm(in, f, err)
	}
	p := campaignCheck{
		campaignForm: f, Estimate: estimate, All: f.Sent.Get("audience") == "all", Name: body.Name, TestKey: newKey(),
		Message: previewOf(&models.Message{
			SendID: body.Message.SendID, SenderNickname: body.Message.SenderNickname, Content: []byte(body.Message.Content), ContentType: body.Message.ContentType,
			IsOnlineOnly: body.Message.IsOnlineOnly, NotOfflinePush: body.Message.NotOfflinePush, OfflinePushInfo: body.Message.OfflinePushInfo,
		}),
	}
	if tested != nil {
		p.Tested, p.Testers = tested.ID, splitIDs(f.Sent.Get("testUsers"))
	}
	for _, name := range sortedNames(f.Sent) {
		if !slices.Contains([]string{"typed", "total", "testUsers", "testKey"}, name) {
			p.Kept = append(p.Kept, keptField{name, f.Sent.Get(name)})
		}
	}
	return c.showWith(in, status, "campaign_check.html", page{Title: "Check before it goes", Here: "campaigns", Data: p})
}

func sortedNames(values url.Values) []string {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// testCampaign sends the message to the users of the test alone, and shows the check again.
func (c *Console) testCampaign(in *web.In, f campaignForm, raw []byte, body handlers.CampaignBody) error {
	users := splitIDs(f.Sent.Get("testUsers"))
	key := append(raw, strings.Join(users, "\n")...)
	made, err := c.api.TestCampaign(in.Context(), in.WithKey(f.Sent.Get("testKey"), key), handlers.TestBody{Campaign: &body, UserIDs: users})
	if made.ID != "" {
		return c.checkCampaign(in, http.StatusOK, f, body, &made)
	}
	status, e := formStatus(in, err)
	f.refuse(e)
	if len(e.Fields) == 0 {
		f.Refused["testUsers"] = e.Words()
	}
	f.Said = "The test was not sent."
	return c.checkCampaign(in, status, f, body, nil)
}

// formControl is a control of the form for the template control.
type formControl struct {
	Name, ID, Label, Input, Hint, Value, Reason string
}

// controlFor makes a control; its label is that of formControls or contentForms.
func controlFor(f campaignForm, name, input, hint string) formControl {
	return formControl{name, fieldID(name), labelOf(name), input, hint, f.Sent.Get(name), f.Refused[name]}
}

func fieldID(name string) string { return "f-" + strings.ReplaceAll(name, ".", "-") }

// wrongField is why a control's value was refused.
type wrongField struct{ ID, Reason string }

func wrongOf(reasons map[string]string, name string) wrongField {
	return wrongField{fieldID(name) + "-error", reasons[name]}
}

// plainNumber is a number without groups, for a hidden field.
func plainNumber(n int64) string { return strconv.FormatInt(n, 10) }
