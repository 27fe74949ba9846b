package models_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/models"
)

var syncNoon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// syncKit drives the passes of a sync by hand.
type syncKit struct {
	t     *testing.T
	store *models.Store
	clock *testkit.Clock
}

func eachSync(t *testing.T, f func(k syncKit)) {
	t.Helper()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store, clock := testkit.OpenStoreAt(t, s.DatabaseURL, syncNoon)
		f(syncKit{t, store, clock})
	})
}

func (k syncKit) ok(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

// take begins or goes on with a pass.
func (k syncKit) take() *models.Sync {
	k.t.Helper()
	k.ok(k.store.AskSync(k.t.Context(), false))
	y, err := k.store.TakeSync(k.t.Context(), 0)
	k.ok(err)
	if y == nil {
		k.t.Fatal("the pass is not to be had")
	}
	return y
}

// pass is a whole pass that sees the given users, of whom nobody who was not seen exists any more.
func (k syncKit) pass(users ...models.UserChange) *models.Sync {
	k.t.Helper()
	y := k.take()
	k.ok(k.store.SyncPage(k.t.Context(), y, users, int64(len(users))))
	k.finish(y)
	return y
}

func (k syncKit) finish(y *models.Sync) {
	k.t.Helper()
	ctx := k.t.Context()
	k.ok(k.store.EndReading(ctx, y))
	gone, err := k.store.Unseen(ctx, y, "", 100)
	k.ok(err)
	k.ok(k.store.RemoveUnseen(ctx, y, gone, nil))
	k.ok(k.store.CompleteSync(ctx, y))
}

func listed(names ...string) (list []models.UserChange) {
	for _, name := range names {
		list = append(list, models.UserChange{UserID: name, Nickname: &name})
	}
	return list
}

// directory is who stands in it; live must say the same.
func (k syncKit) directory() (names []string) {
	k.t.Helper()
	users, err := k.store.Users(k.t.Context(), "", "", 1000)
	k.ok(err)
	for _, u := range users {
		names = append(names, u.UserID)
	}
	dir, err := k.store.Directory(k.t.Context())
	k.ok(err)
	if int(dir.Live) != len(names) {
		k.t.Errorf("live is %d, and %d users stand there", dir.Live, len(names))
	}
	return names
}

func (k syncKit) stand(names ...string) {
	k.t.Helper()
	if got := k.directory(); !slices.Equal(got, names) {
		k.t.Errorf("the directory holds %v, not %v", got, names)
	}
}

// Pages move while they are read, so a user whom one pass did not see may live. Users whom no sync has seen stay.
func TestUsersVanishAfterTwoPasses(t *testing.T) {
	t.Parallel()
	eachSync(t, func(k syncKit) {
		_, err := k.store.UpsertUsers(k.t.Context(), listed("by-hand"))
		k.ok(err)
		k.pass(listed("a", "b", "c")...)
		k.pass(listed("a", "c")...) // a pass that missed b
		k.stand("a", "b", "by-hand", "c")
		k.pass(listed("b", "c")...) // and one that missed a
		k.stand("a", "b", "by-hand", "c")
		y := k.take() // a pass that is not complete does not count
		k.ok(k.store.SyncPage(k.t.Context(), y, nil, 0))
		k.ok(k.store.FailSync(k.t.Context(), y, "the provider lists no user", true))
		k.stand("a", "b", "by-hand", "c")
		if y = k.pass(listed("b", "c")...); y.Vanished != 1 {
			k.t.Errorf("%+v", y.SyncCounts)
		}
		k.stand("b", "by-hand", "c")
	})
}

// What the provider does not know stays, and a pass over users who have not changed leaves the directory's revision alone.
func TestSyncWritesWhatChanged(t *testing.T) {
	t.Parallel()
	eachSync(t, func(k syncKit) {
		ctx := k.t.Context()
		k.pass(listed("a", "b", "c")...)
		_, err := k.store.UpsertUsers(ctx, []models.UserChange{{UserID: "b", Timezone: new("Europe/Berlin")}})
		k.ok(err)
		before, err := k.store.Directory(ctx)
		k.ok(err)
		if y := k.pass(append(listed("a", "b", "c"), listed("c")...)...); y.SyncCounts != (models.SyncCounts{Unchanged: 3, Repeated: 1}) {
			k.t.Errorf("%+v", y.SyncCounts)
		}
		after, err := k.store.Directory(ctx)
		k.ok(err)
		if after != before {
			k.t.Errorf("nothing changed, and the directory is at %+v after %+v", after, before)
		}
		y := k.pass(models.UserChange{UserID: "a", Refuses: new(true)}, models.UserChange{UserID: "b", Nickname: new("Bob")}, models.UserChange{UserID: "d"})
		if y.SyncCounts != (models.SyncCounts{Created: 1, Changed: 2}) {
			k.t.Errorf("%+v", y.SyncCounts)
		}
		b, err := k.store.User(ctx, "b")
		k.ok(err)
		if b.Nickname != "Bob" || b.Timezone != "Europe/Berlin" || b.Refuses {
			k.t.Errorf("%+v", b)
		}
		known, err := k.store.KnownUsers(ctx, []string{"a", "b", "d"})
		k.ok(err)
		if !known["a"].Refuses || known["b"].Refuses || known["d"].AddedRev <= known["a"].AddedRev {
			k.t.Errorf("%+v", known)
		}
		k.ok(k.store.DeleteUser(ctx, "a"))
		k.stand("b", "c", "d")
	})
}

// A user with an ID that Carillon does not take is counted. A text that it does not take costs nobody their place.
func TestSyncOfUsersThatDoNotFit(t *testing.T) {
	t.Parallel()
	eachSync(t, func(k syncKit) {
		users := listed("ok", strings.Repeat("x", 65), "line\nbreak", "", "tail")
		users[4].Nickname, users[4].Ex = new("bell\a"), new(strings.Repeat("e", 9000))
		if y := k.pass(users...); y.SyncCounts != (models.SyncCounts{Created: 2, Refused: 3, Shortened: 1}) {
			k.t.Errorf("%+v", y.SyncCounts)
		}
		k.stand("ok", "tail")
	})
}

// Whoever comes next goes on where the row says, and whoever stood still in between can write nothing any more.
func TestSyncGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	eachSync(t, func(k syncKit) {
		ctx := k.t.Context()
		frozen := k.take()
		k.ok(k.store.SyncPage(ctx, frozen, listed("a", "b"), 4))
		if y, err := k.store.TakeSync(ctx, 0); err != nil || y != nil {
			k.t.Fatalf("two have the pass: %+v, %v", y, err)
		}
		k.clock.Tick(time.Duration(models.SyncLease) * time.Millisecond)
		y, err := k.store.TakeSync(ctx, 0)
		k.ok(err)
		if y == nil || y.Pass != frozen.Pass || y.Page != 2 || y.Created != 2 || y.Phase != models.SyncReading {
			k.t.Fatalf("%+v", y)
		}
		for name, f := range map[string]func() error{
			"page":     func() error { return k.store.SyncPage(ctx, frozen, listed("x"), 5) },
			"keep":     func() error { return k.store.KeepSync(ctx, frozen) },
			"again":    func() error { return k.store.ReadAgain(ctx, frozen) },
			"end":      func() error { return k.store.EndReading(ctx, frozen) },
			"remove":   func() error { return k.store.RemoveUnseen(ctx, frozen, []string{"a"}, nil) },
			"fail":     func() error { return k.store.FailSync(ctx, frozen, "", true) },
			"complete": func() error { return k.store.CompleteSync(ctx, frozen) },
		} {
			if err := f(); !errors.Is(err, models.ErrFenced) {
				k.t.Errorf("%s: %v", name, err)
			}
		}
		k.ok(k.store.LeaveSync(ctx, frozen))
		if now, err := k.store.Sync(ctx); err != nil || !now.Works() {
			k.t.Errorf("the one that stood still ended another one's lease: %+v, %v", now, err)
		}
		k.ok(k.store.SyncPage(ctx, y, listed("c", "d"), 4))
		k.finish(y)
		k.stand("a", "b", "c", "d")
	})
}

