package handlers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/models"
)

// outcomesByName has each stored campaign delivered at once: what an ID begins with is its user's status. Campaigns of
// users who are called pending stay as they are.
func (s *server) outcomesByName() {
	s.Enqueue = func(ctx context.Context, c models.Created) error {
		for _, task := range c.Tasks {
			v, err := s.Store.ClaimPage(ctx, task)
			if err != nil {
				return err
			}
			var outcomes []models.RecipientOutcome
			for _, id := range v.Members {
				one := models.RecipientOutcome{UserID: id, Attempts: 1}
				switch name := strings.TrimRight(id, "0123456789"); name {
				case "pending":
					return nil
				case "provided":
					one.Status, one.ServerMsgID = models.RecipientSent, "provider's-"+id
				default:
					one.Status = models.RecipientStatus(slices.Index(models.RecipientStatusNames, name))
				}
				outcomes = append(outcomes, one)
			}
			if err := s.Store.WriteChunk(ctx, v.Close(models.Chunk{Outcomes: outcomes, State: models.PageRunning})); err != nil {
				return err
			}
			if _, err := s.Store.FinishCampaign(ctx, task.Campaign); err != nil {
				return err
			}
		}
		return nil
	}
}

// toList is a request to these users, with changes.
func toList(changes jsonFields, ids ...string) string {
	raw, err := json.Marshal(ids)
	if err != nil {
		panic(err)
	}
	return okBatch.but(jsonFields{"recvIDs": string(raw)}).but(changes).body()
}

// TestBatchWaitAnswersAsTheOriginal: the two lists, null when empty, in the request's order, and nothing beside them.
func TestBatchWaitAnswersAsTheOriginal(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores, func(a *API) { a.BatchWait = time.Minute })
		s.outcomesByName()
		began := time.Now().UnixMilli()
		status, got := s.send(toList(nil, "sent2", "unknown1", "sent1", "failed2", "provided1", "skipped1", "failed1", "sent2"))
		var data BatchLists
		got.into(t, &data)
		campaign := strings.TrimPrefix(got.Header.Get("Location"), "/v1/campaigns/")
		if status != http.StatusOK || len(data.Results) != 3 || len(campaign) != 26 || got.Header.Get("Preference-Applied") != "" {
			t.Fatalf("%d %s, campaign %q", status, got.Raw, campaign)
		}
		var want []string
		for i, id := range []string{"sent2", "sent1", "provided1"} {
			one := data.Results[i]
			msgID := models.ClientMsgID(campaign, models.KindUser, id)
			server := map[bool]string{true: "provider's-" + id, false: msgID}[id == "provided1"]
			if one.SendTime < began || one.SendTime > time.Now().UnixMilli() {
				t.Errorf("%s: sent at %d", id, one.SendTime)
			}
			want = append(want, fmt.Sprintf(`{"serverMsgID":"%s","clientMsgID":"%s","sendTime":%d,"recvID":"%s"}`, server, msgID, one.SendTime, id))
		}
		whole := `{"errCode":0,"errMsg":"","errDlt":"","data":{"results":[` + strings.Join(want, ",") + `],"failedUserIDs":["unknown1","failed2","skipped1","failed1"]}}`
		if string(got.Raw) != whole {
			t.Errorf("%s\nnot\n%s", got.Raw, whole)
		}
		if _, got := s.send(toList(nil, "sent1")); !strings.HasSuffix(string(got.Raw), `"recvID":"sent1"}],"failedUserIDs":null}}`) {
			t.Errorf("nobody failed: %s", got.Raw)
		}
		if _, got := s.send(toList(nil, "failed1")); string(got.Data) != `{"results":null,"failedUserIDs":["failed1"]}` {
			t.Errorf("everybody failed: %s", got.Raw)
		}
		if _, got := s.send(toList(jsonFields{"sendTime": "1234"}, "sent1")); !strings.Contains(string(got.Raw), `"sendTime":1234,`) {
			t.Errorf("the message's own stamp: %s", got.Raw)
		}
		before := s.stored()
		if _, got := s.send(okBatch.but(jsonFields{"recvIDs": "[]"}).body()); string(got.Data) != `{"results":null,"failedUserIDs":null}` || s.stored() != before {
			t.Errorf("to nobody: %s, %d campaigns", got.Raw, s.stored()-before)
		}
		_, first := s.send(toList(nil, "sent2", "sent1"), "Idempotency-Key", "k")
		if _, again := s.send(toList(nil, "sent2", "sent1"), "Idempotency-Key", "k"); string(again.Raw) != string(first.Raw) || s.stored() != before+1 {
			t.Errorf("a replay: %s\nafter: %s", again.Raw, first.Raw)
		}
	})
}

