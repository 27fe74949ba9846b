package webhook

import (
	"bytes"
	"io"
	"strconv"
	"sync"
	"time"

	"carillon/channels"
	"carillon/channels/provider"
	"carillon/models"
)

const keptScratchBytes = 64 << 10 // larger buffers are left to the garbage collector

// encoder writes requests. What is the same for all of them, and for all of a campaign, is encoded once; a
// recipient's part is appended without reflection.
type encoder struct {
	head     []byte // from the request line to the headers that differ
	messages *provider.Messages
	scratch  sync.Pool
}

// scratch is what encoding one request needs.
type scratch struct {
	signer signer
	signed []byte // what is signed in front of the body
	list   []byte // the recipients, to the body's end
	text   []byte // the whole request
}

func newEncoder(head, key []byte) *encoder {
	return &encoder{
		head:     head,
		messages: provider.NewMessages(encodeMessage),
		scratch:  sync.Pool{New: func() any { return &scratch{signer: newSigner(key)} }},
	}
}

// encodeMessage is the part of the body that all requests of a campaign share, up to the recipients.
func encodeMessage(b channels.Batch) ([]byte, error) {
	text, err := models.JSON(struct {
		CampaignID  string          `json:"campaignID"`
		OperationID string          `json:"operationID"`
		Message     *models.Message `json:"message"`
	}{b.CampaignID, b.OperationID, b.Message})
	if err != nil {
		return nil, err
	}
	return append(bytes.TrimSuffix(text, []byte("}")), `,"recipients":[`...), nil
}

// write writes the request for items to w in one call, signed with the time now.
func (e *encoder) write(w io.Writer, message []byte, items []channels.Recipient, now time.Time, traceparent string) error {
	s := e.scratch.Get().(*scratch)
	s.render(e.head, message, items, now.Unix(), traceparent)
	_, err := w.Write(s.text)
	if cap(s.text) <= keptScratchBytes {
		e.scratch.Put(s)
	}
	return err
}

func (s *scratch) render(head, message []byte, items []channels.Recipient, unix int64, traceparent string) {
	key := requestKey(items)
	s.list = append(appendItems(s.list[:0], items), "]}"...)
	s.signed = append(append(s.signed[:0], key...), '.')
	stamp := len(s.signed)
	s.signed = append(strconv.AppendInt(s.signed, unix, 10), '.')

	t := append(s.text[:0], head...)
	t = append(append(t, "Idempotency-Key: "...), key...)
	t = append(append(t, "\r\nWebhook-Id: "...), key...)
	t = append(append(t, "\r\nWebhook-Timestamp: "...), s.signed[stamp:len(s.signed)-1]...)
	t = s.signer.appendSignature(append(t, "\r\nWebhook-Signature: "...), s.signed, message, s.list)
	if traceparent != "" {
		t = append(append(t, "\r\nTraceparent: "...), traceparent...)
	}
	t = strconv.AppendInt(append(t, "\r\nContent-Length: "...), int64(len(message)+len(s.list)), 10)
	t = append(append(t, "\r\n\r\n"...), message...)
	s.text = append(t, s.list...)
}

// appendItems appends the recipients as the JSON objects they are in the body, with commas between.
func appendItems(dst []byte, items []channels.Recipient) []byte {
	for i, r := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		if r.UserID != "" {
			dst = append(provider.AppendString(append(dst, `"recvID":`...), r.UserID), ',')
		}
		if r.GroupID != "" {
			dst = append(provider.AppendString(append(dst, `"groupID":`...), r.GroupID), ',')
		}
		dst = append(provider.AppendString(append(dst, `"clientMsgID":`...), r.ClientMsgID), '}')
	}
	return dst
}
