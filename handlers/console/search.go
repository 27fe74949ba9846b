package console

import (
	"net/http"
	"strings"

	"carillon/handlers"
	"carillon/handlers/web"
)

type searchPage struct {
	Query string
	handlers.Found
	Nothing bool
}

// search finds campaigns, schedules, users and groups. A text that is one thing's ID leads to the page of that.
func (c *Console) search(in *web.In) error {
	text := strings.TrimSpace(in.Query("q"))
	found, err := c.api.Search(in.Context(), in.Call, text)
	if err != nil {
		return err
	}
	if path := c.exactly(text, found); path != "" {
		http.Redirect(in.W, in.R, path, http.StatusSeeOther)
		return nil
	}
	data := searchPage{text, found, len(found.Campaigns)+len(found.Schedules)+len(found.Users)+len(found.Groups) == 0}
	return c.show(in, "search.html", page{Title: "Search", Data: data})
}

// exactly is the page of the one thing whose ID the text is; "" = there is none, or more than one.
func (c *Console) exactly(text string, found handlers.Found) string {
	var paths []string
	for _, one := range found.Campaigns {
		if strings.EqualFold(one.PublicID, text) {
			paths = append(paths, c.pages.path("/campaigns/", one.PublicID))
		}
	}
	for _, one := range found.Schedules {
		if strings.EqualFold(one.PublicID, text) {
			paths = append(paths, c.pages.path("/schedules/", one.PublicID))
		}
	}
	for _, one := range found.Users {
		if one.UserID == text {
			paths = append(paths, c.pages.path("/users/", one.UserID))
		}
	}
	for _, one := range found.Groups {
		paths = append(paths, c.pages.path("/groups/", one.GroupID))
	}
	if len(paths) != 1 {
		return ""
	}
	return paths[0]
}
