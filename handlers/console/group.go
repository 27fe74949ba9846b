package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/models"
)

// groupPage is what the page of one group shows.
type groupPage struct {
	models.Group
	Members []string
	More    more
}

// group shows one group and its members.
func (c *Console) group(in *web.In) error {
	id, err := in.ID("id")
	if err != nil {
		return err
	}
	after, limit, err := web.ParseIDPage(in.R)
	if err != nil {
		return err
	}
	g, err := c.api.GetGroup(in.Context(), in.Call, id)
	if err != nil {
		return err
	}
	members, err := c.api.ListMembers(in.Context(), in.Call, handlers.Page{ID: id, After: after, Limit: limit})
	if err != nil {
		return err
	}
	return c.show(in, "group.html", page{Title: groupName(g), Here: "groups", Data: groupPage{g, members.MemberIDs, pageOf(in.R.URL.Query(), members.NextCursor)}})
}

func groupName(g models.Group) string {
	if strings.TrimSpace(g.Name) == "" {
		return g.GroupID
	}
	return g.Name
}

// groupForm is the form that makes or changes a group.
type groupForm struct {
	typed
	Group string // which group is changed; empty = a new one
	Large int    // how many members a group has whose list is too long for a page; 0 = the form has the list
}

// membersInForm is how many members a form is filled in with.
const membersInForm = 5000

func (c *Console) newGroup(in *web.In) error {
	return c.showGroupForm(in, http.StatusOK, groupForm{})
}

// editGroup shows the form with what the group is now.
func (c *Console) editGroup(in *web.In) error {
	id, err := in.ID("id")
	if err != nil {
		return err
	}
	g, err := c.api.GetGroup(in.Context(), in.Call, id)
	if err != nil {
		return err
	}
	f := groupForm{typed: typed{Values: map[string]string{"name": g.Name, "version": strconv.FormatInt(g.Version, 10)}}, Group: id}
	if g.Size > membersInForm {
		f.Large = g.Size
		return c.showGroupForm(in, http.StatusOK, f)
	}
	members, err := c.api.ListMembers(in.Context(), in.Call, handlers.Page{ID: id, Limit: membersInForm})
	if err != nil {
		return err
	}
	f.Values["members"] = strings.Join(members.MemberIDs, "\n")
	return c.showGroupForm(in, http.StatusOK, f)
}

func (c *Console) showGroupForm(in *web.In, status int, f groupForm) error {
	title := "New group"
	if f.Group != "" {
		title = "Change the group"
	}
	return c.showWith(in, status, "group_form.html", page{Title: title, Here: "groups", Data: f})
}

// createGroup makes a group. A group that is there already is never replaced by this form.
func (c *Console) createGroup(in *web.In) error {
	values, err := form(in, web.ListBody)
	if err != nil {
		return err
	}
	return c.putGroup(in, groupForm{}, values.Get("id"), values, func(ids []string) error {
		g, err := c.api.GetGroup(in.Context(), in.Call, values.Get("id"))
		switch {
		case absent(err):
			return nil
		case err != nil:
			return err
		case g.Name == values.Get("name") && g.Size == distinct(ids): // the form was sent twice
			return nil
		}
		return web.Refuse("id", "is the ID of a group that exists: change that one, or choose another ID")
	})
}

// changeGroup replaces a group's name and members, unless somebody else has changed it since the form was shown.
func (c *Console) changeGroup(in *web.In) error {
	id, err := in.ID("id")
	if err != nil {
		return err
	}
	values, err := form(in, web.ListBody)
	if err != nil {
		return err
	}
	return c.putGroup(in, groupForm{Group: id}, id, values, func([]string) error {
		g, err := c.api.GetGroup(in.Context(), in.Call, id)
		if err != nil {
			return err
		}
		if now := strconv.FormatInt(g.Version, 10); now != values.Get("version") {
			values.Set("version", now)
			return models.Errorf(models.CodeIllegalTransition, "somebody changed this group while you typed: it has %s now. Look at the group, then save again if your list is right", plural(g.Size, "member", "members"))
		}
		return nil
	})
}

// putGroup puts what a form says, if check allows it. A refused form comes back as it was typed.
func (c *Console) putGroup(in *web.In, f groupForm, id string, values url.Values, check func(ids []string) error) error {
	name := values.Get("name")
	ids, lines := lineList(values.Get("members"))
	err := check(ids)
	if err == nil {
		_, err = c.api.PutGroup(in.Context(), in.Call, handlers.GroupChange{ID: id, GroupBody: handlers.GroupBody{Name: &name, MemberIDs: ids}})
	}
	if err == nil {
		did := "group"
		if f.Group != "" {
			did = "changed"
		}
		return c.next(in, c.pages.path("/groups/", id), did)
	}
	f.Values = map[string]string{}
	for name := range values {
		f.Values[name] = values.Get(name)
	}
	err = f.refuse(err, func(field string) (control, prefix string) {
		if i, ok := strings.CutPrefix(field, "memberIDs"); ok {
			return "members", line(strings.TrimPrefix(i, "."), lines)
		}
		return field, ""
	})
	if err != nil {
		return err
	}
	return c.showGroupForm(in, http.StatusUnprocessableEntity, f)
}

// lineList reads a list with one entry a line, and the number of each entry's line. Empty lines are none.
func lineList(text string) (list []string, lines []int) {
	list = []string{}
	n := 0
	for entry := range strings.SplitSeq(text, "\n") {
		n++
		if entry = strings.TrimSpace(entry); entry != "" {
			list, lines = append(list, entry), append(lines, n)
		}
	}
	return list, lines
}

func distinct(list []string) int {
	seen := make(map[string]struct{}, len(list))
	for _, s := range list {
		seen[s] = struct{}{}
	}
	return len(seen)
}

// deleteGroup deletes a group.
func (c *Console) deleteGroup(in *web.In) error {
	id, err := in.ID("id")
	if err != nil {
		return err
	}
	_, err = c.api.DeleteGroup(in.Context(), in.Call, id)
	return c.deleted(in, err, "/groups", "group-deleted")
}
