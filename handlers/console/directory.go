package console

import (
	"html/template"

	"github.com/gorilla/mux"
)

// directoryFuncs are the functions of the templates of schedules, users and groups.
var directoryFuncs = template.FuncMap{}

func (c *Console) directoryRoutes(_ *mux.Router) {}
