// Package console is the pages for operators: what runs, what is due, what became of whom, and forms for all that the API
// can do.
//
// A page is a file with its handler, and a template in pages with the same name. Handlers call the operations of
// handlers.API, as the API's own routes do, and never the API over HTTP. All reading and all forms work without JavaScript.
// With it, numbers move, times are shown in the browser's zone, and charts are drawn.
package console

import (
	"context"
	"net/http"
	"strings"

	"github.com/gorilla/mux"

	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/models"
)

// The methods of most routes.
const (
	get  = http.MethodGet
	head = http.MethodHead
	post = http.MethodPost
)

// Console serves the pages.
type Console struct {
	api   *handlers.API
	pages pages

	now      *glance[overview]
	queueNow *glance[handlers.QueueView]
	lists    glances[models.CampaignFilter, handlers.CampaignList] // of campaigns, as far as they are looked at again and again
	failures glances[string, handlers.FailureList]                 // by campaign
	imports  glance[[]handlers.ImportNow]
}

// New makes the console of an API, whose pages then show errors as the console does.
func New(api *handlers.API) *Console {
	c := &Console{api: api, pages: newPages(api.BasePath)}
	c.now = &glance[overview]{read: c.readOverview}
	c.queueNow = &glance[handlers.QueueView]{read: func(ctx context.Context) (handlers.QueueView, error) {
		return api.Queue(ctx, web.Call{}, struct{}{})
	}}
	c.imports.read = api.ImportsNow
	api.PageError = c.showError
	return c
}

// Add adds the pages to the route table.
func (c *Console) Add(r *mux.Router) {
	r.Handle("/assets/{name}", c.api.Public(c.asset)).Methods(get, head)
	c.campaignRoutes(r)
	c.scheduleRoutes(r)
	c.directoryRoutes(r)
	c.otherRoutes(r)
	r.NotFoundHandler = c.noRoute(r.NotFoundHandler)
}

// noRoute answers a browser that opens an address which is nothing with a page, and a program as before.
func (c *Console) noRoute(program http.Handler) http.Handler {
	page := c.page(web.NoRoute)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == get && strings.HasPrefix(r.Header.Get("Accept"), "text/html") {
			page.ServeHTTP(w, r)
			return
		}
		program.ServeHTTP(w, r)
	})
}

// page serves a page, and errors as pages, to admins alone.
func (c *Console) page(h web.Handler) http.Handler { return c.api.AdminPage(c.showError, h) }
