package console

import (
	"context"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gorilla/mux"

	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/models"
)

// campaignFuncs are the functions of the campaigns' templates.
var campaignFuncs = template.FuncMap{
	"rate":        rateOf,
	"eta":         func(seconds int64) string { return duration(time.Duration(seconds) * time.Second) },
	"standing":    standing,
	"others":      func(n models.Counts) int64 { return n.Total - n.Sent - n.Pending },
	"missing":     func(n handlers.EstimateCounts) int64 { return n.Total - n.Sent },
	"there":       thereAt,
	"instant":     func(seconds int64) time.Time { return time.Unix(seconds, 0) },
	"wrong":       wrongOf,
	"control":     controlFor,
	"fieldID":     fieldID,
	"plain":       plainNumber,
	"retryable":   retryable,
	"sendAgainTo": sendAgainTo,
}

func (c *Console) oneCampaignRoutes(r *mux.Router) {
	r.Handle("/campaigns/new", c.page(c.newCampaign)).Methods(get, head)
	r.Handle("/campaigns/new", c.page(c.postCampaign)).Methods(post)
	r.Handle("/campaigns/{id}", c.page(c.campaign)).Methods(get, head)
	r.Handle("/campaigns/{id}/live", c.page(c.campaignLive)).Methods(get)
	r.Handle("/campaigns/{id}/report", c.page(c.campaignReport)).Methods(get, head)
	r.Handle("/campaigns/{id}/failures", c.page(c.campaignFailures)).Methods(get, head)
	r.Handle("/campaigns/{id}/recipients", c.page(c.campaignRecipients)).Methods(get, head)
	r.Handle("/campaigns/{id}/verify", c.page(c.campaignVerify)).Methods(get, head)
	r.Handle("/campaigns/{id}/cancel", c.page(c.askToCancel)).Methods(get, head)
	r.Handle("/campaigns/{id}/pause", c.page(c.control(c.api.PauseCampaign, "paused"))).Methods(post)
	r.Handle("/campaigns/{id}/resume", c.page(c.control(c.api.ResumeCampaign, "resumed"))).Methods(post)
	r.Handle("/campaigns/{id}/cancel", c.page(c.control(c.api.CancelCampaign, "cancelled"))).Methods(post)
	r.Handle("/campaigns/{id}/retry", c.page(c.retryCampaign)).Methods(post)
	r.Handle("/campaigns/{id}/change", c.page(c.changeCampaign)).Methods(post)
}

// campaignPage is what the page of one campaign shows.
type campaignPage struct {
	handlers.CampaignView
	handlers.CampaignZoneList
	Message    preview
	Chart      []handlers.ChartPoint
	History    []campaignEvent
	Older      bool // the event log has more of them
	Change     changeForm
	Refused    string          // why a form did nothing
	Meanwhile  []campaignEvent // what others have changed since the form's page was opened
	Report     bool            // the page is to be printed: it has no forms
	Unfinished bool            // it may still be paused, resumed, cancelled, and changed
}

// changeForm are the fields of a campaign that can be changed, as somebody typed them, and as they were when the form was made.
type changeForm struct {
	Name, Rate, ExpireAt, Zone    string
	WasName, WasRate, WasExpireAt string
	Refused                       map[string]string
}

// campaignTitle is how pages call a campaign.
func campaignTitle(v handlers.CampaignView) string {
	if v.Name == "" {
		return "Campaign " + v.ID
	}
	return v.Name
}

func (c *Console) campaign(in *web.In) error {
	v, err := c.oneCampaign(in)
	if err != nil {
		return err
	}
	return c.showCampaign(in, http.StatusOK, campaignPage{CampaignView: v})
}

// campaignReport is the campaign's page without what only a screen needs.
func (c *Console) campaignReport(in *web.In) error {
	v, err := c.oneCampaign(in)
	if err != nil {
		return err
	}
	return c.showCampaign(in, http.StatusOK, campaignPage{CampaignView: v, Report: true})
}

// oneCampaign reads the campaign that the path names.
func (c *Console) oneCampaign(in *web.In) (v handlers.CampaignView, err error) {
	id, err := in.Known("campaign")
	if err != nil {
		return v, err
	}
	return c.api.GetCampaign(in.Context(), in.Call, id)
}

// showCampaign shows the page of a campaign; p holds the campaign, and what a refused form has to say.
func (c *Console) showCampaign(in *web.In, status int, p campaignPage) (err error) {
	v := p.CampaignView
	p.Message, p.Unfinished = previewOf(v.Message), v.FinishedAt == nil
	if p.CampaignZoneList, err = c.api.CampaignZones(in.Context(), in.Call, v.ID); err != nil {
		return err
	}
	if p.Chart, err = c.api.CampaignChart(in.Context(), in.Call, v.ID); err != nil {
		return err
	}
	if p.History, p.Older, err = c.campaignHistory(in.Context(), in.Call, v.ID); err != nil {
		return err
	}
	if p.Change.Refused == nil {
		p.Change = c.changeFormOf(v)
	}
	return c.showWith(in, status, "campaign.html", page{Title: campaignTitle(v), Here: "campaigns", Data: p})
}

