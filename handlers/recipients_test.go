package handlers

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"carillon/internal/testkit"
	"carillon/models"
)

// five stores a campaign for everybody, of whom one each is sent, failed, skipped, tried again and still to come.
func (s *server) five(t *testing.T) (id string) {
	t.Helper()
	var created models.Created
	s.Enqueue = func(_ context.Context, c models.Created) error { created = c; return nil }
	s.users("a-sent", "b-failed", "c-skipped", "d-again", "e-still", "imAdmin")
	status, got := s.send(okMessage.but(jsonFields{"isSendAll": "true"}).body())
	if status != 200 || got.ErrCode != 0 {
		t.Fatalf("%d %s", status, got.Raw)
	}
	for {
		step, err := s.Store.PlanNext(t.Context(), *created.Plan, nil)
		if err != nil {
			t.Fatal(err)
		}
		created.Tasks = append(created.Tasks, step.Tasks...)
		if step.Done {
			break
		}
	}
	v, err := s.Store.ClaimPage(t.Context(), created.Tasks[0])
	if err != nil || v == nil {
		t.Fatal(err)
	}
	err = s.Store.WriteChunk(t.Context(), v.Close(models.Chunk{State: models.PageWaiting, ReadyIn: 1 << 40, Outcomes: []models.RecipientOutcome{
		{UserID: "a-sent", Status: models.RecipientSent, Attempts: 1},
		{UserID: "b-failed", Status: models.RecipientFailed, Attempts: 5, ErrCode: 80000, ErrMsg: "=cmd|' /C calc'!A0"},
		{UserID: "c-skipped", Status: models.RecipientSkipped, ErrMsg: "deleted"},
		{UserID: "d-again", Status: models.RecipientPending, Attempts: 2, ErrCode: 90004, ErrMsg: "no answer", RetryIn: 1 << 40},
	}}))
	if err != nil {
		t.Fatal(err)
	}
	return created.PublicID
}

func TestRecipientSaysWhy(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		id := s.five(t)
		s.users("z-late")
		for user, want := range map[string]string{
			"a-sent":    "accepted it at attempt 1",
			"b-failed":  "failed for good after 5 attempts",
			"c-skipped": "rightly not sent: deleted",
			"d-again":   "after 2 attempts: no answer",
			"e-still":   "still to come",
		} {
			status, got := s.do(http.MethodGet, "/v1/campaigns/"+id+"/recipients/"+user, nil)
			var v RecipientView
			got.into(t, &v)
			if status != 200 || !strings.Contains(v.Why, want) {
				t.Errorf("%s: %d %q, want %q", user, status, v.Why, want)
			}
		}
		for user, want := range map[string]string{"imAdmin": "the sender", "z-late": "after this campaign's audience was frozen", "nobody": "not in the directory"} {
			status, got := s.do(http.MethodGet, "/v1/campaigns/"+id+"/recipients/"+user, nil)
			if status != 404 || got.ErrCode != 1004 || !strings.Contains(got.ErrDlt, want) {
				t.Errorf("%s: %d %s", user, status, got.Raw)
			}
		}
	})
}

// TestRecipientSaysWhichZone: a user whose zone only a newer program knows goes by the campaign's, and is told so.
func TestRecipientSaysWhichZone(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("mars", "tokyo", "nowhere")
		db, _, err := s.Store.Writer()
		if err != nil {
			t.Fatal(err)
		}
		for user, zone := range map[string]string{"mars": "Mars/Olympus", "tokyo": "Asia/Tokyo"} {
			if _, err := db.ExecContext(t.Context(), "UPDATE users SET timezone=? WHERE user_id=?", zone, user); err != nil {
				t.Fatal(err)
			}
		}
		s.Enqueue = func(ctx context.Context, c models.Created) error { return planned(ctx, s.Store, c) }
		status, got := s.do(http.MethodPost, "/v1/campaigns", `{"message":`+aMessage+`,"audience":{"userIDs":["mars","tokyo","nowhere"]},"quietHours":{"from":"22:00","to":"08:00"}}`)
		var made struct{ ID string }
		if got.into(t, &made); status != 202 {
			t.Fatalf("%d %s", status, got.Raw)
		}
		for user, want := range map[string]string{"mars": `still to come; their time zone "Mars/Olympus" is not known to this program, so UTC counts`, "tokyo": "still to come", "nowhere": "still to come"} {
			var v RecipientView
			_, got := s.do(http.MethodGet, "/v1/campaigns/"+made.ID+"/recipients/"+user, nil)
			if got.into(t, &v); v.Why != want {
				t.Errorf("%s: %s", user, got.Raw)
			}
		}
	})
}

