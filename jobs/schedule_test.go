package jobs_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/internal/slots"
	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/models"
)

var noon = time.Date(2027, 6, 4, 12, 0, 0, 0, time.UTC)

// every stores a schedule of the given cron text as a handler does, and returns it.
func (r *rig) every(cron string, now time.Time, change func(*models.Schedule)) models.Schedule {
	r.t.Helper()
	sch := models.Schedule{
		Name: "s", Cron: cron, Timezone: "UTC", Anchor: millis(now), Missed: models.MissedSkip, Overlap: models.OverlapAllow,
		Campaign: spec(models.Audience{Type: models.AudienceUsers, UserIDs: []string{"user-0000000"}}), CreatedBy: "admin", CreatedAt: millis(now),
	}
	if change != nil {
		change(&sch)
	}
	if err := slots.Replan(&sch, millis(now)); err != nil {
		r.t.Fatal(err)
	}
	created, err := r.store.CreateSchedule(r.t.Context(), sch, []string{"admin"}, models.Idempotency{}, func(models.Schedule) []byte { return nil })
	if err != nil {
		r.t.Fatal(err)
	}
	if sch, err = r.store.Schedule(r.t.Context(), created.PublicID); err != nil {
		r.t.Fatal(err)
	}
	return sch
}

// history is a schedule's occurrences, oldest first, one a line: slot, outcome, how many slots.
func (r *rig) history(sch models.Schedule) string {
	r.t.Helper()
	list, err := r.store.Occurrences(r.t.Context(), sch.ID, 0, 1000)
	if err != nil {
		r.t.Fatal(err)
	}
	var b strings.Builder
	for i := len(list) - 1; i >= 0; i-- {
		o := list[i]
		slot := "by hand "
		if o.Slot != nil {
			slot = o.Slot.Time().Format("15:04:05")
		}
		if o.LastSlot != 0 {
			slot += "–" + o.LastSlot.Time().Format("15:04:05")
		}
		fmt.Fprintf(&b, "%s %s %d\n", slot, o.Outcome, o.Slots)
		if made := o.CampaignID != ""; made != (o.Outcome == models.OutcomeFired) {
			r.t.Errorf("%s has campaign %q", o.Outcome, o.CampaignID)
		}
		if o.Outcome != models.OutcomeFired && o.Reason == "" {
			r.t.Errorf("%s at %s says no reason", o.Outcome, slot)
		}
	}
	return b.String()
}

func (r *rig) historyIs(sch models.Schedule, want string) {
	r.t.Helper()
	got := ""
	r.eventually(fmt.Sprintf("the history of %s is\n%s", sch.Cron, want), func() bool {
		got = r.history(sch)
		return len(got) >= len(want)
	}, func() any { return got })
	if got != want {
		r.t.Fatalf("the history of %s is\n%snot\n%s", sch.Cron, got, want)
	}
}

// TestDownTime: nothing runs for ten minutes. What was missed is one row, and at most one late campaign.
func TestDownTime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cron   string
		change func(*models.Schedule)
		want   string // after ten minutes without a scheduler, and half a minute with one
	}{
		"skip":              {"@every 30s", nil, "12:00:30–12:10:00 missed 20\n12:10:30 fired 1\n"},
		"once":              {"@every 30s", once(time.Minute), "12:00:30–12:09:30 missed 19\n12:10:00 fired 1\n12:10:30 fired 1\n"},
		"once, one slot":    {"5 12 * * *", once(10 * time.Minute), "12:05:00 fired 1\n"},
		"skip, one slot":    {"5 12 * * *", nil, "12:05:00–12:05:00 missed 1\n"},
		"beyond the grace":  {"5 12 * * *", once(time.Minute), "12:05:00–12:05:00 missed 1\n"},
		"a hiccup":          {"10 12 * * *", nil, "12:10:00 fired 1\n"},
		"it ended meantime": {"@every 1m", endAt(noon.Add(3 * time.Minute)), "12:01:00–12:03:00 missed 3\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
				r, clock := newQuietRigAt(t, s, noon)
				r.users(1)
				sch := r.every(c.cron, noon, c.change)
				clock.Set(noon.Add(10*time.Minute + 5*time.Second))
				r.schedule()
				lines := strings.SplitAfter(c.want, "\n")
				until := strings.Join(lines[:min(2, len(lines)-1)], "") // of the slots up to now
				if strings.Contains(c.cron, "30s") && c.change == nil {
					until = lines[0]
				}
				r.historyIs(sch, until)
				clock.Set(noon.Add(10*time.Minute + 31*time.Second))
				r.historyIs(sch, c.want)
			})
		})
	}
}

