package console

import (
	"github.com/gorilla/mux"

	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/models"
)

func (c *Console) scheduleRoutes(r *mux.Router) {
	r.Handle("/schedules", c.page(c.schedules)).Methods(get, head)
	r.Handle("/schedules/calendar", c.page(c.calendar)).Methods(get, head)
	r.Handle("/schedules/new", c.page(c.newSchedule)).Methods(get, head)
	r.Handle("/schedules/new", c.page(c.saveSchedule)).Methods(post)
	r.Handle("/schedules/preview", c.page(c.previewSlots)).Methods(post)
	r.Handle("/schedules/{id}/edit", c.page(c.editSchedule)).Methods(get, head)
	r.Handle("/schedules/{id}/edit", c.page(c.saveSchedule)).Methods(post)
	r.Handle("/schedules/{id}", c.page(c.schedule)).Methods(get, head)
	r.Handle("/schedules/{id}/skip", c.page(c.skipSlot)).Methods(post)
	r.Handle("/schedules/{id}/run", c.page(c.runSchedule)).Methods(post)
	r.Handle("/schedules/{id}/pause", c.page(c.changeSchedule(c.api.PauseSchedule, "schedule-paused"))).Methods(post)
	r.Handle("/schedules/{id}/resume", c.page(c.changeSchedule(c.api.ResumeSchedule, "schedule-resumed"))).Methods(post)
	r.Handle("/schedules/{id}/delete", c.page(c.changeSchedule(c.api.DeleteSchedule, "schedule-deleted"))).Methods(post)
}

// slotsInList is how many coming slots the list shows of each schedule.
const slotsInList = 3

type scheduleList struct {
	Status   models.ScheduleStatus
	Statuses []models.ScheduleStatus
	List     []handlers.ScheduleView
	More     more
}

// schedules lists schedules.
func (c *Console) schedules(in *web.In) error {
	f, err := handlers.ReadScheduleFilter(in)
	if err != nil {
		return err
	}
	list, err := c.api.ListSchedulesAhead(in.Context(), in.Call, f, slotsInList)
	if err != nil {
		return err
	}
	return c.show(in, "schedules.html", page{Title: "Schedules", Here: "schedules", Data: scheduleList{
		f.Status, models.ScheduleStatuses, list.Schedules, pageOf(in.R.URL.Query(), list.NextCursor),
	}})
}
