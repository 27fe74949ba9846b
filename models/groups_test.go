package models_test

import (
	"fmt"
	"slices"
	"testing"

	"carillon/internal/testkit"
	"carillon/models"
)

// TestLongListHoldsUpNobody: while a group gets a long list of members, other writes go on, and readers see the former
// list until the new one is whole.
func TestLongListHoldsUpNobody(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		if _, err := store.PutGroup(t.Context(), "g", new("before"), []string{"a", "b"}); err != nil {
			t.Fatal(err)
		}
		long := make([]string, 30_000)
		for i := range long {
			long[i] = fmt.Sprintf("user-%07d", i)
		}
		put := make(chan error)
		go func() {
			_, err := store.PutGroup(t.Context(), "g", new("after"), long)
			put <- err
		}()
		writes := 0
		for {
			select {
			case err := <-put:
				if err != nil {
					t.Fatal(err)
				}
			default:
				if _, err := store.UpsertUsers(t.Context(), []models.UserChange{{UserID: "u"}}); err != nil {
					t.Fatal(err)
				}
				g, err := store.Group(t.Context(), "g")
				if err != nil || g.Name == "before" && g.Size != 2 || g.Name == "after" && g.Size != len(long) {
					t.Fatalf("%+v, %v", g, err)
				}
				writes++
				continue
			}
			break
		}
		if writes < 5 {
			t.Errorf("%d other writes while the list was written", writes)
		}
		got, err := store.GroupMembers(t.Context(), "g", "", len(long)+1)
		if err != nil || !slices.Equal(got, long) {
			t.Errorf("%d members, %v", len(got), err)
		}
	})
}

// TestOldMembersArePurged: what groups have left behind goes, to the last row. What is being written stays while its writer
// lives, and so does what a plan under way needs.
func TestOldMembersArePurged(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		db, _, err := store.Writer()
		if err != nil {
			t.Fatal(err)
		}
		exec := func(query string, args ...any) {
			t.Helper()
			if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
				t.Fatal(err)
			}
		}
		put := func(id string, n int) int64 {
			t.Helper()
			var ids []string
			for i := range n {
				ids = append(ids, fmt.Sprintf("user-%07d", i))
			}
			g, err := store.PutGroup(t.Context(), id, nil, ids)
			if err != nil {
				t.Fatal(err)
			}
			return g.Version
		}
		put("g", 2500)
		now := put("g", 10)
		put("gone", 100)
		if err := store.DeleteGroup(t.Context(), "gone"); err != nil {
			t.Fatal(err)
		}
		frozen := put("planned", 50)
		sp := spec(models.Audience{Type: models.AudienceGroup, GroupID: "planned"})
		sp.Message.SessionType = models.SessionGroup
		create(t, store, sp)
		after := put("planned", 5)
		const live, dead = 1_000_001, 1_000_002 // writers, of whom one stands still
		for _, version := range []int{live, dead} {
			exec("INSERT INTO group_members (group_id, version, user_id) VALUES ('g', ?, 'u')", version)
			exec("INSERT INTO group_writes (version, due_at) VALUES (?, ?)", version, map[int]int64{live: 1 << 50, dead: 1}[version])
		}
		old, err := store.OldMembers(t.Context())
		if err != nil || len(old) != 3 {
			t.Fatalf("%+v, %v", old, err)
		}
		for _, l := range old {
			for last := ""; ; {
				if last, _, err = store.PurgeMembers(t.Context(), l, last, 999); err != nil {
					t.Fatal(err)
				}
				if last == "" {
					break
				}
			}
		}
		rows, err := db.QueryContext(t.Context(), "SELECT version, COUNT(*) FROM group_members GROUP BY version")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		left := map[int64]int{}
		for rows.Next() {
			var version int64
			var n int
			if err := rows.Scan(&version, &n); err != nil {
				t.Fatal(err)
			}
			left[version] = n
		}
		if want := map[int64]int{now: 10, frozen: 50, after: 5, live: 1}; rows.Err() != nil || fmt.Sprint(left) != fmt.Sprint(want) {
			t.Errorf("left by version: %v, not %v", left, want)
		}
	})
}