func endAt(at time.Time) func(*models.Schedule) {
	return func(s *models.Schedule) { s.EndAt = millis(at) }
}

// TestEverySlotOnce: several schedulers on one ledger make one campaign of each slot, and one that stops in between is
// not missed.
func TestEverySlotOnce(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, clock := newQuietRigAt(t, s, noon)
		r.users(1)
		stop := r.schedule()
		r.schedule()
		r.schedule()
		var all []models.Schedule
		for range 5 {
			all = append(all, r.every("@every 1s", noon, nil))
		}
		want := ""
		for i := range 20 {
			if i == 10 {
				stop()
			}
			at := noon.Add(time.Duration(i) * time.Second)
			clock.Set(at)
			if i > 0 {
				want += at.Format("15:04:05") + " fired 1\n"
			}
			for _, sch := range all {
				r.historyIs(sch, want)
			}
		}
		list, err := r.store.Campaigns(t.Context(), models.CampaignFilter{Limit: 1000})
		if err != nil || len(list) != 5*19 {
			t.Fatalf("%d campaigns, %v", len(list), err)
		}
	})
}

// TestOneReadingFiresOnce: of many schedulers that read a schedule at the same moment, one takes its slot and the others
// find it taken, without an error.
func TestOneReadingFiresOnce(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, clock := newQuietRigAt(t, s, noon)
		r.users(1)
		sch := r.every("@every 10s", noon, nil)
		clock.Set(noon.Add(10 * time.Second))
		table, err := slots.Of(sch)
		if err != nil {
			t.Fatal(err)
		}
		f := models.Firing{Slot: sch.NextSlot, Campaign: table.Campaign(sch, sch.NextSlot)}
		f.NextSlot, f.NextFire = table.After(sch.NextSlot)
		var took atomic.Int32
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				switch _, fired, err := r.store.Fire(t.Context(), sch, f, []string{"admin"}); {
				case err != nil:
					t.Error(err)
				case fired:
					took.Add(1)
				}
			})
		}
		wg.Wait()
		if took.Load() != 1 {
			t.Errorf("%d schedulers took the slot", took.Load())
		}
		r.historyIs(sch, "12:00:10 fired 1\n")
	})
}

// TestOverlap: a slot at which the campaign before still runs is passed over, with a row that says so.
func TestOverlap(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, clock := newQuietRigAt(t, s, noon) // no worker: nothing completes
		r.users(1)
		r.schedule()
		skip := r.every("@every 10s", noon, func(s *models.Schedule) { s.Overlap = models.OverlapSkip })
		allow := r.every("@every 10s", noon, nil)
		clock.Set(noon.Add(10 * time.Second))
		r.historyIs(skip, "12:00:10 fired 1\n")
		r.historyIs(allow, "12:00:10 fired 1\n")
		clock.Set(noon.Add(20 * time.Second))
		r.historyIs(skip, "12:00:10 fired 1\n12:00:20 overlap 1\n")
		r.historyIs(allow, "12:00:10 fired 1\n12:00:20 fired 1\n")
		list, _ := r.store.Occurrences(t.Context(), skip.ID, 0, 10)
		if _, err := r.store.CancelCampaign(t.Context(), list[1].CampaignID, "test"); err != nil {
			t.Fatal(err)
		}
		clock.Set(noon.Add(30 * time.Second))
		r.historyIs(skip, "12:00:10 fired 1\n12:00:20 overlap 1\n12:00:30 fired 1\n")
	})
}

// TestRefusedSlot: a template that can no longer be sent is an outcome with a reason, and the schedule goes on.
func TestRefusedSlot(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, clock := newQuietRigAt(t, s, noon)
		if _, err := r.store.PutGroup(t.Context(), "g", nil, []string{"a"}); err != nil {
			t.Fatal(err)
		}
		sch := r.every("@every 10s", noon, func(s *models.Schedule) {
			s.Campaign.Audience = models.Audience{Type: models.AudienceGroup, GroupID: "g"}
			s.Campaign.Message.SessionType = models.SessionGroup
		})
		if err := r.store.DeleteGroup(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
		r.schedule()
		clock.Set(noon.Add(10 * time.Second))
		r.historyIs(sch, "12:00:10 refused 1\n")
		if _, err := r.store.PutGroup(t.Context(), "g", nil, []string{"a"}); err != nil {
			t.Fatal(err)
		}
		clock.Set(noon.Add(20 * time.Second))
		r.historyIs(sch, "12:00:10 refused 1\n12:00:20 fired 1\n")
	})
}

