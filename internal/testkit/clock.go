package testkit

import (
	"database/sql"
	"testing"
	"time"

	"carillon/models"
)

// Clock is the time of a ledger whose test drives it. It stands still between Set and Tick.
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

// Set moves the clock to a time.
func (c *Clock) Set(now time.Time) { c.exec("UPDATE test_clock SET ms=?", now.UnixMilli()) }

// Tick moves the clock on.
func (c *Clock) Tick(d time.Duration) { c.exec("UPDATE test_clock SET ms=ms+?", d.Milliseconds()) }

func (c *Clock) exec(query string, arg int64) {
	c.tb.Helper()
	if _, err := c.db.ExecContext(c.tb.Context(), query, arg); err != nil {
		c.tb.Fatal(err)
	}
}
