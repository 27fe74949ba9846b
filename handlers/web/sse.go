package web

import (
	"net/http"
	"strings"
)

// EventStreamType is the Content-Type of server-sent events.
const EventStreamType = "text/event-stream"

// EventStream is an answer of server-sent events. Each is sent at once; a client that does not take it in time is dropped.
type EventStream struct {
	w   http.ResponseWriter
	ctl *http.ResponseController
}

// EventStream begins the answer. After its first byte no error can be answered.
func (in *In) EventStream() *EventStream {
	h := in.W.Header()
	h.Set("Content-Type", EventStreamType)
	h.Set("X-Accel-Buffering", "no") // nginx would hold the events back
	h.Set("Connection", "close")     // the connection has our write deadlines
	WritesWithin(in.W, streamTime)
	return &EventStream{in.W, http.NewResponseController(in.W)}
}

// LastEventID is where a client that comes again goes on; "" = from the beginning.
func (in *In) LastEventID() string { return in.R.Header.Get("Last-Event-ID") }

// Send sends an event. Each part may be empty; event and id may hold no line break. An id without data moves the client's
// Last-Event-ID, without an event.
func (s *EventStream) Send(event, id, data string) error {
	var text strings.Builder
	field := func(name, value string) { text.WriteString(name + ": " + value + "\n") }
	if event != "" {
		field("event", event)
	}
	if id != "" {
		field("id", id)
	}
	if data != "" {
		for line := range strings.SplitSeq(data, "\n") {
			field("data", line)
		}
	}
	return s.write(text.String() + "\n")
}

// Comment sends what no client shows, so that the connection stays open.
func (s *EventStream) Comment(text string) error { return s.write(": " + text + "\n\n") }

// write fails if the client does not take the text in time.
func (s *EventStream) write(text string) error {
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.ctl.Flush()
}
