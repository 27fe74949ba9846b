package handlers

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"carillon/handlers/web"
	"carillon/models"
)

const maxUsersPut = 1000

// UsersBody is the body of POST /v1/users.
type UsersBody struct {
	Users []models.UserChange `json:"users"`
}

// PutUsers adds and changes up to 1,000 users, all or none. An absent field stays as it is.
func (a *API) PutUsers(ctx context.Context, _ web.Call, b UsersBody) (models.UserCounts, error) {
	if err := b.check(); err != nil {
		return models.UserCounts{}, err
	}
	return a.Store.PutUsers(ctx, b.Users)
}

func (b *UsersBody) check() error {
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

// UserList is a page of users.
type UserList struct {
	NextCursor string        `json:"nextCursor"`
	Users      []models.User `json:"users"`
}

// UserPage is which users are asked for: those whose IDs begin with Search, or those whose nicknames
// begin with Nickname. At most one of the two is given.
type UserPage struct {
	Page          // of the list by ID
	Search        string
	Nickname      string
	AfterNickname models.NicknameCursor // of the list by nickname
}

// ReadUserPage reads the query of GET /v1/users.
func ReadUserPage(in *web.In) (p UserPage, err error) {
	p.Search, p.Nickname = in.Query("search"), in.Query("nickname")
	switch {
	case p.Nickname == "":
		p.Page, err = page(in)
	case p.Search != "":
		return p, web.Refuse("nickname", "cannot be used with search: leave one of them out")
	case !utf8.ValidString(p.Nickname) || utf8.RuneCountInString(p.Nickname) > models.MaxNameChars || models.CheckLine(p.Nickname) != "":
		return p, web.Refuse("nickname", fmt.Sprintf("must be a text of at most %d characters, without control characters", models.MaxNameChars))
	default:
		p.AfterNickname, p.Limit, err = nicknamePage(in)
	}
	if err != nil {
		return p, err
	}
	if why := models.CheckID(p.Search); p.Search != "" && why != "" {
		return p, web.Refuse("search", why)
	}
	return p, nil
}

// nicknameCursor is the text behind the nextCursor of a list by nickname. No nickname holds a line
// end.
func nicknameCursor(u models.User) string { return u.Nickname + "\n" + u.UserID }

func nicknamePage(in *web.In) (after models.NicknameCursor, limit int, err error) {
	cursor, limit, err := web.ParsePage(in.R)
	if err != nil || cursor == "" {
		return after, limit, err
	}
	nickname, id, _ := strings.Cut(cursor, "\n")
	if models.CheckID(id) != "" {
		return after, limit, web.Refuse("cursor", "must be a nextCursor of this list")
	}
	return models.NicknameCursor{Nickname: nickname, UserID: id}, limit, nil
}

// ListUsers pages through the directory in the order of the IDs' bytes, or of the nicknames.
func (a *API) ListUsers(ctx context.Context, _ web.Call, p UserPage) (list UserList, err error) {
	if p.Nickname != "" {
		users, err := a.Store.UsersByNickname(ctx, p.Nickname, p.AfterNickname, p.Limit+1)
		if err == nil {
			list.Users, list.NextCursor = web.CutPage(users, p.Limit, nicknameCursor)
		}
		return list, err
	}
	users, err := a.Store.Users(ctx, p.Search, p.After, p.Limit+1)
	if err == nil {
		list.Users, list.NextCursor = web.CutPage(users, p.Limit, func(u models.User) string { return u.UserID })
	}
	return list, err
}

// GetUser shows one user.
func (a *API) GetUser(ctx context.Context, _ web.Call, id string) (models.User, error) {
	return a.Store.User(ctx, id)
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
	Recipient *RecipientView `json:"recipient"`
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

// UserCampaignList is a page of what became of a user.
type UserCampaignList struct {
	Campaigns  []UserCampaignView `json:"campaigns"`
	NextCursor string             `json:"nextCursor"`
}

// UserCampaigns lists the campaigns that a user is or could have been a recipient of, newest first.
// A user who has left the directory keeps this list.
func (a *API) UserCampaigns(ctx context.Context, _ web.Call, p OlderPage) (list UserCampaignList, err error) {
	found, next, err := a.Store.UserCampaigns(ctx, p.ID, p.Before, p.Limit)
	if err != nil {
		return list, err
	}
	list.Campaigns = make([]UserCampaignView, len(found))
	for i, u := range found {
		list.Campaigns[i] = UserCampaignJSON(u, a.Store.StoresInInbox(u.Campaign.Channel))
	}
	if next != 0 {
		list.NextCursor = web.EncodeCursor(web.BeforeCursor(next))
	}
	return list, nil
}

// DeleteUser takes a user out of the directory. Campaigns under way skip the user.
func (a *API) DeleteUser(ctx context.Context, _ web.Call, id string) (nothing, error) {
	return nothing{}, a.Store.DeleteUser(ctx, id)
}

// DirectoryView is how large the directory is.
type DirectoryView struct {
	Users int64 `json:"users"`
}

// Directory counts the users. It reads an index of all users, which takes a moment where they are millions.
func (a *API) Directory(ctx context.Context, _ web.Call, _ nothing) (v DirectoryView, err error) {
	v.Users, err = a.Store.CountUsers(ctx)
	return v, err
}
