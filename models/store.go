package models

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/glebarez/sqlite"
	mysqldriver "github.com/go-sql-driver/mysql"
	"gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/schema"
)

// Store is the ledger. Any goroutine may call it. On MySQL, any number of processes may.
//
// An exported method is one statement, one transaction, or several in a row: CloseCampaign closes
// page after page. Each of them leaves the ledger whole. If a process is killed between two, the
// next call does the rest; mostly the reconciler makes it.
type Store struct {
	db *gorm.DB // reads
	// On SQLite w is a pool of one connection, so that writers queue instead of failing.
	w *gorm.DB
	d dialect

	fresh     freshness
	observer  Observer
	unflushed sinceFlush
	traced    func(context.Context) string // see Trace
	inbox     []string                     // the channels of InboxChannels

	// conns are the connections to a server. It is nil with SQLite, where no connection can lead to
	// another database than before.
	conns  *connections
	config *mysqldriver.Config
}

// dialect holds the few expressions in which the databases differ.
type dialect struct {
	name        string                              // "mysql" or "sqlite"
	now         string                              // unix milliseconds by the database's clock
	onePage     string                              // the table pages in a statement that changes one page by its key
	eventsByKey string                              // the table events in a statement that changes events by their key
	anyCase     string                              // after a text, makes LIKE take upper and lower case for the same
	onRetry     string                              // the upsert clause of a recipient that was tried again
	id          func(q *strings.Builder, id string) // writes a recipient's ID as a literal
}

var dialects = map[string]dialect{
	"mysql": {
		name: "mysql",
		now:  "CAST(UNIX_TIMESTAMP(NOW(3))*1000 AS SIGNED)",
		id:   hexID,
		// Two statements deadlock if they lock the same page by different ways: by the primary key
		// and by an index of states.
		onePage:     "pages FORCE INDEX (PRIMARY)",
		eventsByKey: "events FORCE INDEX (PRIMARY)",
		anyCase:     " COLLATE utf8mb4_general_ci",
		onRetry: " ON DUPLICATE KEY UPDATE status=VALUES(status),attempts=VALUES(attempts),sent_at=VALUES(sent_at)," +
			"next_attempt_at=VALUES(next_attempt_at),err_code=VALUES(err_code),err_msg=VALUES(err_msg),server_msg_id=VALUES(server_msg_id),failing_since=VALUES(failing_since)",
	},
	"sqlite": {
		name:        "sqlite",
		now:         "CAST(unixepoch('subsec')*1000 AS INTEGER)",
		id:          quoteID,
		onePage:     "pages",
		eventsByKey: "events",
		onRetry: " ON CONFLICT (campaign_id,kind,user_id) DO UPDATE SET status=excluded.status,attempts=excluded.attempts,sent_at=excluded.sent_at," +
			"next_attempt_at=excluded.next_attempt_at,err_code=excluded.err_code,err_msg=excluded.err_msg,server_msg_id=excluded.server_msg_id,failing_since=excluded.failing_since",
	},
}

// Millis is a time as the ledger keeps it: unix milliseconds, 0 = none.
type Millis int64

// Time is m in UTC.
func (m Millis) Time() time.Time { return time.UnixMilli(int64(m)).UTC() }

// Open connects to the ledger: "mysql://user:pass@host:3306/db" or "sqlite:/path/to/file.db". It
// does not wait for the database and applies no migration.
func Open(rawURL string) (*Store, error) {
	if path, ok := strings.CutPrefix(rawURL, "sqlite:"); ok {
		return openSQLite(path)
	}
	c, err := mysqlConfig(rawURL)
	if err != nil {
		return nil, err
	}
	connector, err := mysqldriver.NewConnector(c)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	pool := sql.OpenDB(readCommitted{connector})
	// gorm does not ask for the server's version. So a process can start while the database is
	// down, and say so on /readyz.
	db, err := gorm.Open(mysql.New(mysql.Config{Conn: pool, SkipInitializeWithVersion: true}), gormConfig())
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	s := &Store{db: db, w: db, d: dialects["mysql"], conns: new(connections), config: c}
	pool.SetConnMaxLifetime(connLife)
	return s, s.LimitConnections(DefaultConnections)
}

