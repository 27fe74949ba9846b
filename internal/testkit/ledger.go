package testkit

import (
	"testing"

	"carillon/migrations"
	"carillon/models"
)

// OpenStore opens a ledger with all its tables and closes it at the test's end.
func OpenStore(tb testing.TB, url string) *models.Store {
	tb.Helper()
	store, err := models.Open(url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = store.Close() })
	db, dialect, err := store.Writer()
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := migrations.Up(tb.Context(), db, dialect); err != nil {
		tb.Fatal(err)
	}
	return store
}
