package streams

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"carillon/channels/inbox"
	"carillon/handlers/web"
	"carillon/models"
)

const (
	openTime  = 3 * time.Second // for Redis to confirm that the user is online
	retryRead = time.Second     // after a read that failed
)

// stream is one open stream. Only its handler writes to the client; the hub only fills live and
// wake.
type stream struct {
	hub  *Hub
	gate *web.Gate
	subscriber

	cursor models.InboxCursor
	note   string          // what the client is told at the beginning; empty = nothing
	seen   map[string]bool // clientMsgIDs of the last read: the only ones that the next read can repeat
	lease  lease
	out    *web.EventStream // nil before the first byte
	show   Show             // nil = as JSON
}

// Show makes what a page shows after a message has come; "" = the page stays as it is.
type Show func(m inbox.Message) (string, error)

// Serve sends a user's messages as they come, as server-sent events. The user is online
// from before the first byte until the stream ends. The stream begins at the cursor in
// Last-Event-ID (or in the query's after), else now:
//
//	id: <cursor>                             where the stream begins; without an event
//	event: message, id: <cursor>, data: …    a stored message
//	event: message, data: …                  a message for those online only; it is nowhere else
//	event: note, data: …                     what the client should know, in words
//
// Errors before the first byte: 1004 unknown user, 429 too many streams, 503 Redis is away.
//
// The stream ends with its token, its user or its process, and when its client does not keep up.
// The client then opens it again.
func (f *Hub) Serve(g *web.Gate, in *web.In) error {
	userID, err := in.ID("userID")
	if err != nil {
		return err
	}
	after, err := resumeAt(in)
	if err != nil {
		return err
	}
	return f.serve(g, in, userID, after, nil)
}

// Follow is Serve for a page. The stream begins at a cursor, and what show makes has no name and no id: a page that opens the
// stream again reads the inbox anew.
func (f *Hub) Follow(g *web.Gate, in *web.In, userID string, after models.InboxCursor, show Show) error {
	return f.serve(g, in, userID, after, show)
}

func (f *Hub) serve(g *web.Gate, in *web.In, userID string, after models.InboxCursor, show Show) error {
	user, err := g.Store.User(in.Context(), userID)
	if err != nil {
		return err
	}
	if in.R.Method == http.MethodHead { // nobody reads a stream here, so nobody is online
		in.W.Header().Set("Content-Type", web.EventStreamType)
		return nil
	}
	give, ok := g.TakeLong()
	if !ok {
		return web.ErrTooManyLong
	}
	defer give()
	ctx, end := context.WithDeadline(in.Context(), in.Ends)
	defer end()
	st := &stream{
		hub: f, gate: g, cursor: after, seen: map[string]bool{}, show: show,
		subscriber: subscriber{
			userID: userID, entry: user.AddedRev, channel: inbox.StreamName(g.Redis, userID), end: end,
			live: make(chan string, liveBuffer), wake: make(chan struct{}, 1),
		},
		lease: newLease(g.Redis, userID, f.heartbeatEvery()),
	}
	if err := st.open(ctx); err != nil {
		return err
	}
	defer st.lease.free()
	defer f.leave(&st.subscriber)
	if err := st.begin(ctx); err != nil {
		return f.closingOr(err)
	}
	st.out = in.EventStream()
	st.run(ctx)
	return nil
}

func resumeAt(in *web.In) (models.InboxCursor, error) {
	if id := in.LastEventID(); id != "" {
		return ParseCursor("Last-Event-ID", id)
	}
	return ParseCursor("after", in.Query("after"))
}

// open takes the stream's lease and brings its user online.
func (st *stream) open(ctx context.Context) error {
	opening, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	ok, err := st.lease.take(opening)
	switch {
	case err == nil && !ok:
		return &models.Error{Code: models.CodeTooManyRequests, Detail: fmt.Sprintf("this user has %d streams open", maxStreams), RetryAfter: heartbeat}
	case err == nil:
		if err = st.hub.join(opening, st.gate, &st.subscriber); err == nil {
			return nil
		}
		st.lease.free()
	}
	if ctx.Err() != nil {
		return st.hub.closingOr(ctx.Err())
	}
	away := &models.Error{Code: models.CodeUnavailable, Detail: "Redis does not answer, so nobody can be online", RetryAfter: web.UnavailableWait, Cause: err}
	return st.hub.closingOr(away)
}

