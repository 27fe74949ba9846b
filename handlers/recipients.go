package handlers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"carillon/handlers/web"
	"carillon/internal/zones"
	"carillon/models"
)

// RecipientView is one recipient with their status.
type RecipientView struct {
	UserID      string      `json:"userID,omitempty"`
	GroupID     string      `json:"groupID,omitempty"` // instead, where a message is stored once for a group
	Status      string      `json:"status"`
	Attempts    int         `json:"attempts"`
	ErrCode     models.Code `json:"errCode"`
	ErrMsg      string      `json:"errMsg"`
	ClientMsgID string      `json:"clientMsgID"`
	ServerMsgID string      `json:"serverMsgID"`
	SentAt      *string     `json:"sentAt"`
	Why         string      `json:"why,omitempty"` // in words; where one recipient is asked for
}

// recipientJSON renders a recipient of c. inInbox: the campaign's channel stores in the inbox.
func recipientJSON(c models.Campaign, rec models.Recipient, inInbox bool) RecipientView {
	v := RecipientView{Status: rec.Status.String(), Attempts: rec.Attempts, ClientMsgID: models.ClientMsgID(c.PublicID, rec.Kind, rec.UserID)}
	if rec.Kind == models.KindGroup {
		v.GroupID = rec.UserID
	} else {
		v.UserID = rec.UserID
	}
	if rec.ErrCode != nil {
		v.ErrCode = *rec.ErrCode
	}
	if rec.ErrMsg != nil {
		v.ErrMsg = *rec.ErrMsg
	}
	if v.ErrMsg == "" && (rec.Status == models.RecipientFailed || rec.Status == models.RecipientSkipped || rec.Status == models.RecipientUnknown) {
		v.ErrMsg = models.NoReason
	}
	if rec.SentAt != nil {
		v.SentAt = instantJSON(*rec.SentAt, false)
	}
	switch {
	case rec.ServerMsgID != nil:
		v.ServerMsgID = *rec.ServerMsgID
	case rec.Status == models.RecipientSent && inInbox:
		v.ServerMsgID = v.ClientMsgID // the row is the message, so its one ID is also the server's
	}
	return v
}

// wantedStatus reads ?status=; nil = any.
func wantedStatus(in *web.In) (*models.RecipientStatus, error) {
	name := in.Query("status")
	if name == "" {
		return nil, nil
	}
	i := slices.Index(models.RecipientStatusNames, name)
	if i < 0 {
		return nil, web.Refuse("status", "must be one of "+strings.Join(models.RecipientStatusNames, ", "))
	}
	s := models.RecipientStatus(i)
	return &s, nil
}

// RecipientList is a page of a campaign's recipients.
type RecipientList struct {
	NextCursor string          `json:"nextCursor"`
	Planned    *bool           `json:"planned,omitempty"`  // false: more recipients are still to come; absent = purged
	PurgedAt   *string         `json:"purgedAt,omitempty"` // from when on the recipients are gone
	Recipients []RecipientView `json:"recipients"`
}

// RecipientPage is which recipients of which campaign are asked for.
type RecipientPage struct {
	ID string
	models.RecipientFilter
}

// ReadRecipientPage reads which recipients are asked for.
func ReadRecipientPage(in *web.In) (p RecipientPage, err error) {
	if p.From, p.Limit, err = web.ParsePlacePage(in.R); err != nil {
		return p, err
	}
	if p.Status, err = wantedStatus(in); err != nil {
		return p, err
	}
	p.ID, err = in.Known("campaign")
	return p, err
}

