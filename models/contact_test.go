package models_test

import (
	"context"
	"errors"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/internal/testkit/services"
	"carillon/models"
)

func newCampaign(ctx context.Context, store *models.Store) error {
	_, err := store.CreateCampaign(ctx, spec(models.Audience{Type: models.AudienceUsers, UserIDs: []string{"a"}}), []string{"admin"}, models.Idempotency{},
		func(models.Campaign) []byte { return nil })
	return err
}

// After a switchover the connections of before lead to a replica, and new ones to the primary. What writes finds that out by itself:
// every one of many writes at once succeeds.
func TestConnectionsToAnOldPrimaryAreDropped(t *testing.T) {
	t.Parallel()
	store := testkit.OpenStore(t, testkit.MySQLURL(t))
	db, _, err := store.Writer()
	if err != nil {
		t.Fatal(err)
	}
	const many = 16
	var old []interface{ Close() error }
	for range many {
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.ExecContext(t.Context(), "SET SESSION tx_read_only=1"); err != nil {
			t.Fatal(err)
		}
		old = append(old, conn)
	}
	for _, conn := range old {
		_ = conn.Close() // back to the pool
	}
	var wg sync.WaitGroup
	for range many {
		wg.Go(func() {
			if err := newCampaign(t.Context(), store); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for range many {
		if err := store.TryWrite(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// A server's default may leave every statement in an open transaction, or start read-only ones: each session sets what it needs.
func TestSessionsDoNotTrustTheServersDefaults(t *testing.T) {
	t.Parallel()
	server := testkit.PrivateMariaDB(t, services.FastDurability()...)
	databaseURL, _, err := services.CreateDatabase(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	guest := testkit.NewGuest(t, databaseURL)
	guest.Do("SET GLOBAL autocommit=0, tx_read_only=1, tx_isolation='SERIALIZABLE'")
	databaseURL = guest.URL
	store := testkit.OpenStore(t, databaseURL)
	if err := newCampaign(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	other := testkit.OpenStore(t, databaseURL)
	if v, err := store.ClaimPage(t.Context(), models.PageTask{Campaign: 1, Epoch: 1}); err != nil || v == nil {
		t.Fatal(v, err)
	}
	if v, err := other.ClaimPage(t.Context(), models.PageTask{Campaign: 1, Epoch: 1}); err != nil || v != nil {
		t.Errorf("a second process does not see the claim: %v, %v", v, err)
	}
}

// Faults of the database are told from faults of a request, and nothing of a try to write stays behind.
func TestDatabaseThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	databaseURL := testkit.MySQLURL(t)
	migrated := testkit.OpenStore(t, databaseURL)
	guest := testkit.NewGuest(t, databaseURL)
	file := filepath.Join(t.TempDir(), "carillon.db")
	lite := testkit.OpenStore(t, "sqlite:"+file)
	for _, s := range []*models.Store{migrated, lite} {
		if err := s.TryWrite(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	open := func(change func(*url.URL)) *models.Store {
		t.Helper()
		u, err := url.Parse(guest.URL)
		if err != nil {
			t.Fatal(err)
		}
		change(u)
		store, err := models.Open(u.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		return store
	}
	unavailable := func(what string, store *models.Store) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		for how, err := range map[string]error{"a try": store.TryWrite(ctx), "a POST": newCampaign(ctx, store)} {
			if err == nil || !models.IsUnavailable(err) {
				t.Errorf("%s, %s: %v", what, how, err)
			}
		}
	}
	unavailable("1045", open(func(u *url.URL) { u.User = url.UserPassword("guest", "wrong") }))
	unavailable("1044 or 1049", open(func(u *url.URL) { u.Path = "/none_of_these" }))
	unavailable("refused", open(func(u *url.URL) { u.Host = "127.0.0.1:1" }))
	guest.May("SELECT")
	unavailable("1142", open(func(*url.URL) {}))

	// SQLite, whose writer gives up at once here: another program holds the file.
	db, _, err := lite.Writer()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "PRAGMA busy_timeout=0"); err != nil {
		t.Fatal(err)
	}
	other, _, err := testkit.OpenStore(t, "sqlite:"+file).Writer()
	if err != nil {
		t.Fatal(err)
	}
	tx, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	unavailable("SQLITE_BUSY", lite)
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := newCampaign(t.Context(), lite); err != nil {
		t.Error(err)
	}
	if _, err := db.ExecContext(t.Context(), "PRAGMA query_only=1"); err != nil {
		t.Fatal(err)
	}
	unavailable("SQLITE_READONLY", lite)

	for _, err := range []error{models.Errorf(models.CodeArgs, "a request's"), errors.New("no such column"), context.Canceled} {
		if models.IsUnavailable(err) {
			t.Errorf("%v is a fault of the database", err)
		}
	}
	if err := migrated.TryWrite(t.Context()); err != nil {
		t.Error(err)
	}
	if rev, live := directory(t, migrated); rev != 0 || live != 0 {
		t.Errorf("a try to write has left %d, %d", rev, live)
	}
}

func directory(t *testing.T, s *models.Store) (rev, live int) {
	t.Helper()
	db, _, err := s.Writer()
	if err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRowContext(t.Context(), "SELECT rev, live FROM directory").Scan(&rev, &live); err != nil {
		t.Fatal(err)
	}
	return rev, live
}

// A pool of a given size is never larger.
func TestConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	store := testkit.OpenStore(t, testkit.MySQLURL(t))
	if err := store.LimitConnections(3); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := newCampaign(t.Context(), store); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	db, _, err := store.Writer()
	if err != nil {
		t.Fatal(err)
	}
	if n := db.Stats(); n.MaxOpenConnections != 3 || n.OpenConnections > 3 {
		t.Errorf("%+v", n)
	}
}
