package testkit_test

import (
	"fmt"
	"strings"
	"testing"

	"carillon/internal/testkit"
)

// TestUndrawnPageStateIsRefused: a ledger of the tests takes a change of a page's state that is drawn, and no other.
func TestUndrawnPageStateIsRefused(t *testing.T) {
	t.Parallel()
	db, _, err := testkit.OpenStore(t, "sqlite:"+t.TempDir()+"/ledger.db").Writer()
	if err != nil {
		t.Fatal(err)
	}
	move := func(from, to int) error {
		_, err := db.ExecContext(t.Context(), fmt.Sprintf("DELETE FROM pages; "+
			"INSERT INTO pages (campaign_id,no,state,due_at,epoch,rev,size,pos,pending_rows,rest,first_id,sent,failed,skipped,expired,cancelled,unknown) "+
			"VALUES (1,1,%d,0,1,1,1,0,0,0,'',0,0,0,0,0,0)", from))
		if err != nil {
			t.Fatal(err)
		}
		_, err = db.ExecContext(t.Context(), fmt.Sprintf("UPDATE pages SET state=%d", to))
		return err
	}
	const queued, running, waiting, done = 1, 2, 3, 4
	if err := move(queued, running); err != nil {
		t.Errorf("queued to running: %v", err)
	}
	if err := move(done, waiting); err == nil || !strings.Contains(err.Error(), "docs/states.md") {
		t.Errorf("done to waiting: %v", err)
	}
	testkit.FreePageStates(t, db)
	if err := move(done, waiting); err != nil {
		t.Errorf("done to waiting, without the diagram: %v", err)
	}
}
