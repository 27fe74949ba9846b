package handlers

import (
	"fmt"
	"net/http"

	"carillon/models"
)

const maxUsersPut = 1000

type usersBody struct {
	Users []models.UserChange `json:"users"`
}

// putUsers adds and changes up to 1,000 users, all or none. An absent field stays as it is.
func (a *API) putUsers(w http.ResponseWriter, r *http.Request) error {
	body, err := a.readBody(w, r, listBody)
	if err != nil {
		return err
	}
	var b usersBody
	if err := decodeJSON(body, &b, refuseUnknown); err != nil {
		return err
	}
	if err := b.check(); err != nil {
		return err
	}
	done, err := a.Store.PutUsers(r.Context(), b.Users)
	if err != nil {
		return err
	}
	return answerData(w, http.StatusOK, done)
}

func (b *usersBody) check() error {
	var c checker
	switch n := len(b.Users); {
	case b.Users == nil:
		c.add("users", "is required")
	case n > maxUsersPut:
		return tooMany("users", maxUsersPut, n, "; POST /v1/users/import takes any number")
	}
	for i, u := range b.Users {
		for _, f := range u.Check() {
			c.add(fmt.Sprintf("users.%d.%s", i, f.Field), "%s", f.Reason)
		}
	}
	return c.err()
}

// tooMany is the answer to a list that is too long: 3004.
func tooMany(field string, limit, n int, hint string) error {
	reason := fmt.Sprintf("must have at most %d entries, has %d%s", limit, n, hint)
	e := models.Errorf(models.CodeTooLarge, "%s %s", field, reason)
	e.Fields = []models.FieldError{{Field: field, Reason: reason}}
	return e
}

// listUsers pages through the directory in the order of the IDs' bytes. With search, it lists the
// users whose IDs begin with that text.
func (a *API) listUsers(w http.ResponseWriter, r *http.Request) error {
	after, limit, err := parseIDPage(r)
	if err != nil {
		return err
	}
	prefix := r.URL.Query().Get("search")
	if why := models.CheckID(prefix); prefix != "" && why != "" {
		return queryError("search", why)
	}
	users, err := a.Store.Users(r.Context(), prefix, after, limit+1)
	if err != nil {
		return err
	}
	page, next := cutPage(users, limit, func(u models.User) string { return u.UserID })
	return answerData(w, http.StatusOK, map[string]any{"users": page, "nextCursor": next})
}

func (a *API) getUser(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "id")
	if err != nil {
		return err
	}
	user, err := a.Store.User(r.Context(), id)
	if err != nil {
		return err
	}
	return answerData(w, http.StatusOK, user)
}

// UserCampaignView is what became of a user in one campaign.
type UserCampaignView struct {
	CampaignID     string        `json:"campaignID"`
	Name           string        `json:"name"`
	CampaignStatus models.Status `json:"campaignStatus"`
	Channel        string        `json:"channel"`
	Audience       string        `json:"audience"`
	CreatedAt      string        `json:"createdAt"`
	// Recipient is null if the user is no recipient. With a groupID the message stands once for the
	// group, and the user reads it there.
	Recipient *recipientView `json:"recipient"`
	Why       string         `json:"why"`
}

// UserCampaignJSON renders what became of a user in one campaign. inInbox: the campaign's channel stores in the inbox.
func UserCampaignJSON(u models.UserCampaign, inInbox bool) UserCampaignView {
	c := u.Campaign
	v := UserCampaignView{CampaignID: c.PublicID, Name: c.Name, CampaignStatus: c.Status, Channel: c.Channel,
		Audience: string(c.AudienceType), CreatedAt: shown(c.CreatedAt), Why: u.WhyNot}
	if u.Recipient != nil {
		rec := recipientJSON(c, *u.Recipient, inInbox)
		v.Recipient, v.Why = &rec, why(models.CampaignView{Campaign: c}, *u.Recipient)
	}
	return v
}

// userCampaigns lists the campaigns that a user is or could have been a recipient of, newest first.
// A user who has left the directory keeps this list.
func (a *API) userCampaigns(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "id")
	if err != nil {
		return err
	}
	before, limit, err := parseBeforePage(r)
	if err != nil {
		return err
	}
	list, next, err := a.Store.UserCampaigns(r.Context(), id, before, limit)
	if err != nil {
		return err
	}
	views := make([]UserCampaignView, len(list))
	for i, u := range list {
		views[i] = UserCampaignJSON(u, a.Store.StoresInInbox(u.Campaign.Channel))
	}
	nextCursor := ""
	if next != 0 {
		nextCursor = encodeCursor(beforeCursor(next))
	}
	return answerData(w, http.StatusOK, map[string]any{"campaigns": views, "nextCursor": nextCursor})
}

// deleteUser takes a user out of the directory. Campaigns under way skip the user.
func (a *API) deleteUser(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "id")
	if err != nil {
		return err
	}
	if err := a.Store.DeleteUser(r.Context(), id); err != nil {
		return err
	}
	return answerData(w, http.StatusOK, struct{}{})
}
