package embedded

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// Redis is a Redis inside this process. It listens on no address: a few bytes from a stranger would
// end the process. Its data ends with it; the ledger notices the loss and goes on.
type Redis struct {
	server *miniredis.Miniredis
	peers  *server.Server
	stop   chan struct{}
	clock  sync.WaitGroup
	boxes  sync.WaitGroup

	mu     sync.Mutex
	closed bool
}

// StartRedis starts a Redis. Close ends it.
func StartRedis() (*Redis, error) {
	SmallStacks()
	r := &Redis{server: miniredis.NewMiniRedis(), stop: make(chan struct{})}
	first, err := r.server.Dial() // Dial starts the server without a port
	if err != nil {
		return nil, fmt.Errorf("start the embedded Redis: %w", err)
	}
	_ = first.Close()
	r.peers = r.server.Server()
	r.clock.Go(r.tick)
	return r, nil
}

// Dial makes a connection: a pair of unnamed sockets. The in-memory pipes of miniredis have no
// buffer, so a client and a server that both write would wait for each other.
func (r *Redis) Dial() (net.Conn, error) {
	client, peer, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded Redis: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errors.Join(errors.New("the embedded Redis is closed"), client.Close(), peer.Close())
	}
	box := newOutbox(peer)
	r.boxes.Go(box.carry)
	r.peers.ServeConn(box)
	return client, nil
}

// mostWaiting is how many bytes a client may leave unread before its connection is closed. A
// separate Redis has the same limit for subscribers.
const mostWaiting = 32 << 20

// outbox is the server's end of a connection. It keeps what the server writes until the client
// reads it. Without it a long pipeline would block: miniredis answers each command at once,
// go-redis reads only after it has written all, and a socket holds some 300 answers.
type outbox struct {
	net.Conn
	mu     sync.Mutex
	more   *sync.Cond
	unsaid []byte
	closed bool
}

func newOutbox(conn net.Conn) *outbox {
	o := &outbox{Conn: conn}
	o.more = sync.NewCond(&o.mu)
	return o
}

// Write keeps b and never blocks.
func (o *outbox) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed && len(o.unsaid)+len(b) > mostWaiting {
		o.closed = true
		o.more.Broadcast()
		_ = o.Conn.Close()
	}
	if o.closed {
		return 0, net.ErrClosed
	}
	o.unsaid = append(o.unsaid, b...)
	o.more.Signal()
	return len(b), nil
}

// carry copies what was written to the socket, until the connection is closed.
func (o *outbox) carry() {
	defer o.Close()
	for {
		o.mu.Lock()
		for len(o.unsaid) == 0 && !o.closed {
			o.more.Wait()
		}
		say, closed := o.unsaid, o.closed
		o.unsaid = nil
		o.mu.Unlock()
		if closed {
			return
		}
		if _, err := o.Conn.Write(say); err != nil {
			return
		}
	}
}

// Close ends the connection. It may be called twice.
func (o *outbox) Close() error {
	o.mu.Lock()
	o.closed = true
	o.more.Broadcast()
	o.mu.Unlock()
	return o.Conn.Close()
}

func socketPair() (a, b net.Conn, err error) {
	syscall.ForkLock.RLock() // no child process may inherit the descriptors
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, err
	}
	if a, err = socket(fds[0]); err != nil {
		return nil, nil, errors.Join(err, syscall.Close(fds[1]))
	}
	if b, err = socket(fds[1]); err != nil {
		return nil, nil, errors.Join(err, a.Close())
	}
	return a, b, nil
}

// socket makes a connection of a descriptor, and owns the descriptor.
func socket(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "embedded Redis")
	defer f.Close() // FileConn has its own copy
	return net.FileConn(f)
}

// tick moves the expiries of keys. miniredis has no clock of its own, except one that walks all
// keys on every command.
func (r *Redis) tick() {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case <-r.stop:
			return
		case <-second.C:
			r.server.FastForward(time.Second)
		}
	}
}

// Close ends the Redis. It may be called twice.
func (r *Redis) Close() {
	r.mu.Lock()
	again := r.closed
	r.closed = true
	r.mu.Unlock()
	if again {
		return
	}
	close(r.stop)
	r.clock.Wait()
	r.server.Close()
	r.boxes.Wait()
}