// TestUnreadableSchedule: a schedule whose zone only a newer program knows has one refused slot, is looked at again, and goes
// on where a program can read it. Nothing is sent meanwhile, and the kill switch still works.
func TestUnreadableSchedule(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, clock := newQuietRigAt(t, s, noon)
		r.users(1)
		sch, other := r.every("* * * * *", noon, nil), r.every("* * * * *", noon, nil)
		exec := func(query string, args ...any) {
			t.Helper()
			db, _, err := r.store.Writer()
			if err == nil {
				_, err = db.ExecContext(t.Context(), query, args...)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		exec("UPDATE schedules SET timezone='Mars/Olympus' WHERE public_id=?", sch.PublicID)
		r.schedule()
		clock.Set(noon.Add(time.Minute + 5*time.Second))
		r.historyIs(other, "12:01:00 fired 1\n")
		if got := r.history(sch); got != "" {
			t.Fatalf("a newer program beside this one has had no time to act: %s", got)
		}
		clock.Set(noon.Add(time.Minute + 15*time.Second))
		r.historyIs(sch, "12:01:00 refused 1\n")
		list, err := r.store.Occurrences(t.Context(), sch.ID, 0, 1)
		if err != nil || !strings.Contains(list[0].Reason, `does not know the time zone "Mars/Olympus"`) {
			t.Errorf("%+v, %v", list, err)
		}
		lookedAt := func() models.Millis {
			now, err := r.store.Schedule(t.Context(), sch.PublicID)
			if err != nil || now.NextSlot != sch.NextSlot || now.Status != models.ScheduleActive {
				t.Fatalf("%+v, %v", now, err)
			}
			return now.FiredAt
		}
		for i := range 3 {
			before := lookedAt()
			clock.Set(noon.Add(time.Duration(i+2)*75*time.Second + time.Minute))
			r.eventually("it is looked at again", func() bool { return lookedAt() != before })
		}
		if got := r.history(sch); got != "12:01:00 refused 1\n" {
			t.Errorf("after further looks: %s", got)
		}
		exec("UPDATE schedules SET timezone='UTC' WHERE public_id=?", sch.PublicID) // as a newer program reads it
		clock.Set(noon.Add(7*time.Minute + 15*time.Second))
		r.historyIs(sch, "12:01:00 refused 1\n12:02:00–12:07:00 missed 6\n")
		clock.Set(noon.Add(8 * time.Minute))
		r.historyIs(sch, "12:01:00 refused 1\n12:02:00–12:07:00 missed 6\n12:08:00 fired 1\n")

		exec("UPDATE schedules SET cron='0 9 * * MON#2' WHERE public_id=?", sch.PublicID)
		clock.Set(noon.Add(9*time.Minute + 15*time.Second))
		r.eventually("it is refused", func() bool { return strings.Contains(r.history(sch), "12:09:00 refused 1\n") })
		exec("UPDATE schedules SET next_fire=next_slot+1 WHERE public_id=?", sch.PublicID) // it is due
		if _, err := r.store.PauseAllSchedules(t.Context(), slots.Forgo(slots.AllPaused)); err != nil {
			t.Errorf("the kill switch: %v", err)
		}
	})
}

// TestLocalTimeSchedule: each slot becomes one campaign when the first zone comes to it.
func TestLocalTimeSchedule(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, clock := newRigAt(t, s, wall.Add(-20*time.Hour))
		r.upsert([]models.UserChange{{UserID: "kiritimati", Timezone: new("Pacific/Kiritimati")}, {UserID: "berlin", Timezone: new("Europe/Berlin")}})
		sch := r.every("0 9 * * 5", wall.Add(-20*time.Hour), func(s *models.Schedule) {
			s.LocalTime, s.Campaign = true, spec(models.Audience{Type: models.AudienceAll})
		})
		clock.Set(wall.Add(-14 * time.Hour))
		r.historyIs(sch, "09:00:00 fired 1\n")
		list, _ := r.store.Occurrences(t.Context(), sch.ID, 0, 1)
		r.until(list[0].CampaignID, "sent in Kiritimati", func(c models.CampaignView) bool { return c.Sent == 1 })
		clock.Set(wall.Add(-2 * time.Hour)) // Berlin in summer
		c := r.until(list[0].CampaignID, "completed", func(c models.CampaignView) bool { return c.Status == models.StatusCompleted })
		if c.Sent != 2 || c.ScheduleID != sch.PublicID || c.Slot != millis(wall) || c.WallAt != millis(wall) {
			t.Errorf("%+v", c)
		}
		sch, _ = r.store.Schedule(t.Context(), sch.PublicID)
		if next := wall.AddDate(0, 0, 7); sch.NextSlot != millis(next) || sch.NextFire != millis(next.Add(-14*time.Hour)) {
			t.Errorf("next slot %s, at %s", sch.NextSlot.Time(), sch.NextFire.Time())
		}
	})
}

