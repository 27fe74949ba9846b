package testkit

import (
	"database/sql"
	"testing"
	"time"

	"carillon/models"
)

// Clock is the time of a ledger whose test drives it. It stands still until Set.
type Clock struct {
	tb testing.TB
	db *sql.DB
}

// OpenStoreAt is OpenStore with a clock that stands at now.
func OpenStoreAt(tb testing.TB, url string, now time.Time) (*models.Store, *Clock) {
	tb.Helper()
	store := OpenStore(tb, url)
	db, _, err := store.Writer()
	if err != nil {
		tb.Fatal(err)
	}
	c := &Clock{tb, db}
	if _, err := db.ExecContext(tb.Context(), "CREATE TABLE test_clock (ms BIGINT NOT NULL)"); err != nil {
		tb.Fatal(err)
	}
	if _, err := db.ExecContext(tb.Context(), "INSERT INTO test_clock VALUES (?)", now.UnixMilli()); err != nil {
		tb.Fatal(err)
	}
	store.UseClock("(SELECT ms FROM test_clock)")
	return store, c
}

// Set moves the clock.
func (c *Clock) Set(now time.Time) {
	c.tb.Helper()
	if _, err := c.db.ExecContext(c.tb.Context(), "UPDATE test_clock SET ms=?", now.UnixMilli()); err != nil {
		c.tb.Fatal(err)
	}
}
