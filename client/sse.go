package client

import (
	"bufio"
	"bytes"
	"io"
	"strconv"
	"time"
)

// maxEvent is the longest line of a stream of events.
const maxEvent = 4 << 20

// event is one server-sent event.
type event struct {
	name string // "message" if the server gives none
	id   string
	data []byte
}

// eventReader reads a stream of server-sent events.
type eventReader struct {
	lines *bufio.Scanner
	retry time.Duration // what the server says about opening the stream again; 0 = nothing
}

func newEventReader(r io.Reader) *eventReader {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxEvent)
	return &eventReader{lines: lines}
}

// next returns the next event with data. An event that is not complete is lost with its stream. The
// error at the end is io.EOF.
func (r *eventReader) next() (event, error) {
	e, some := event{name: "message"}, false
	for r.lines.Scan() {
		line := r.lines.Bytes()
		if len(line) == 0 {
			if some {
				e.data = bytes.TrimSuffix(e.data, []byte("\n"))
				return e, nil
			}
			e = event{name: "message", id: e.id}
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			e.name = string(value)
		case "id":
			e.id = string(value)
		case "data":
			some, e.data = true, append(append(e.data, value...), '\n')
		case "retry":
			if n, err := strconv.Atoi(string(value)); err == nil {
				r.retry = time.Duration(n) * time.Millisecond
			}
		}
	}
	if err := r.lines.Err(); err != nil {
		return e, err
	}
	return e, io.EOF
}
