package console

import (
	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/models"
)

type groupList struct {
	List []models.Group
	More more
}

// groups lists groups.
func (c *Console) groups(in *web.In) error {
	after, limit, err := web.ParseIDPage(in.R)
	if err != nil {
		return err
	}
	list, err := c.api.ListGroups(in.Context(), in.Call, handlers.Page{After: after, Limit: limit})
	if err != nil {
		return err
	}
	return c.show(in, "groups.html", page{Title: "Groups", Here: "groups", Data: groupList{list.Groups, pageOf(in.R.URL.Query(), list.NextCursor)}})
}
