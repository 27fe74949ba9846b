package handlers

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"carillon/channels/inbox"
	"carillon/handlers/streams"
	"carillon/internal/testkit"
	"carillon/models"
)

// toUsers is a campaign for the inboxes of listed users.
func toUsers(text string, userIDs ...string) models.CampaignSpec {
	content, _ := json.Marshal(map[string]string{"content": text})
	return models.CampaignSpec{
		Channel: "inbox", Priority: models.PriorityBulk, CreatedBy: "imAdmin",
		Audience: models.Audience{Type: models.AudienceUsers, UserIDs: userIDs},
		Message:  models.Message{SendID: "imAdmin", Content: content, ContentType: 101, SessionType: models.SessionSingle},
	}
}

// toAll is one for all users.
func toAll(text string) models.CampaignSpec {
	spec := toUsers(text)
	spec.Audience = models.Audience{Type: models.AudienceAll}
	return spec
}

// toGroup is one that is stored once for a group and read by its members.
func toGroup(text, groupID string) models.CampaignSpec {
	spec := toUsers(text)
	spec.Audience = models.Audience{Type: models.AudienceGroup, GroupID: groupID}
	spec.Message.SessionType = models.SessionLargeGroup
	return spec
}

// deliver stores campaigns and writes all their recipients as sent, as workers do.
func (s *server) deliver(specs ...models.CampaignSpec) {
	s.t.Helper()
	for _, spec := range specs {
		if err := s.deliverOne(spec); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *server) deliverOne(spec models.CampaignSpec) error {
	ctx := s.t.Context()
	c, err := s.Store.CreateCampaign(ctx, spec, s.Admins, models.Idempotency{}, func(models.Campaign) []byte { return nil })
	if err != nil {
		return err
	}
	tasks := c.Tasks
	for done := c.Plan == nil; !done; {
		step, err := s.Store.PlanNext(ctx, *c.Plan, nil)
		if err != nil {
			return err
		}
		tasks, done = append(tasks, step.Tasks...), step.Done
	}
	for _, task := range tasks {
		v, err := s.Store.ClaimPage(ctx, task)
		if err != nil {
			return err
		}
		outcomes := make([]models.RecipientOutcome, len(v.Members))
		for i, id := range v.Members {
			outcomes[i] = models.RecipientOutcome{UserID: id, Status: models.RecipientSent, Attempts: 1}
		}
		if err := s.Store.WriteChunk(ctx, v.Close(models.Chunk{Outcomes: outcomes, State: models.PageRunning})); err != nil {
			return err
		}
	}
	finished, err := s.Store.FinishCampaign(ctx, tasks[0].Campaign)
	if err == nil && !finished {
		err = fmt.Errorf("campaign %d is not finished", tasks[0].Campaign)
	}
	return err
}

// manyUsers puts so many users into the directory that a campaign for all of them is a large one.
func (s *server) manyUsers(others ...string) {
	s.t.Helper()
	ids := others
	for i := range 1001 {
		ids = append(ids, fmt.Sprintf("user-%04d", i))
	}
	s.users(ids...)
}

type inboxPage struct {
	Messages   []inbox.Message `json:"messages"`
	NextCursor string          `json:"nextCursor"`
}

func (s *server) inboxPage(userID, query string) (page inboxPage) {
	s.t.Helper()
	status, got := s.do(http.MethodGet, "/v1/inbox/"+url.PathEscape(userID)+"/messages?"+query, nil, "token", s.token(userID))
	if status != http.StatusOK {
		s.t.Fatalf("inbox of %s: %d %s", userID, status, got.Raw)
	}
	got.into(s.t, &page)
	return page
}

// wholeInbox reads an inbox page by page, de-duplicated as a client does, until nothing new comes.
func (s *server) wholeInbox(userID string, limit int) (texts []string, pages int) {
	s.t.Helper()
	seen := map[string]bool{}
	after := ""
	for {
		page := s.inboxPage(userID, fmt.Sprintf("limit=%d&after=%s", limit, after))
		fresh := 0
		for _, m := range page.Messages {
			if !seen[m.ClientMsgID] {
				fresh++
				texts = append(texts, text(m))
			}
			seen[m.ClientMsgID] = true
		}
		if fresh > limit {
			s.t.Errorf("%d new messages in a page of %d", fresh, limit)
		}
		before, err1 := streams.ParseCursor("", after)
		now, err2 := streams.ParseCursor("", page.NextCursor)
		if err1 != nil || err2 != nil || before.Later(now) != now {
			s.t.Fatalf("the cursor went back from %v to %v (%v, %v)", before, now, err1, err2)
		}
		if page.NextCursor == after {
			return texts, pages
		}
		after = page.NextCursor
		pages++
	}
}

func text(m inbox.Message) string {
	var content struct{ Content string }
	_ = json.Unmarshal(m.Content, &content)
	return content.Content
}

// sentAt gives the n-th campaign's messages a time, for all its recipients.
func (s *server) sentAt(campaign int, at models.Millis) {
	s.t.Helper()
	db, _, err := s.Store.Writer()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, table := range []string{"recipients", "inbox_small"} {
		if _, err := db.ExecContext(s.t.Context(), "UPDATE "+table+" SET sent_at=? WHERE campaign_id=?", at, campaign); err != nil {
			s.t.Fatal(err)
		}
	}
	if _, err := db.ExecContext(s.t.Context(), "UPDATE campaigns SET started_at=?, finished_at=? WHERE id=?", at-1, at+1, campaign); err != nil {
		s.t.Fatal(err)
	}
	// the users were there then
	if _, err := db.ExecContext(s.t.Context(), "UPDATE users SET added_at=? WHERE added_at>?", at-1, at); err != nil {
		s.t.Fatal(err)
	}
}

func TestInboxOpensForItsUserAndAdmins(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		t.Cleanup(s.Close)
		s.users("bob", "Bob", "a/b %")
		for _, tt := range []struct {
			inbox, token string
			status       int
			code         models.Code
		}{
			{"bob", s.token("bob"), http.StatusOK, 0},
			{"bob", s.adminToken(), http.StatusOK, 0},
			{"a/b %", s.token("a/b %"), http.StatusOK, 0},
			{"bob", s.token("Bob"), http.StatusForbidden, models.CodeNoPermission},
			{"bob", "", http.StatusUnauthorized, models.CodeTokenNotExist},
			{"nobody", s.adminToken(), http.StatusNotFound, models.CodeRecordNotFound},
			{"nobody", s.token("nobody"), http.StatusUnauthorized, models.CodeTokenInvalid},
		} {
			for _, what := range []string{"messages", "stream"} {
				if what == "stream" && tt.status == http.StatusOK {
					continue // stream_test.go opens some
				}
				status, got := s.do(http.MethodGet, "/v1/inbox/"+url.PathEscape(tt.inbox)+"/"+what, nil, "token", tt.token)
				if status != tt.status || got.ErrCode != tt.code {
					t.Errorf("%s of %s: %d %s, want %d with code %d", what, tt.inbox, status, got.Raw, tt.status, tt.code)
				}
			}
		}
		for query, field := range map[string]string{"after=x": "after", "after=MS4tMg": "after", "limit=0": "limit", "limit=1001": "limit"} {
			status, got := s.do(http.MethodGet, "/v1/inbox/bob/messages?"+query, nil)
			if status != http.StatusUnprocessableEntity || got.fields(t)[field] == "" {
				t.Errorf("%s: %d %s", query, status, got.Raw)
			}
		}
	})
}

