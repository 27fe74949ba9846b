package testkit

import (
	"fmt"
	"slices"
	"testing"
)

// TestUndrawnPageStateIsNoted: a ledger of the tests notes a change of a page's state that the
// diagram does not draw, and no other.
func TestUndrawnPageStateIsNoted(t *testing.T) {
	t.Parallel()
	db, _, err := OpenStore(t, "sqlite:"+t.TempDir()+"/ledger.db").Writer()
	if err != nil {
		t.Fatal(err)
	}
	noted := func(from, to int) []string {
		_, err := db.ExecContext(t.Context(), fmt.Sprintf("DELETE FROM pages; DELETE FROM undrawn_page_states; "+
			"INSERT INTO pages (campaign_id,no,state,due_at,epoch,rev,size,pos,pending_rows,rest,first_id,sent,failed,skipped,expired,cancelled,unknown) "+
			"VALUES (1,1,%d,0,1,1,1,0,0,0,'',0,0,0,0,0,0); UPDATE pages SET state=%d", from, to))
		if err != nil {
			t.Fatal(err)
		}
		changes, err := undrawnPageStates(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		return changes
	}
	const queued, running, waiting, done = 1, 2, 3, 4
	if changes := noted(queued, running); len(changes) > 0 {
		t.Errorf("queued to running: %v", changes)
	}
	if changes := noted(done, waiting); !slices.Equal(changes, []string{"done --> waiting"}) {
		t.Errorf("done to waiting: %v", changes)
	}
	FreePageStates(t, db)
	if changes := noted(done, waiting); len(changes) > 0 {
		t.Errorf("done to waiting, without the diagram: %v", changes)
	}
}