// campaignLive streams the part of a campaign's page that moves.
func (c *Console) campaignLive(in *web.In) error {
	id, err := in.Known("campaign")
	if err != nil {
		return err
	}
	return c.api.FollowCampaign(in, id, func(v handlers.CampaignView) (string, error) {
		body, err := c.pages.render("campaign-live", v)
		return string(body), err
	})
}

// standing is how a campaign stands, for a form: an operator who decides by a page must see what others have decided since.
func standing(v handlers.CampaignView) string {
	if v.Status == models.StatusPaused { // for another reason than before, it was resumed and paused meanwhile
		return string(v.Status) + ": " + v.StatusReason
	}
	return string(v.Status)
}

// unchanged reads a form about the campaign's state, and says whether the campaign stands as it did when the form was made. If it
// does not, the answer is its page, with what has changed.
func (c *Console) unchanged(in *web.In) (v handlers.CampaignView, sent url.Values, ok bool, err error) {
	if sent, err = form(in, web.ControlBody); err != nil {
		return v, nil, false, err
	}
	if v, err = c.oneCampaign(in); err != nil {
		return v, nil, false, err
	}
	if was := sent.Get("was"); was == "" || was == standing(v) {
		return v, sent, true, nil
	}
	return v, sent, false, c.showCampaign(in, http.StatusConflict, campaignPage{
		CampaignView: v, Refused: "Somebody has changed this campaign since you opened its page. Nothing was done.",
		Meanwhile: c.lastChanges(in.Context(), in.Call, v.ID),
	})
}

// control serves a button that changes a campaign's state.
func (c *Console) control(do func(context.Context, web.Call, string) (handlers.CampaignView, error), did string) web.Handler {
	return func(in *web.In) error {
		v, _, ok, err := c.unchanged(in)
		if err != nil || !ok {
			return err
		}
		if _, err := do(in.Context(), in.Call, v.ID); err != nil {
			return c.refuseCampaign(in, v.ID, err)
		}
		return c.next(in, c.pages.path("/campaigns/", v.ID), did)
	}
}

// refuseCampaign shows the page of a campaign with why a form did nothing, or returns an error that is no refusal.
func (c *Console) refuseCampaign(in *web.In, id string, err error) error {
	if _, ok := refused(err); !ok {
		return err
	}
	v, now := c.api.GetCampaign(in.Context(), in.Call, id)
	if now != nil {
		return now
	}
	return c.showCampaign(in, web.StatusOf(err, models.AsError(err), false), campaignPage{CampaignView: v, Refused: sentence(models.AsError(err).Words())})
}

// askToCancel is the question before a campaign is cancelled.
func (c *Console) askToCancel(in *web.In) error {
	v, err := c.oneCampaign(in)
	if err != nil {
		return err
	}
	return c.show(in, "campaign_cancel.html", page{Title: "Cancel this campaign?", Here: "campaigns", Data: v})
}

// retryCampaign tries the recipients of a finished campaign again: those of the form's statuses, and of one error if it names one.
func (c *Console) retryCampaign(in *web.In) error {
	v, sent, ok, err := c.unchanged(in)
	if err != nil || !ok {
		return err
	}
	body := handlers.RetryBody{Statuses: sent["status"]}
	if code := sent.Get("errCode"); code != "" {
		n, err := strconv.ParseInt(code, 10, 32)
		if err != nil {
			return web.Refuse("errCode", "must be a number")
		}
		body.ErrCodes = []models.Code{models.Code(n)}
	}
	answer, err := c.api.RetryCampaign(in.Context(), in.Call, handlers.Retry{ID: v.ID, RetryBody: body})
	if err != nil {
		return c.refuseCampaign(in, v.ID, err)
	}
	if answer.Retrying == 0 {
		return c.showCampaign(in, http.StatusConflict, campaignPage{CampaignView: answer.CampaignView, Refused: "Nobody is left to be tried again. Nothing was done."})
	}
	return c.next(in, c.pages.path("/campaigns/", v.ID), "retried")
}

// changeFormOf is the form as it is first shown.
func (c *Console) changeFormOf(v handlers.CampaignView) changeForm {
	rate := strconv.Itoa(v.RatePerSecond)
	if v.RatePerSecond == 0 {
		rate = ""
	}
	expireAt := deref(v.ExpireAt)
	return changeForm{Name: v.Name, Rate: rate, ExpireAt: writeTime(expireAt, c.api.Zone), Zone: c.api.Zone, WasName: v.Name, WasRate: rate, WasExpireAt: expireAt}
}

