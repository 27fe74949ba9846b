package models_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/models"
)

// What one pause of everything has paused is resumed as one, by whichever process, and nothing else is.
func TestResumeAllResumesWhatTheLastPauseAllPaused(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store, other := testkit.OpenStore(t, s.DatabaseURL), testkit.OpenStore(t, s.DatabaseURL)
		users(t, store, 3)
		names := map[string]string{}
		post := func(name string, sendAt models.Millis) string {
			t.Helper()
			sp := spec(models.Audience{Type: models.AudienceAll})
			sp.Name, sp.SendAt = name, sendAt
			c, err := store.CreateCampaign(t.Context(), sp, []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return nil })
			if err != nil {
				t.Fatal(err)
			}
			names[c.PublicID] = name
			return c.PublicID
		}
		// check fails unless list are these, in their order
		check := func(what string, list []models.Named, err error, want ...string) {
			t.Helper()
			var got []string
			for _, one := range list {
				got = append(got, one.Name)
				if names[one.PublicID] != one.Name {
					t.Errorf("%s: %+v", what, one)
				}
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %q %v, want %q", what, got, err, want)
			}
		}
		state := func(id string, want models.Status) models.CampaignView {
			t.Helper()
			c, err := store.Campaign(t.Context(), id)
			if err != nil || c.Status != want {
				t.Errorf("%s is %s, want %s: %v", names[id], c.Status, want, err)
			}
			return c
		}
		control := func(change func(string) (models.CampaignView, error), id string) {
			t.Helper()
			if _, err := change(id); err != nil {
				t.Fatal(err)
			}
		}
		pause := func(id string) (models.CampaignView, error) { return store.PauseCampaign(t.Context(), id, "by bob") }
		resume := func(id string) (models.CampaignView, error) { return store.ResumeCampaign(t.Context(), id) }

		list, err := store.ResumeAll(t.Context())
		check("before any pause", list, err)
		now, err := store.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		later := now + models.Millis(time.Hour/time.Millisecond)
		running, scheduled, guarded, single := post("running", 0), post("scheduled", later), post("guarded", 0), post("single", 0)
		again, cancelled := post("again", 0), post("cancelled", 0)
		c := state(guarded, models.StatusRunning)
		kinds := models.FailureKinds{{ErrCode: 80000}}
		if paused, _, err := store.Guard(t.Context(), c.ID, models.Trip{Kinds: kinds, Reason: "too many fail"}); !paused || err != nil {
			t.Fatal(paused, err)
		}
		control(pause, single)

		list, err = store.PauseAll(t.Context(), "all")
		check("pause all", list, err, "running", "scheduled", "again", "cancelled")
		list, err = store.PauseAll(t.Context(), "all")
		check("pause all again", list, err) // and the first one stays the last
		control(resume, again)
		control(pause, again) // by a person, after they had let it go on
		control(func(id string) (models.CampaignView, error) { return store.CancelCampaign(t.Context(), id, "x") }, cancelled)
		control(pause, scheduled) // paused already; from now on for itself
		if c := state(scheduled, models.StatusPaused); c.StatusReason != "by bob" {
			t.Errorf("its reason is %q", c.StatusReason)
		}

		list, err = other.ResumeAll(t.Context())
		check("resume all", list, err, "running")
		state(running, models.StatusRunning)
		for _, id := range []string{scheduled, guarded, single, again} {
			state(id, models.StatusPaused)
		}
		state(cancelled, models.StatusCancelled)
		list, err = other.ResumeAll(t.Context())
		check("resume all again", list, err)

		// One that waits for its time waits again, and a later pause leaves what an earlier one paused alone.
		control(resume, scheduled)
		list, err = store.PauseAll(t.Context(), "all")
		check("the second", list, err, "running", "scheduled")
		control(resume, running)
		list, err = store.PauseAll(t.Context(), "all")
		check("the third", list, err, "running")
		list, err = other.ResumeAll(t.Context())
		check("of the third", list, err, "running")
		list, err = other.ResumeAll(t.Context())
		check("not of the second", list, err)
		control(resume, scheduled)
		if c := state(scheduled, models.StatusScheduled); c.SendAt != later {
			t.Errorf("it is sent at %d, not at %d", c.SendAt, later)
		}
		list, err = store.PauseAll(t.Context(), "all")
		check("the fourth", list, err, "running", "scheduled")
		list, err = other.ResumeAll(t.Context())
		check("of the fourth", list, err, "running", "scheduled")
		if c := state(scheduled, models.StatusScheduled); c.SendAt != later {
			t.Errorf("it is sent at %d, not at %d", c.SendAt, later)
		}
		// The guard's pause of what ended while everything was paused, and was retried, is the guard's.
		list, err = store.PauseAll(t.Context(), "all")
		check("the fifth", list, err, "running", "scheduled")
		control(resume, running)
		if paused, _, err := store.Guard(t.Context(), state(running, models.StatusRunning).ID, models.Trip{Kinds: kinds, Reason: "too many fail"}); !paused || err != nil {
			t.Fatal(paused, err)
		}
		list, err = other.ResumeAll(t.Context())
		check("beside the guard's", list, err, "scheduled")
	})
}

