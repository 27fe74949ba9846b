package handlers

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"carillon/handlers/web"
	"carillon/internal/slots"
	"carillon/models"
)

// controlled is the campaign as it is after a change. A change of its state is logged as what.
func (a *API) controlled(ctx context.Context, call web.Call, what, id string, change func() (models.CampaignView, error)) (CampaignView, error) {
	before, err := a.Store.Campaign(ctx, id)
	if err != nil {
		return CampaignView{}, err
	}
	c, err := change()
	if err != nil {
		return CampaignView{}, err
	}
	if c.Status != before.Status {
		a.Log.Info(what, "campaign", c, "by", models.ViaOf(ctx), "operationID", call.OperationID)
	}
	return a.withPace(ctx, c), nil
}

// PauseCampaign stops a campaign until it is resumed.
func (a *API) PauseCampaign(ctx context.Context, call web.Call, id string) (CampaignView, error) {
	return a.controlled(ctx, call, "campaign paused", id, func() (models.CampaignView, error) {
		return a.Store.PauseCampaign(ctx, id, "paused by "+call.UserID)
	})
}

// ResumeCampaign lets a paused campaign go on.
func (a *API) ResumeCampaign(ctx context.Context, call web.Call, id string) (CampaignView, error) {
	return a.controlled(ctx, call, "campaign resumed", id, func() (models.CampaignView, error) {
		return a.Store.ResumeCampaign(ctx, id)
	})
}

// CancelCampaign ends a campaign for good.
func (a *API) CancelCampaign(ctx context.Context, call web.Call, id string) (CampaignView, error) {
	return a.controlled(ctx, call, "campaign cancelled", id, func() (models.CampaignView, error) {
		return a.Store.CancelCampaign(ctx, id, "cancelled by "+call.UserID)
	})
}

// RetryBody is the body of a retry. It may be left out.
type RetryBody struct {
	Statuses []string      `json:"statuses"` // absent = failed
	ErrCodes []models.Code `json:"errCodes"` // absent = any
}

// RetryAnswer is the campaign, and how many recipients are tried again.
type RetryAnswer struct {
	CampaignView
	Retrying int64 `json:"retrying"`
}

// Retry is which campaign is retried, and for whom.
type Retry struct {
	ID string
	RetryBody
}

func readRetry(in *web.In) (req Retry, err error) {
	if req.ID, err = in.Known("campaign"); err != nil {
		return req, err
	}
	body, err := in.Body(web.ControlBody)
	if err != nil || len(body) == 0 {
		return req, err
	}
	err = web.Decode(body, &req.RetryBody, web.RefuseUnknown)
	return req, err
}

// RetryCampaign tries recipients of a finished campaign again.
func (a *API) RetryCampaign(ctx context.Context, call web.Call, req Retry) (RetryAnswer, error) {
	retry, err := req.check()
	if err != nil {
		return RetryAnswer{}, err
	}
	c, n, err := a.Store.RetryCampaign(ctx, req.ID, retry)
	if err != nil {
		return RetryAnswer{}, err
	}
	if n > 0 {
		a.Log.Info("campaign retried", "campaign", c, "recipients", n, "by", models.ViaOf(ctx), "operationID", call.OperationID)
	}
	return RetryAnswer{a.withPace(ctx, c), n}, nil
}

// check reads the names; what a retry may take up is the ledger's to know. An empty list is no
// absent one: who meant none of the codes would get all of them.
func (b *RetryBody) check() (models.Retry, error) {
	var c checker
	retry := models.Retry{Statuses: []models.RecipientStatus{models.RecipientFailed}, ErrCodes: b.ErrCodes}
	if b.Statuses != nil {
		retry.Statuses = nil
	}
	for i, name := range b.Statuses {
		status := slices.Index(models.RecipientStatusNames, name)
		if status < 0 {
			c.add("statuses."+strconv.Itoa(i), "must be of failed, skipped, expired and unknown")
		}
		retry.Statuses = append(retry.Statuses, models.RecipientStatus(status))
	}
	if b.Statuses != nil && len(b.Statuses) == 0 {
		c.add("statuses", "must name at least one; leave it out for failed")
	}
	if b.ErrCodes != nil && len(b.ErrCodes) == 0 {
		c.add("errCodes", "must name at least one; leave it out for any")
	}
	return retry, c.err()
}

