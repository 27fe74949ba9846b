package web

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// connsPerMiB is connections per MiB of CARILLON_MEMORY. A connection may cost 32 KiB, and all
	// connections a quarter of the memory.
	connsPerMiB = 8
	// spell is how long the port counts as full after the last newcomer was turned away.
	spell = 10 * time.Second
	// maxRequests of one user may be under way at a time in a process. Five of them may be streams.
	maxRequests = 10
)

// Conns are the connections of one port. When there is no room, connections are ended in this
// order:
//
//   - connections that have not asked for anything;
//   - connections of unknown callers;
//   - connections that known callers keep open between requests.
//
// The newcomer is turned away only if there is none of these.
type Conns struct {
	max     int // in all
	share   int // of one address that is not a trusted proxy
	maxLong int // of streams, exports and requests that wait
	proxies []netip.Prefix
	Lingers Lingering
	log     *slog.Logger

	mu      sync.Mutex
	open    map[*conn]struct{}
	queues  [known]*list.List // of all classes but known: the oldest stands first
	byAddr  map[netip.Addr]int
	users   map[string]int // requests under way
	longNow int
	ending  bool      // the process is stopping
	refused int       // in this spell
	fullAt  time.Time // when the last newcomer was turned away
	why     string
}

// conn is one connection. Its class is what the connection is worth when there is no room.
type conn struct {
	net.Conn
	conns  *Conns
	addr   netip.Addr
	class  class
	place  *list.Element // in the queue of its class; nil = known
	met    bool          // a known caller has sent a request through it
	unread atomic.Bool   // the last request was answered before its body had come
	once   sync.Once
}

type class int

const (
	silent  class = iota // no request is under way, and no known caller has sent one
	unknown              // a request is under way, from a caller not yet identified
	kept                 // a known caller's, between two requests
	known                // a known caller's request is under way; no queue, because it is never ended for others
)

// NewConns makes room for as many connections as memory (MiB) and descriptors allow. Three eighths
// of the descriptors are left to the database, Redis and the provider.
func NewConns(memory int, descriptors uint64, proxies []netip.Prefix, log *slog.Logger) *Conns {
	most := max(8, min(memory*connsPerMiB, int(min(descriptors, 1<<30))*5/8))
	return &Conns{
		max: most, share: most / 2, maxLong: most * 3 / 4, proxies: proxies, Lingers: Lingering{lingerBytes, lingerTime, lingerIdle}, log: log,
		open: map[*conn]struct{}{}, queues: [known]*list.List{list.New(), list.New(), list.New()}, byAddr: map[netip.Addr]int{}, users: map[string]int{},
	}
}

// Descriptors is how many files and connections this process may have open.
func Descriptors() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return limit.Cur
}

// Listener puts the connections that l accepts under the limits of cs.
func (cs *Conns) Listener(l net.Listener) net.Listener { return &listener{l, cs} }

type listener struct {
	net.Listener
	conns *Conns
}

// Accept returns the next connection that there is room for.
func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			l.conns.noDescriptors()
		}
		if err != nil {
			return nil, err // the server waits a little and calls again, unless the listener is closed
		}
		if c, ok := l.conns.add(raw); ok {
			return c, nil
		}
		_ = raw.Close()
	}
}

// add takes a new connection, perhaps in the place of another.
func (cs *Conns) add(raw net.Conn) (*conn, bool) {
	c := &conn{Conn: raw, conns: cs, addr: addrOf(raw.RemoteAddr().String())}
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(4 * writePiece) // a reader that stopped holds little of the kernel's memory
	}
	cs.mu.Lock()
	crowded := cs.byAddr[c.addr] >= cs.share && !cs.trusted(c.addr)
	var victim *conn
	if crowded || len(cs.open) >= cs.max {
		if victim = cs.victim(c.addr, crowded); victim == nil {
			why := "all connections are taken"
			if crowded {
				why = "one address has its share of the connections"
			}
			say := cs.turnedAway(why)
			cs.mu.Unlock()
			say()
			return nil, false
		}
		cs.remove(victim)
	}
	cs.open[c] = struct{}{}
	cs.setClass(c, silent)
	cs.byAddr[c.addr]++
	cs.mu.Unlock()
	if victim != nil {
		_ = victim.end()
	}
	return c, true
}

// setClass puts a connection at the end of a class's queue. mu must be held.
func (cs *Conns) setClass(c *conn, to class) {
	if c.place != nil {
		cs.queues[c.class].Remove(c.place)
		c.place = nil
	}
	if _, there := cs.open[c]; there && to != known {
		c.place = cs.queues[to].PushBack(c)
	}
	c.class = to
}

// victim is the connection that is worth the least: in the lowest class that has any. Among the
// first few of that class's queue, it is one of the address with the most connections. victim is
// nil when all connections are known callers' with a request under way. mu must be held.
func (cs *Conns) victim(addr netip.Addr, sameAddr bool) *conn {
	const few = 16
	for _, queue := range cs.queues {
		var worst *conn
		seen := 0
		for e := queue.Front(); e != nil && seen < few; e = e.Next() {
			c := e.Value.(*conn) //nolint:forcetypeassert // the list holds nothing else
			if sameAddr && c.addr != addr {
				continue
			}
			seen++
			if worst == nil || cs.byAddr[c.addr] > cs.byAddr[worst.addr] {
				worst = c
			}
		}
		if worst != nil {
			return worst
		}
	}
	return nil
}

