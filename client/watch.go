package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"time"
)

const (
	pollEvery   = time.Second     // of a server without an event stream
	reopenAfter = time.Second     // a stream that broke off
	patience    = 2 * time.Minute // for a server that goes away while it is watched
)

// Watch follows a campaign until it has ended. It yields its state at once, then each change, and
// last the state in which it ended. A paused campaign has not ended: Watch waits.
//
// The states come as server-sent events. A stream that breaks off is opened again, where it was. A
// server without the stream is asked once a second. A server that goes away is waited for, 2 minutes
// at most.
//
// An error is yielded as the last thing. The end of ctx is such an error, and changes nothing about
// the campaign.
func (c *Client) Watch(ctx context.Context, id string) iter.Seq2[Campaign, error] {
	return func(yield func(Campaign, error) bool) {
		w := watch{c: c, ctx: ctx, id: id, yield: yield, heard: time.Now()}
		if err := w.run(); err != nil && !errors.Is(err, errEnough) {
			yield(w.last, err)
		}
	}
}

var errEnough = errors.New("the reader has had enough")

type watch struct {
	c     *Client
	ctx   context.Context //nolint:containedctx // a watch is one call
	id    string
	yield func(Campaign, error) bool
	last  Campaign
	after string        // the ID of the last event
	wait  time.Duration // before the stream is opened again; what the server says, if it does
	heard time.Time     // when the server was last heard of
}

func (w *watch) run() error {
	polling, done := false, false
	for {
		p, err := w.c.Campaign(w.ctx, w.id)
		if err == nil {
			w.heard = time.Now()
			if !w.tell(p) {
				return errEnough
			}
			if p.FinishedAt != nil {
				return nil
			}
			if !polling && !done {
				polling, done, err = w.stream()
			} else {
				done = false
			}
		}
		if err != nil && !w.passing(err) {
			return err
		}
		if done && err == nil {
			continue // ask for the state in which it ended
		}
		wait := pollEvery
		if !polling {
			wait = max(w.wait, reopenAfter)
		}
		if err := w.c.doer.sleep(w.ctx, wait); err != nil {
			return err
		}
	}
}

// passing reports whether an error may go away by itself.
func (w *watch) passing(err error) bool {
	if w.ctx.Err() != nil || time.Since(w.heard) > patience {
		return false
	}
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	w.wait = max(w.wait, e.RetryAfter)
	return e.Status == 0 && w.c.doer.answered.Load() && (e.Unreachable || e.Fix == "") || e.Status == http.StatusTooManyRequests || e.Status >= 500
}

func (w *watch) tell(p Campaign) bool {
	w.last = p
	return w.yield(p, nil)
}

// stream follows the events until one says that the campaign has ended (done), or the stream breaks
// off. without: the server has no such stream.
func (w *watch) stream() (without, done bool, err error) {
	var from WatchCampaignParams
	if w.after != "" {
		from.LastEventID = &w.after
	}
	res, err := w.c.WatchCampaign(w.ctx, w.id, &from)
	switch {
	case CodeOf(err) == CodeRecordNotFound: // the campaign was just read, so the route is what is missing
		return true, false, nil
	case err != nil:
		return false, false, err
	}
	defer res.Body.Close()
	for events := newEventReader(res.Body); ; {
		e, err := events.next()
		if events.retry > 0 {
			w.wait = events.retry
		}
		switch {
		case errors.Is(err, io.EOF) && w.ctx.Err() == nil:
			return false, false, &Error{Message: w.c.Address() + " ended the stream of events"}
		case err != nil:
			return false, false, w.c.doer.noAnswer(w.ctx, operationOf(res), err)
		}
		w.heard = time.Now()
		if e.id != "" {
			w.after = e.id
		}
		var p Campaign
		switch {
		case e.name == "done":
			return false, true, nil
		case e.name != "progress" && e.name != "state" || json.Unmarshal(e.data, &p) != nil:
			// a newer server may have more kinds of events
		case !w.tell(p):
			return false, false, errEnough
		}
	}
}