// CampaignPatch is the body of PATCH /v1/campaigns/{id}. An absent field stays as it is.
type CampaignPatch struct {
	Name          *string `json:"name"`
	RatePerSecond *int    `json:"ratePerSecond"`
	ExpireAt      *string `json:"expireAt"` // empty = never
	SendAt        *string `json:"sendAt"`
}

// CampaignChange is which campaign is changed, and how.
type CampaignChange struct {
	ID string
	CampaignPatch
	Seen *models.CampaignSeen // the campaign as the caller saw it; nil = whatever it is
}

func readCampaignChange(in *web.In) (c CampaignChange, err error) {
	if err := decodePatch(in, web.ControlBody, &c.CampaignPatch, web.RefuseUnknown); err != nil {
		return c, err
	}
	c.ID, err = in.Known("campaign")
	return c, err
}

// PatchCampaign changes a campaign, also a running one.
func (a *API) PatchCampaign(ctx context.Context, call web.Call, asked CampaignChange) (CampaignView, error) {
	campaign, err := a.Store.Campaign(ctx, asked.ID)
	if err != nil {
		return CampaignView{}, err
	}
	change, err := checkPatch(asked.CampaignPatch, campaign.Campaign)
	if err != nil {
		return CampaignView{}, err
	}
	change.Seen = asked.Seen
	c, err := a.Store.UpdateCampaign(ctx, campaign.PublicID, change)
	if err != nil {
		return CampaignView{}, err
	}
	a.Log.Info("campaign changed", "campaign", c, "by", models.ViaOf(ctx), "operationID", call.OperationID)
	return a.withPace(ctx, c), nil
}

// decodePatch reads a body that changes something, where a null could be meant to keep what is there or to
// take it away.
func decodePatch(in *web.In, limit int64, into any, unknown web.UnknownFields) error {
	if err := in.Decode(limit, into, unknown); err != nil {
		return err
	}
	var fields map[string]jsontext.Value
	if err := json.Unmarshal(in.Raw, &fields); err != nil {
		return err
	}
	var c checker
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if fields[name].Kind() == 'n' {
			c.add(name, `must not be null; leave it out to keep what is there, or give "" to take a time away`)
		}
	}
	return c.err()
}

func checkPatch(b CampaignPatch, campaign models.Campaign) (models.CampaignChange, error) {
	var c checker
	now := time.Now()
	change := models.CampaignChange{Name: b.Name, RatePerSecond: b.RatePerSecond}
	if b.Name != nil {
		c.name(*b.Name)
	}
	if b.RatePerSecond != nil {
		c.rate(*b.RatePerSecond)
	}
	begin, end, last := campaign.SendAt, campaign.ExpireAt, ""
	if b.SendAt != nil {
		var at models.Millis
		if campaign.WallAt != 0 {
			wall, first := c.wallAt(*b.SendAt, now)
			change.WallAt, at = &wall, first
		} else {
			at = c.sendAt(*b.SendAt, now)
		}
		change.SendAt, begin, last = &at, at, "sendAt"
	}
	if b.ExpireAt != nil {
		at := c.expireAt(*b.ExpireAt, now)
		change.ExpireAt, end, last = &at, at, "expireAt"
	}
	if last != "" && end != 0 && end <= begin {
		c.add(last, "must leave expireAt after sendAt")
	} else if last != "" && c.err() == nil {
		timing := campaign.Timing
		if change.WallAt != nil {
			timing.WallAt = *change.WallAt
		}
		if !slots.Reachable(timing, max(begin, models.Millis(now.UnixMilli())), end, 0) {
			c.add(last, "leaves nobody a moment outside quietHours before expireAt")
		}
	}
	return change, c.err()
}

// VerifyCampaign compares a campaign's counts with its recipients.
func (a *API) VerifyCampaign(ctx context.Context, _ web.Call, id string) (models.Report, error) {
	return a.Store.Verify(ctx, id)
}