// begin sets where a stream without a cursor begins: now. Messages in the inbox count as seen. A
// read goes ten seconds back; of those, only what is committed from now on is sent.
//
// A cursor from the future would send nothing until then. So it counts as no cursor, and the client
// is told.
func (st *stream) begin(ctx context.Context) (err error) {
	if st.cursor == (models.InboxCursor{}) {
		st.cursor.SentAt, err = st.gate.Store.Now(ctx)
	} else if st.cursor, st.note, err = FromNow(ctx, st.gate.Store, st.cursor); err == nil && st.note == "" {
		return nil
	}
	if err == nil {
		_, err = st.unseen(ctx)
	}
	return err
}

// run sends until the stream is over. After the first byte no error can be answered: the client
// comes back with its cursor.
func (st *stream) run(ctx context.Context) {
	beat := time.NewTicker(st.hub.heartbeatEvery())
	defer beat.Stop()
	retry := time.NewTimer(retryRead)
	retry.Stop()
	st.poke() // for messages since the cursor
	err := st.out.Comment("open")
	if st.show == nil {
		err = st.out.Send("", CursorText(st.cursor), "")
	}
	if err == nil && st.note != "" {
		err = st.out.Send("note", "", st.note)
	}
	for err == nil {
		select {
		case <-ctx.Done():
			return
		case raw := <-st.live:
			err = st.sendLive(raw)
		case <-st.wake:
			err = st.deliver(ctx, retry)
		case <-retry.C:
			st.poke()
		case <-beat.C:
			if err = st.out.Comment("heartbeat"); err == nil {
				st.lease.renew(ctx)
			}
		}
	}
}

// deliver sends what was stored since the cursor, at most one read. If there may be more, it wakes
// the stream again.
func (st *stream) deliver(ctx context.Context, retry *time.Timer) error {
	cursor := st.cursor
	messages, err := st.unseen(ctx)
	if err != nil {
		retry.Reset(retryRead) // the ledger is away; Hub logs that
		return nil
	}
	for _, m := range messages {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		cursor = cursor.Later(m.at)
		if err := st.sendStored(m.message, cursor); err != nil {
			return err
		}
	}
	if len(messages) >= readLimit {
		st.poke()
	}
	return nil
}

// sendLive sends a message for those online only, as it was published.
func (st *stream) sendLive(raw string) error {
	if st.show == nil {
		return st.out.Send("message", "", raw)
	}
	var m inbox.Message
	if err := json.Unmarshal([]byte(raw), &m); err != nil {
		return nil // of a newer program
	}
	return st.sendShown(m)
}

// sendStored sends a message of the inbox; cursor is where a client goes on behind it.
func (st *stream) sendStored(m inbox.Message, cursor models.InboxCursor) error {
	if st.show != nil {
		return st.sendShown(m)
	}
	data, err := models.JSON(m)
	if err != nil {
		return err
	}
	return st.out.Send("message", CursorText(cursor), string(data))
}

func (st *stream) sendShown(m inbox.Message) error {
	shown, err := st.show(m)
	if err != nil || shown == "" {
		return err
	}
	return st.out.Send("", "", shown)
}

type placed struct {
	message inbox.Message
	at      models.InboxCursor
}

// unseen reads on from the cursor and moves it. Of the messages that the read repeats, only those
// committed late are returned. Everything returned counts as seen.
func (st *stream) unseen(ctx context.Context) ([]placed, error) {
	stored, err := st.hub.read(ctx, st.gate.Store, st.userID, st.cursor)
	if err != nil {
		return nil, err
	}
	var fresh []placed
	seen := make(map[string]bool, len(stored))
	for _, s := range stored {
		m := Message(st.userID, s)
		seen[m.ClientMsgID] = true
		if !st.seen[m.ClientMsgID] {
			fresh = append(fresh, placed{m, s.Cursor()})
		}
		st.cursor = st.cursor.Later(s.Cursor())
	}
	st.seen = seen
	return fresh, nil
}
