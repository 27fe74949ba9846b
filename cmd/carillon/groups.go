package main

import (
	"fmt"
	"strconv"

	"carillon/client"
	"carillon/models"
)

type groupsCmd struct {
	List    groupsListCmd    `cmd:"" help:"List groups."`
	Show    groupsShowCmd    `cmd:"" help:"Show a group."`
	Put     groupsPutCmd     `cmd:"" help:"Make a group, or replace its members."`
	Members groupsMembersCmd `cmd:"" help:"List a group's members."`
	Delete  groupsDeleteCmd  `cmd:"" help:"Delete a group."`
}

// Help is shown by carillon groups --help.
func (groupsCmd) Help() string {
	return `    carillon groups put testers --name Testers --members alice,bob
    carillon groups put everyone-in-berlin --members-file berlin.txt
    carillon send --group testers --text "Please try this"`
}

type groupsListCmd struct{ listFlags }

// Run lists groups.
func (c *groupsListCmd) Run(a *app) error {
	return withAPI(a, "", func(api *client.Client) error {
		list := api.Groups(a.ctx, client.ListGroupsParams{Limit: c.page()})
		return printList(a, c.listFlags, list, []string{"ID", "MEMBERS", "NAME"}, func(g client.Group) []string {
			return []string{g.GroupID, strconv.Itoa(g.MemberCount), g.Name}
		})
	})
}

func (a *app) showGroup(g client.Group, asJSON bool) error {
	if asJSON {
		return a.printJSON(g)
	}
	_, err := fmt.Fprintf(a.stdout, "%s has %s%s\n", models.Shown(g.GroupID), counted(g.MemberCount, "members"), andName(g.Name))
	return err
}

// andName is a name behind what it belongs to; empty without a name.
func andName(name string) string {
	if name == "" {
		return ""
	}
	return ": " + models.Shown(name)
}

type groupsShowCmd struct {
	ID string `arg:"" complete:"groups" help:"The group."`
	jsonFlag
}

// Run shows a group.
func (c *groupsShowCmd) Run(a *app) error {
	return withAPI(a, "", func(api *client.Client) error {
		g, err := client.Data[client.Group](api.GetGroup(a.ctx, c.ID))
		if err != nil {
			return err
		}
		return a.showGroup(g, c.JSON)
	})
}

type groupsPutCmd struct {
	ID          string   `arg:"" complete:"groups" help:"The group."`
	Name        string   `placeholder:"TEXT" help:"Its name."`
	Members     []string `placeholder:"ID" help:"Its members, separated by commas."`
	MembersFile string   `placeholder:"FILE" help:"A file with one member a line; - is the standard input."`
	jsonFlag
}

// Run makes or replaces a group.
func (c *groupsPutCmd) Run(a *app) error {
	ids, err := idsOf(c.Members, c.MembersFile)
	if err != nil {
		return err
	}
	return withAPI(a, "", func(api *client.Client) error {
		g, err := client.Data[client.Group](api.PutGroup(a.ctx, c.ID, client.GroupRequest{Name: given(c.Name), MemberIDs: ids}))
		if err != nil {
			return err
		}
		return a.showGroup(g, c.JSON)
	})
}

type groupsMembersCmd struct {
	ID    string `arg:"" complete:"groups" help:"The group."`
	Limit int    `default:"1000" help:"How many."`
	JSON  bool   `name:"json" help:"Print one JSON text a line."`
}

// Run lists members.
func (c *groupsMembersCmd) Run(a *app) error {
	l := listFlags{Limit: c.Limit, JSON: c.JSON}
	return withAPI(a, "", func(api *client.Client) error {
		return printList(a, l, api.Members(a.ctx, c.ID, client.ListMembersParams{Limit: l.page()}), []string{"USER"}, func(id string) []string { return []string{id} })
	})
}

type groupsDeleteCmd struct {
	ID string `arg:"" complete:"groups" help:"The group."`
}

// Run deletes a group.
func (c *groupsDeleteCmd) Run(a *app) error {
	return withAPI(a, "", func(api *client.Client) error {
		if _, err := client.Data[client.Nothing](api.DeleteGroup(a.ctx, c.ID)); err != nil {
			return err
		}
		_, err := fmt.Fprintf(a.stdout, "%s is deleted\n", models.Shown(c.ID))
		return err
	})
}