// TestSendAt: a scheduled campaign starts at its time with the audience of that moment, unless it was moved, paused or
// cancelled before.
func TestSendAt(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, clock := newRigAt(t, s, noon)
		r.users(3)
		later := func(a models.Audience) string {
			sp := spec(a)
			sp.SendAt = millis(noon.Add(time.Minute))
			return r.post(sp)
		}
		all := later(models.Audience{Type: models.AudienceAll})
		listed := later(models.Audience{Type: models.AudienceUsers, UserIDs: []string{"user-0000000", "user-0000001"}})
		moved := later(models.Audience{Type: models.AudienceAll})
		paused := later(models.Audience{Type: models.AudienceAll})
		cancelled := later(models.Audience{Type: models.AudienceAll})
		cancelledList := later(models.Audience{Type: models.AudienceUsers, UserIDs: []string{"user-0000000", "user-0000001"}})
		if c := r.view(all); c.Status != models.StatusScheduled || c.StartedAt != 0 || c.Counts.Total != 3 || c.Pending != 3 {
			t.Fatalf("%+v", c)
		}
		at := millis(noon.Add(2 * time.Minute))
		r.must(r.store.UpdateCampaign(t.Context(), moved, models.CampaignChange{SendAt: &at}))
		r.must(r.store.PauseCampaign(t.Context(), paused, "test"))
		r.must(r.store.CancelCampaign(t.Context(), cancelled, "test"))
		r.must(r.store.CancelCampaign(t.Context(), cancelledList, "test"))
		r.until(cancelled, "closed", func(c models.CampaignView) bool { return c.FinishedAt != 0 && c.Counts.Total == 0 })
		r.until(cancelledList, "closed", func(c models.CampaignView) bool { return c.FinishedAt != 0 && c.Cancelled == 2 })
		r.upsert([]models.UserChange{{UserID: "came later"}})
		clock.Set(noon.Add(time.Minute))
		r.until(all, "completed", func(c models.CampaignView) bool { return c.Status == models.StatusCompleted && c.Sent == 4 })
		r.until(listed, "completed", func(c models.CampaignView) bool { return c.Status == models.StatusCompleted && c.Sent == 2 })
		for _, id := range []string{moved, paused} {
			if c := r.view(id); c.StartedAt != 0 || c.Sent != 0 {
				t.Errorf("%+v", c)
			}
		}
		r.must(r.store.ResumeCampaign(t.Context(), paused))
		r.until(paused, "completed", func(c models.CampaignView) bool { return c.Status == models.StatusCompleted && c.Sent == 4 })
		clock.Set(noon.Add(2 * time.Minute))
		r.until(moved, "completed", func(c models.CampaignView) bool { return c.Status == models.StatusCompleted && c.Sent == 4 })
		if _, err := r.store.UpdateCampaign(t.Context(), moved, models.CampaignChange{SendAt: &at}); models.AsError(err).Code != models.CodeIllegalTransition {
			t.Errorf("moved after its end: %v", err)
		}
		for _, id := range []string{all, listed, moved, paused, cancelled, cancelledList} {
			r.verified(id)
		}
	})
}

// TestAudienceGoneAtTheStart: a scheduled campaign whose group is gone fails and says why.
func TestAudienceGoneAtTheStart(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, clock := newRigAt(t, s, noon)
		if _, err := r.store.PutGroup(t.Context(), "g", nil, []string{"a"}); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, session := range []int{models.SessionGroup, models.SessionLargeGroup} {
			sp := spec(models.Audience{Type: models.AudienceGroup, GroupID: "g"})
			sp.Message.SessionType, sp.SendAt = session, millis(noon.Add(time.Minute))
			ids = append(ids, r.post(sp))
		}
		if err := r.store.DeleteGroup(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
		clock.Set(noon.Add(time.Minute))
		for _, id := range ids {
			c := r.until(id, "failed", func(c models.CampaignView) bool { return c.Status == models.StatusFailed && c.FinishedAt != 0 })
			if !strings.Contains(c.StatusReason, "audience.groupID") || c.Pending != 0 {
				t.Errorf("%s: %+v", c.StatusReason, c.Counts)
			}
			r.verified(id)
		}
	})
}

