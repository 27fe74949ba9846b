package models

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
)

// DefaultConnections is how many connections a process has to its database server at most.
const DefaultConnections = 64

// connLife: a switchover can leave a connection at the old primary. It reads old rows there for so long at most.
const connLife = time.Minute

// connections are the pool's bounds, and when the idle ones were last ended.
type connections struct {
	mu      sync.Mutex
	most    int
	dropped time.Time
}

// LimitConnections sets how many connections this process has to its database server at most. It does nothing with SQLite.
func (s *Store) LimitConnections(most int) error {
	if s.conns == nil {
		return nil
	}
	pool, err := s.w.DB()
	if err != nil {
		return err
	}
	s.conns.mu.Lock()
	defer s.conns.mu.Unlock()
	s.conns.most = most
	pool.SetMaxOpenConns(most)
	pool.SetMaxIdleConns(most)
	return nil
}

// dropEvery: a primary that stays read-only refuses every write, and each refusal would end the reads' connections too.
const dropEvery = 100 * time.Millisecond

// dropIdle ends the connections that nobody uses now.
func (s *Store) dropIdle() {
	pool, err := s.w.DB()
	if err != nil || s.conns == nil {
		return
	}
	s.conns.mu.Lock()
	defer s.conns.mu.Unlock()
	if time.Since(s.conns.dropped) < dropEvery {
		return
	}
	s.conns.dropped = time.Now()
	pool.SetMaxIdleConns(-1)
	pool.SetMaxIdleConns(s.conns.most)
}

// onPrimary runs what writes, and once more when its connection led to a server that is read-only now: nothing was done there. All
// connections of that age may lead to the same server, so the idle ones are ended first.
func (s *Store) onPrimary(write func() error) error {
	err := write()
	if !errors.Is(err, driver.ErrBadConn) {
		return err
	}
	s.dropIdle()
	if err = write(); errors.Is(err, driver.ErrBadConn) {
		return fmt.Errorf("the database is read-only, or ends its connections: %w", err)
	}
	return err
}

type progressKey struct{}

// WithProgress has f called whenever the database has done a whole transaction under the context.
func WithProgress(ctx context.Context, f func()) context.Context {
	return context.WithValue(ctx, progressKey{}, f)
}

func progressed(ctx context.Context) {
	if f, ok := ctx.Value(progressKey{}).(func()); ok {
		f()
	}
}

// TryWrite says whether the ledger can be written. It asks for a row that does not exist: that needs all that a write needs, and
// changes nothing.
func (s *Store) TryWrite(ctx context.Context) error {
	_, err := s.exec(ctx, "UPDATE directory SET live=live WHERE id=0")
	return err
}

// Migrator is a pool for migrations, until done is called. On a server it is another than the Store's: a change of a large table
// takes longer than any other statement may.
func (s *Store) Migrator() (pool *sql.DB, dialect string, done func(), err error) {
	if s.config == nil {
		pool, dialect, err = s.Writer()
		return pool, dialect, func() {}, err
	}
	c := s.config.Clone()
	c.ReadTimeout = 0
	connector, err := mysqldriver.NewConnector(c)
	if err != nil {
		return nil, "", nil, err
	}
	pool = sql.OpenDB(readCommitted{connector})
	return pool, s.d.name, func() { _ = pool.Close() }, nil
}

// awayNumbers are MySQL's numbers of a server that does not serve us now: the fault is not in the request.
var awayNumbers = []uint16{
	1021, 1114, 1041, // the disk, a table or the memory is full
	1040, 1203, 1226, // too many connections, or too many of ours
	1042, 1043, 1129, 1130, 1152, 1158, 1159, 1160, 1161, 1927, // a connection that was refused or broken
	1044, 1045, 1142, 1143, 1227, 1698, // what we may do was changed, or is being changed
	1047, 1053, 1317, // it is not ready, shuts down, or ended the statement
	1049, 1146, // it is being restored
	1290, 1792, 1836, // it is read-only
	deadlock, lockWait, // after all tries
}

// awayCodes are SQLite's: busy, locked, read-only, disk fault, full, cannot be opened.
var awayCodes = []int{5, 6, 8, 10, 13, 14}

// IsUnavailable tells a database that cannot be reached or written, or not now, from a fault of ours.
func IsUnavailable(err error) bool {
	var m *mysqldriver.MySQLError
	if errors.As(err, &m) {
		return slices.Contains(awayNumbers, m.Number)
	}
	var lite interface{ Code() int }
	if errors.As(err, &lite) {
		return slices.Contains(awayCodes, lite.Code()&0xff) // above it stands the detail
	}
	var waited interface{ Timeout() bool }
	return errors.As(err, &waited) || err != nil && strings.Contains(err.Error(), closedPool) || slices.ContainsFunc(lostErrors, func(lost error) bool { return errors.Is(err, lost) })
}

// closedPool is the text of the error of a pool that this process has closed. database/sql does not export the error.
const closedPool = "sql: database is closed"

// lostErrors are those of a connection that has ended, or on which nothing can be understood any more.
var lostErrors = []error{
	driver.ErrBadConn, sql.ErrConnDone, sql.ErrTxDone, net.ErrClosed, mysqldriver.ErrInvalidConn, mysqldriver.ErrPktSync, mysqldriver.ErrPktSyncMul,
	mysqldriver.ErrMalformPkt, mysqldriver.ErrBusyBuffer,
}
