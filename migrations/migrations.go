// Package migrations holds the SQL of the ledger, per dialect, and applies it.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed mysql/*.sql sqlite/*.sql
var files embed.FS

// Status is how far a database is: it is usable when Current equals Latest.
type Status struct {
	Current, Latest int64
}

// Up applies what is missing and returns how many migrations ran. dialect is "mysql" or "sqlite". On MySQL it
// holds a named lock, so that several processes may start at once; for SQLite the caller holds the lock on
// the data directory.
func Up(ctx context.Context, db *sql.DB, dialect string) (int, error) {
	p, err := provider(db, dialect)
	if err != nil {
		return 0, err
	}
	done, err := p.Up(ctx)
	if err != nil {
		return 0, fmt.Errorf("migrate: %w", err)
	}
	return len(done), nil
}

// Check reads how far the database is and takes no lock and changes nothing, as goose's own question would.
func Check(ctx context.Context, db *sql.DB, dialect string) (Status, error) {
	p, err := provider(db, dialect)
	if err != nil {
		return Status{}, err
	}
	sources := p.ListSources()
	status := Status{Latest: sources[len(sources)-1].Version}
	find := "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA=DATABASE() AND TABLE_NAME=?"
	if dialect == "sqlite" {
		find = "SELECT COUNT(*) FROM sqlite_master WHERE type='table' AND name=?"
	}
	var there int
	err = db.QueryRowContext(ctx, find, goose.DefaultTablename).Scan(&there)
	if err == nil && there > 0 {
		err = db.QueryRowContext(ctx, "SELECT COALESCE(MAX(version_id),0) FROM "+goose.DefaultTablename+" WHERE is_applied").Scan(&status.Current)
	}
	if err != nil {
		return Status{}, fmt.Errorf("read how far the database is migrated: %w", err)
	}
	return status, nil
}

func provider(db *sql.DB, dialect string) (*goose.Provider, error) {
	sub, err := fs.Sub(files, dialect)
	if err != nil {
		return nil, err
	}
	if dialect == "sqlite" {
		return goose.NewProvider(goose.DialectSQLite3, db, sub)
	}
	return goose.NewProvider(goose.DialectMySQL, db, sub, goose.WithSessionLocker(namedLock{}))
}

// namedLock is MySQL's GET_LOCK on goose's one connection: it goes when the connection goes.
type namedLock struct{}

var _ lock.SessionLocker = namedLock{}

const (
	lockName = "carillon-migrate"
	lockWait = 5 * time.Minute // a long ALTER by another process is waited for
)

// The lock's name carries the database's, since named locks are the server's.
func (namedLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	var got sql.NullInt64
	err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(CONCAT(?, ':', MD5(DATABASE())), ?)", lockName, int(lockWait.Seconds())).Scan(&got)
	if err != nil {
		return err
	}
	if got.Int64 != 1 {
		return errors.New("another process has been migrating this database for five minutes")
	}
	return nil
}

func (namedLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "DO RELEASE_LOCK(CONCAT(?, ':', MD5(DATABASE())))", lockName)
	return err
}