// TestStartMissed: a campaign at whose sendAt nothing ran starts within its grace, of one hour unless it says otherwise, and
// expires beyond it. What an operator resumes is not missed.
func TestStartMissed(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, clock := newQuietRigAt(t, s, noon)
		r.users(2)
		skip, grace := models.MissedSkip, models.MissedOnce
		at := millis(noon.Add(time.Minute))
		ids := map[string]string{}
		for name, tm := range map[string]models.Timing{
			"skip": {Missed: skip, MissedGrace: 7_200_000}, "within": {Missed: grace, MissedGrace: 7_200_000}, "beyond": {Missed: grace, MissedGrace: 60_000},
			"of an older program": {}, "broadcast": {Missed: skip}, "paused": {Missed: skip},
		} {
			sp := spec(models.Audience{Type: models.AudienceUsers, UserIDs: []string{"user-0000000", "user-0000001"}})
			if name == "broadcast" {
				sp.Audience = models.Audience{Type: models.AudienceAll}
			}
			sp.Timing, sp.SendAt = tm, at
			ids[name] = r.post(sp)
		}
		r.must(r.store.PauseCampaign(t.Context(), ids["paused"], "test"))
		clock.Set(noon.Add(91 * time.Minute))
		r = r.with(jobs.Options{})
		r.schedule()
		r.until(ids["within"], "sent late", func(c models.CampaignView) bool { return c.Status == models.StatusCompleted && c.Sent == 2 })
		for _, name := range []string{"skip", "beyond", "of an older program", "broadcast"} {
			c := r.until(ids[name], name+" expired", func(c models.CampaignView) bool { return c.Status == models.StatusExpired && c.FinishedAt != 0 })
			if !strings.HasPrefix(c.StatusReason, "missed") || c.StartedAt != 0 || c.Expired != c.Counts.Total || name != "broadcast" && c.Expired != 2 {
				t.Errorf("%s: %q %+v", name, c.StatusReason, c.Counts)
			}
			r.verified(ids[name])
			if _, _, err := r.store.RetryCampaign(t.Context(), ids[name], models.Retry{Statuses: []models.RecipientStatus{models.RecipientExpired}}); models.AsError(err).Code != models.CodeIllegalTransition {
				t.Errorf("retry of what never started: %v", err)
			}
		}
		r.must(r.store.ResumeCampaign(t.Context(), ids["paused"]))
		r.until(ids["paused"], "sent when resumed", func(c models.CampaignView) bool { return c.Status == models.StatusCompleted && c.Sent == 2 })
	})
}

func once(grace time.Duration) func(*models.Schedule) {
	return func(s *models.Schedule) {
		s.Missed, s.MissedGrace = models.MissedOnce, models.Millis(grace.Milliseconds())
	}
}

// TestSchedulesTakeTurns: of many schedules that fall due faster than they can be acted upon, each has its turn, and one
// that fires seldom does not wait for all the slots of those that fire each second.
func TestSchedulesTakeTurns(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, clock := newQuietRigAt(t, s, noon)
		r.users(1)
		var often []models.Schedule
		for range 12 {
			often = append(often, r.every("@every 1s", noon, nil))
		}
		round := func() {
			ids, now, err := r.store.DueSchedules(t.Context(), 5)
			if err != nil || len(ids) != 5 {
				t.Fatal(ids, err)
			}
			for _, id := range ids {
				sch, err := r.store.Schedule(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				f, err := slots.Due(sch, now)
				if err != nil {
					t.Fatal(err)
				}
				if _, fired, err := r.store.Fire(t.Context(), sch, f, []string{"admin"}); err != nil || !fired {
					t.Fatal(fired, err)
				}
			}
		}
		at := noon
		seconds := func(n int) {
			for range n { // five of twelve each second: they fall ever further behind
				at = at.Add(time.Second)
				clock.Set(at)
				round()
			}
		}
		seconds(12)
		seldom := r.every("@every 1s", at, nil)
		seconds(1)
		r.historyIs(seldom, at.Format("15:04:05")+" fired 1\n")
		seconds(12)
		for i, sch := range often {
			if turns := strings.Count(r.history(sch), "\n"); turns < 9 || turns > 11 {
				t.Errorf("schedule %d had %d of 125 turns", i, turns)
			}
		}
	})
}
