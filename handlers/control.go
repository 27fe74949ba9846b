package handlers

import (
	"net/http"
	"time"
	"unicode/utf8"

	"carillon/models"
)

// controlled answers with the campaign as it is after a change.
func (a *API) controlled(w http.ResponseWriter, r *http.Request, change func(id string) (models.CampaignView, error)) error {
	id, err := pathID(r, "id")
	if err != nil {
		return models.NotFound()
	}
	c, err := change(id)
	if err != nil {
		return err
	}
	return answerData(w, http.StatusOK, a.paced(r.Context(), c))
}

func (a *API) pauseCampaign(w http.ResponseWriter, r *http.Request) error {
	return a.controlled(w, r, func(id string) (models.CampaignView, error) {
		return a.Store.PauseCampaign(r.Context(), id, "paused by "+callerOf(r).UserID)
	})
}

func (a *API) resumeCampaign(w http.ResponseWriter, r *http.Request) error {
	return a.controlled(w, r, func(id string) (models.CampaignView, error) {
		return a.Store.ResumeCampaign(r.Context(), id)
	})
}

func (a *API) cancelCampaign(w http.ResponseWriter, r *http.Request) error {
	return a.controlled(w, r, func(id string) (models.CampaignView, error) {
		return a.Store.CancelCampaign(r.Context(), id, "cancelled by "+callerOf(r).UserID)
	})
}

type retryBody struct {
	Statuses []string      `json:"statuses"`
	ErrCodes []models.Code `json:"errCodes"`
}

// retryable are the outcomes a retry may take up; `unknown` only when named, since it may have been sent.
var retryable = map[string]models.RecipientStatus{
	"failed":  models.RecipientFailed,
	"skipped": models.RecipientSkipped,
	"expired": models.RecipientExpired,
	"unknown": models.RecipientUnknown,
}

func (a *API) retryCampaign(w http.ResponseWriter, r *http.Request) error {
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
	if len(b.Statuses) == 0 {
		b.Statuses = []string{"failed"}
	}
	var c checker
	retry := models.Retry{ErrCodes: b.ErrCodes}
	for _, name := range b.Statuses {
		status, ok := retryable[name]
		if !ok {
			c.add("statuses", "must be of failed, skipped, expired and unknown")
			continue
		}
		retry.Statuses = append(retry.Statuses, status)
	}
	if len(b.ErrCodes) > maxRetryCodes {
		c.add("errCodes", "must be at most %d codes", maxRetryCodes)
	}
	if err := c.err(); err != nil {
		return err
	}
	return a.controlled(w, r, func(id string) (models.CampaignView, error) {
		return a.Store.RetryCampaign(r.Context(), id, retry)
	})
}

// maxRetryCodes keeps a retry within its column.
const maxRetryCodes = 50

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
	if err := decodeJSON(body, &b, refuseUnknown); err != nil {
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
	return a.controlled(w, r, func(id string) (models.CampaignView, error) {
		return a.Store.UpdateCampaign(r.Context(), id, change)
	})
}

func checkPatch(b patchBody, campaign models.Campaign) (models.CampaignChange, error) {
	var c checker
	now := time.Now()
	change := models.CampaignChange{Name: b.Name, RatePerSecond: b.RatePerSecond}
	if b.Name != nil {
		c.atMost("name", "characters", utf8.RuneCountInString(*b.Name), maxNameChars)
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
	}
	return change, c.err()
}

func (a *API) verifyCampaign(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "id")
	if err != nil {
		return models.NotFound()
	}
	report, err := a.Store.Verify(r.Context(), id)
	if err != nil {
		return err
	}
	return answerData(w, http.StatusOK, report)
}
