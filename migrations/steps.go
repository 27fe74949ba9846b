package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"
)

// On MySQL each statement that changes a table commits by itself, so a migration of several can stop half way. Each statement is a
// step of its own here, and migration_progress says which one is next.
//
// A statement that changes rows shares its transaction with that note. One that changes a table can't: begun is set before it. Its
// error that the change stands already is believed only when an earlier run had begun it and not heard of its end.
const (
	makeVersions = "CREATE TABLE IF NOT EXISTS " + goose.DefaultTablename + ` (
		id bigint(20) unsigned NOT NULL AUTO_INCREMENT,
		version_id bigint NOT NULL,
		is_applied boolean NOT NULL,
		tstamp datetime NULL default CURRENT_TIMESTAMP,
		PRIMARY KEY(id)
	)` // as goose makes it
	firstVersion = "INSERT INTO " + goose.DefaultTablename + " (version_id, is_applied) SELECT 0, TRUE FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM " + goose.DefaultTablename + ")"
	makeProgress = "CREATE TABLE IF NOT EXISTS migration_progress (version BIGINT NOT NULL PRIMARY KEY, done INT NOT NULL, begun BOOLEAN NOT NULL) ENGINE=InnoDB"
)

const (
	lockName = "carillon-migrate"
	lockWait = 5 // seconds of one question; they go on until the context ends
)

// stepper runs migrations on one connection. The lock is that connection's: a statement that goes on at the server when its client
// is gone keeps the next migrate waiting until it has ended.
type stepper struct{ conn *sql.Conn }

func upMySQL(ctx context.Context, db *sql.DB) (int, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	s := stepper{conn}
	if err := s.lock(ctx); err != nil {
		return 0, err
	}
	defer s.unlock(context.WithoutCancel(ctx))
	for _, query := range []string{makeVersions, firstVersion, makeProgress} {
		if err := s.exec(ctx, query); err != nil {
			return 0, err
		}
	}
	all, err := sources()
	if err != nil {
		return 0, err
	}
	status := Status{Latest: all[len(all)-1].version}
	query := "SELECT COALESCE(MAX(version_id),0) FROM " + goose.DefaultTablename + " WHERE is_applied"
	if err := conn.QueryRowContext(ctx, query).Scan(&status.Current); err != nil {
		return 0, err
	}
	if err := status.TooNew(); err != nil {
		return 0, err
	}
	n := 0
	for _, m := range all {
		if m.version <= status.Current {
			continue
		}
		if err := s.migrate(ctx, m); err != nil {
			return n, fmt.Errorf("migration %d: %w", m.version, err)
		}
		n++
	}
	return n, nil
}

// The lock's name carries the database's, since named locks are the server's. A context can end between two questions alone: an
// answer that nobody waits for would be a lock that nobody knows of.
func (s stepper) lock(ctx context.Context) error {
	for ctx.Err() == nil {
		var got sql.NullInt64
		err := s.conn.QueryRowContext(context.WithoutCancel(ctx), "SELECT GET_LOCK(CONCAT(?, ':', MD5(DATABASE())), ?)", lockName, lockWait).Scan(&got)
		if err != nil || got.Int64 == 1 {
			return err
		}
	}
	return fmt.Errorf("another process is migrating this database: %w", ctx.Err())
}

func (s stepper) unlock(ctx context.Context) {
	_, _ = s.conn.ExecContext(ctx, "DO RELEASE_LOCK(CONCAT(?, ':', MD5(DATABASE())))", lockName) // else it goes with the connection
}

// exec runs one statement to its end, or not at all when the context has ended: to give a change of a table up half way would leave
// its end unknown.
func (s stepper) exec(ctx context.Context, query string, args ...any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := s.conn.ExecContext(context.WithoutCancel(ctx), query, args...)
	return err
}

