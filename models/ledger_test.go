package models_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"carillon/internal/testkit"
	"carillon/models"
)

func spec(a models.Audience) models.CampaignSpec {
	return models.CampaignSpec{
		Channel: "inbox", Audience: a, Priority: models.PriorityBulk, OperationID: "op", CreatedBy: "admin",
		Message: models.Message{SendID: "admin", Content: json.RawMessage(`{"content":"hi"}`), ContentType: 101, SessionType: 1},
	}
}

func users(tb testing.TB, s *models.Store, n int) {
	tb.Helper()
	var list []models.UserChange
	for i := range n {
		list = append(list, models.UserChange{UserID: fmt.Sprintf("user-%07d", i)})
	}
	for chunk := range slices.Chunk(list, 1000) {
		if _, err := s.UpsertUsers(tb.Context(), chunk); err != nil {
			tb.Fatal(err)
		}
	}
}

func TestFiftyParallelPostsWithOneKey(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		users(t, store, 10)
		idem := models.Idempotency{Caller: "admin", Route: "/msg", Key: "k", BodyHash: sha256.Sum256([]byte("body"))}
		answers := make([]models.Created, 50)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() {
				var err error
				answers[i], err = store.CreateCampaign(t.Context(), spec(models.Audience{Type: models.AudienceAll}), []string{"admin"}, idem,
					func(c models.Campaign) []byte { return []byte("campaign " + c.PublicID) })
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		first := 0
		for _, a := range answers {
			if !a.Replayed {
				first++
			}
			if string(a.Answer) != string(answers[0].Answer) || a.PublicID != answers[0].PublicID {
				t.Errorf("%q, not %q", a.Answer, answers[0].Answer)
			}
		}
		list, err := store.Campaigns(t.Context(), models.CampaignFilter{Limit: 100})
		if err != nil || len(list) != 1 || first != 1 {
			t.Fatalf("%d campaigns, %d first answers, %v", len(list), first, err)
		}
		idem.BodyHash = sha256.Sum256([]byte("another"))
		_, err = store.CreateCampaign(t.Context(), spec(models.Audience{Type: models.AudienceAll}), []string{"admin"}, idem, func(models.Campaign) []byte { return []byte("{}") })
		if models.AsError(err).Code != models.CodeIdempotencyMismatch {
			t.Fatalf("another body: %v", err)
		}
		// the same key of another caller is another key
		idem.Caller = "other"
		if c, err := store.CreateCampaign(t.Context(), spec(models.Audience{Type: models.AudienceAll}), []string{"admin"}, idem, func(models.Campaign) []byte { return []byte("{}") }); err != nil || c.Replayed {
			t.Fatalf("%+v, %v", c, err)
		}
	})
}

func TestDirectoryMark(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := range 10 {
					id := fmt.Sprintf("%d-%d", w, i)
					if _, err := store.UpsertUsers(t.Context(), []models.UserChange{{UserID: id}, {UserID: "shared"}, {UserID: "shared"}}); err != nil {
						t.Error(err)
					}
					if i%2 == 0 {
						if err := store.DeleteUser(t.Context(), id); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		wg.Wait()
		d, err := store.Directory(t.Context())
		if err != nil || d.Live != 41 || d.Rev != 120 {
			t.Fatalf("%+v, %v", d, err)
		}
		if err := store.DeleteUser(t.Context(), "0-0"); models.AsError(err).Code != models.CodeRecordNotFound {
			t.Fatalf("deleted twice: %v", err)
		}
	})
}

func TestUnknownNames(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		create := func(sp models.CampaignSpec) error {
			_, err := store.CreateCampaign(t.Context(), sp, []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return nil })
			return err
		}
		err := create(spec(models.Audience{Type: models.AudienceAll}))
		if e := models.AsError(err); e.Code != models.CodeRecordNotFound || !strings.Contains(e.Detail, "carillon users import") {
			t.Errorf("an empty directory: %v", err)
		}
		sp := spec(models.Audience{Type: models.AudienceUsers, UserIDs: []string{"a"}})
		sp.Message.SendID = "nobody"
		if err := create(sp); err == nil || err.Error() != "sendID is neither a user of the directory nor an admin: [1004]RecordNotFoundError" {
			t.Errorf("an unknown sender: %v", err)
		}
		if err := create(spec(models.Audience{Type: models.AudienceGroup, GroupID: "none"})); models.AsError(err).Code != models.CodeRecordNotFound {
			t.Errorf("an unknown group: %v", err)
		}
		if list, err := store.Campaigns(t.Context(), models.CampaignFilter{Limit: 10}); err != nil || len(list) != 0 {
			t.Errorf("a refused campaign was stored: %d, %v", len(list), err)
		}
	})
}

func TestTransitions(t *testing.T) {
	t.Parallel()
	legal := map[string]bool{}
	for _, line := range []string{
		"scheduled running", "scheduled paused", "scheduled cancelled", "scheduled expired",
		"running paused", "running completed", "running cancelled", "running expired", "running failed",
		"paused scheduled", "paused running", "paused cancelled", "paused expired",
		"completed running", "failed running", "expired running",
	} {
		legal[line] = true
	}
	for _, from := range models.Statuses {
		for _, to := range models.Statuses {
			err := models.Transition(from, to)
			if legal[string(from+" "+to)] != (err == nil) {
				t.Errorf("%s → %s: %v", from, to, err)
			}
			if err != nil && models.AsError(err).Code != models.CodeIllegalTransition {
				t.Errorf("%s → %s has no stable code: %v", from, to, err)
			}
		}
	}
}

