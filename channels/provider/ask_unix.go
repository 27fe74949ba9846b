//go:build unix

package provider

import (
	"net"
	"os"
	"syscall"
)

// maxAsk is the size of a request in bytes up to which an asker writes it. Its buffer is in use until the answer comes.
// For a larger request, one read more costs nothing that counts.
const maxAsk = 4 << 10

// asker writes a request to a socket, and waits until there is something to read. The write is made between the reset of
// the runtime's poller and the wait for it. So nothing that comes after the write is missed, and the first read finds
// the answer. An ordinary read comes too early for most answers: it finds nothing, and is made again.
type asker struct {
	raw    syscall.RawConn
	step   func(fd uintptr) (done bool) // a.write, bound once
	p      []byte
	n      int
	err    error
	called bool
}

// newAsker is nil where c has no socket.
func newAsker(c net.Conn) *asker {
	socket, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	a := &asker{raw: raw}
	a.step = a.write
	return a
}

// ask writes p and waits. It returns without a wait when the socket did not take all of p: n is what the socket took, and
// a nil error says that the rest can be written. The error of a wait is returned with n = len(p).
func (a *asker) ask(p []byte) (n int, err error) {
	a.p, a.n, a.err, a.called = p, 0, nil, false
	err = a.raw.Read(a.step)
	a.p = nil
	if a.err != nil {
		err = a.err
	}
	return a.n, err
}

func (a *asker) write(fd uintptr) (done bool) {
	if a.called { // the wait is over
		return true
	}
	a.called = true
	n, err := syscall.Write(int(fd), a.p)
	for err == syscall.EINTR {
		n, err = syscall.Write(int(fd), a.p)
	}
	a.n = max(n, 0)
	if err != nil && err != syscall.EAGAIN {
		a.err = os.NewSyscallError("write", err)
	}
	return a.n < len(a.p)
}
