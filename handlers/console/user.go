package console

import (
	"cmp"
	"net/http"
	"time"

	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/internal/zones"
	"carillon/models"
)

// userPage is what the page of one user shows.
type userPage struct {
	models.User
	Known     bool   // in the directory
	Zone      string // the user's own, or the configured one
	Campaigns []handlers.UserCampaignView
	More      more
}

// user shows one user, and what became of them in each campaign. A user who has left the directory, or never was in it, has
// such a page too.
func (c *Console) user(in *web.In) error {
	id, err := in.ID("id")
	if err != nil {
		return err
	}
	before, limit, err := web.ParseBeforePage(in.R)
	if err != nil {
		return err
	}
	u, err := c.api.GetUser(in.Context(), in.Call, id)
	known := err == nil
	if err != nil && !absent(err) {
		return err
	}
	u.UserID = id
	list, err := c.api.UserCampaigns(in.Context(), in.Call, handlers.OlderPage{ID: id, Before: before, Limit: limit})
	if err != nil {
		return err
	}
	status := http.StatusOK
	if !known {
		status = http.StatusNotFound
	}
	return c.showWith(in, status, "user.html", page{Title: nameOf(u), Here: "users", Data: userPage{
		User: u, Known: known, Zone: cmp.Or(u.Timezone, c.api.Zone), Campaigns: list.Campaigns, More: pageOf(in.R.URL.Query(), list.NextCursor),
	}})
}

// deleteUser takes a user out of the directory.
func (c *Console) deleteUser(in *web.In) error {
	id, err := in.ID("id")
	if err != nil {
		return err
	}
	_, err = c.api.DeleteUser(in.Context(), in.Call, id)
	return c.deleted(in, err, "/users", "user-deleted")
}

// zoneClock is the date and the clock of a zone now; "" = the zone is not known here.
func zoneClock(zone string) string {
	loc, err := zones.Load(zone)
	if err != nil {
		return ""
	}
	return time.Now().In(loc).Format("Mon 2 Jan 15:04")
}
