package handlers

import (
	"fmt"
	"net/http"

	"carillon/models"
)

const maxMembers = 100_000

type groupBody struct {
	Name      *string  `json:"name"` // absent = the group keeps its name
	MemberIDs []string `json:"memberIDs"`
}

// putGroup creates a group, or replaces its name and all its members. A campaign under way keeps
// the members that it froze.
func (a *API) putGroup(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "id")
	if err != nil {
		return err
	}
	body, err := a.readBody(w, r, listBody)
	if err != nil {
		return err
	}
	var b groupBody
	if err := decodeJSON(body, &b, refuseUnknown); err != nil {
		return err
	}
	if err := b.check(id); err != nil {
		return err
	}
	group, err := a.Store.PutGroup(r.Context(), id, b.Name, b.MemberIDs)
	if err != nil {
		return err
	}
	return answerData(w, http.StatusOK, group)
}

func (b *groupBody) check(id string) error {
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

// listGroups pages through the groups in the order of the IDs' bytes.
func (a *API) listGroups(w http.ResponseWriter, r *http.Request) error {
	after, limit, err := parseIDPage(r)
	if err != nil {
		return err
	}
	groups, err := a.Store.Groups(r.Context(), after, limit+1)
	if err != nil {
		return err
	}
	page, next := cutPage(groups, limit, func(g models.Group) string { return g.GroupID })
	return answerData(w, http.StatusOK, map[string]any{"groups": page, "nextCursor": next})
}

func (a *API) getGroup(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "id")
	if err != nil {
		return err
	}
	group, err := a.Store.Group(r.Context(), id)
	if err != nil {
		return err
	}
	return answerData(w, http.StatusOK, group)
}

func (a *API) deleteGroup(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "id")
	if err != nil {
		return err
	}
	if err := a.Store.DeleteGroup(r.Context(), id); err != nil {
		return err
	}
	return answerData(w, http.StatusOK, struct{}{})
}

// listMembers pages through a group's members as they are now, in the order of the IDs' bytes.
func (a *API) listMembers(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "id")
	if err != nil {
		return err
	}
	after, limit, err := parseIDPage(r)
	if err != nil {
		return err
	}
	ids, err := a.Store.GroupMembers(r.Context(), id, after, limit+1)
	if err != nil {
		return err
	}
	page, next := cutPage(ids, limit, func(id string) string { return id })
	return answerData(w, http.StatusOK, map[string]any{"memberIDs": page, "nextCursor": next})
}
