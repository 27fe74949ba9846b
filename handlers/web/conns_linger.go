package web

import "time"

// A caller who is refused while still sending could lose the answer: closing a connection with
// unread data resets it. So the rest is first read and thrown away.
//
// Bounds keep this from being a way to hold a connection. Such a connection counts as one without a
// request, which is ended first when there is no room.
const (
	lingerBytes = 4 * ListBody
	lingerTime  = bodyTime
	lingerIdle  = 2 * time.Second
)

// Lingering bounds what is read behind a refusal.
type Lingering struct {
	Bytes      int
	Time, Idle time.Duration
}
