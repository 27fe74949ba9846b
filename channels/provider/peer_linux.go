package provider

import (
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tcpClosed is a socket's state once it was reset (TCP_CLOSE of the kernel).
const tcpClosed = 7

// lookAfter is how long a connection is idle before a look at it is worth its system call. A request takes as long on
// its way to the provider, so a close can be missed in any case. unreadByPeer tells afterwards what such a close was.
const lookAfter = 100 * time.Microsecond

// receivedByPeer is how many bytes the other end's kernel has confirmed, by a count that begins anywhere; -1 when
// nobody can tell.
func receivedByPeer(c *conn) (bytes int64) {
	bytes = -1
	withSocket(c, func(fd int) bool {
		if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			bytes = int64(info.Bytes_acked)
		}
		return true
	})
	return bytes
}

// unreadByPeer says for certain that the other end closed a kept connection before any of the request came to it: sent
// is what was written before the request, err the connection's fault. It waits for the other end's word, under the
// connection's deadline.
//
// A socket whose owner closed it sends FIN, confirming all that had come until then, and its kernel answers what comes
// later with RST. So a RST behind a FIN, with nothing of the request confirmed, says that nobody has read any of it. A RST
// alone does not: its owner may have read the request and closed in anger.
func unreadByPeer(c *conn, sent int64, err error) (unread bool) {
	if c.received < 0 {
		return false
	}
	behindFin := errors.Is(err, syscall.EPIPE)
	withSocket(c, func(fd int) bool {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil || int64(info.Bytes_acked)-c.received != sent {
			return true
		}
		if fault, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil {
			return true
		} else if syscall.Errno(fault) == syscall.EPIPE { // what the kernel makes of a RST behind a FIN
			behindFin = true
		}
		unread = behindFin
		return behindFin || info.State == tcpClosed
	})
	return unread
}

// withSocket calls f whenever something happens on the connection, until f returns true.
func withSocket(c *conn, f func(fd int) bool) {
	if c.wire == nil {
		return
	}
	socket, ok := c.wire.Conn.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := socket.SyscallConn(); err == nil {
		_ = raw.Read(func(fd uintptr) bool { return f(int(fd)) })
	}
}
