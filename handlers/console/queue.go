package console

import (
	"net/http"

	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/models"
)

type queuePage struct {
	handlers.QueueView
	Away  string // why the queue cannot be seen; empty = it can
	Slots int    // of all processes
	Held  int    // tasks
}

// queueShown is the queue as a page shows it. A Redis that is away is told on the page, in its place.
func (c *Console) queueShown(in *web.In) (queuePage, error) {
	v, err := c.queueNow.get(in.Context())
	if e := models.AsError(err); err != nil && web.StatusOf(err, e, false) == http.StatusServiceUnavailable {
		return queuePage{Away: e.Words()}, nil
	}
	p := queuePage{QueueView: v}
	for _, one := range v.Processes {
		p.Slots += one.Slots
		p.Held += len(one.Held)
	}
	return p, err
}

func (c *Console) queue(in *web.In) error {
	data, err := c.queueShown(in)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if data.Away != "" {
		status = http.StatusServiceUnavailable
	}
	return c.showWith(in, status, "queue.html", page{Title: "Queue", Here: "queue", Data: data})
}

// queueLive is the part of the page that moves.
func (c *Console) queueLive(in *web.In) error {
	data, err := c.queueShown(in)
	if err != nil {
		return err
	}
	return c.part(in, http.StatusOK, "queue-now", data)
}
