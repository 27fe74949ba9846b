package console

import (
	"html/template"

	"github.com/gorilla/mux"
)

// otherFuncs are the functions of the templates that show neither campaigns nor what they go to.
var otherFuncs = template.FuncMap{"spaced": spaced}

// otherRoutes are the overview, the queue, the event log, an inbox to try, the settings and the search.
func (c *Console) otherRoutes(r *mux.Router) {
	r.Handle("/", c.page(c.overview)).Methods(get, head)
	r.Handle("/events", c.page(c.events)).Methods(get, head)
}
