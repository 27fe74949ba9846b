package console

import (
	"html/template"

	"github.com/gorilla/mux"
)

// otherFuncs are the functions of the templates that show neither campaigns nor what they go to. Those that need the base
// path are in pages.funcs.
var otherFuncs = template.FuncMap{
	"spaced": spaced, "heldBack": heldBack, "findingState": findingState,
}

// otherRoutes are the overview, the queue, the event log, an inbox to try, the settings and the search.
func (c *Console) otherRoutes(r *mux.Router) {
	r.Handle("/", c.page(c.overview)).Methods(get, head)
	r.Handle("/overview/now", c.page(c.overviewNow)).Methods(get)
	r.Handle("/overview/chart", c.page(c.overviewChart)).Methods(get)
	r.Handle("/pause", c.page(c.pauseAsk)).Methods(get, head)
	r.Handle("/pause/campaigns", c.page(c.everything(c.pauseCampaigns, "allPaused"))).Methods(post)
	r.Handle("/pause/schedules", c.page(c.everything(c.pauseSchedules, "schedulesPaused"))).Methods(post)
	r.Handle("/resume/campaigns", c.page(c.everything(c.resumeCampaigns, "allResumed"))).Methods(post)
	r.Handle("/resume/schedules", c.page(c.everything(c.resumeSchedules, "schedulesResumed"))).Methods(post)
	r.Handle("/queue", c.page(c.queue)).Methods(get, head)
	r.Handle("/queue/now", c.page(c.queueLive)).Methods(get)
	r.Handle("/events", c.page(c.events)).Methods(get, head)
	r.Handle("/try", c.page(c.try)).Methods(get, head)
	r.Handle("/try", c.page(c.trySend)).Methods(post)
	r.Handle("/try/{userID}/live", c.ofID(c.tryLive)).Methods(get)
	r.Handle("/settings", c.page(c.settings)).Methods(get, head)
	r.Handle("/settings/channels/{name}/check", c.page(c.checkChannel)).Methods(post)
	r.Handle("/settings/channels/{name}/resume", c.page(c.resumeChannel)).Methods(post)
	r.Handle("/search", c.page(c.search)).Methods(get, head)
}
