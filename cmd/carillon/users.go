package main

import (
	"fmt"

	"carillon/client"
	"carillon/models"
)

type usersCmd struct {
	List      usersListCmd     `cmd:"" help:"List the users of the directory."`
	Show      usersShowCmd     `cmd:"" help:"Show a user."`
	Import    importCmd        `cmd:"" help:"Add and update users from a CSV or NDJSON file."`
	Sync      usersSyncCmd     `cmd:"" help:"Bring the users of OpenIM into the directory, and wait for it."`
	Delete    usersDeleteCmd   `cmd:"" help:"Take a user out of the directory."`
	Campaigns userCampaignsCmd `cmd:"" help:"List the campaigns of one user, newest first, with what became of them in each."`
}

type usersListCmd struct {
	Search string `placeholder:"TEXT" help:"Only those whose IDs begin with this text."`
	listFlags
}

// Run lists users.
func (c *usersListCmd) Run(a *app) error {
	return withAPI(a, "", func(api *client.Client) error {
		list := api.Users(a.ctx, client.ListUsersParams{Search: given(c.Search), Limit: c.page()})
		return printList(a, c.listFlags, list, []string{"ID", "NICKNAME", "TIMEZONE", "REFUSES"}, func(u client.User) []string {
			return []string{u.UserID, orDash(u.Nickname), orDash(u.Timezone), yes(u.Refuses)}
		})
	})
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "-"
}

type usersShowCmd struct {
	ID string `arg:"" complete:"users" help:"The user."`
	jsonFlag
}

// Run shows a user.
func (c *usersShowCmd) Run(a *app) error {
	return withAPI(a, "", func(api *client.Client) error {
		u, err := client.Data[client.User](api.GetUser(a.ctx, c.ID))
		if err != nil {
			return err
		}
		if c.JSON {
			return a.printJSON(u)
		}
		for _, line := range [][2]string{{"userID", u.UserID}, {"nickname", u.Nickname}, {"faceURL", u.FaceURL}, {"timezone", u.Timezone}, {"ex", u.Ex}, {"refuses", yes(u.Refuses)}} {
			fmt.Fprintf(a.stdout, "%-10s %s\n", line[0], models.Shown(orDash(line[1])))
		}
		return nil
	})
}

type usersDeleteCmd struct {
	ID string `arg:"" complete:"users" help:"The user."`
}

// Run deletes a user.
func (c *usersDeleteCmd) Run(a *app) error {
	return withAPI(a, "", func(api *client.Client) error {
		if _, err := client.Data[client.Nothing](api.DeleteUser(a.ctx, c.ID)); err != nil {
			return err
		}
		_, err := fmt.Fprintf(a.stdout, "%s is deleted\n", models.Shown(c.ID))
		return err
	})
}

type userCampaignsCmd struct {
	ID string `arg:"" complete:"users" help:"The user."`
	listFlags
}

var userCampaignHead = []string{"CAMPAIGN", "CREATED", "CAMPAIGN IS", "THE USER IS", "NAME", "WHY"}

// Run lists what became of a user.
func (c *userCampaignsCmd) Run(a *app) error {
	if why := models.CheckID(c.ID); why != "" {
		return fmt.Errorf("the user's ID %s", why)
	}
	return withAPI(a, "", func(api *client.Client) error {
		list := api.UserCampaigns(a.ctx, c.ID, client.ListUserCampaignsParams{Limit: c.page()})
		return printList(a, c.listFlags, list, userCampaignHead, func(v client.UserCampaign) []string {
			is := "no recipient"
			if v.Recipient != nil {
				is = string(v.Recipient.Status)
			}
			return []string{v.CampaignID, stamp(v.CreatedAt), string(v.CampaignStatus), is, v.Name, v.Why}
		})
	})
}
