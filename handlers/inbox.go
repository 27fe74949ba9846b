package handlers

import (
	"context"
	"time"

	"carillon/channels/inbox"
	"carillon/handlers/streams"
	"carillon/handlers/web"
	"carillon/models"
)

// MessageList is a part of an inbox.
type MessageList struct {
	Messages   []inbox.Message `json:"messages"`
	NextCursor string          `json:"nextCursor"`
	Note       string          `json:"note,omitempty"` // what the reader should know, in words
}

// InboxPage is which part of whose inbox is asked for.
type InboxPage struct {
	UserID string
	After  models.InboxCursor
	Limit  int
}

func readInboxPage(in *web.In) (p InboxPage, err error) {
	if p.UserID, err = in.ID("userID"); err != nil {
		return p, err
	}
	if _, p.Limit, err = web.ParsePage(in.R); err != nil {
		return p, err
	}
	p.After, err = streams.ParseCursor("after", in.Query("after"))
	return p, err
}

// ListMessages answers a user's messages after a cursor, oldest first. nextCursor is where to go on, now or
// later, and never goes back; messages of the ten seconds before it come again with it, for what was
// committed late, so a reader de-duplicates by clientMsgID. It is empty only while the inbox is.
func (a *API) ListMessages(ctx context.Context, _ web.Call, p InboxPage) (list MessageList, err error) {
	if _, err := a.Store.User(ctx, p.UserID); err != nil {
		return list, err
	}
	after, note, err := streams.FromNow(ctx, a.Store, p.After)
	if err != nil {
		return list, err
	}
	stored, err := a.readInbox(ctx, p.UserID, after, p.Limit)
	if err != nil {
		return list, err
	}
	size := int64(0)
	for _, m := range stored {
		size += int64(len(m.Campaign.Message.Content))
	}
	if size > web.FreeBytes { // as read, as encoded, and as written
		if err := a.Spend(ctx, 3*size); err != nil {
			return list, err
		}
	}
	list = MessageList{Messages: make([]inbox.Message, len(stored)), Note: note}
	for i, m := range stored {
		list.Messages[i] = streams.Message(p.UserID, m)
		after = after.Later(m.Cursor())
	}
	list.NextCursor = streams.CursorText(after)
	return list, nil
}

// inboxReads is how many inboxes one process reads at a time for lists: sends go through the same connections to
// the database.
const inboxReads = 4

// readInbox reads an inbox in its turn.
func (a *API) readInbox(ctx context.Context, userID string, after models.InboxCursor, limit int) ([]models.InboxMessage, error) {
	leave, err := a.inboxReaders.enter(ctx, inboxReads, "inboxes are read")
	if err != nil {
		return nil, err
	}
	defer leave()
	return a.Store.Inbox(ctx, userID, after, limit)
}

// streamMessages sends a user's messages as they come.
func (a *API) streamMessages(in *web.In) error { return a.streams.Serve(&a.Gate, in) }

// FollowInbox answers with a stream of what a page shows of an inbox: show makes it after each message behind the cursor. The
// last messages before the cursor come again.
func (a *API) FollowInbox(in *web.In, userID string, after models.InboxCursor, show func(inbox.Message) (string, error)) error {
	return a.streams.Follow(&a.Gate, in, userID, after, show)
}

// InboxSince is where an inbox is read from to see what has come since an instant.
func InboxSince(at time.Time) models.InboxCursor {
	return models.InboxCursor{SentAt: models.Millis(at.UnixMilli())}
}
