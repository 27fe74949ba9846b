package handlers

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"carillon/channels/inbox"
	"carillon/models"
)

const (
	openTime    = 3 * time.Second // for Redis to confirm that the user is online
	retryRead   = time.Second     // after a read that failed
	lastEventID = "Last-Event-ID"
	eventStream = "text/event-stream"
)

// stream is one open stream. Only its handler writes to the client; streamHub only fills live and
// wake.
type stream struct {
	api *API
	subscriber

	cursor models.InboxCursor
	note   string          // what the client is told at the beginning; empty = nothing
	seen   map[string]bool // clientMsgIDs of the last read: the only ones that the next read can repeat
	lease  streamLease
	w      http.ResponseWriter
	ctl    *http.ResponseController
}

// streamMessages sends a user's messages as they come, as server-sent events. The user is online
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
func (a *API) streamMessages(in *in) error {
	w := in.W
	userID, err := in.ID("userID")
	if err != nil {
		return err
	}
	after, err := resumeAt(in)
	if err != nil {
		return err
	}
	user, err := a.Store.User(in.Context(), userID)
	if err != nil {
		return err
	}
	if in.R.Method == http.MethodHead { // nobody reads a stream here, so nobody is online
		w.Header().Set("Content-Type", eventStream)
		return nil
	}
	give, ok := a.takeLong()
	if !ok {
		return errTooManyLong
	}
	defer give()
	ctx, end := context.WithDeadline(in.Context(), in.Ends)
	defer end()
	st := &stream{
		api: a, cursor: after, seen: map[string]bool{},
		subscriber: subscriber{
			userID: userID, entry: user.AddedRev, channel: inbox.StreamName(a.Redis, userID), end: end,
			live: make(chan string, liveBuffer), wake: make(chan struct{}, 1),
		},
		lease: newStreamLease(a.Redis, userID, a.streams.heartbeatEvery()),
		w:     w, ctl: http.NewResponseController(w),
	}
	if err := st.open(ctx); err != nil {
		return err
	}
	defer st.lease.free()
	defer a.streams.leave(&st.subscriber)
	if err := st.begin(ctx); err != nil {
		return a.streams.closingOr(err)
	}
	h := w.Header()
	h.Set("Content-Type", eventStream)
	h.Set("X-Accel-Buffering", "no") // nginx would hold the events back
	h.Set("Connection", "close")     // the connection has our write deadlines
	writesWithin(w, streamTime)
	st.run(ctx)
	return nil
}

func resumeAt(in *in) (models.InboxCursor, error) {
	if id := in.R.Header.Get(lastEventID); id != "" {
		return parseInboxCursor(lastEventID, id)
	}
	return parseInboxCursor("after", in.Query("after"))
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
		if err = st.api.streams.join(opening, sources{st.api.Redis, st.api.Store, st.api.Log}, &st.subscriber); err == nil {
			return nil
		}
		st.lease.free()
	}
	if ctx.Err() != nil {
		return st.api.streams.closingOr(ctx.Err())
	}
	away := &models.Error{Code: models.CodeUnavailable, Detail: "Redis does not answer, so nobody can be online", RetryAfter: unavailableWait, Cause: err}
	return st.api.streams.closingOr(away)
}

// begin sets where a stream without a cursor begins: now. Messages in the inbox count as seen. A
// read goes ten seconds back; of those, only what is committed from now on is sent.
//
// A cursor from the future would send nothing until then. So it counts as no cursor, and the client
// is told.
func (st *stream) begin(ctx context.Context) (err error) {
	if st.cursor == (models.InboxCursor{}) {
		st.cursor.SentAt, err = st.api.Store.Now(ctx)
	} else if st.cursor, st.note, err = st.api.fromNow(ctx, st.cursor); err == nil && st.note == "" {
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
	beat := time.NewTicker(st.api.streams.heartbeatEvery())
	defer beat.Stop()
	retry := time.NewTimer(retryRead)
	retry.Stop()
	st.poke() // for messages since the cursor
	err := st.write("id: " + inboxCursor(st.cursor) + "\n\n")
	if err == nil && st.note != "" {
		err = st.write("event: note\ndata: " + st.note + "\n\n")
	}
	for err == nil {
		select {
		case <-ctx.Done():
			return
		case raw := <-st.live:
			err = st.write("event: message\ndata: " + raw + "\n\n")
		case <-st.wake:
			err = st.deliver(ctx, retry)
		case <-retry.C:
			st.poke()
		case <-beat.C:
			if err = st.write(": heartbeat\n\n"); err == nil {
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
		retry.Reset(retryRead) // the ledger is away; streamHub logs that
		return nil
	}
	for _, m := range messages {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		data, err := models.JSON(m.message)
		if err != nil {
			return err
		}
		cursor = cursor.Later(m.at)
		if err := st.write(fmt.Sprintf("event: message\nid: %s\ndata: %s\n\n", inboxCursor(cursor), data)); err != nil {
			return err
		}
	}
	if len(messages) >= readLimit {
		st.poke()
	}
	return nil
}

type placed struct {
	message inbox.Message
	at      models.InboxCursor
}

// unseen reads on from the cursor and moves it. Of the messages that the read repeats, only those
// committed late are returned. Everything returned counts as seen.
func (st *stream) unseen(ctx context.Context) ([]placed, error) {
	stored, err := st.api.streams.read(ctx, st.api.Store, st.userID, st.cursor)
	if err != nil {
		return nil, err
	}
	var fresh []placed
	seen := make(map[string]bool, len(stored))
	for _, s := range stored {
		m := inboxMessage(st.userID, s)
		seen[m.ClientMsgID] = true
		if !st.seen[m.ClientMsgID] {
			fresh = append(fresh, placed{m, s.Cursor()})
		}
		st.cursor = st.cursor.Later(s.Cursor())
	}
	st.seen = seen
	return fresh, nil
}

// write sends text at once. It fails if the client does not take the text in time.
func (st *stream) write(text string) error {
	if _, err := st.w.Write([]byte(text)); err != nil {
		return err
	}
	return st.ctl.Flush()
}
