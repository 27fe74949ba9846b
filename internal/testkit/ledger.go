package testkit

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"carillon/channels/inbox"
	"carillon/migrations"
	"carillon/models"
)

// OpenStore opens a ledger with all its tables and closes it at the test's end. A ledger that does not exist yet
// becomes a copy of a template: to run every migration for every test would take most of a small test's time.
func OpenStore(tb testing.TB, rawURL string) *models.Store {
	tb.Helper()
	path, isSQLite := strings.CutPrefix(rawURL, "sqlite:")
	if isSQLite && copySQLite(tb, path) {
		tb.Cleanup(func() { checkPageStates(tb, rawURL) })
	}
	store, err := models.Open(rawURL)
	if err != nil {
		tb.Fatal(err)
	}
	store.InboxChannels(inbox.Name)
	tb.Cleanup(func() { _ = store.Close() })
	if isSQLite {
		return store
	}
	db, dialect, err := store.Writer()
	if err != nil {
		tb.Fatal(err)
	}
	if isOnShared(tb, rawURL) && isEmpty(tb, db) {
		copyMySQL(tb, db)
		return store
	}
	if _, err := migrations.Up(tb.Context(), db, dialect); err != nil {
		tb.Fatal(err)
	}
	return store
}

// copySQLite makes a migrated file at path unless a file is there.
func copySQLite(tb testing.TB, path string) (made bool) {
	tb.Helper()
	if _, err := os.Stat(path); err == nil {
		return false
	}
	file, err := sqliteTemplate()
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, file, 0o600); err != nil {
		tb.Fatal(err)
	}
	return true
}

// sqliteTemplate is the content of a migrated SQLite file. It is made once in a process.
var sqliteTemplate = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "carillon-template-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := dir + "/template.db"
	err = migrated("sqlite:"+path, holdPageStates)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path) // whole: the last connection to close moves the write-ahead log into the file
})

// migrated makes the tables of a ledger, lets read look at the ledger and closes it.
func migrated(rawURL string, read func(*sql.DB) error) error {
	store, err := models.Open(rawURL)
	if err != nil {
		return err
	}
	db, dialect, err := store.Writer()
	if err == nil {
		_, err = migrations.Up(context.Background(), db, dialect)
	}
	if err == nil {
		err = read(db)
	}
	return errors.Join(err, store.Close())
}

// isOnShared tells whether a database is on the server of the test run, where the template comes from. A private
// server may be another product.
func isOnShared(tb testing.TB, rawURL string) bool {
	tb.Helper()
	one, err := url.Parse(rawURL)
	if err != nil {
		tb.Fatal(err)
	}
	shared, err := url.Parse(os.Getenv(mysqlEnv))
	return err == nil && one.Host == shared.Host
}

func isEmpty(tb testing.TB, db *sql.DB) bool {
	tb.Helper()
	var tables int
	find := "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema=DATABASE()"
	if err := db.QueryRowContext(tb.Context(), find).Scan(&tables); err != nil {
		tb.Fatal(err)
	}
	return tables == 0
}
