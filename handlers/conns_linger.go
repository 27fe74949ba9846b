package handlers

import "time"

// Who is refused while still sending would lose the answer: a connection that is closed with unread data in it is
// reset. So what still comes is read and thrown away first, by bounds that make it no way to hold a connection: it
// counts as one without a request, which goes first when there is no room.
const (
	lingerBytes = 4 * listBody
	lingerTime  = bodyTime
	lingerIdle  = 2 * time.Second
)

// lingering are those bounds.
type lingering struct {
	bytes      int
	time, idle time.Duration
}
