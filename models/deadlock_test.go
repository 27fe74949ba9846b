package models_test

import (
	"fmt"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/models"
)

// A statement that the database gives up to end a deadlock is run again. SQLite has one writer at a time, and no deadlocks.
func TestStatementIsRunAgainAfterADeadlock(t *testing.T) {
	t.Parallel()
	store := testkit.OpenStore(t, testkit.MySQLURL(t))
	users(t, store, 1)
	var ids []int64
	for range 2 {
		ids = append(ids, planChanges(t, store).ID)
	}
	db, _, err := store.Writer()
	if err != nil {
		t.Fatal(err)
	}
	// The database gives up the transaction that has changed less: the statement.
	other, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Rollback() }()
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := other.ExecContext(t.Context(), query, args...); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		exec("INSERT INTO chat_groups (group_id, name, version, size) VALUES (?,'',1,1)", fmt.Sprint("group-", i))
	}
	exec("UPDATE campaigns SET name='first' WHERE id=?", ids[1])
	paused := make(chan error, 1)
	go func() {
		list, err := store.PauseAll(t.Context(), "all")
		if err == nil && len(list) != 2 {
			err = fmt.Errorf("%d campaigns were paused, not 2", len(list))
		}
		paused <- err
	}()
	// innodb_trx is made up anew only for who has not asked for a tenth of a second.
	for waits := 0; waits == 0; time.Sleep(200 * time.Millisecond) {
		select {
		case err := <-paused:
			t.Fatal("it did not wait for the locked campaign:", err)
		default:
		}
		err := db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM information_schema.innodb_trx t
			JOIN information_schema.processlist p ON p.id=t.trx_mysql_thread_id WHERE p.db=DATABASE() AND t.trx_state='LOCK WAIT'`).Scan(&waits)
		if err != nil {
			t.Fatal(err)
		}
	}
	exec("UPDATE campaigns SET name='second' WHERE id=?", ids[0]) // for which the two wait for each other
	if err := other.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-paused; err != nil {
		t.Error(err)
	}
}

// planned is a campaign to all users, cut to its end.
func planChanges(t *testing.T, store *models.Store) models.Campaign {
	t.Helper()
	created, err := store.CreateCampaign(t.Context(), spec(models.Audience{Type: models.AudienceAll}), []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return nil })
	if err != nil {
		t.Fatal(err)
	}
	for done := false; !done; {
		step, err := store.PlanNext(t.Context(), *created.Plan, nil)
		if err != nil {
			t.Fatal(err)
		}
		done = step.Done
	}
	c, err := store.CampaignByID(t.Context(), created.Plan.Campaign)
	if err != nil {
		t.Fatal(err)
	}
	return c.Campaign
}