// A sent recipient takes at most 100 bytes of disk, indexes included, and pages take little beside.
func TestBytesPerRecipient(t *testing.T) {
	t.Parallel()
	url := testkit.MySQLURL(t)
	store := testkit.OpenStore(t, url)
	const n = 100_000
	users(t, store, n)
	created, err := store.CreateCampaign(t.Context(), spec(models.Audience{Type: models.AudienceAll}), []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return nil })
	if err != nil {
		t.Fatal(err)
	}
	sendAll(t, store, created)
	db, _, err := store.Writer()
	if err != nil {
		t.Fatal(err)
	}
	// Data pages, by the server's own statistics: a file beside that holds up to 4 MB which InnoDB takes ahead.
	var bytes, file int64
	for _, table := range []string{"recipients", "pages", "page_members", "inbox_small"} {
		if _, err := db.ExecContext(t.Context(), "ANALYZE TABLE "+table); err != nil {
			t.Fatal(err)
		}
		var data, size int64
		err := db.QueryRowContext(t.Context(), "SELECT DATA_LENGTH+INDEX_LENGTH FROM information_schema.TABLES WHERE TABLE_SCHEMA=DATABASE() AND TABLE_NAME=?", table).Scan(&data)
		if err == nil {
			err = db.QueryRowContext(t.Context(), "SELECT FILE_SIZE FROM information_schema.INNODB_SYS_TABLESPACES WHERE NAME = CONCAT(DATABASE(), '/', ?)", table).Scan(&size)
		}
		if err != nil {
			t.Fatal(err)
		}
		bytes, file = bytes+data, file+size
	}
	t.Logf("%.1f bytes per sent recipient in data pages, %.1f in files", float64(bytes)/n, float64(file)/n)
	if bytes > 100*n {
		t.Errorf("%.1f bytes per sent recipient", float64(bytes)/n)
	}
}

// sendAll plans a campaign and sends every page of it, four pages at once as workers do.
func sendAll(tb testing.TB, store *models.Store, created models.Created) {
	tb.Helper()
	tasks := make(chan models.PageTask, 4)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for task := range tasks {
				if err := sendPage(tb, store, task); err != nil {
					tb.Error(err)
				}
			}
		})
	}
	for _, t := range created.Tasks {
		tasks <- t
	}
	id := int64(0)
	for created.Plan != nil {
		id = created.Plan.Campaign
		step, err := store.PlanNext(tb.Context(), *created.Plan, nil)
		if err != nil {
			tb.Fatal(err)
		}
		for _, t := range step.Tasks {
			tasks <- t
		}
		if step.Done {
			break
		}
	}
	for {
		more, err := store.QueuePages(tb.Context(), models.Campaign{ID: id, Priority: models.PriorityBulk}, 8)
		if err != nil {
			tb.Fatal(err)
		}
		for _, t := range more {
			tasks <- t
		}
		if len(more) == 0 {
			break
		}
	}
	close(tasks)
	wg.Wait()
	if id != 0 {
		if done, err := store.FinishCampaign(tb.Context(), id); err != nil || !done {
			tb.Fatalf("not finished: %v", err)
		}
	}
}

func sendPage(tb testing.TB, store *models.Store, task models.PageTask) error {
	v, err := store.ClaimPage(tb.Context(), task)
	if err != nil || v == nil {
		return fmt.Errorf("claim %+v: %v, %w", task, v, err)
	}
	for ids := range slices.Chunk(v.Members, 250) {
		c := models.Chunk{State: models.PageRunning}
		for _, id := range ids {
			c.Outcomes = append(c.Outcomes, models.RecipientOutcome{UserID: id, Status: models.RecipientSent, Attempts: 1})
		}
		if err := store.WriteChunk(tb.Context(), v.Close(c)); err != nil {
			return err
		}
	}
	return nil
}

// Workers obey expireAt to the instant: when they have closed all pages before the reconciler came by, the campaign
// has expired and not completed.
func TestWorkersThatCloseFirst(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		users(t, store, 3)
		now, err := store.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sp := spec(models.Audience{Type: models.AudienceUsers, UserIDs: []string{"user-0000000", "user-0000001"}})
		sp.ExpireAt = now - 1
		created, err := store.CreateCampaign(t.Context(), sp, []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return []byte("{}") })
		if err != nil {
			t.Fatal(err)
		}
		v, err := store.ClaimPage(t.Context(), created.Tasks[0])
		if err != nil || v == nil {
			t.Fatal(err)
		}
		states, err := store.Controls(t.Context(), []int64{v.CampaignID})
		if err != nil || states[v.CampaignID].Status != models.StatusExpired {
			t.Fatalf("%+v, %v", states, err)
		}
		if err := store.CloseVisit(t.Context(), v, models.StatusExpired); err != nil {
			t.Fatal(err)
		}
		if done, err := store.FinishCampaign(t.Context(), v.CampaignID); err != nil || !done {
			t.Fatalf("%t, %v", done, err)
		}
		c, err := store.Campaign(t.Context(), created.PublicID)
		if err != nil || c.Status != models.StatusExpired || c.Expired != 2 || c.FinishedAt == 0 || c.StatusReason == "" {
			t.Fatalf("%s %q %+v, %v", c.Status, c.StatusReason, c.Counts, err)
		}
	})
}
