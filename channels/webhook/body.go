package webhook

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"carillon/channels"
	"carillon/models"
)

const (
	keptMessages     = 64       // campaigns whose message is kept encoded
	keptScratchBytes = 64 << 10 // larger buffers are left to the garbage collector
)

// encoder writes requests. What is the same for all of them, and for all of a campaign, is encoded once; a
// recipient's part is appended without reflection.
type encoder struct {
	head    []byte // from the request line to the headers that differ
	scratch sync.Pool

	mu       sync.Mutex
	messages map[messageKey][]byte
	order    [keptMessages]messageKey // of messages, a ring
	next     int
}

// messageKey names an encoded message: a campaign's message and operationID never change.
type messageKey struct{ campaignID, operationID string }

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
		scratch:  sync.Pool{New: func() any { return &scratch{signer: newSigner(key)} }},
		messages: make(map[messageKey][]byte, keptMessages),
	}
}

// message is the part of the body that all requests of a campaign share, up to the recipients.
func (e *encoder) message(b channels.Batch) ([]byte, error) {
	if b.Message == nil {
		return nil, errors.New("no message")
	}
	key := messageKey{b.CampaignID, b.OperationID}
	e.mu.Lock()
	text, ok := e.messages[key]
	e.mu.Unlock()
	if ok {
		return text, nil
	}
	text, err := models.JSON(struct {
		CampaignID  string          `json:"campaignID"`
		OperationID string          `json:"operationID"`
		Message     *models.Message `json:"message"`
	}{b.CampaignID, b.OperationID, b.Message})
	if err != nil {
		return nil, err
	}
	text = append(bytes.TrimSuffix(text, []byte("}")), `,"recipients":[`...)
	if key.campaignID != "" {
		e.cache(key, text)
	}
	return text, nil
}

// cache adds a message and forgets the oldest one.
func (e *encoder) cache(key messageKey, text []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.messages[key]; ok { // another page of the campaign was quicker
		return
	}
	delete(e.messages, e.order[e.next])
	e.order[e.next], e.messages[key] = key, text
	e.next = (e.next + 1) % keptMessages
}

// write writes the request for items to w in one call, signed with the time now.
func (e *encoder) write(w io.Writer, message []byte, items []channels.Recipient, now time.Time) error {
	s := e.scratch.Get().(*scratch)
	s.render(e.head, message, items, now.Unix())
	_, err := w.Write(s.text)
	if cap(s.text) <= keptScratchBytes {
		e.scratch.Put(s)
	}
	return err
}

func (s *scratch) render(head, message []byte, items []channels.Recipient, unix int64) {
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
			dst = append(appendString(append(dst, `"recvID":`...), r.UserID), ',')
		}
		if r.GroupID != "" {
			dst = append(appendString(append(dst, `"groupID":`...), r.GroupID), ',')
		}
		dst = append(appendString(append(dst, `"clientMsgID":`...), r.ClientMsgID), '}')
	}
	return dst
}

// appendString appends s as a JSON string. The rare one that is not its own encoding is encoding/json's.
func appendString(dst []byte, s string) []byte {
	ascii := true
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c == '"' || c == '\\':
			return appendEscaped(dst, s)
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	if !ascii && !utf8.ValidString(s) {
		return appendEscaped(dst, s)
	}
	return append(append(append(dst, '"'), s...), '"')
}

func appendEscaped(dst []byte, s string) []byte {
	text, _ := models.JSON(s) // of a string it never fails
	return append(dst, text...)
}