func openSQLite(path string) (*Store, error) {
	const pragmas = "&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
	open := func(params string, conns int) (*gorm.DB, error) {
		db, err := gorm.Open(sqlite.Open("file:"+(&url.URL{Path: path}).EscapedPath()+params), gormConfig())
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", path, err)
		}
		pool, err := db.DB()
		if err != nil {
			return nil, err
		}
		pool.SetMaxOpenConns(conns)
		pool.SetMaxIdleConns(conns)
		return db, nil
	}
	w, err := open("?_txlock=immediate"+pragmas, 1)
	if err != nil {
		return nil, err
	}
	r, err := open("?_txlock=deferred"+pragmas, 8)
	if err != nil {
		return nil, err
	}
	return &Store{db: r, w: w, d: dialects["sqlite"]}, nil
}

func gormConfig() *gorm.Config {
	schema.RegisterSerializer("asItIs", asItIs{})
	return &gorm.Config{
		SkipDefaultTransaction: true,
		DisableAutomaticPing:   true,
		TranslateError:         true,
		Logger:                 logger.Discard, // errors are returned, not logged; they could hold personal data
	}
}

// readCommitted sets the isolation level of each new session by a statement. The name of the
// variable differs between MySQL and MariaDB before 11.1. READ WRITE: the server's default may be
// read only.
type readCommitted struct{ driver.Connector }

