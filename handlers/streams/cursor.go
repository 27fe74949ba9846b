package streams

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"carillon/channels"
	"carillon/channels/inbox"
	"carillon/handlers/web"
	"carillon/models"
)

const (
	// futureSlack: another database may have taken over whose clock is a little behind. A read goes back as far.
	futureSlack models.Millis = 10_000
	futureNote                = "the cursor lies in the future, so this goes on from now"
)

// mayBeFuture says by our own clock whether it is worth asking the database's.
func mayBeFuture(c models.InboxCursor) bool { return c.SentAt > models.Millis(time.Now().UnixMilli()) }

// FromNow is a cursor, or the present instead of one that lies in the future, with a note.
func FromNow(ctx context.Context, store *models.Store, c models.InboxCursor) (_ models.InboxCursor, note string, err error) {
	if !mayBeFuture(c) {
		return c, "", nil
	}
	now, err := store.Now(ctx)
	if err != nil || c.SentAt <= now+futureSlack {
		return c, "", err
	}
	return models.InboxCursor{SentAt: now}, futureNote, nil
}

// Message renders a stored message for its reader. One that was sent to a group has the group as its
// recipient: all its members know it by the same clientMsgID.
func Message(userID string, m models.InboxMessage) inbox.Message {
	kind, id, to := models.KindUser, userID, channels.Recipient{UserID: userID}
	if m.GroupID != "" {
		kind, id, to = models.KindGroup, m.GroupID, channels.Recipient{GroupID: m.GroupID}
	}
	to.ClientMsgID = models.ClientMsgID(m.Campaign.PublicID, kind, id)
	return inbox.NewMessage(m.Campaign.PublicID, &m.Campaign.Message, to, m.SentAt.Time())
}

// CursorText writes a place in an inbox as clients get it; the start is "".
func CursorText(c models.InboxCursor) string {
	if c == (models.InboxCursor{}) {
		return ""
	}
	return web.EncodeCursor(fmt.Sprintf("%d.%d", c.SentAt, c.Campaign))
}

// ParseCursor reads what CursorText wrote; field names where it came from. Error: 1001.
func ParseCursor(field, text string) (models.InboxCursor, error) {
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