// TestBatchWaitAnswersWithTheCampaign: what cannot be answered as the original answers has the campaign's ID.
func TestBatchWaitAnswersWithTheCampaign(t *testing.T) {
	t.Parallel()
	s := newServer(t, embedded(t), func(a *API) { a.BatchWait = time.Minute })
	s.outcomesByName()
	s.users("sent1")
	s.putGroup("g", "", "sent1")
	many := make([]string, maxAsOriginal+1)
	for i := range many {
		many[i] = fmt.Sprint("sent", i)
	}
	patient := s.BatchWait
	for _, c := range []struct {
		what, body string
		wait       time.Duration
		headers    []string
		status     models.Status
	}{
		{"not done in time", toList(nil, "pending1"), time.Second / 5, nil, models.StatusRunning},
		{"one too many", toList(nil, many...), patient, nil, models.StatusRunning},
		{"all users", okMessage.but(jsonFields{"isSendAll": "true"}).body(), patient, nil, models.StatusRunning},
		{"a group", okMessage.but(jsonFields{"sessionType": "3", "groupID": `"g"`}).body(), patient, nil, models.StatusRunning},
		{"who says how to wait", toList(nil, "sent1"), patient, []string{"Prefer", "wait=0"}, models.StatusRunning},
		{"who says how long to wait", toList(nil, "sent1"), patient, []string{"Prefer", "wait=60"}, models.StatusCompleted},
		{"switched off", toList(nil, "sent1"), 0, nil, models.StatusRunning},
	} {
		s.BatchWait = c.wait
		status, got := s.send(c.body, c.headers...)
		var data BatchAnswer
		got.into(t, &data)
		if status != http.StatusOK || len(data.CampaignID) != 26 || data.Status != c.status || (data.Results != nil) != (c.status == models.StatusCompleted) {
			t.Errorf("%s: %d %.200s", c.what, status, got.Raw)
		}
	}
	for _, c := range []struct{ what, body, field string }{
		{"no list", okMessage.body(), "recvIDs"},
		{"nobody, and a content that does not fit", okBatch.but(jsonFields{"recvIDs": "[]", "content": `{"content":""}`}).body(), "content.content"},
		{"an empty list in our own way", okBatch.but(jsonFields{"recvIDs": "[]"}).body(), "recvIDs"},
	} {
		s.BatchWait = patient
		var headers []string
		if c.what == "an empty list in our own way" {
			headers = []string{"Prefer", "wait=0"}
		}
		if _, got := s.send(c.body, headers...); got.ErrCode != models.CodeArgs || got.fields(t)[c.field] == "" {
			t.Errorf("%s: %s", c.what, got.Raw)
		}
	}
}

// TestBatchWaitEndsWhenHeldUp: a campaign that somebody holds cannot be done in time, so its caller is answered at once.
func TestBatchWaitEndsWhenHeldUp(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores, func(a *API) { a.BatchWait = time.Minute })
		ctx := t.Context()
		paused := func(c models.Created) error {
			_, err := s.Store.PauseCampaign(ctx, c.PublicID, "held")
			return err
		}
		failed := func(c models.Created) error {
			if _, err := s.Store.FailCampaign(ctx, c.Tasks[0].Campaign, "refused"); err != nil {
				return err
			}
			view, err := s.Store.Campaign(ctx, c.PublicID)
			if err != nil {
				return err
			}
			_, err = s.Store.CloseCampaign(ctx, view.Campaign, false)
			return err
		}
		for _, c := range []struct {
			what   string
			change func(models.Created) error
			want   string
		}{
			{"paused", paused, `"status":"paused","total":2,"results":null,"failedUserIDs":null}`},
			{"cancelled", func(c models.Created) error {
				_, err := s.Store.CancelCampaign(ctx, c.PublicID, "")
				return err
			}, `"status":"cancelled","total":2,"results":null,"failedUserIDs":null}`},
			{"paused while a caller waits", func(c models.Created) error {
				go func() {
					testkit.Eventually(t, "the caller waits", testkit.Patience, func() bool { return s.waits(c.PublicID) })
					if err := paused(c); err != nil {
						t.Error(err)
					}
				}()
				return nil
			}, `"status":"paused","total":2,"results":null,"failedUserIDs":null}`},
			{"failed as a whole", failed, `"data":{"results":null,"failedUserIDs":["b","a"]}`},
		} {
			s.Enqueue = func(_ context.Context, created models.Created) error { return c.change(created) }
			began := time.Now()
			status, got := s.send(toList(nil, "b", "a"))
			if took := time.Since(began); status != http.StatusOK || !strings.Contains(string(got.Raw), c.want) || took > s.BatchWait/2 {
				t.Errorf("%s: %d %s after %s", c.what, status, got.Raw, took)
			}
		}
	})
}

// waits says whether somebody has waited for a campaign until it was read.
func (s *server) waits(id string) bool {
	s.waiters.mu.Lock()
	defer s.waiters.mu.Unlock()
	w := s.waiters.watched[id]
	return w != nil && w.last.ID != 0
}

// TestBatchWaitOutlivesTheLedger: a ledger that cannot be read after the message was stored is no error of the request.
func TestBatchWaitOutlivesTheLedger(t *testing.T) {
	t.Parallel()
	s := newServer(t, embedded(t), func(a *API) { a.BatchWait = time.Second / 5 })
	s.Enqueue = func(context.Context, models.Created) error { return s.Store.Close() }
	status, got := s.send(toList(nil, "sent1"))
	var data BatchAnswer
	if got.into(t, &data); status != http.StatusOK || data.Status != models.StatusRunning || got.Header.Get("Location") != "" {
		t.Errorf("%d %s", status, got.Raw)
	}
}