func TestInboxGivesEveryMessageOnce(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.manyUsers("bob")
		if page := s.inboxPage("bob", ""); page.Messages == nil || len(page.Messages) != 0 || page.NextCursor != "" {
			t.Errorf("empty inbox: %+v", page)
		}
		var want []string
		for i := range 10 {
			spec := toUsers(fmt.Sprint("small ", i), "bob", "user-0001")
			if i%4 == 1 {
				spec = toAll(fmt.Sprint("large ", i))
			}
			var content struct{ Content string }
			_ = json.Unmarshal(spec.Message.Content, &content)
			want = append(want, content.Content)
			s.deliver(spec)
		}
		s.deliver(toUsers("not for bob", "user-0001"))

		texts, pages := s.wholeInbox("bob", 3)
		if !slices.Equal(texts, want) || pages != 4 {
			t.Errorf("sent within seconds: %q in %d pages, want %q", texts, pages, want)
		}
		for i := range 11 {
			s.sentAt(i+1, models.Millis(1_700_000_000_000+i*60_000))
		}
		texts, pages = s.wholeInbox("bob", 3)
		if !slices.Equal(texts, want) || pages != 4 {
			t.Errorf("sent in ten minutes: %q in %d pages, want %q", texts, pages, want)
		}
		if first := s.inboxPage("bob", "limit=3"); len(first.Messages) != 3 {
			t.Errorf("first page: %+v", first)
		}
		if all := s.inboxPage("bob", ""); len(all.Messages) != 10 {
			t.Errorf("%d messages on a page of 100", len(all.Messages))
		}
	})
}

