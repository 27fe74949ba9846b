// Package inbox is the channel that needs no provider: a recipient row that is `sent` is the message in that user's
// inbox, so for a stored message there is nothing to do but to write the row. A message for those online
// only is handed to the streams that users hold open, through Redis, and stored nowhere.
package inbox

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/channels"
	"carillon/models"
)

// Name is the channel's name.
const Name = "inbox"

// Channel stores messages, and hands those for users who are online to their streams.
type Channel struct{ rdb redis.UniversalClient }

// New shares rdb, which stays the caller's to close.
func New(rdb redis.UniversalClient) *Channel { return &Channel{rdb} }

// Traits: an inbox belongs to a user of the directory, and there is no request to be bounded.
func (*Channel) Traits() channels.Traits {
	return channels.Traits{Name: Name, MaxBatch: models.PageSize, KnowsUsers: true, StoresInInbox: true, GroupEach: true, GroupOnce: true}
}

// Message is a message as its reader gets it, from the inbox and from the stream alike.
type Message struct {
	ClientMsgID      string                  `json:"clientMsgID"` // unique per message and recipient: what readers de-duplicate by
	CampaignID       string                  `json:"campaignID"`
	SendID           string                  `json:"sendID"`
	SenderNickname   string                  `json:"senderNickname"`
	SenderFaceURL    string                  `json:"senderFaceURL"`
	SenderPlatformID int                     `json:"senderPlatformID"`
	GroupID          string                  `json:"groupID,omitempty"`
	Content          json.RawMessage         `json:"content"`
	ContentType      int                     `json:"contentType"`
	SessionType      int                     `json:"sessionType"`
	IsOnlineOnly     bool                    `json:"isOnlineOnly"`
	OfflinePush      *models.OfflinePushInfo `json:"offlinePush"` // null: the phone's push service is not to be used
	SendTime         int64                   `json:"sendTime,omitempty"`
	Ex               string                  `json:"ex"`
	SentAt           time.Time               `json:"sentAt"`
}

// NewMessage renders a campaign's message for one recipient. Without its own offlinePushInfo a message
// carries the default title of its contentType, unless push is switched off.
func NewMessage(campaignID string, m *models.Message, r channels.Recipient, sentAt time.Time) Message {
	push := m.OfflinePushInfo
	switch {
	case m.NotOfflinePush:
		push = nil
	case push == nil || *push == models.OfflinePushInfo{}:
		push = &models.OfflinePushInfo{Title: models.DefaultPushTitle(m.ContentType)}
	}
	return Message{
		ClientMsgID: r.ClientMsgID, CampaignID: campaignID, SendID: m.SendID, SenderNickname: m.SenderNickname,
		SenderFaceURL: m.SenderFaceURL, SenderPlatformID: m.SenderPlatformID, GroupID: r.GroupID, Content: m.Content,
		ContentType: m.ContentType, SessionType: m.SessionType, IsOnlineOnly: m.IsOnlineOnly, OfflinePush: push,
		SendTime: m.SendTime, Ex: m.Ex, SentAt: sentAt.UTC(),
	}
}

// StreamName is the Redis channel that a user's open streams subscribe to. Being subscribed is being online,
// in whatever process the stream is held. Publish/subscribe knows no database numbers, so the name has it.
func StreamName(rdb redis.UniversalClient, userID string) string {
	db := 0
	if c, ok := rdb.(*redis.Client); ok {
		db = c.Options().DB
	}
	return fmt.Sprintf("carillon:%d:inbox:%s", db, userID)
}

// Send accepts every stored message. One that is for those online only is Sent to users with an open stream
// and Skipped for the others; when Redis does not answer it is to be tried again, not "offline".
func (i *Channel) Send(ctx context.Context, b channels.Batch) []channels.Outcome {
	out := make([]channels.Outcome, len(b.Recipients)) // the zero Outcome is Sent
	if !b.Message.IsOnlineOnly {
		return out
	}
	if b.MayStart != nil && !b.MayStart() {
		return channels.Same(len(out), channels.Outcome{Result: channels.NotTried})
	}
	now := time.Now()
	pipe := i.rdb.Pipeline()
	heard := make([]*redis.IntCmd, len(b.Recipients))
	for k, r := range b.Recipients {
		raw, err := models.JSON(NewMessage(b.CampaignID, b.Message, r, now))
		if err != nil {
			return channels.Same(len(out), channels.Outcome{Result: channels.Failed, ErrCode: models.CodeInternal, ErrMsg: "the campaign's message cannot be encoded"})
		}
		heard[k] = pipe.Publish(ctx, StreamName(i.rdb, r.UserID), raw)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for k, cmd := range heard {
		n, err := cmd.Result()
		switch {
		case err != nil:
			out[k] = channels.Outcome{Result: channels.Retry, ErrCode: models.CodeUnavailable, ErrMsg: "Redis did not take the message"}
		case n == 0:
			out[k] = channels.Outcome{Result: channels.Skipped, ErrMsg: "offline"}
		}
	}
	return out
}
