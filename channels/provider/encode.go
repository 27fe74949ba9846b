package provider

import (
	"errors"
	"sync"
	"unicode/utf8"

	"carillon/channels"
	"carillon/models"
)

const keptMessages = 64 // campaigns whose message is kept encoded

// Messages keeps what is the same in all requests of a campaign, encoded once. It is safe for concurrent use.
type Messages struct {
	encode func(channels.Batch) ([]byte, error)

	mu    sync.Mutex
	kept  map[messageKey][]byte
	order [keptMessages]messageKey // of kept, a ring
	next  int
}

// messageKey names an encoded message: a campaign's message and operationID never change.
type messageKey struct{ campaignID, operationID string }

// NewMessages keeps what encode makes of a batch. encode must not look at the batch's recipients.
func NewMessages(encode func(channels.Batch) ([]byte, error)) *Messages {
	return &Messages{encode: encode, kept: make(map[messageKey][]byte, keptMessages)}
}

// Of is the encoded message of a batch. Nobody may change it.
func (m *Messages) Of(b channels.Batch) ([]byte, error) {
	if b.Message == nil {
		return nil, errors.New("no message")
	}
	key := messageKey{b.CampaignID, b.OperationID}
	m.mu.Lock()
	text, ok := m.kept[key]
	m.mu.Unlock()
	if ok {
		return text, nil
	}
	text, err := m.encode(b)
	if err == nil && key.campaignID != "" {
		m.keep(key, text)
	}
	return text, err
}

// keep adds a message and forgets the oldest one.
func (m *Messages) keep(key messageKey, text []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.kept[key]; ok { // another page of the campaign was quicker
		return
	}
	delete(m.kept, m.order[m.next])
	m.order[m.next], m.kept[key] = key, text
	m.next = (m.next + 1) % keptMessages
}

// AppendString appends s as a JSON string. The rare one that is not its own encoding is encoding/json's.
func AppendString(dst []byte, s string) []byte {
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
