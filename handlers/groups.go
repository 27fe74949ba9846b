package handlers

import (
	"context"
	"fmt"

	"carillon/handlers/web"
	"carillon/models"
)

const maxMembers = 100_000

// GroupBody is the body of PUT /v1/groups/{id}.
type GroupBody struct {
	Name      *string  `json:"name"` // absent = the group keeps its name
	MemberIDs []string `json:"memberIDs"`
}

// GroupChange is which group is put, and how it is to be.
type GroupChange struct {
	ID string
	GroupBody
}

func readGroup(in *web.In) (g GroupChange, err error) {
	if g.ID, err = in.ID("id"); err != nil {
		return g, err
	}
	err = in.Decode(web.ListBody, &g.GroupBody, web.RefuseUnknown)
	return g, err
}

// PutGroup creates a group, or replaces its name and all its members. A campaign under way keeps
// the members that it froze.
func (a *API) PutGroup(ctx context.Context, _ web.Call, g GroupChange) (models.Group, error) {
	if err := g.check(g.ID); err != nil {
		return models.Group{}, err
	}
	return a.Store.PutGroup(ctx, g.ID, g.Name, g.MemberIDs)
}

func (b *GroupBody) check(id string) error {
	var c checker
	c.id("id", id)
	if b.Name != nil {
		c.name(*b.Name)
	}
	switch n := len(b.MemberIDs); {
	case b.MemberIDs == nil: // a forgotten list must not empty the group
		c.add("memberIDs", "is required; [] is a group without members")
	case n > maxMembers:
		return tooMany("memberIDs", maxMembers, n, "")
	}
	for i, id := range b.MemberIDs {
		if why := models.CheckNewID(id); why != "" {
			c.add(fmt.Sprintf("memberIDs.%d", i), "%s", why)
		}
	}
	return c.err()
}

// GroupList is a page of groups.
type GroupList struct {
	Groups     []models.Group `json:"groups"`
	NextCursor string         `json:"nextCursor"`
}

// ListGroups pages through the groups in the order of the IDs' bytes.
func (a *API) ListGroups(ctx context.Context, _ web.Call, p Page) (list GroupList, err error) {
	groups, err := a.Store.Groups(ctx, p.After, p.Limit+1)
	if err == nil {
		list.Groups, list.NextCursor = web.CutPage(groups, p.Limit, func(g models.Group) string { return g.GroupID })
	}
	return list, err
}

// GetGroup shows a group without its members.
func (a *API) GetGroup(ctx context.Context, _ web.Call, id string) (models.Group, error) {
	return a.Store.Group(ctx, id)
}

// DeleteGroup deletes a group.
func (a *API) DeleteGroup(ctx context.Context, _ web.Call, id string) (nothing, error) {
	return nothing{}, a.Store.DeleteGroup(ctx, id)
}

// MemberList is a page of a group's members.
type MemberList struct {
	MemberIDs  []string `json:"memberIDs"`
	NextCursor string   `json:"nextCursor"`
}

// ListMembers pages through a group's members as they are now, in the order of the IDs' bytes.
func (a *API) ListMembers(ctx context.Context, _ web.Call, p Page) (list MemberList, err error) {
	ids, err := a.Store.GroupMembers(ctx, p.ID, p.After, p.Limit+1)
	if err == nil {
		list.MemberIDs, list.NextCursor = web.CutPage(ids, p.Limit, func(id string) string { return id })
	}
	return list, err
}
