package console

import (
	"errors"
	"html/template"
	"net/http"
	"strconv"

	"github.com/gorilla/mux"

	"carillon/handlers/web"
	"carillon/models"
)

// directoryFuncs are the functions of the templates of schedules, users and groups.
var directoryFuncs = template.FuncMap{
	"plural":         plural,
	"partOf":         func(part, all int) string { return percent(int64(part), int64(all)) },
	"zoneClock":      zoneClock,
	"refusedShare":   refusedShare,
	"slotTime":       slotTime,
	"zoned":          zoned,
	"lasts":          lasts,
	"messagePreview": func(m models.Message) preview { return previewOf(&m) },
	"skipped":        skipped,
	"outcomeWords":   func(o models.Outcome) string { return outcomeWords[o] },
}

// directoryRoutes are the pages of users and groups. IDs are free texts: a word beside {id} would hide
// a user or a group of that ID. So the forms that belong to no one stand elsewhere.
func (c *Console) directoryRoutes(r *mux.Router) {
	r.Handle("/users", c.page(c.users)).Methods(get, head)
	r.Handle("/users/{id}", c.ofID(c.user)).Methods(get, head)
	r.Handle("/users/{id}/delete", c.ofID(c.deleteUser)).Methods(post)
	r.Handle("/import", c.page(c.importForm)).Methods(get, head)
	r.Handle("/import", c.page(c.importUsers)).Methods(post)
	r.Handle("/import/now", c.page(c.importNow)).Methods(get)
	r.Handle("/sync", c.page(c.syncUsers)).Methods(post)

	r.Handle("/groups", c.page(c.groups)).Methods(get, head)
	r.Handle("/new-group", c.page(c.newGroup)).Methods(get, head)
	r.Handle("/new-group", c.page(c.createGroup)).Methods(post)
	r.Handle("/groups/{id}", c.ofID(c.group)).Methods(get, head)
	r.Handle("/groups/{id}/edit", c.ofID(c.editGroup)).Methods(get, head)
	r.Handle("/groups/{id}/edit", c.ofID(c.changeGroup)).Methods(post)
	r.Handle("/groups/{id}/delete", c.ofID(c.deleteGroup)).Methods(post)
}

// ofID serves a page of a user or a group. An ID that is a step is in the query: see path.
func (c *Console) ofID(h web.Handler) http.Handler {
	return c.page(func(in *web.In) error {
		if id := in.Query("id"); isStep(id) {
			in.R = mux.SetURLVars(in.R, map[string]string{"id": id, "userID": id})
		}
		return h(in)
	})
}

// plural is a number with its noun, as "1 user" and "1,000 users".
func plural(n any, one, many string) string {
	text := count(n)
	if text == "1" {
		return text + " " + one
	}
	return text + " " + many
}

// absent is true of the error that there is no such thing.
func absent(err error) bool {
	var e *models.Error
	return errors.As(err, &e) && e.Code == models.CodeRecordNotFound
}

// deleted sends the browser on after something was deleted. A second click finds nothing, and that is
// no fault.
func (c *Console) deleted(in *web.In, err error, list, did string) error {
	if err != nil && !absent(err) {
		return err
	}
	return c.next(in, c.pages.path(list), did)
}

// field is one control of a form: what it holds, and why that was refused.
type field struct{ ID, Value, Reason string }

// typed are the texts of a form, and why some of them were refused, both by the names of the
// controls. A form that was not sent yet has no reasons.
type typed struct {
	Values  map[string]string
	Reasons map[string]string
}

// Field is one control, for the templates. Its ID is its name.
func (t typed) Field(name string) field { return field{name, t.Values[name], t.Reasons[name]} }

// Other is what was refused and belongs to no control of the form.
func (t typed) Other() string { return t.Reasons[""] }

// refuse sorts the reasons of an error to the controls that name says. An error that is no refusal of
// what was typed comes back.
func (t *typed) refuse(err error, name func(field string) (control, prefix string)) error {
	fields, ok := refused(err)
	if !ok {
		return err
	}
	t.Reasons = map[string]string{}
	found := models.AsError(err).Fields
	if len(found) == 0 {
		found = []models.FieldError{{Reason: fields[""]}}
	}
	for _, f := range found {
		control, prefix := name(f.Field)
		text, between := f.Reason, "; "
		if prefix != "" {
			text, between = sentence(prefix+text), " "
		}
		if before := t.Reasons[control]; before != "" {
			text = before + between + text
		}
		t.Reasons[control] = text
	}
	return nil
}

// line is how a form that takes a list speaks of an entry of it, counted from 0.
func line(i string, lines []int) string {
	n, err := strconv.Atoi(i)
	if err != nil || n < 0 || n >= len(lines) {
		return ""
	}
	return "line " + strconv.Itoa(lines[n]) + " "
}
