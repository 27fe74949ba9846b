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

// linger ends our side of a connection and reads the other's to its end, or to a bound.
func (c *conn) linger() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	c.unread.Store(false)
	c.conns.mu.Lock()
	ending, most := c.conns.ending, c.conns.lingers
	c.conns.setClass(c, silent)
	c.conns.mu.Unlock()
	if !ok || ending {
		return nil
	}
	if err := half.CloseWrite(); err != nil {
		return err
	}
	end := time.Now().Add(most.time)
	buf := make([]byte, 16<<10)
	for left := most.bytes; left > 0; {
		limit := time.Now().Add(most.idle)
		if limit.After(end) {
			limit = end
		}
		_ = c.SetReadDeadline(limit)
		n, err := c.Read(buf)
		left -= n
		if err != nil {
			break // the other side is done, or too slow
		}
	}
	return nil
}

// lingering are those bounds.
type lingering struct {
	bytes      int
	time, idle time.Duration
}
