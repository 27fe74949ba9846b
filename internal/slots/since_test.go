package slots_test

import (
	"testing"
	"time"

	"carillon/internal/slots"
	"carillon/models"
)

// Slots that may have fired in a ledger that was lost do not fire again, also where a late one would.
func TestSince(t *testing.T) {
	t.Parallel()
	noon := models.Millis(time.Date(2027, 6, 4, 12, 0, 0, 0, time.UTC).UnixMilli())
	const hour = models.Millis(3_600_000)
	sch := models.Schedule{Cron: "@every 1h", Timezone: "UTC", Anchor: noon, Missed: models.MissedOnce, MissedGrace: 6 * hour, Status: models.ScheduleActive}
	if err := slots.Replan(&sch, noon); err != nil {
		t.Fatal(err)
	}
	now := noon + 3*hour + 1
	f, err := slots.Since(noon+2*hour, slots.Due)(sch, now)
	if err != nil || f.Slot != 0 || f.Missed == nil || f.Missed.From != noon+hour || f.Missed.To != noon+2*hour || f.Missed.Slots != 2 || f.NextSlot != noon+3*hour {
		t.Errorf("%+v, %+v, %v", f, f.Missed, err)
	}
	sch.NextSlot, sch.NextFire = f.NextSlot, f.NextFire
	if f, err := slots.Since(noon+2*hour, slots.Due)(sch, now); err != nil || f.Slot != noon+3*hour || f.Missed != nil {
		t.Errorf("the first one behind it: %+v, %v", f, err)
	}
}
