package handlers

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"carillon/internal/slots"
	"carillon/models"
)

// controlled answers with the campaign as it is after a change. A change of its state is logged as what.
func (a *API) controlled(w http.ResponseWriter, r *http.Request, what string, change func(id string) (models.CampaignView, error)) error {
	before, err := a.campaign(r)
	if err != nil {
		return err
	}
	c, err := change(before.PublicID)
	if err != nil {
		return err
	}
	if c.Status != before.Status {
		a.Log.Info(what, "campaign", c, "by", callerOf(r).UserID, "operationID", operationID(r.Context()))
	}
	return answerData(w, http.StatusOK, a.withPace(r.Context(), c))
}

func (a *API) pauseCampaign(w http.ResponseWriter, r *http.Request) error {
	return a.controlled(w, r, "campaign paused", func(id string) (models.CampaignView, error) {
		return a.Store.PauseCampaign(r.Context(), id, "paused by "+callerOf(r).UserID)
	})
}

func (a *API) resumeCampaign(w http.ResponseWriter, r *http.Request) error {
	return a.controlled(w, r, "campaign resumed", func(id string) (models.CampaignView, error) {
		return a.Store.ResumeCampaign(r.Context(), id)
	})
}

func (a *API) cancelCampaign(w http.ResponseWriter, r *http.Request) error {
	return a.controlled(w, r, "campaign cancelled", func(id string) (models.CampaignView, error) {
		return a.Store.CancelCampaign(r.Context(), id, "cancelled by "+callerOf(r).UserID)
	})
}

type retryBody struct {
	Statuses []string      `json:"statuses"` // absent = failed
	ErrCodes []models.Code `json:"errCodes"` // absent = any
}

// retryAnswer is the campaign, and how many recipients are tried again.
type retryAnswer struct {
	campaignView
	Retrying int64 `json:"retrying"`
}

func (a *API) retryCampaign(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "id")
	if err != nil {
		return models.NotFound("campaign")
	}
	body, err := a.readBody(w, r, controlBody)
	if err != nil {
		return err
	}
	var b retryBody
	if len(body) > 0 {
		if err := decodeJSON(body, &b, refuseUnknown); err != nil {
			return err
		}
	}
	retry, err := b.check()
	if err != nil {
		return err
	}
	c, n, err := a.Store.RetryCampaign(r.Context(), id, retry)
	if err != nil {
		return err
	}
	if n > 0 {
		a.Log.Info("campaign retried", "campaign", c, "recipients", n, "by", callerOf(r).UserID, "operationID", operationID(r.Context()))
	}
	return answerData(w, http.StatusOK, retryAnswer{a.withPace(r.Context(), c), n})
}

// check reads the names; what a retry may take up is the ledger's to know. An empty list is no
// absent one: who meant none of the codes would get all of them.
func (b *retryBody) check() (models.Retry, error) {
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

type patchBody struct {
	Name          *string `json:"name"`
	RatePerSecond *int    `json:"ratePerSecond"`
	ExpireAt      *string `json:"expireAt"` // empty = never
	SendAt        *string `json:"sendAt"`
}

func (a *API) patchCampaign(w http.ResponseWriter, r *http.Request) error {
	body, err := a.readBody(w, r, controlBody)
	if err != nil {
		return err
	}
	var b patchBody
	if err := decodePatch(body, &b, refuseUnknown); err != nil {
		return err
	}
	campaign, err := a.campaign(r)
	if err != nil {
		return err
	}
	change, err := checkPatch(b, campaign.Campaign)
	if err != nil {
		return err
	}
	c, err := a.Store.UpdateCampaign(r.Context(), campaign.PublicID, change)
	if err != nil {
		return err
	}
	a.Log.Info("campaign changed", "campaign", c, "by", callerOf(r).UserID, "operationID", operationID(r.Context()))
	return answerData(w, http.StatusOK, a.withPace(r.Context(), c))
}

// decodePatch is decodeJSON for a change, where a null could be meant to keep what is there or to
// take it away.
func decodePatch(body []byte, into any, unknown unknownFields) error {
	if err := decodeJSON(body, into, unknown); err != nil {
		return err
	}
	var fields map[string]jsontext.Value
	if err := json.Unmarshal(body, &fields); err != nil {
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

func checkPatch(b patchBody, campaign models.Campaign) (models.CampaignChange, error) {
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

func (a *API) verifyCampaign(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "id")
	if err != nil {
		return models.NotFound("campaign")
	}
	report, err := a.Store.Verify(r.Context(), id)
	if err != nil {
		return err
	}
	return answerData(w, http.StatusOK, report)
}