// A chunk that took its time before others and committed after them has messages behind cursors that were
// handed out meanwhile.
func TestInboxGivesWhatWasCommittedLate(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("bob")
		const at = models.Millis(1_700_000_000_000)
		s.deliver(toUsers("first", "bob"))
		s.sentAt(1, at)
		cursor := s.inboxPage("bob", "").NextCursor
		s.deliver(toUsers("late", "bob"))
		s.sentAt(2, at-9_500)
		page := s.inboxPage("bob", "after="+cursor)
		if len(page.Messages) != 2 || text(page.Messages[0]) != "late" || page.NextCursor != cursor {
			t.Errorf("%+v", page)
		}
	})
}

func TestInboxOfflinePush(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("bob")
		given := models.OfflinePushInfo{Title: "Sale", Desc: "today", IOSPushSound: "default", IOSBadgeCount: true}
		none, own, byDefault := toUsers("none", "bob"), toUsers("own", "bob"), toUsers("default", "bob")
		none.Message.NotOfflinePush = true
		none.Message.OfflinePushInfo = &given
		own.Message.OfflinePushInfo = &given
		s.deliver(none, own, byDefault)

		_, got := s.do(http.MethodGet, "/v1/inbox/bob/messages", nil)
		var raw struct {
			Messages []map[string]json.RawMessage `json:"messages"`
		}
		got.into(t, &raw)
		if len(raw.Messages) != 3 || string(raw.Messages[0]["offlinePush"]) != "null" {
			t.Fatalf("%s", got.Raw)
		}
		page := s.inboxPage("bob", "")
		if push := page.Messages[1].OfflinePush; push == nil || *push != given {
			t.Errorf("given: %+v", push)
		}
		if push := page.Messages[2].OfflinePush; push == nil || push.Title != "[TEXT]" {
			t.Errorf("default: %+v", push)
		}
		m := page.Messages[0]
		if want := models.ClientMsgID(m.CampaignID, models.KindUser, "bob"); m.ClientMsgID != want || m.SentAt.IsZero() || m.SendID != "imAdmin" {
			t.Errorf("%+v", m)
		}
	})
}

func TestGroupMessageIsReadByMembersOnly(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("bob", "eve", "carol", "choir")
		if _, err := s.Store.PutGroup(t.Context(), "choir", nil, []string{"bob", "carol"}); err != nil {
			t.Fatal(err)
		}
		s.deliver(toGroup("rehearsal", "choir"))

		bob, carol := s.inboxPage("bob", "").Messages, s.inboxPage("carol", "").Messages
		if len(bob) != 1 || len(carol) != 1 || bob[0].GroupID != "choir" || text(bob[0]) != "rehearsal" {
			t.Fatalf("bob has %+v, carol %+v", bob, carol)
		}
		if want := models.ClientMsgID(bob[0].CampaignID, models.KindGroup, "choir"); bob[0].ClientMsgID != want || carol[0].ClientMsgID != want {
			t.Errorf("clientMsgID %s and %s, want %s", bob[0].ClientMsgID, carol[0].ClientMsgID, want)
		}
		for _, other := range []string{"eve", "choir"} { // a user may have a group's ID
			if got := s.inboxPage(other, "").Messages; len(got) != 0 {
				t.Errorf("%s reads %+v", other, got)
			}
		}
		if _, err := s.Store.PutGroup(t.Context(), "choir", nil, []string{"eve"}); err != nil {
			t.Fatal(err)
		}
		if got := s.inboxPage("bob", "").Messages; len(got) != 0 {
			t.Errorf("bob left and reads %+v", got)
		}
	})
}
