package jobs_test

import (
	"testing"
	"time"

	"carillon/internal/slots"
	"carillon/internal/testkit"
	"carillon/models"
)

// skip leaves a slot out, as a handler does.
func skip(t *testing.T, store *models.Store, sch models.Schedule, slot time.Time) error {
	t.Helper()
	_, err := store.SkipSlot(t.Context(), sch.PublicID, func(s *models.Schedule, now models.Millis) error {
		return slots.Skip(s, millis(slot), now)
	})
	return err
}

func (r *rig) mustSkip(sch models.Schedule, slot time.Time) {
	r.t.Helper()
	if err := skip(r.t, r.store, sch, slot); err != nil {
		r.t.Fatal(err)
	}
}

// skipRows is how many skipped slots the ledger holds.
func (r *rig) skipRows() (n int) {
	r.t.Helper()
	db, _, err := r.store.Writer()
	if err == nil {
		err = db.QueryRowContext(r.t.Context(), "SELECT COUNT(*) FROM schedule_skips").Scan(&n)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// TestSkippedSlotIsPassedOver: a scheduler makes no campaign of a slot that somebody leaves out, in
// time or late. The history has the slot's line, and nothing of it stays.
func TestSkippedSlotIsPassedOver(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, clock := newQuietRigAt(t, s, noon)
		r.users(1)
		at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
		late := r.every("@every 1m", noon, once(2*time.Minute))
		hand := r.every("@every 5m", noon, nil)
		last := r.every("@every 5m", noon, endAt(at(5)))
		held := r.every("@every 5m", noon, nil)
		for _, minutes := range []int{2, 5, 6} {
			r.mustSkip(late, at(minutes))
		}
		for _, sch := range []models.Schedule{hand, last, held} {
			r.mustSkip(sch, at(5))
		}
		r.mustSkip(hand, at(15))
		clock.Set(at(5).Add(15 * time.Second))
		// A change settles the due slot, before any scheduler.
		if _, _, err := r.store.ChangeSchedule(t.Context(), hand.PublicID, nil, slots.Due, func(*models.Schedule, models.Millis) error { return nil }); err != nil {
			t.Fatal(err)
		}
		r.schedule()
		r.historyIs(hand, "12:05:00 skipped 1\n")
		r.historyIs(last, "12:05:00 skipped 1\n")
		r.historyIs(held, "12:05:00 skipped 1\n")
		lateIs := "12:01:00–12:03:00 missed 2\n12:02:00 skipped 1\n12:05:00 skipped 1\n12:04:00 fired 1\n"
		r.historyIs(late, lateIs)
		clock.Set(at(6))
		r.historyIs(late, lateIs+"12:06:00 skipped 1\n")
		if sch, err := r.store.Schedule(t.Context(), last.PublicID); err != nil || sch.Status != models.ScheduleEnded {
			t.Errorf("%+v, %v", sch, err)
		}
		ended, err := r.store.Events(t.Context(), models.EventFilter{ScheduleID: last.PublicID, Limit: 10})
		if err != nil || len(ended) != 3 || ended[0].ToStatus != "ended" || ended[0].ReasonCode != models.ReasonSkippedByHand || ended[1].Kind != models.EventScheduleSkipped {
			t.Errorf("%+v, %v", ended, err)
		}
		if n := r.skipRows(); n != 1 { // the slot that is still to come
			t.Errorf("%d rows", n)
		}
		if _, err := r.store.DeleteSchedule(t.Context(), hand.PublicID, slots.Forgo(slots.Deleted)); err != nil || r.skipRows() != 0 {
			t.Errorf("deleted: %v, %d rows", err, r.skipRows())
		}
	})
}

// TestKillSwitchAtSkippedSlot: the kill switch finds a due slot that is left out. The history calls
// the slot skipped, not missed.
func TestKillSwitchAtSkippedSlot(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, clock := newQuietRigAt(t, s, noon)
		r.users(1)
		left, other := r.every("@every 5m", noon, nil), r.every("@every 5m", noon, nil)
		r.mustSkip(left, noon.Add(5*time.Minute))
		often := r.every("@every 1m", noon, nil) // more than one of its slots is due
		r.mustSkip(often, noon.Add(4*time.Minute))
		clock.Set(noon.Add(5 * time.Minute))
		if _, err := r.store.PauseAllSchedules(t.Context(), slots.Forgo(slots.AllPaused)); err != nil {
			t.Fatal(err)
		}
		r.historyIs(left, "12:05:00 skipped 1\n")
		r.historyIs(other, "12:05:00–12:05:00 missed 1\n")
		r.historyIs(often, "12:01:00–12:05:00 missed 4\n12:04:00 skipped 1\n")
		missed, err := r.store.Events(t.Context(), models.EventFilter{Kind: models.EventScheduleMissed, Limit: 10})
		if err != nil || len(missed) != 2 || missed[1].ScheduleID != other.PublicID || missed[0].Data["slots"] != 4.0 {
			t.Errorf("%+v, %v", missed, err)
		}
		if _, err := r.store.ResumeAllSchedules(t.Context(), slots.Resume); err != nil || r.skipRows() != 0 {
			t.Errorf("resumed: %v, %d rows", err, r.skipRows())
		}
	})
}

// TestSkipMeetsFiring: one process fires a slot while another leaves the slot out. One of the two
// happens, never both.
func TestSkipMeetsFiring(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, clock := newQuietRigAt(t, s, noon)
		other := testkit.OpenStore(t, s.DatabaseURL)
		other.UseClock("(SELECT ms FROM test_clock)")
		r.users(1)
		slot := noon.Add(10 * time.Second)
		decide := func(sch models.Schedule) models.Firing {
			f, err := slots.Due(sch, millis(slot))
			if err != nil || f.Slot != millis(slot) {
				t.Fatalf("%+v, %v", f, err)
			}
			return f
		}

		first := r.every("@every 10s", noon, nil)
		f := decide(first)
		if err := skip(t, other, first, slot); err != nil {
			t.Fatal(err)
		}
		if _, fired, err := r.store.Fire(t.Context(), first, f, []string{"admin"}); fired || err != nil {
			t.Errorf("a skipped slot fired: %v, %v", fired, err)
		}

		second := r.every("@every 10s", noon, nil)
		f = decide(second)
		tries := 0
		_, err := other.SkipSlot(t.Context(), second.PublicID, func(sch *models.Schedule, now models.Millis) error {
			if tries++; tries == 1 {
				defer func() { // the skip is decided, and not stored yet
					if _, fired, err := r.store.Fire(t.Context(), second, f, []string{"admin"}); !fired || err != nil {
						t.Errorf("%v, %v", fired, err)
					}
				}()
			}
			return slots.Skip(sch, millis(slot), now)
		})
		if e := models.AsError(err); err == nil || e.Code != models.CodeArgs || tries != 2 {
			t.Errorf("a slot that has fired was skipped: %v, %d tries", err, tries)
		}

		clock.Set(slot)
		r.schedule()
		r.historyIs(first, "12:00:10 skipped 1\n")
		r.historyIs(second, "12:00:10 fired 1\n")
		if n := r.skipRows(); n != 0 {
			t.Errorf("%d rows", n)
		}
	})
}
