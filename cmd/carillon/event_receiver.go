package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"carillon/handlers"
	"carillon/internal/eventhook"
	"carillon/internal/metrics"
	"carillon/jobs"
	"carillon/models"
)

// watchEvents makes the notifier, where events have a receiver.
func (s *system) watchEvents() error {
	to, err := s.cfg.EventsReceiver()
	if err != nil || to == nil {
		return err
	}
	s.notifier = jobs.NewNotifier(s.ledger, eventReceiver{to, s.metrics}, jobs.NotifyOptions{}, s.log)
	return nil
}

// eventReceiver posts events as the API shows them, and counts the posts.
type eventReceiver struct {
	*eventhook.Receiver
	counts *metrics.Metrics
}

// Post posts one event.
func (r eventReceiver) Post(ctx context.Context, e models.Event) jobs.EventAnswer {
	body, err := models.JSON(handlers.EventJSON(e))
	if err != nil {
		return jobs.EventAnswer{Err: err}
	}
	answer := jobs.EventAnswer(r.Receiver.Post(ctx, e.PublicID(), body))
	if answer.Err == nil {
		r.counts.EventsDelivered.Inc()
	} else {
		r.counts.EventsFailed.Inc()
	}
	return answer
}

// oldBacklog is how long an event waits before the doctor warns.
const oldBacklog = 10 * time.Minute

// events examines the receiver of events, and what waits for it.
func (x *examination) events(ledger *models.Store) {
	const name = "events webhook"
	to, err := x.a.cfg.EventsReceiver()
	if err != nil || to == nil {
		return
	}
	ctx, cancel := context.WithTimeout(x.a.ctx, eventhook.Timeout)
	defer cancel()
	if err := to.Try(ctx); err != nil {
		x.add(name, stateWarn, "%v; until then events wait, for three days at most", err)
	} else {
		x.add(name, stateOK, "%s takes connections; no event was posted", to.Host())
	}
	b, err := ledger.EventBacklog(x.a.ctx)
	if err != nil {
		return // the ledger's own finding says why
	}
	age := (time.Duration(b.Now-b.OldestAt) * time.Millisecond).Round(time.Second)
	switch {
	case b.DueAt == 0:
		x.add(name, stateOK, "nothing was ever posted; carillon serve posts what happens from its start on")
	case b.OldestAt > 0 && age > oldBacklog && b.Failures > 0:
		x.add(name, stateWarn, "%s, the oldest for %s: the receiver is away (%s). Mend the receiver, or CARILLON_EVENTS_URL", waitingEvents(b), age, b.Error)
	case b.OldestAt > 0 && age > oldBacklog && b.Failing > 0:
		x.add(name, stateWarn, "%s, the oldest for %s: the receiver refuses events of %d streams. Its log says why; each is tried for three days", waitingEvents(b), age, b.Failing)
	case b.OldestAt > 0 && age > oldBacklog:
		x.add(name, stateWarn, "%s, the oldest for %s: start a process with the role scheduler and CARILLON_EVENTS_URL", waitingEvents(b), age)
	default:
		x.add(name, stateOK, "%s", waitingEvents(b))
	}
	if b.GivenUp > 0 {
		last := strings.TrimRight("the last "+b.GivenUpLast, " ")
		x.add(name, stateWarn, "%d events were given up, %s at %s: what the receiver missed is in GET /v1/events?after=", b.GivenUp, last, b.GivenUpAt.Time().Format(time.RFC3339))
	}
}

// waitingEvents says how many events wait.
func waitingEvents(b models.EventBacklog) string {
	if b.Waiting >= models.BacklogMost {
		return fmt.Sprintf("%d events or more wait", models.BacklogMost)
	}
	return fmt.Sprintf("%d events wait", b.Waiting)
}
