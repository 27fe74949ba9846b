//go:build unix

package provider

import "syscall"

// closedByPeer is true when an idle connection has something to read: its end, or what nobody asked for. It
// reads without waiting, so a provider that gave the connection up between two requests costs a new connection
// and not an ambiguous request.
func closedByPeer(c *conn) bool {
	if c.wire == nil {
		return false
	}
	socket, ok := c.wire.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return true
	}
	quiet := false
	err = raw.Read(func(fd uintptr) bool {
		var one [1]byte
		_, readErr := syscall.Read(int(fd), one[:])
		quiet = readErr == syscall.EAGAIN
		return true
	})
	return err != nil || !quiet
}
