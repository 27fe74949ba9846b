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

// Redis is a Redis inside this process. It listens nowhere, so that nobody else can reach it: a few bytes from a stranger would
// end the process. What it holds ends with it; the ledger finds that out and goes on.
type Redis struct {
	server *miniredis.Miniredis
	peers  *server.Server
	stop   chan struct{}
	clock  sync.WaitGroup

	mu     sync.Mutex
	closed bool
}

// StartRedis starts one.
func StartRedis() (*Redis, error) {
	r := &Redis{server: miniredis.NewMiniRedis(), stop: make(chan struct{})}
	first, err := r.server.Dial() // which starts it without a port
	if err != nil {
		return nil, fmt.Errorf("start the embedded Redis: %w", err)
	}
	_ = first.Close()
	r.peers = r.server.Server()
	r.clock.Go(r.tick)
	return r, nil
}

// Dial makes a connection: two sockets that know each other and have no name. The in-memory pipes of miniredis would not do. They
// hold nothing, so a client and a server that both write would wait for each other.
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
	r.peers.ServeConn(peer)
	return client, nil
}

func socketPair() (a, b net.Conn, err error) {
	syscall.ForkLock.RLock() // no child process is to get them
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

// socket takes a descriptor over.
func socket(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "embedded Redis")
	defer f.Close() // FileConn has its own copy
	return net.FileConn(f)
}

// tick moves the expiries: miniredis has no clock of its own, but for one that walks all keys on every command.
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

// Close ends it. It may be called twice.
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
}
