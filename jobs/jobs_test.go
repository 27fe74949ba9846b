package jobs_test

import (
	"fmt"
	"testing"

	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/models"
)

func TestAllUsersGetIt(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r := newRig(t, s, jobs.Options{})
		r.users(2500)
		c := r.finished(r.post(spec(models.Audience{Type: models.AudienceAll})))
		if c.Sent != 2500 || c.Counts.Total != 2500 {
			t.Fatalf("counts %+v", c.Counts)
		}
	})
}

func TestAllUsersUpToTheMark(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		const n = 16_000 // the planner's first pages, and two of its batches
		r := newRig(t, s, jobs.Options{})
		r.users(n)
		sp := spec(models.Audience{Type: models.AudienceAll})
		sp.Message.SendID = "user-0000005"
		id := r.post(sp)
		// While it runs, users come (before, among and after the frozen ones) and go (at the far end, so that
		// the campaign has not been there).
		var added []models.UserChange
		for i := range 300 {
			added = append(added, models.UserChange{UserID: fmt.Sprintf("a-%d", i)}, models.UserChange{UserID: fmt.Sprintf("user-%07d+", i)}, models.UserChange{UserID: fmt.Sprintf("z-%d", i)})
		}
		if _, err := r.store.UpsertUsers(t.Context(), added); err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			if err := r.store.DeleteUser(t.Context(), fmt.Sprintf("user-%07d", n-1-i)); err != nil {
				t.Fatal(err)
			}
		}
		c := r.finished(id)
		all := r.statuses(c)
		if int64(len(all)) != c.Counts.Total {
			t.Errorf("%d recipients stand in a campaign of %d", len(all), c.Counts.Total)
		}
		for i := range n {
			userID := fmt.Sprintf("user-%07d", i)
			rec, there := all[userID]
			gone := i >= n-20
			switch {
			case i == 5:
				if there {
					t.Error("the sender got their own message")
				}
			case !gone && (!there || rec.Status != models.RecipientSent):
				t.Fatalf("%s: %+v", userID, rec)
			case gone && there && rec.Status != models.RecipientSkipped && rec.Status != models.RecipientSent:
				t.Errorf("%s was deleted while it ran: %+v", userID, rec)
			}
			delete(all, userID)
		}
		if len(all) != 0 {
			t.Errorf("%d recipients were added after the mark", len(all))
		}
	})
}

func TestListedRecipients(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r := newRig(t, s, jobs.Options{})
		r.users(2900)
		var ids []string
		for i := range 2900 {
			ids = append(ids, fmt.Sprintf("user-%07d", i))
		}
		for i := range 100 {
			ids = append(ids, fmt.Sprintf("nobody-%d", i))
		}
		ids = append(ids, ids[:1500]...)
		c := r.finished(r.post(spec(models.Audience{Type: models.AudienceUsers, UserIDs: ids})))
		if c.Counts != (models.Counts{Total: 3000, Sent: 2900, Failed: 100}) {
			t.Fatalf("counts %+v", c.Counts)
		}
		status := models.RecipientFailed
		failed, _, err := r.store.Recipients(t.Context(), c.Campaign, models.RecipientFilter{Status: &status, Limit: 1000})
		if err != nil || len(failed) != 100 {
			t.Fatalf("%d failed, %v", len(failed), err)
		}
		for _, rec := range failed {
			if *rec.ErrCode != models.CodeRecordNotFound {
				t.Fatalf("%+v", rec)
			}
		}
	})
}

func TestIDsCompareByteForByte(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r := newRig(t, s, jobs.Options{})
		four := []string{"Bob", "bob", "bób", "bob "}
		for _, id := range four {
			if n, err := r.store.UpsertUsers(t.Context(), []models.UserChange{{UserID: id}}); err != nil || n.Created != 1 {
				t.Fatalf("%q: %+v, %v", id, n, err)
			}
		}
		c := r.finished(r.post(spec(models.Audience{Type: models.AudienceUsers, UserIDs: append(four, four...)})))
		if c.Sent != 4 || c.Counts.Total != 4 || len(r.statuses(c)) != 4 {
			t.Fatalf("counts %+v", c.Counts)
		}
		for _, id := range four {
			msgs, err := r.store.Inbox(t.Context(), id, models.InboxCursor{}, 10)
			if err != nil || len(msgs) != 1 {
				t.Errorf("%q has %d messages, %v", id, len(msgs), err)
			}
		}
	})
}

func TestGroups(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r := newRig(t, s, jobs.Options{})
		r.users(1200)
		var members []string
		for i := range 1100 {
			members = append(members, fmt.Sprintf("user-%07d", i))
		}
		if _, err := r.store.PutGroup(t.Context(), "user-0000001", new("a group with a user's ID"), members); err != nil {
			t.Fatal(err)
		}
		sp := spec(models.Audience{Type: models.AudienceGroup, GroupID: "user-0000001"})
		sp.Message.SessionType = models.SessionLargeGroup
		once := r.finished(r.post(sp))
		if once.Counts != (models.Counts{Total: 1, Sent: 1}) {
			t.Fatalf("sessionType 3: %+v", once.Counts)
		}
		sp.Message.SessionType = models.SessionGroup
		each := r.post(sp)
		// a member added after the POST is not in it
		if _, err := r.store.PutGroup(t.Context(), "user-0000001", nil, append(members, "user-0001150")); err != nil {
			t.Fatal(err)
		}
		if c := r.finished(each); c.Counts != (models.Counts{Total: 1100, Sent: 1100}) {
			t.Fatalf("sessionType 2: %+v", c.Counts)
		}
		for id, want := range map[string]int{"user-0000003": 2, "user-0001150": 1, "user-0001199": 0} {
			msgs, err := r.store.Inbox(t.Context(), id, models.InboxCursor{}, 10)
			if err != nil || len(msgs) != want {
				t.Errorf("%s reads %d messages, want %d (%v)", id, len(msgs), want, err)
			}
		}
	})
}