func TestRecipientsListedAndExported(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		path := "/v1/campaigns/" + s.five(t) + "/recipients"
		var all []string
		for cursor := ""; ; {
			status, got := s.do(http.MethodGet, path+"?limit=2&cursor="+cursor, nil)
			var page struct {
				Recipients []RecipientView
				NextCursor string
			}
			got.into(t, &page)
			if status != 200 || len(page.Recipients) > 2 {
				t.Fatalf("%d %s", status, got.Raw)
			}
			for _, r := range page.Recipients {
				all = append(all, r.UserID+" "+r.Status)
			}
			if cursor = page.NextCursor; cursor == "" {
				break
			}
		}
		want := []string{"a-sent sent", "b-failed failed", "c-skipped skipped", "d-again pending", "e-still pending"}
		if fmt.Sprint(all) != fmt.Sprint(want) {
			t.Errorf("listed %v", all)
		}
		for status, n := range map[string]int{"sent": 1, "failed": 1, "skipped": 1, "pending": 2, "cancelled": 0} {
			_, got := s.do(http.MethodGet, path+"?status="+status, nil)
			var page struct{ Recipients []RecipientView }
			got.into(t, &page)
			if len(page.Recipients) != n {
				t.Errorf("%s: %s", status, got.Raw)
			}
			_, got = s.do(http.MethodGet, path+".ndjson?status="+status, nil)
			if lines := strings.Count(string(got.Raw), "\n"); lines != n {
				t.Errorf("%s.ndjson: %s", status, got.Raw)
			}
		}
		_, got := s.do(http.MethodGet, path+".csv", nil)
		rows, err := csv.NewReader(strings.NewReader(string(got.Raw))).ReadAll()
		if err != nil || len(rows) != 6 || rows[0][0] != "userID" {
			t.Fatalf("%v %s", err, got.Raw)
		}
		if rows[2][5] != "'=cmd|' /C calc'!A0" {
			t.Errorf("a formula in a cell: %q", rows[2][5])
		}
		for _, bad := range []string{"?status=lost", "?cursor=x", "?limit=0", "?limit=1001"} {
			if status, got := s.do(http.MethodGet, path+bad, nil); status != 422 || got.ErrCode != 1001 {
				t.Errorf("%s: %d %s", bad, status, got.Raw)
			}
		}
		_, got = s.do(http.MethodGet, path+".ndjson", nil)
		var first RecipientView
		if err := json.Unmarshal([]byte(strings.SplitN(string(got.Raw), "\n", 2)[0]), &first); err != nil || first.UserID != "a-sent" || first.ServerMsgID == "" {
			t.Errorf("%v %s", err, got.Raw)
		}
	})
}

// TestExportWaitsForThePlan: while an audience is being cut, its list says that more is to come, and its export waits for
// the rest. Before a campaign has started there is no audience to export.
func TestExportWaitsForThePlan(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		var created models.Created
		s.Enqueue = func(_ context.Context, c models.Created) error { created = c; return nil }
		var ids []string
		for i := range 5000 {
			ids = append(ids, fmt.Sprintf("user-%04d", i))
		}
		s.users(ids...)
		if status, got := s.send(okMessage.but(jsonFields{"isSendAll": "true"}).body()); status != 200 || got.ErrCode != 0 {
			t.Fatalf("%d %s", status, got.Raw)
		}
		plan := func() (done bool) {
			step, err := s.Store.PlanNext(t.Context(), *created.Plan, nil)
			if err != nil {
				t.Error(err)
			}
			return step.Done
		}
		path := "/v1/campaigns/" + created.PublicID + "/recipients"
		var page struct {
			Recipients []RecipientView
			NextCursor string
			Planned    bool
		}
		for _, limit := range []string{"10", "1000"} {
			_, got := s.do(http.MethodGet, path+"?limit="+limit, nil)
			got.into(t, &page)
			if page.NextCursor == "" || page.Planned || len(page.Recipients) != 0 {
				t.Errorf("before the first step: %s", got.Raw)
			}
		}
		plan()
		lines := make(chan int)
		go func() {
			_, got := s.do(http.MethodGet, path+".ndjson", nil)
			lines <- strings.Count(string(got.Raw), "\n")
		}()
		for !plan() {
		}
		if n := <-lines; n != len(ids) {
			t.Errorf("%d of %d are exported", n, len(ids))
		}
		_, got := s.do(http.MethodGet, path+"?limit=1", nil)
		if got.into(t, &page); !page.Planned {
			t.Errorf("planned to the end: %s", got.Raw)
		}
		_, got = s.do(http.MethodPost, "/v1/campaigns", `{"audience":{"all":true},"sendAt":"2099-01-01T00:00:00Z","message":{"sendID":"imAdmin","contentType":101,"content":{"content":"hi"}}}`)
		var later CampaignView
		got.into(t, &later)
		status, got := s.do(http.MethodGet, "/v1/campaigns/"+later.ID+"/recipients.csv", nil)
		if status != 409 || got.ErrCode != models.CodeIllegalTransition {
			t.Errorf("before the start: %d %s", status, got.Raw)
		}
	})
}
