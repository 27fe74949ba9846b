package handlers

import (
	"context"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

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

// Search finds campaigns and schedules by the beginning of their ID and by their name, users by the beginning of their ID or
// nickname, and a group by its ID. A nickname may begin with a capital letter where the text does not.
func (a *API) Search(ctx context.Context, _ web.Call, text string) (f Found, err error) {
	text = strings.TrimSpace(text)
	if text == "" || models.CheckLine(text) != "" {
		return f, nil
	}
	if f.Campaigns, f.Schedules, err = a.Store.FindNamed(ctx, text, searchMost); err != nil {
		return f, err
	}
	if models.CheckID(text) == "" {
		if f.Users, err = a.Store.Users(ctx, text, "", searchMost); err != nil {
			return f, err
		}
		switch g, err := a.Store.Group(ctx, text); {
		case err == nil:
			f.Groups = []models.Group{g}
		case models.AsError(err).Code != models.CodeRecordNotFound:
			return f, err
		}
	}
	for _, nickname := range slices.Compact([]string{text, Capital(text)}) {
		if len(f.Users) >= searchMost || utf8.RuneCountInString(nickname) > models.MaxNameChars {
			break
		}
		users, err := a.Store.UsersByNickname(ctx, nickname, models.NicknameCursor{}, searchMost)
		if err != nil {
			return f, err
		}
		for _, u := range users {
			if !slices.ContainsFunc(f.Users, func(o models.User) bool { return o.UserID == u.UserID }) {
				f.Users = append(f.Users, u)
			}
		}
	}
	f.Users = f.Users[:min(searchMost, len(f.Users))]
	return f, nil
}

// Capital is a text whose first letter is a capital one.
func Capital(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if upper := unicode.ToUpper(first); upper != first {
		return string(upper) + s[size:]
	}
	return s
}