// atOnce runs statements that change rows as one transaction.
func (s stepper) atOnce(ctx context.Context, version int64, queries ...string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	tx, err := s.conn.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return err
	}
	for _, query := range queries {
		var args []any
		if strings.Contains(query, "?") {
			args = append(args, version)
		}
		if _, err := tx.ExecContext(context.WithoutCancel(ctx), query, args...); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

const (
	noteBegun  = "UPDATE migration_progress SET begun=TRUE WHERE version=?"
	noteFailed = "UPDATE migration_progress SET begun=FALSE WHERE version=?"
	noteDone   = "UPDATE migration_progress SET done=done+1, begun=FALSE WHERE version=?"
)

// migrate runs what is left of one migration.
func (s stepper) migrate(ctx context.Context, m source) error {
	var done int
	var begun bool
	err := s.conn.QueryRowContext(ctx, "SELECT done, begun FROM migration_progress WHERE version=?", m.version).Scan(&done, &begun)
	if errors.Is(err, sql.ErrNoRows) {
		err = s.exec(ctx, "INSERT INTO migration_progress (version, done, begun) VALUES (?, 0, FALSE)", m.version)
	}
	if err != nil {
		return err
	}
	for _, query := range m.statements[done:] {
		if changesRows(query) {
			err = s.atOnce(ctx, m.version, query, noteDone)
		} else {
			err = s.changeTable(ctx, m.version, query, begun)
		}
		if err != nil {
			return err
		}
		begun = false
	}
	return s.atOnce(ctx, m.version, "INSERT INTO "+goose.DefaultTablename+" (version_id, is_applied) VALUES (?, TRUE)", "DELETE FROM migration_progress WHERE version=?")
}

// changeTable runs one statement that changes a table; begun says that an earlier run has begun it.
func (s stepper) changeTable(ctx context.Context, version int64, query string, begun bool) error {
	if !begun {
		if err := s.exec(ctx, noteBegun, version); err != nil {
			return err
		}
	}
	err := s.exec(ctx, query)
	var refused *mysql.MySQLError
	switch {
	case err == nil, begun && errors.As(err, &refused) && slices.Contains(stands, refused.Number):
		return s.exec(context.WithoutCancel(ctx), noteDone, version)
	case errors.As(err, &refused) && !begun: // so it did nothing
		return errors.Join(err, s.exec(context.WithoutCancel(ctx), noteFailed, version))
	}
	return err
}

// stands are MySQL's numbers of a table, column or key that exists already, and of one that is gone already.
var stands = []uint16{1050, 1060, 1061, 1051, 1091}

func changesRows(query string) bool {
	for _, verb := range []string{"INSERT", "UPDATE", "DELETE"} {
		if strings.HasPrefix(query, verb) {
			return true
		}
	}
	return false
}

// source is one migration's way up.
type source struct {
	version    int64
	statements []string
}

// sources reads the migrations for MySQL in their order.
func sources() ([]source, error) {
	names, err := fs.Glob(files, "mysql/*.sql")
	if err != nil {
		return nil, err
	}
	var all []source
	for _, name := range names { // sorted, and the versions have the same number of digits
		version, err := goose.NumericComponent(name)
		if err != nil {
			return nil, err
		}
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		all = append(all, source{version, wayUp(string(text))})
	}
	return all, nil
}

// wayUp takes a file's statements apart as goose does: each ends with a line that ends with a semicolon, but for a comment.
func wayUp(text string) (statements []string) {
	_, up, _ := strings.Cut(text, "-- +goose Up\n")
	up, _, _ = strings.Cut(up, "-- +goose Down")
	var one []string
	for line := range strings.SplitSeq(up, "\n") {
		code, _, _ := strings.Cut(line, "--")
		if code = strings.TrimRight(code, " \t\r"); code == "" {
			continue
		}
		one = append(one, code)
		if strings.HasSuffix(code, ";") {
			statements = append(statements, strings.TrimSuffix(strings.Join(one, "\n"), ";"))
			one = nil
		}
	}
	if len(one) > 0 {
		statements = append(statements, strings.Join(one, "\n"))
	}
	return statements
}
