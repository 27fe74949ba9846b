package console

import "github.com/gorilla/mux"

func (c *Console) scheduleRoutes(_ *mux.Router) {}