func TestResumeAllSchedules(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store, other := testkit.OpenStore(t, s.DatabaseURL), testkit.OpenStore(t, s.DatabaseURL)
		users(t, store, 1)
		ids := map[string]string{}
		for _, name := range []string{"one", "two", "three", "four"} {
			sch := models.Schedule{Name: name, Cron: "0 9 * * *", Timezone: "UTC", Campaign: spec(models.Audience{Type: models.AudienceAll}), Status: models.ScheduleActive, NextSlot: 1 << 42, NextFire: 1 << 42}
			made, err := store.CreateSchedule(t.Context(), sch, []string{"admin"}, models.Idempotency{}, func(models.Schedule) []byte { return nil })
			if err != nil {
				t.Fatal(err)
			}
			ids[name] = made.PublicID
		}
		resume := func(sch *models.Schedule, _ models.Millis) error { return sch.Resume() }
		nothingDue := func(models.Schedule, models.Millis) (models.Firing, error) { return models.Firing{}, nil }
		change := func(name string, f func(sch *models.Schedule) error) {
			t.Helper()
			if _, _, err := store.ChangeSchedule(t.Context(), ids[name], nil, nil, func(sch *models.Schedule, _ models.Millis) error { return f(sch) }); err != nil {
				t.Fatal(err)
			}
		}
		check := func(what string, list []models.Named, err error, want string) {
			t.Helper()
			var got []string
			for _, one := range list {
				got = append(got, one.Name)
			}
			if err != nil || strings.Join(got, " ") != want {
				t.Errorf("%s: %q %v, want %s", what, got, err, want)
			}
		}
		if _, err := store.PauseAll(t.Context(), "campaigns are another matter"); err != nil {
			t.Fatal(err)
		}
		list, err := other.ResumeAllSchedules(t.Context(), resume)
		check("before any pause", list, err, "")
		change("one", (*models.Schedule).Pause)
		list, err = store.PauseAllSchedules(t.Context(), nothingDue)
		check("pause all", list, err, "two three four")
		list, err = store.PauseAllSchedules(t.Context(), nothingDue)
		check("pause all again", list, err, "")
		change("two", (*models.Schedule).Pause) // paused already; from now on for itself
		if _, err := store.DeleteSchedule(t.Context(), ids["three"], nil); err != nil {
			t.Fatal(err)
		}
		list, err = other.ResumeAllSchedules(t.Context(), resume)
		check("resume all", list, err, "four")
		list, err = other.ResumeAllSchedules(t.Context(), resume)
		check("resume all again", list, err, "")
	})
}

// Campaigns that are held since a restore wait for an operator who names each: what was paused as one before is not resumed as one.
func TestResumeAllLeavesWhatARestoreHolds(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		users(t, store, 1)
		c, err := store.CreateCampaign(t.Context(), spec(models.Audience{Type: models.AudienceAll}), []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return nil })
		if err != nil {
			t.Fatal(err)
		}
		if list, err := store.PauseAll(t.Context(), "stop"); err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		if n, err := store.Restored(t.Context()); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		if list, err := store.ResumeAll(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("%+v was resumed, %v", list, err)
		}
		if v, err := store.Campaign(t.Context(), c.PublicID); err != nil || v.Status != models.StatusPaused || v.StatusReason != models.RestoredReason {
			t.Errorf("%s %s %v", v.Status, v.StatusReason, err)
		}
	})
}
