package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"time"

	"carillon/handlers/web"
	"carillon/models"
)

const (
	// watchEvery is how often a campaign that is watched is read.
	watchEvery = 500 * time.Millisecond
	// watchBeat is between two comments that keep a quiet stream open.
	watchBeat = 15 * time.Second
)

// moment is how a campaign was when it was read. It is encoded once for all who watch.
type moment struct {
	status models.Status
	over   bool         // the campaign has finished
	id     string       // the status, and a hash of data
	data   string       // view as JSON
	view   CampaignView // without its message
}

func momentOf(v CampaignView) (moment, error) {
	v.Message = nil
	data, err := models.JSON(v)
	if err != nil {
		return moment{}, err
	}
	hash := sha256.Sum256(data)
	id := string(v.Status) + "." + base64.RawURLEncoding.EncodeToString(hash[:9])
	return moment{v.Status, v.FinishedAt != nil, id, string(data), v}, nil
}

// eventAfter names the event that takes a client from the event with the ID last to m; "" = there is none to send.
func (m moment) eventAfter(last string) string {
	status, _, _ := strings.Cut(last, ".")
	switch {
	case m.over:
		return "done"
	case m.id == last:
		return ""
	case last != "" && status != string(m.status):
		return "state"
	}
	return "progress"
}

// watchers lets any number of clients watch campaigns. Each campaign has one reader of the ledger in this process, which
// goes when its last client does. A client that is slow misses moments, and gets the newest.
type watchers struct {
	mu   sync.Mutex
	open map[string]*watched
}

// watched is one campaign that is watched.
type watched struct {
	clients int
	stop    context.CancelFunc
	now     moment
	changed chan struct{} // closed when now is replaced, and replaced with it
}

// join adds a client, and starts the reader for the first. first is how the client found the campaign.
func (ws *watchers) join(id string, first moment, read func(context.Context) (moment, error)) *watched {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.open[id]
	if w == nil { // guard: one-reader
		ctx, stop := context.WithCancel(context.Background())
		w = &watched{stop: stop, now: first, changed: make(chan struct{})}
		if ws.open == nil {
			ws.open = map[string]*watched{}
		}
		ws.open[id] = w
		go ws.follow(ctx, w, read)
	}
	w.clients++
	return w
}

func (ws *watchers) leave(id string, w *watched) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w.clients--; w.clients == 0 {
		w.stop()
		delete(ws.open, id)
	}
}

// latest is how the campaign is, and what is closed when that is no longer so.
func (ws *watchers) latest(w *watched) (moment, <-chan struct{}) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return w.now, w.changed
}

// follow reads the campaign as long as it is watched. A reading that fails is repeated.
func (ws *watchers) follow(ctx context.Context, w *watched, read func(context.Context) (moment, error)) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		m, err := read(ctx)
		if err != nil || m.id == w.now.id { // nobody else writes now
			continue
		}
		ws.mu.Lock()
		w.now = m
		close(w.changed)
		w.changed = make(chan struct{})
		ws.mu.Unlock()
	}
}

// watchCampaign sends how a campaign goes, as server-sent events whose data is the campaign without its message:
//
//	event: progress   how it is now, first and then at each change, at most every 500 ms
//	event: state      the same, when its status has changed
//	event: done       the campaign is over; the stream ends
//
// Each has an id. A client that comes again with Last-Event-ID gets what has changed since. The stream ends with the
// caller's token or rights, with the process, and when the client does not keep up.
func (a *API) watchCampaign(in *web.In) error {
	id, err := in.Known("campaign")
	if err != nil {
		return err
	}
	first, err := a.momentOf(in.Context(), id)
	if err != nil {
		return err
	}
	if in.R.Method == http.MethodHead {
		in.W.Header().Set("Content-Type", web.EventStreamType)
		return nil
	}
	return a.follow(in, id, first, func(out *web.EventStream, event string, m moment) error {
		return out.Send(event, m.id, m.data)
	})
}

// FollowCampaign answers with a stream of what a page shows of a campaign: show makes it, first and then at each change, at
// most every 500 ms. Messages have no name, but the last: after it comes the event done.
func (a *API) FollowCampaign(in *web.In, id string, show func(CampaignView) (string, error)) error {
	first, err := a.momentOf(in.Context(), id)
	if err != nil {
		return err
	}
	return a.follow(in, id, first, func(out *web.EventStream, _ string, m moment) error {
		shown, err := show(m.view)
		if err == nil {
			err = out.Send("", m.id, shown)
		}
		if err == nil && m.over {
			err = out.Send("done", m.id, "over")
		}
		return err
	})
}

// follow answers with a stream of a campaign's moments, which send writes.
func (a *API) follow(in *web.In, id string, first moment, send sendMoment) error {
	give, ok := a.TakeLong()
	if !ok {
		return web.ErrTooManyLong
	}
	defer give()
	ctx, end := context.WithDeadline(in.Context(), in.Ends)
	defer end()
	w := a.watchers.join(id, first, func(ctx context.Context) (moment, error) { return a.momentOf(ctx, id) })
	defer a.watchers.leave(id, w)
	a.sendMoments(ctx, in.EventStream(), w, in.LastEventID(), send)
	return nil
}

// sendMoment writes a moment to a client. event is progress, state or done.
type sendMoment func(out *web.EventStream, event string, m moment) error

// momentOf reads how a campaign is.
func (a *API) momentOf(ctx context.Context, id string) (moment, error) {
	c, err := a.Store.Campaign(ctx, id)
	if err != nil {
		return moment{}, err
	}
	return momentOf(a.withPace(ctx, c))
}

// sendMoments sends until the stream is over. last is the ID of the last event that the client has.
func (a *API) sendMoments(ctx context.Context, out *web.EventStream, w *watched, last string, send sendMoment) {
	beat := time.NewTicker(watchBeat)
	defer beat.Stop()
	err := out.Comment("watching") // so that the answer begins, also where nothing has changed
	for err == nil {
		now, changed := a.watchers.latest(w)
		if event := now.eventAfter(last); event != "" {
			if err = send(out, event, now); err != nil || now.over {
				return
			}
			last = now.id
		}
		select {
		case <-ctx.Done():
			return
		case <-a.waiters.ended():
			return
		case <-changed:
		case <-beat.C:
			err = out.Comment("heartbeat")
		}
	}
}
