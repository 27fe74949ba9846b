package handlers

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"carillon/channels"
	"carillon/channels/inbox"
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

func readInboxPage(in *in) (p InboxPage, err error) {
	if p.UserID, err = in.ID("userID"); err != nil {
		return p, err
	}
	if _, p.Limit, err = parsePage(in.R); err != nil {
		return p, err
	}
	p.After, err = parseInboxCursor("after", in.Query("after"))
	return p, err
}

// ListMessages answers a user's messages after a cursor, oldest first. nextCursor is where to go on, now or
// later, and never goes back; messages of the ten seconds before it come again with it, for what was
// committed late, so a reader de-duplicates by clientMsgID. It is empty only while the inbox is.
func (a *API) ListMessages(ctx context.Context, _ call, p InboxPage) (list MessageList, err error) {
	if _, err := a.Store.User(ctx, p.UserID); err != nil {
		return list, err
	}
	after, note, err := a.fromNow(ctx, p.After)
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
	if size > freeBytes { // as read, as encoded, and as written
		if err := a.spend(ctx, 3*size); err != nil {
			return list, err
		}
	}
	list = MessageList{Messages: make([]inbox.Message, len(stored)), Note: note}
	for i, m := range stored {
		list.Messages[i] = inboxMessage(p.UserID, m)
		after = after.Later(m.Cursor())
	}
	list.NextCursor = inboxCursor(after)
	return list, nil
}

// inboxReads is how many inboxes one process reads at a time for lists: sends go through the same connections to
// the database.
const inboxReads = 4

// readInbox reads an inbox in its turn.
func (a *API) readInbox(ctx context.Context, userID string, after models.InboxCursor, limit int) ([]models.InboxMessage, error) {
	a.inboxOnce.Do(func() { a.inboxReaders = make(chan struct{}, inboxReads) })
	waiting := time.NewTimer(budgetWait)
	defer waiting.Stop()
	select {
	case a.inboxReaders <- struct{}{}:
		defer func() { <-a.inboxReaders }()
		return a.Store.Inbox(ctx, userID, after, limit)
	case <-waiting.C:
		return nil, &models.Error{Code: models.CodeUnavailable, Detail: "too many inboxes are read at once", RetryAfter: budgetWait}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

const (
	// futureSlack: another database may have taken over whose clock is a little behind. A read goes back as far.
	futureSlack models.Millis = 10_000
	futureNote                = "the cursor lies in the future, so this goes on from now"
)

// mayBeFuture says by our own clock whether it is worth asking the database's.
func mayBeFuture(c models.InboxCursor) bool { return c.SentAt > models.Millis(time.Now().UnixMilli()) }

// fromNow is a cursor, or the present instead of one that lies in the future, with a note.
func (a *API) fromNow(ctx context.Context, c models.InboxCursor) (_ models.InboxCursor, note string, err error) {
	if !mayBeFuture(c) {
		return c, "", nil
	}
	now, err := a.Store.Now(ctx)
	if err != nil || c.SentAt <= now+futureSlack {
		return c, "", err
	}
	return models.InboxCursor{SentAt: now}, futureNote, nil
}

// inboxMessage renders a stored message for its reader. One that was sent to a group has the group as its
// recipient: all its members know it by the same clientMsgID.
func inboxMessage(userID string, m models.InboxMessage) inbox.Message {
	kind, id, to := models.KindUser, userID, channels.Recipient{UserID: userID}
	if m.GroupID != "" {
		kind, id, to = models.KindGroup, m.GroupID, channels.Recipient{GroupID: m.GroupID}
	}
	to.ClientMsgID = models.ClientMsgID(m.Campaign.PublicID, kind, id)
	return inbox.NewMessage(m.Campaign.PublicID, &m.Campaign.Message, to, m.SentAt.Time())
}

// inboxCursor writes a place in an inbox as clients get it; the start is "".
func inboxCursor(c models.InboxCursor) string {
	if c == (models.InboxCursor{}) {
		return ""
	}
	return encodeCursor(fmt.Sprintf("%d.%d", c.SentAt, c.Campaign))
}

// parseInboxCursor reads what inboxCursor wrote; field names where it came from. Error: 1001.
func parseInboxCursor(field, text string) (models.InboxCursor, error) {
	if text == "" {
		return models.InboxCursor{}, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	sentAt, campaign, _ := strings.Cut(string(raw), ".")
	at, err1 := strconv.ParseUint(sentAt, 10, 62)
	id, err2 := strconv.ParseUint(campaign, 10, 62)
	if err != nil || err1 != nil || err2 != nil || at > uint64(models.MaxInstant) {
		return models.InboxCursor{}, models.Invalid([]models.FieldError{{Field: field, Reason: "must be a nextCursor of this inbox"}})
	}
	return models.InboxCursor{SentAt: models.Millis(at), Campaign: int64(id)}, nil
}
