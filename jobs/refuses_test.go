package jobs_test

import (
	"context"
	"testing"

	"carillon/channels"
	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/models"
)

// synced is a channel whose provider says who refuses messages. It takes every recipient, and notes who they were.
type synced struct {
	*sendLog
	honours bool
}

func (c *synced) Traits() channels.Traits {
	return channels.Traits{Name: "webhook", MaxBatch: 1, SyncsUsers: c.honours}
}

// Users who refuse messages are passed over without a request, in lists as in broadcasts, where the channel honours that.
func TestRefusingUsersArePassedOver(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		for _, honours := range []bool{true, false} {
			c := &synced{sendLog: &sendLog{seen: map[string]int{}}, honours: honours}
			r := newRig(t, s, jobs.Options{Channels: []channels.Channel{c}})
			r.users(10)
			refusing(t, r.store, "user-0000003", "user-0000007")
			for name, a := range map[string]models.Audience{
				"all":  {Type: models.AudienceAll},
				"list": {Type: models.AudienceUsers, UserIDs: []string{"user-0000003", "user-0000004", "unknown here"}},
			} {
				sp := spec(a)
				sp.Channel = "webhook"
				id := r.post(sp)
				got := r.finished(id)
				for userID, rec := range r.statuses(got) {
					skipped := honours && (userID == "user-0000003" || userID == "user-0000007")
					switch {
					case skipped != (rec.Status == models.RecipientSkipped), !skipped && rec.Status != models.RecipientSent:
						t.Errorf("%s, honours %v: %s is %v", name, honours, userID, rec.Status)
					case skipped && (rec.ErrMsg == nil || *rec.ErrMsg != "refuses messages" || rec.Attempts != 0):
						t.Errorf("%s: %+v", name, rec)
					}
				}
			}
			r.stop()
		}
	})
}

// refusing makes users refuse messages, as a sync finds it.
func refusing(t *testing.T, store *models.Store, ids ...string) {
	t.Helper()
	list := &refusals{ids: ids}
	if err := store.AskSync(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if err := (syncRig{t: t, store: store}).syncer(list, 10).Work(t.Context()); err != nil {
		t.Fatal(err)
	}
}

type refusals struct{ ids []string }

func (l *refusals) Users(context.Context, int, int) (int, []models.UserChange, error) {
	var users []models.UserChange
	for _, id := range l.ids {
		users = append(users, models.UserChange{UserID: id, Refuses: new(true)})
	}
	return len(users), users, nil
}

func (*refusals) Exist(context.Context, []string) (map[string]bool, error) { return nil, nil }