func (c readCommitted) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	exec := conn.(driver.ExecerContext)
	_, err = exec.ExecContext(ctx, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE", nil)
	if err == nil {
		// A process that is frozen in mid-transaction must not hold its row locks for longer than a
		// lease. MySQL has no such limit: there the locks go with the connection.
		_, err = exec.ExecContext(ctx, "SET SESSION idle_transaction_timeout=3", nil) // seconds
		var m *mysqldriver.MySQLError
		if errors.As(err, &m) && m.Number == unknownVariable {
			err = nil
		}
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

const unknownVariable = 1193 // MySQL's error number

// mysqlConfig turns the URL into the driver's form. It forces what the protocol needs in every
// session: UPDATE counts matched (not changed) rows, UTC, and strict mode.
func mysqlConfig(rawURL string) (*mysqldriver.Config, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "mysql" || u.Host == "" || strings.Trim(u.Path, "/") == "" {
		return nil, errors.New("the database URL must look like mysql://user:password@host:3306/database, or sqlite:/path/to/file")
	}
	c := mysqldriver.NewConfig()
	c.Net, c.Addr = "tcp", u.Host
	if u.Port() == "" {
		c.Addr += ":3306"
	}
	c.User = u.User.Username()
	c.Passwd, _ = u.User.Password()
	c.DBName = strings.Trim(u.Path, "/")
	c.TLSConfig = u.Query().Get("tls")
	c.ClientFoundRows = true
	c.RejectReadOnly = true // a write that a replica refuses ends the connection: see connections
	c.InterpolateParams = true
	c.Collation = "utf8mb4_bin"
	c.Logger = &mysqldriver.NopLogger{} // errors are returned; a broken idle connection is no news
	c.Timeout = 5 * time.Second
	c.ReadTimeout = time.Minute
	c.WriteTimeout = time.Minute
	c.Params = map[string]string{
		"autocommit":               "1", // with 0 (a server's default may be 0) every statement would stay open
		"time_zone":                "'+00:00'",
		"sql_mode":                 "'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
		"innodb_lock_wait_timeout": "10", // seconds
	}
	return c, nil
}

// Close ends the connections.
func (s *Store) Close() error {
	var errs []error
	for _, db := range []*gorm.DB{s.w, s.db} {
		pool, err := db.DB()
		if err == nil {
			err = pool.Close()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Pools are the connections to the database, by what they are for.
func (s *Store) Pools() map[string]*sql.DB {
	pools := map[string]*sql.DB{}
	add := func(name string, db *gorm.DB) {
		if pool, err := db.DB(); err == nil {
			pools[name] = pool
		}
	}
	if s.w == s.db {
		add("ledger", s.db)
		return pools
	}
	add("ledger reads", s.db)
	add("ledger writes", s.w)
	return pools
}

// Writer is the pool that migrations run on, with the dialect's name.
func (s *Store) Writer() (*sql.DB, string, error) {
	pool, err := s.w.DB()
	return pool, s.d.name, err
}

// keepNow is the expression now, which also keeps its value in the connection for kept. SQLite has
// no variables and reads its clock again.
func (d dialect) keepNow() string {
	if d.name == "mysql" {
		return "(@carillon_now:=" + d.now + ")"
	}
	return d.now
}

// kept is the value of keepNow in the same transaction. Statements of many rows use it: if each of
// 250 rows spells the clock out, MariaDB takes a fifth longer.
func (d dialect) kept() string {
	if d.name == "mysql" {
		return "@carillon_now"
	}
	return d.now
}

// UseClock makes now, an SQL expression in unix milliseconds, the ledger's clock: for tests that
// drive time. It must be called before anything else uses the store.
func (s *Store) UseClock(now string) { s.d.now = now }

// Now is the database's clock.
func (s *Store) Now(ctx context.Context) (Millis, error) {
	var now Millis
	err := s.db.WithContext(ctx).Raw("SELECT " + s.d.now).Scan(&now).Error
	return now, err
}

// Uptime is how long the database has been up. An embedded database is as old as its process. No
// other process can still be working on a page from before, so its uptime is infinite.
func (s *Store) Uptime(ctx context.Context) (time.Duration, error) {
	if s.d.name == "sqlite" {
		_, err := s.Now(ctx)
		return time.Duration(1<<63 - 1), err
	}
	var status struct {
		Value int64
	}
	err := s.db.WithContext(ctx).Raw("SHOW GLOBAL STATUS LIKE 'Uptime'").Scan(&status).Error
	return time.Duration(status.Value) * time.Second, err
}

const txTries = 8

// tx runs f in one transaction, and repeats it when the database asks for that: see isRetryable.
func (s *Store) tx(ctx context.Context, f func(tx *gorm.DB) error) error {
	return s.txAgain(ctx, isRetryable, f)
}

// txAgain runs f in one transaction, and repeats it while such says so of its error.
func (s *Store) txAgain(ctx context.Context, such func(error) bool, f func(tx *gorm.DB) error) error {
	return s.onPrimary(func() error {
		return repeat(ctx, such, func() error {
			after := new(afterCommit)
			err := s.w.WithContext(noting(ctx, after)).Transaction(f)
			if err == nil {
				progressed(ctx)
				after.done()
			}
			return err
		})
	})
}

// exec runs one statement as a transaction of its own, and repeats it after a deadlock. A statement
// that waited in vain for a lock is not repeated: it has used its time, and the loops try again
// after their other work.
func (s *Store) exec(ctx context.Context, query string, args ...any) (rows int64, err error) {
	err = s.onPrimary(func() error {
		return repeat(ctx, isDeadlock, func() error {
			res := s.w.WithContext(ctx).Exec(query, args...)
			rows = res.RowsAffected
			if res.Error == nil {
				progressed(ctx)
			}
			return res.Error
		})
	})
	return rows, err
}

// repeat runs a whole transaction up to txTries times, while such says so of its error.
func repeat(ctx context.Context, such func(error) bool, transaction func() error) error {
	for try := 1; ; try++ {
		err := transaction()
		if err == nil || try == txTries || !such(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Duration(try*try) * 5 * time.Millisecond):
		}
	}
}

// MySQL's error numbers for a deadlock and for a lock that was not free in time.
const (
	deadlock = 1213
	lockWait = 1205
)

func isDeadlock(err error) bool {
	var m *mysqldriver.MySQLError
	return errors.As(err, &m) && m.Number == deadlock
}

func isRetryable(err error) bool {
	var m *mysqldriver.MySQLError
	return errors.As(err, &m) && (m.Number == deadlock || m.Number == lockWait)
}

// hexID writes an ID as MySQL's hexadecimal literal. The literal is a byte string in every
// character set and SQL mode. It holds nothing that the driver could take for a placeholder.
func hexID(q *strings.Builder, id string) {
	const digits = "0123456789ABCDEF"
	q.WriteString("X'")
	for i := range len(id) {
		q.WriteByte(digits[id[i]>>4])
		q.WriteByte(digits[id[i]&15])
	}
	q.WriteByte('\'')
}

// quoteID writes an ID as SQLite's text literal, in which only the quote is special. IDs hold no
// NUL.
func quoteID(q *strings.Builder, id string) {
	q.WriteByte('\'')
	q.WriteString(strings.ReplaceAll(id, "'", "''"))
	q.WriteByte('\'')
}

func (s *Store) nowIn(tx *gorm.DB) (now Millis, err error) {
	err = tx.Raw("SELECT " + s.d.now).Scan(&now).Error
	return now, err
}