// A failed sync waits, each time longer, unless an operator asks for it. One event stands for a row of failures.
func TestFailedSyncWaits(t *testing.T) {
	t.Parallel()
	eachSync(t, func(k syncKit) {
		ctx := k.t.Context()
		wait := time.Duration(0)
		for i := range 3 {
			y := k.take() // which asks
			k.ok(k.store.FailSync(ctx, y, "wrong secret", false))
			row, err := k.store.Sync(ctx)
			k.ok(err)
			next := row.WaitUntil.Time().Sub(row.Now.Time())
			if next <= wait || row.Error != "wrong secret" || row.Failures != i+1 || row.Page != 1 {
				k.t.Errorf("after %s: %+v", wait, row)
			}
			wait = next
		}
		if y, err := k.store.TakeSync(ctx, 1); err != nil || y != nil {
			k.t.Fatalf("it does not wait: %+v, %v", y, err)
		}
		k.clock.Tick(wait)
		y, err := k.store.TakeSync(ctx, 0)
		k.ok(err)
		k.ok(k.store.SyncPage(ctx, y, listed("a"), 1))
		k.finish(y)
		row, err := k.store.Sync(ctx)
		k.ok(err)
		if row.Error != "" || row.Failures != 0 || row.Asked || row.LastPass != y.Pass {
			k.t.Errorf("%+v", row)
		}
		var kinds []models.EventKind
		events, err := k.store.Events(ctx, models.EventFilter{Limit: 10})
		k.ok(err)
		for _, e := range events {
			if e.Kind != models.EventDirectorySyncAsked {
				kinds = append(kinds, e.Kind)
			}
		}
		if fmt.Sprint(kinds) != "[directory.synced directory.syncFailed]" || fmt.Sprint(events[0].Data["created"]) != "1" {
			k.t.Errorf("%v, %v", kinds, events[0].Data)
		}
	})
}

// A pass begins when the directory is as old as its period, or when somebody asks.
func TestSyncPeriod(t *testing.T) {
	t.Parallel()
	eachSync(t, func(k syncKit) {
		ctx := k.t.Context()
		const hour = models.Millis(3_600_000)
		due := func(period models.Millis) bool {
			y, err := k.store.TakeSync(ctx, period)
			k.ok(err)
			if y != nil {
				k.ok(k.store.SyncPage(ctx, y, listed("a"), 1))
				k.finish(y)
			}
			return y != nil
		}
		for i, step := range []struct {
			after  time.Duration
			period models.Millis
			want   bool
		}{{0, 0, false}, {0, hour, true}, {time.Hour - time.Second, hour, false}, {time.Second, 0, false}, {0, hour, true}, {0, hour, false}} {
			k.clock.Tick(step.after)
			if got := due(step.period); got != step.want {
				k.t.Errorf("step %d: %v", i, got)
			}
		}
	})
}