// remove forgets a connection. mu must be held.
func (cs *Conns) remove(c *conn) {
	if _, there := cs.open[c]; !there {
		return
	}
	delete(cs.open, c)
	cs.setClass(c, known)
	if cs.byAddr[c.addr]--; cs.byAddr[c.addr] == 0 {
		delete(cs.byAddr, c.addr)
	}
}

// noDescriptors makes room after the system has refused a connection.
func (cs *Conns) noDescriptors() {
	cs.mu.Lock()
	victim := cs.victim(netip.Addr{}, false)
	if victim != nil {
		cs.remove(victim)
	}
	say := cs.turnedAway("the system gives no more descriptors")
	cs.mu.Unlock()
	say()
	if victim != nil {
		_ = victim.end()
	}
}

// turnedAway counts a newcomer that was turned away. mu must be held. say logs that, once per
// spell.
func (cs *Conns) turnedAway(why string) (say func()) {
	first := time.Since(cs.fullAt) > spell
	cs.fullAt, cs.why = time.Now(), why
	if first {
		cs.refused = 0
	}
	cs.refused++
	if !first {
		return func() {}
	}
	open, used := len(cs.open), openDescriptors()
	return func() {
		cs.log.Warn("connections are turned away", "why", why, "connections", open, "most", cs.max,
			"descriptors", used, "mostDescriptors", Descriptors())
	}
}

// openDescriptors counts this process's open files, if the system tells.
func openDescriptors() int {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0 // also when no descriptor is left to read the folder
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	return len(names)
}

// Problem says on /readyz that newcomers are turned away. nil = there is room.
func (cs *Conns) Problem() *Problem {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.fullAt.IsZero() || time.Since(cs.fullAt) > spell {
		return nil
	}
	return &Problem{What: "connections", Detail: fmt.Sprintf("%s: %d open of at most %d, %d descriptors of %d, %d turned away since it began",
		cs.why, len(cs.open), cs.max, openDescriptors(), Descriptors(), cs.refused)}
}

// State is the server's ConnState.
func (cs *Conns) State(raw net.Conn, state http.ConnState) {
	c, ok := raw.(*conn)
	if !ok {
		return
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	switch state {
	case http.StateActive:
		cs.setClass(c, max(unknown, c.idleClass()))
	case http.StateIdle:
		c.unread.Store(false)
		cs.setClass(c, c.idleClass())
	case http.StateClosed, http.StateHijacked:
		cs.remove(c)
	case http.StateNew: // add has done it
	}
}

// idleClass is the class of a connection between two requests.
func (c *conn) idleClass() class {
	if c.met {
		return kept
	}
	return silent
}

// Context is the server's ConnContext. It puts the connection into the context of its requests.
func (cs *Conns) Context(ctx context.Context, raw net.Conn) context.Context {
	return context.WithValue(ctx, ctxConn, raw)
}

// Silence ends all connections without a request, for a process that stops.
func (cs *Conns) Silence() {
	cs.mu.Lock()
	cs.ending = true
	var list []*conn
	for c := range cs.open {
		if c.class == silent || c.class == kept {
			list = append(list, c)
		}
	}
	cs.mu.Unlock()
	for _, c := range list {
		_ = c.end()
	}
}

// Close closes the connection, after reading what is left of its last request.
func (c *conn) Close() error {
	if c.unread.Load() {
		_ = c.linger()
	}
	return c.end()
}

// end closes the connection at once and gives its place back.
func (c *conn) end() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.conns.mu.Lock()
		defer c.conns.mu.Unlock()
		c.conns.remove(c)
	})
	return err
}

// CloseWrite is how the server ends an answer whose request it has not read to the end.
func (c *conn) CloseWrite() error { return c.linger() }

// trusted reports whether an address is a proxy whose X-Forwarded-For is believed.
func (cs *Conns) trusted(addr netip.Addr) bool { return within(cs.proxies, addr) }

// linger ends our side of a connection, then reads the other side to its end or to a bound.
func (c *conn) linger() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	c.unread.Store(false)
	c.conns.mu.Lock()
	ending, most := c.conns.ending, c.conns.Lingers
	c.conns.setClass(c, silent)
	c.conns.mu.Unlock()
	if !ok || ending {
		return nil
	}
	if err := half.CloseWrite(); err != nil {
		return err
	}
	end := time.Now().Add(most.Time)
	buf := make([]byte, 16<<10)
	for left := most.Bytes; left > 0; {
		limit := time.Now().Add(most.Idle)
		if limit.After(end) {
			limit = end
		}
		_ = c.SetReadDeadline(limit)
		n, err := c.Read(buf)
		left -= n
		if err != nil {
			break // the other side has ended, or is too slow
		}
	}
	return nil
}