// ListRecipients pages through a campaign's recipients.
func (a *API) ListRecipients(ctx context.Context, _ web.Call, p RecipientPage) (RecipientList, error) {
	c, err := a.Store.Campaign(ctx, p.ID)
	if err != nil {
		return RecipientList{}, err
	}
	if c.PurgedAt != 0 {
		return RecipientList{Recipients: []RecipientView{}, PurgedAt: instantJSON(c.PurgedAt, false)}, nil
	}
	list, next, err := a.Store.Recipients(ctx, c.Campaign, p.RecipientFilter)
	if err != nil {
		return RecipientList{}, err
	}
	views, inInbox := make([]RecipientView, len(list)), a.Store.StoresInInbox(c.Channel)
	for i, rec := range list {
		views[i] = recipientJSON(c.Campaign, rec, inInbox)
	}
	// An audience that is still being cut has no last page: its nextCursor is never empty.
	planned := c.Planned || next == nil
	return RecipientList{Recipients: views, NextCursor: web.PlaceCursor(next), Planned: &planned}, nil
}

// RecipientOf is one recipient of one campaign.
type RecipientOf struct{ CampaignID, UserID string }

func recipientOf(in *web.In) (of RecipientOf, err error) {
	if of.UserID, err = in.ID("userID"); err != nil {
		return of, err
	}
	of.CampaignID, err = in.Known("campaign")
	return of, err
}

// GetRecipient shows what became of one recipient, and why.
func (a *API) GetRecipient(ctx context.Context, _ web.Call, of RecipientOf) (v RecipientView, err error) {
	c, err := a.Store.Campaign(ctx, of.CampaignID)
	if err != nil {
		return v, err
	}
	rec, err := a.Store.Recipient(ctx, c.Campaign, of.UserID)
	if err != nil {
		return v, err
	}
	v = recipientJSON(c.Campaign, rec, a.Store.StoresInInbox(c.Channel))
	v.Why = why(c, rec)
	if c.Zoned() {
		said, err := a.unknownZone(ctx, c, of.UserID)
		if err != nil {
			return RecipientView{}, err
		}
		v.Why += said
	}
	return v, nil
}

// unknownZone says that a recipient goes by another time zone than their own; "" when they do not.
func (a *API) unknownZone(ctx context.Context, c models.CampaignView, userID string) (string, error) {
	u, err := a.Store.User(ctx, userID)
	if err != nil {
		if models.AsError(err).Code == models.CodeRecordNotFound { // they have left the directory
			return "", nil
		}
		return "", err
	}
	if u.Timezone == "" {
		return "", nil
	}
	if _, err := zones.Load(u.Timezone); err == nil {
		return "", nil
	}
	return fmt.Sprintf("; their time zone %q is not known to this program, so %s counts", u.Timezone, c.Zone), nil
}

// why says in words how a recipient came to their status, or what they wait for.
func why(c models.CampaignView, rec models.Recipient) string {
	said := ""
	if rec.ErrMsg != nil {
		said = ": " + *rec.ErrMsg
	}
	switch rec.Status {
	case models.RecipientSent:
		return fmt.Sprintf("the channel accepted it at attempt %d", rec.Attempts)
	case models.RecipientFailed:
		return "failed for good after " + plural(int64(rec.Attempts), "attempt", "attempts") + said
	case models.RecipientSkipped:
		return "rightly not sent" + said
	case models.RecipientExpired:
		if c.StartedAt == 0 {
			return "the campaign ended before it started: " + c.StatusReason
		}
		if c.ExpireAfter != 0 {
			return "expireAfter had passed since their local time before it was their turn"
		}
		return "the campaign's expireAt passed before it was their turn"
	case models.RecipientCancelled:
		return "the campaign was cancelled before it was their turn"
	case models.RecipientUnknown:
		return "it may or may not have been sent, and delivery is atMostOnce" + said
	case models.RecipientPending, models.RecipientClaimed:
	}
	switch {
	case c.Status != models.StatusRunning:
		return fmt.Sprintf("still to come; the campaign is %s", c.Status)
	case rec.NextAttemptAt != nil:
		return "to be tried again at " + rec.NextAttemptAt.Shown(time.RFC3339) + " after " + plural(int64(rec.Attempts), "attempt", "attempts") + said
	}
	return "still to come"
}
