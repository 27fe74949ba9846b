package handlers

import (
	"context"
	"strings"

	"carillon/handlers/web"
	"carillon/models"
)

// searchMost is how many of each kind a search finds.
const searchMost = 20

// Found is what a search has found.
type Found struct {
	Campaigns []models.Named
	Schedules []models.Named
	Users     []models.User
	Groups    []models.Group
}

// Search finds campaigns and schedules by the beginning of their ID or name, users by the beginning of their ID, and a group by
// its ID.
func (a *API) Search(ctx context.Context, call web.Call, text string) (f Found, err error) {
	text = strings.TrimSpace(text)
	if text == "" || models.CheckLine(text) != "" {
		return f, nil
	}
	if f.Campaigns, f.Schedules, err = a.Store.FindNamed(ctx, text, searchMost); err != nil {
		return f, err
	}
	if models.CheckID(text) != "" {
		return f, nil
	}
	users, err := a.ListUsers(ctx, call, UserPage{Page: Page{Limit: searchMost}, Search: text})
	if err != nil {
		return f, err
	}
	f.Users = users.Users
	switch g, err := a.Store.Group(ctx, text); {
	case err == nil:
		f.Groups = []models.Group{g}
	case models.AsError(err).Code != models.CodeRecordNotFound:
		return f, err
	}
	return f, nil
}
