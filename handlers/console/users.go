package console

import (
	"strings"

	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/models"
)

// userList is what the page of users shows.
type userList struct {
	Total    int64 // in the directory
	Search   string
	Nickname string
	Capital  string // Nickname with a capital letter, where it has none
	List     []models.User
	More     more
	Zone     string             // of users who have none
	Sync     *handlers.SyncView // nil = no provider's users are read here
}

// users lists the directory, or what a search finds in it.
func (c *Console) users(in *web.In) error {
	p, err := handlers.ReadUserPage(in)
	if err != nil {
		return err
	}
	found, err := c.api.ListUsers(in.Context(), in.Call, p)
	if err != nil {
		return err
	}
	directory, err := c.api.Store.Directory(in.Context())
	if err != nil {
		return err
	}
	list := userList{
		Total: directory.Live, Search: p.Search, Nickname: p.Nickname, List: found.Users,
		More: pageOf(in.R.URL.Query(), found.NextCursor), Zone: c.api.Zone,
	}
	if upper := handlers.Capital(p.Nickname); upper != p.Nickname {
		list.Capital = upper
	}
	switch sync, err := c.api.DirectorySync(in.Context(), in.Call, struct{}{}); {
	case err == nil:
		list.Sync = &sync
	case !absent(err):
		return err
	}
	return c.show(in, "users.html", page{Title: "Users", Here: "users", Data: list})
}

// syncUsers asks for a reading of the provider's users.
func (c *Console) syncUsers(in *web.In) error {
	values, err := form(in, web.ControlBody)
	if err != nil {
		return err
	}
	if _, err := c.api.SyncDirectory(in.Context(), in.Call, values.Get("fewer") != ""); err != nil {
		return err
	}
	return c.next(in, c.pages.path("/users"), "sync")
}

// nameOf is what a user is called in a heading.
func nameOf(u models.User) string {
	if strings.TrimSpace(u.Nickname) == "" {
		return u.UserID
	}
	return u.Nickname
}
