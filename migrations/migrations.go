// Package migrations holds the SQL of the ledger, per dialect, and applies it.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed mysql/*.sql sqlite/*.sql
var files embed.FS

// Status is how far a database is: it is usable when Current equals Latest.
type Status struct {
	Current, Latest int64
}

// TooNew is an error when the database was migrated by a newer program than this one.
func (s Status) TooNew() error {
	if s.Current <= s.Latest {
		return nil
	}
	return fmt.Errorf("the database is at migration %d and this program knows %d: run the newer carillon", s.Current, s.Latest)
}

// Up applies what is missing and returns how many migrations ran. dialect is "mysql" or "sqlite". It may be stopped at any point,
// by its context or with its process, and be run again. Several processes may call it at once for a MySQL database; for SQLite the
// caller holds the lock on the data directory, and each migration is one transaction.
func Up(ctx context.Context, db *sql.DB, dialect string) (n int, err error) {
	if dialect == "mysql" {
		n, err = upMySQL(ctx, db)
	} else {
		n, err = upSQLite(ctx, db, dialect)
	}
	if err != nil {
		return n, fmt.Errorf("migrate: %w", err)
	}
	return n, nil
}

func upSQLite(ctx context.Context, db *sql.DB, dialect string) (int, error) {
	status, err := Check(ctx, db, dialect)
	if err == nil {
		err = status.TooNew()
	}
	if err != nil {
		return 0, err
	}
	p, err := provider(db, dialect)
	if err != nil {
		return 0, err
	}
	done, err := p.Up(ctx)
	return len(done), err
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
	return goose.NewProvider(goose.DialectMySQL, db, sub)
}
