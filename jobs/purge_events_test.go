package jobs

import (
	"strings"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/models"
)

// The reconciler deletes the events that are older than they are kept, in more than one step. Without a retention no event
// goes.
func TestOldEventsGoByThemselves(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		i := newIdle(t, s)
		const old = 2*stepLeast - 1
		row := "('" + string(models.EventServeStarted) + "',1,'','','','','','','','','','')"
		i.sql("INSERT INTO events (kind,at,campaign_id,schedule_id,from_status,to_status,reason_code,reason,actor,via,operation_id,data) VALUES " +
			strings.Repeat(row+",", old-1) + row)
		if err := i.store.Record(t.Context(), models.Event{Kind: models.EventServeStarted}); err != nil {
			t.Fatal(err)
		}
		left := func() int {
			list, err := i.store.Events(t.Context(), models.EventFilter{Kind: models.EventServeStarted, Limit: 2 * old})
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
		i.do(purger{i.store, Retention{}, i.log}.purgeEvents)
		if n := left(); n != old+1 {
			t.Errorf("without a retention %d events are left of %d", n, old+1)
		}
		rec := NewReconciler(i.Shared, Retention{IdempotencyKeys: time.Hour, Events: time.Hour})
		rec.Start()
		t.Cleanup(rec.Stop)
		testkit.Eventually(t, "the old events are gone", testkit.Patience, func() bool { return left() == 1 })
	})
}