// changeCampaign changes the fields that differ from what the form showed. A field that somebody else has changed meanwhile
// refuses the whole form: it comes again with what stands there now.
func (c *Console) changeCampaign(in *web.In) error {
	sent, err := form(in, web.ControlBody)
	if err != nil {
		return err
	}
	v, err := c.oneCampaign(in)
	if err != nil {
		return err
	}
	typed := changeForm{
		Name: sent.Get("name"), Rate: sent.Get("ratePerSecond"), ExpireAt: sent.Get("expireAt"), Zone: sent.Get("zone"),
		WasName: sent.Get("was-name"), WasRate: sent.Get("was-ratePerSecond"), WasExpireAt: sent.Get("was-expireAt"), Refused: map[string]string{},
	}
	change := typed.change(v.ID)
	if len(typed.Refused) == 0 {
		_, err = c.api.PatchCampaign(in.Context(), in.Call, change)
		if err == nil {
			return c.next(in, c.pages.path("/campaigns/", v.ID), "changed")
		}
		fields, ok := refused(err)
		if !ok {
			return err
		}
		typed.Refused = fields
	}
	shown := campaignPage{CampaignView: v, Refused: "The change was refused. Nothing was done."}
	if err != nil && web.StatusOf(err, models.AsError(err), false) == http.StatusConflict {
		now := c.changeFormOf(v)
		typed.WasName, typed.WasRate, typed.WasExpireAt = now.WasName, now.WasRate, now.WasExpireAt
		shown.Refused = sentence(models.AsError(err).Detail) + " Nothing was done."
		for _, f := range models.AsError(err).Fields {
			shown.Meanwhile = append(shown.Meanwhile, c.lastChanges(in.Context(), in.Call, v.ID, f.Field)...)
		}
	}
	shown.Change = typed
	return c.showCampaign(in, statusOfRefusal(err), shown)
}

// statusOfRefusal is the status of a form that is shown again.
func statusOfRefusal(err error) int {
	if err == nil {
		return http.StatusUnprocessableEntity
	}
	return web.StatusOf(err, models.AsError(err), false)
}

// change is what is to be changed. What cannot be read goes into Refused.
func (f *changeForm) change(id string) handlers.CampaignChange {
	change := handlers.CampaignChange{ID: id, Seen: &models.CampaignSeen{Name: f.WasName}}
	if f.Name != f.WasName {
		change.Name = &f.Name
	}
	change.Seen.RatePerSecond, _ = f.rate(f.WasRate)
	if f.Rate != f.WasRate {
		n, ok := f.rate(f.Rate)
		if !ok {
			f.Refused["ratePerSecond"] = "must be a whole number; leave it empty for no limit"
		}
		change.RatePerSecond = &n
	}
	was, _ := time.Parse(time.RFC3339, f.WasExpireAt)
	if !was.IsZero() {
		change.Seen.ExpireAt = models.Millis(was.UnixMilli())
	}
	if f.ExpireAt != writeTime(f.WasExpireAt, f.Zone) {
		at, reason := readTime(f.ExpireAt, f.Zone)
		if reason != "" {
			f.Refused["expireAt"] = reason
		}
		text := ""
		if !at.IsZero() {
			text = at.Format(time.RFC3339)
		}
		change.ExpireAt = &text
	}
	return change
}

// rate reads a rate. Empty is 0, no limit.
func (f *changeForm) rate(text string) (n int, ok bool) {
	if text == "" {
		return 0, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}

// verification is what a verification has found.
type verification struct {
	handlers.CampaignView
	Report models.Report
}

// campaignVerify compares the counts with the recipients, which takes a while for a large campaign.
func (c *Console) campaignVerify(in *web.In) error {
	v, err := c.oneCampaign(in)
	if err != nil {
		return err
	}
	report, err := c.api.VerifyCampaign(in.Context(), in.Call, v.ID)
	if err != nil {
		return c.refuseCampaign(in, v.ID, err)
	}
	return c.show(in, "campaign_verify.html", page{Title: "Verification of " + campaignTitle(v), Here: "campaigns", Data: verification{v, report}})
}

// rateOf is a measured rate in words.
func rateOf(perSecond float64) string {
	if perSecond >= 10 || perSecond == float64(int64(perSecond)) {
		return count(int64(perSecond + 0.5))
	}
	return strconv.FormatFloat(perSecond, 'f', 1, 64)
}

// retryable says whether recipients of a campaign may be tried again now.
func retryable(v handlers.CampaignView) bool {
	return v.FinishedAt != nil && v.StartedAt != nil && v.PurgedAt == nil && models.Transition(v.Status, models.StatusRunning) == nil
}
