package openim

import (
	"bytes"
	"encoding/json"
	"io"
	"net/url"
	"strconv"
	"sync"

	"carillon/channels"
	"carillon/channels/provider"
	"carillon/models"
)

const (
	routeSend  = "/msg/send_msg"
	routeCheck = "/msg/check_msg_is_send_success"

	// maxOperationID is how much of a campaign's operationID stands in front of the recipient's part. The header then
	// has at most 97 bytes.
	maxOperationID = 64

	keptScratchBytes = 64 << 10 // larger buffers are left to the garbage collector
)

// encoder writes requests. What is the same for all of them, and for all of a campaign, is encoded once; a recipient's
// part is appended without reflection.
type encoder struct {
	send, check []byte // heads
	messages    *provider.Messages
	scratch     sync.Pool // of *[]byte
}

func newEncoder(base *url.URL) (*encoder, error) {
	e := &encoder{messages: provider.NewMessages(encodeMessage), scratch: sync.Pool{New: func() any { return new([]byte) }}}
	for _, one := range []struct {
		head  *[]byte
		route string
	}{{&e.send, routeSend}, {&e.check, routeCheck}} {
		u, err := url.Parse(base.String() + one.route)
		if err != nil {
			return nil, err
		}
		if *one.head, err = provider.Head(u); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// encodeMessage is the body of send_msg up to the recipient.
func encodeMessage(b channels.Batch) ([]byte, error) {
	m := b.Message
	text, err := models.JSON(struct {
		SendID           string                  `json:"sendID"`
		SenderNickname   string                  `json:"senderNickname"`
		SenderFaceURL    string                  `json:"senderFaceURL"`
		SenderPlatformID int                     `json:"senderPlatformID"`
		Content          json.RawMessage         `json:"content"`
		ContentType      int                     `json:"contentType"`
		SessionType      int                     `json:"sessionType"`
		IsOnlineOnly     bool                    `json:"isOnlineOnly"`
		NotOfflinePush   bool                    `json:"notOfflinePush"`
		SendTime         int64                   `json:"sendTime"`
		OfflinePushInfo  *models.OfflinePushInfo `json:"offlinePushInfo,omitempty"`
		Ex               string                  `json:"ex"`
	}{
		m.SendID, m.SenderNickname, m.SenderFaceURL, m.SenderPlatformID, m.Content, m.ContentType, m.SessionType,
		m.IsOnlineOnly, m.NotOfflinePush, m.SendTime, m.OfflinePushInfo, m.Ex,
	})
	if err != nil {
		return nil, err
	}
	return append(bytes.TrimSuffix(text, []byte("}")), `,"recvID":`...), nil
}

// writeSend writes a send_msg to w in one call.
func (e *encoder) writeSend(w io.Writer, message []byte, to *channels.Recipient, operation, token, traceparent string) error {
	text := e.scratch.Get().(*[]byte)
	defer e.give(text)
	var room [3 * models.MaxIDBytes]byte
	part := provider.AppendString(room[:0], to.UserID)
	part = append(provider.AppendString(append(part, `,"groupID":`...), to.GroupID), '}')
	t := appendHeaders((*text)[:0], e.send, operation, to.ClientMsgID, token, traceparent)
	t = strconv.AppendInt(append(t, "Content-Length: "...), int64(len(message)+len(part)), 10)
	t = append(append(t, "\r\n\r\n"...), message...)
	t = append(t, part...)
	*text = t
	_, err := w.Write(t)
	return err
}

// writeCheck writes a check_msg_is_send_success to w in one call.
func (e *encoder) writeCheck(w io.Writer, to *channels.Recipient, operation, token, traceparent string) error {
	text := e.scratch.Get().(*[]byte)
	defer e.give(text)
	*text = append(appendHeaders((*text)[:0], e.check, operation, to.ClientMsgID, token, traceparent), "Content-Length: 2\r\n\r\n{}"...)
	_, err := w.Write(*text)
	return err
}

func (e *encoder) give(text *[]byte) {
	if cap(*text) <= keptScratchBytes {
		e.scratch.Put(text)
	}
}

// appendHeaders appends a request up to its last header. The operationID is that of the campaign and the clientMsgID, so
// it is the same in all requests for one recipient of one campaign, and in no other.
func appendHeaders(t, head []byte, operation, clientMsgID, token, traceparent string) []byte {
	t = append(append(append(t, head...), "operationID: "...), operation...)
	t = append(append(append(t, clientMsgID...), "\r\ntoken: "...), token...)
	if traceparent != "" {
		t = append(append(t, "\r\ntraceparent: "...), traceparent...)
	}
	return append(t, "\r\n"...)
}

// operationPrefix is a campaign's operationID as it begins those of its recipients: its first characters, with a _ in
// place of what a header, a log or a file's name might take for something else.
func operationPrefix(operationID string) string {
	text := make([]byte, 0, maxOperationID+1)
	for _, c := range operationID {
		switch {
		case len(text) == maxOperationID:
			return string(append(text, '-'))
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == ':':
			text = append(text, byte(c))
		default:
			text = append(text, '_')
		}
	}
	return string(append(text, '-'))
}
