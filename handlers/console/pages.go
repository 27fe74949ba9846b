package console

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"net/http"

	"carillon/handlers/web"
	"carillon/models"
)

// policy lets a page load this server's files alone. The pages hold no inline script and no inline style.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

//go:embed pages/*.html
var templates embed.FS

// pages are all templates, parsed once.
type pages struct {
	base   string // before each path of this server
	all    *template.Template
	assets map[string]*web.File
}

func newPages(base string) pages {
	p := pages{base: base, assets: readAssets()}
	p.all = template.Must(template.New("").Funcs(p.funcs()).ParseFS(templates, "pages/*.html"))
	return p
}

// page is what the frame of every page shows.
type page struct {
	Title string
	Here  string // the entry of the menu that the page belongs to
	Admin string // who is logged in
	Done  string // what the form before this page has done, as a sentence; empty = nothing
	Data  any    // what the page itself shows
}

// show answers with a page: the template with this name, and data for it.
func (c *Console) show(in *web.In, name string, p page) error {
	return c.showWith(in, http.StatusOK, name, p)
}

// showWith is show with another status than 200, as for a form that is refused and shown again.
func (c *Console) showWith(in *web.In, status int, name string, p page) error {
	p.Admin = in.UserID
	p.Done = done(in)
	return c.part(in, status, name, p)
}

// part answers with a template alone.
func (c *Console) part(in *web.In, status int, name string, data any) error {
	body, err := c.pages.render(name, data)
	if err != nil {
		return err
	}
	h := in.W.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	web.PageHeaders(h, policy)
	web.SendPage(in, status, body)
	return nil
}

// render is a template with its data, whole: a template that fails must not leave half a page.
func (p pages) render(name string, data any) ([]byte, error) {
	var body bytes.Buffer
	if err := p.all.ExecuteTemplate(&body, name, data); err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	return body.Bytes(), nil
}

// failure is an error as a page shows it.
type failure struct {
	Status int
	Code   models.Code
	Words  string
	Fields []models.FieldError
}

// errorTitles are the headings of errors, in words for people. The others have the name of their HTTP status.
var errorTitles = map[int]string{
	http.StatusBadRequest: "This was not understood", http.StatusUnprocessableEntity: "This was refused",
	http.StatusConflict: "This does not go now", http.StatusRequestEntityTooLarge: "This is too large",
	http.StatusInternalServerError: "Something went wrong", http.StatusServiceUnavailable: "Not available now",
}

// showError is the page of an error.
func (c *Console) showError(in *web.In, status int, e *models.Error) {
	f := failure{Status: status, Code: e.Code, Words: e.Words(), Fields: e.Fields}
	if e.Detail == web.NoSuchRoute {
		f.Words = "there is no such page"
	}
	if in.R.Header.Get("HX-Request") == "true" { // a part of a page: the frame stands around it already
		if err := c.part(in, status, "error-part", f); err != nil {
			c.api.Log.Error("an error cannot be shown", "err", err)
		}
		return
	}
	if f.Words == models.AsError(models.Invalid(f.Fields)).Detail { // they are the fields' own
		f.Fields = nil
	}
	p := page{Title: cmp.Or(errorTitles[status], http.StatusText(status)), Data: f}
	if err := c.showWith(in, status, "error.html", p); err != nil {
		c.api.Log.Error("the page of an error cannot be shown", "err", err)
		in.W.WriteHeader(http.StatusInternalServerError)
	}
}
