package models_test

import (
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"carillon/internal/testkit"
	"carillon/models"
)

// grown is how much of everything the ledger holds in the test below: enough for the databases to prefer an index.
const grown = 2000

// apart is the time between two campaigns, in milliseconds.
const apart = 10_000

// Lists, paging and what is asked again and again never scan a whole table, nor a whole index of one.
func TestNoTableIsScanned(t *testing.T) {
	t.Parallel()
	eachGrown(t, func(t *testing.T, store *models.Store, db *sql.DB, dialect string) {
		for name, f := range everyday(t) {
			var asked []string
			if err := f(store.Traced(func(sql string) { asked = append(asked, sql) })); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if len(asked) == 0 {
				t.Errorf("%s: no statement was seen", name)
			}
			for _, sql := range asked {
				for _, scan := range scans(t, db, dialect, sql) {
					t.Errorf("%s: %s\n%.1000s", name, scan, sql)
				}
			}
		}
		// and the test can fail
		if len(scans(t, db, dialect, "SELECT * FROM pages p WHERE p.size=7")) == 0 || len(scans(t, db, dialect, "SELECT COUNT(*) FROM users")) == 0 {
			t.Error("a scan is not told")
		}
	})
}

// What changes one page finds it by its key, whatever else it compares: see dialect.onePage.
func TestOnePageIsFoundByItsKey(t *testing.T) {
	t.Parallel()
	byKey := map[string]func(step map[string]string) bool{
		"mysql":  func(step map[string]string) bool { return step["key"] == "PRIMARY" },
		"sqlite": func(step map[string]string) bool { return strings.Contains(step["detail"], "(campaign_id=? AND no=?)") },
	}
	eachGrown(t, func(t *testing.T, store *models.Store, db *sql.DB, dialect string) {
		var asked []string
		traced := store.Traced(func(sql string) {
			if strings.HasPrefix(sql, "UPDATE pages ") {
				asked = append(asked, sql)
			}
		})
		page := models.Page{CampaignID: grown, State: models.PageNew}
		if _, _, err := traced.QueuePage(t.Context(), page, models.PriorityBulk); err != nil {
			t.Error(err)
		}
		if err := traced.ExtendQueued(t.Context(), page); err != nil {
			t.Error(err)
		}
		if _, err := traced.ClaimPage(t.Context(), models.PageTask{Campaign: grown}); err != nil {
			t.Error(err)
		}
		if _, err := traced.ClaimAgain(t.Context(), &models.Visit{Page: page}); err != nil {
			t.Error(err)
		}
		if err := traced.RenewPage(t.Context(), models.PageTask{Campaign: grown}); !errors.Is(err, models.ErrFenced) {
			t.Error(err)
		}
		if len(asked) != 5 {
			t.Errorf("%d statements were seen, not 5", len(asked))
		}
		for _, sql := range asked {
			if steps := explain(t, db, dialect, sql); len(steps) != 1 || !byKey[dialect](steps[0]) {
				t.Errorf("%v\n%s", steps, sql)
			}
		}
	})
}

// eachGrown gives f an old ledger on each store.
func eachGrown(t *testing.T, f func(t *testing.T, store *models.Store, db *sql.DB, dialect string)) {
	t.Helper()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		db, dialect, err := store.Writer()
		if err != nil {
			t.Fatal(err)
		}
		fill(t, db, dialect)
		f(t, store, db, dialect)
	})
}

// everyday are the questions that the lists, the loops and the inboxes ask.
func everyday(t *testing.T) map[string]func(*models.Store) error {
	t.Helper()
	ctx := t.Context()
	last := func(s *models.Store) models.Campaign {
		return models.Campaign{ID: grown, PublicID: publicID(grown), Total: 1000, Planned: true}
	}
	sent, failed, pending := models.RecipientSent, models.RecipientFailed, models.RecipientPending
	return map[string]func(*models.Store) error{
		"campaigns": func(s *models.Store) error { _, err := s.Campaigns(ctx, models.CampaignFilter{Limit: 100}); return err },
		"campaigns, further": func(s *models.Store) error {
			_, err := s.Campaigns(ctx, models.CampaignFilter{Before: 1000, Limit: 100})
			return err
		},
		"campaigns by status": func(s *models.Store) error {
			_, err := s.Campaigns(ctx, models.CampaignFilter{Status: "completed", Limit: 100})
			return err
		},
		"campaigns, filtered": func(s *models.Store) error {
			for _, f := range []models.CampaignFilter{
				{Name: "a%_!"}, {Name: "part 7"}, {ScheduleID: publicID(7)}, {ScheduleID: publicID(7), Status: "paused"}, {CreatedFrom: 70 * apart, CreatedTo: 90 * apart},
				{CreatedTo: 90 * apart, Name: "a", Status: "completed", ScheduleID: publicID(7), Before: 1000},
			} {
				f.Limit = 100
				if _, err := s.Campaigns(ctx, f); err != nil {
					return err
				}
			}
			return nil
		},
		"campaign by zone": func(s *models.Store) error { _, err := s.CampaignZones(ctx, last(s)); return err },
		"campaign":         func(s *models.Store) error { _, err := s.Campaign(ctx, publicID(7)); return err },
		"samples": func(s *models.Store) error {
			c := last(s)
			c.StartedAt = 1
			_, err := s.Samples(ctx, c, 200)
			return err
		},
		"send minutes":      func(s *models.Store) error { _, err := s.SendMinutes(ctx, 1_700_000_000_000); return err },
		"running":           func(s *models.Store) error { _, err := s.RunningCounts(ctx); return err },
		"controls":          func(s *models.Store) error { _, err := s.Controls(ctx, []int64{1, 2, grown}); return err },
		"windows":           func(s *models.Store) error { _, err := s.Windows(ctx); return err },
		"window":            func(s *models.Store) error { _, err := s.WindowOf(ctx, grown); return err },
		"new pages":         func(s *models.Store) error { _, err := s.QueuePages(ctx, last(s), 4); return err },
		"due waiting pages": func(s *models.Store) error { _, err := s.DuePages(ctx, models.PageWaiting); return err },
		"due running pages": func(s *models.Store) error { _, err := s.DuePages(ctx, models.PageRunning); return err },
		"due queued pages":  func(s *models.Store) error { _, err := s.DuePages(ctx, models.PageQueued); return err },
		"their campaigns": func(s *models.Store) error {
			_, err := s.RunningCampaigns(ctx, []models.Page{{CampaignID: grown}})
			return err
		},
		"next due":      func(s *models.Store) error { _, err := s.NextDue(ctx, grown); return err },
		"last due":      func(s *models.Store) error { _, err := s.LastDue(ctx, grown); return err },
		"mark":          func(s *models.Store) error { _, err := s.Mark(ctx); return err },
		"notices":       func(s *models.Store) error { _, err := s.TakeNotices(ctx); return err },
		"due plans":     func(s *models.Store) error { _, err := s.DuePlans(ctx); return err },
		"recount":       func(s *models.Store) error { _, err := s.Recount(ctx, models.Finished{At: 1, ID: 1}, 20); return err },
		"waited for":    func(s *models.Store) error { _, err := s.Progress(ctx, []string{"a", "b"}); return err },
		"due campaigns": func(s *models.Store) error { _, err := s.DueCampaigns(ctx); return err },
		"to advance":    func(s *models.Store) error { _, err := s.CampaignsToAdvance(ctx); return err },
		"figures":       func(s *models.Store) error { _, err := s.Figures(ctx); return err },
		"overdue":       func(s *models.Store) error { _, err := s.Overdue(ctx); return err },
		"due schedules": func(s *models.Store) error { _, _, err := s.DueSchedules(ctx, 100); return err },
		"closing":       func(s *models.Store) error { _, err := s.ClosingCampaigns(ctx); return err },
		"pause and resume all": func(s *models.Store) error {
			_, err := s.PauseAll(ctx, "all")
			_, again := s.ResumeAll(ctx)
			return errors.Join(err, again)
		},
		"expiry":  func(s *models.Store) error { return s.ExpireCampaigns(ctx) },
		"retries": func(s *models.Store) error { return s.ReopenPages(ctx) },
		"purge": func(s *models.Store) error {
			p, err := s.TakePurge(ctx, 1000)
			for done := false; err == nil && !done; {
				done, err = s.PurgeStep(ctx, p, 100)
			}
			return err
		},
		"old keys": func(s *models.Store) error { return s.PurgeIdempotency(ctx, 1) },
		"recipients": func(s *models.Store) error {
			_, _, err := s.Recipients(ctx, last(s), models.RecipientFilter{Limit: 100})
			return err
		},
		"recipients, status": func(s *models.Store) error {
			for _, status := range []*models.RecipientStatus{&sent, &failed, &pending} {
				zoned := last(s)
				zoned.QuietTo = 1
				_, _, err := s.Recipients(ctx, last(s), models.RecipientFilter{Status: status, Limit: 100})
				_, _, again := s.Recipients(ctx, zoned, models.RecipientFilter{Status: status, Limit: 100})
				if err := errors.Join(err, again); err != nil {
					return err
				}
			}
			return nil
		},
		"failures": func(s *models.Store) error {
			c := last(s)
			c.QuietTo = 1 // by time zone: all pages are looked at
			_, err := s.Failures(ctx, c, 100)
			return err
		},
		"one recipient": func(s *models.Store) error { _, err := s.Recipient(ctx, last(s), userOf(7)); return err },
		"one without a row": func(s *models.Store) error {
			_, err := s.Recipient(ctx, models.Campaign{ID: grown + 1, Planned: true}, userOf(7))
			return notFound(err)
		},
		"inbox": func(s *models.Store) error { _, err := s.Inbox(ctx, userOf(7), models.InboxCursor{}, 100); return err },
		"inbox, further": func(s *models.Store) error {
			_, err := s.Inbox(ctx, userOf(7), models.InboxCursor{SentAt: 1000 * apart, Campaign: 1000}, 100)
			return err
		},
		"inbox news": func(s *models.Store) error {
			_, err := s.InboxNews(ctx, []string{userOf(7), userOf(8)}, (grown-30)*apart)
			return err
		},
		"users":                    func(s *models.Store) error { _, err := s.Users(ctx, "", "", 100); return err },
		"users, further":           func(s *models.Store) error { _, err := s.Users(ctx, "", userOf(1000), 100); return err },
		"users by prefix":          func(s *models.Store) error { _, err := s.Users(ctx, "user-00000%_", "", 100); return err },
		"users by prefix, further": func(s *models.Store) error { _, err := s.Users(ctx, "user-00000", userOf(50), 100); return err },
		"users by nickname": func(s *models.Store) error {
			_, err := s.UsersByNickname(ctx, "Nick 7", models.NicknameCursor{}, 100)
			return err
		},
		"users by nickname, further": func(s *models.Store) error {
			_, err := s.UsersByNickname(ctx, "Nick 7", models.NicknameCursor{Nickname: "Nick 7", UserID: userOf(7)}, 100)
			return err
		},
		"a user's campaigns":          func(s *models.Store) error { _, _, err := s.UserCampaigns(ctx, userOf(7), 0, 100); return err },
		"a user's campaigns, further": func(s *models.Store) error { _, _, err := s.UserCampaigns(ctx, userOf(9), 1000, 100); return err },
		"user":                        func(s *models.Store) error { _, err := s.User(ctx, userOf(7)); return err },
		"users of zones": func(s *models.Store) error {
			for _, a := range []models.Audience{{Type: models.AudienceAll}, {Type: models.AudienceUsers, UserIDs: []string{userOf(7)}}, {Type: models.AudienceGroup, GroupID: userOf(7)}} {
				if _, err := s.AudienceByZone(ctx, models.ZoneFilter{Audience: a, Refusing: true}); err != nil {
					return err
				}
			}
			return nil
		},
		"groups":    func(s *models.Store) error { _, err := s.Groups(ctx, "", 100); return err },
		"members":   func(s *models.Store) error { _, err := s.GroupMembers(ctx, userOf(7), "", 100); return err },
		"schedules": func(s *models.Store) error { _, err := s.Schedules(ctx, models.ScheduleFilter{Limit: 100}); return err },
		"schedules by state": func(s *models.Store) error {
			_, err := s.Schedules(ctx, models.ScheduleFilter{Status: "active", Limit: 100})
			return err
		},
		"events": func(s *models.Store) error { _, err := s.Events(ctx, models.EventFilter{Limit: 100}); return err },
		"events, filtered": func(s *models.Store) error {
			for _, f := range []models.EventFilter{{Kind: "campaign.created"}, {CampaignID: publicID(7)}, {ScheduleID: publicID(7)}, {Actor: "admin"}, {Actor: "admin", Before: 1000}, {CampaignID: publicID(7), Kind: "campaign.created"}} {
				f.Limit = 100
				if _, err := s.Events(ctx, f); err != nil {
					return err
				}
			}
			return nil
		},
		"troubled":       func(s *models.Store) error { _, err := s.TroubledCampaigns(ctx, 20); return err },
		"next campaigns": func(s *models.Store) error { _, err := s.NextCampaigns(ctx, 5); return err },
		"next schedules": func(s *models.Store) error { _, err := s.NextSchedules(ctx, 5); return err },
		"pause counts":   func(s *models.Store) error { _, err := s.PauseCounts(ctx); return err },
		"events since":   func(s *models.Store) error { _, err := s.EventsSince(ctx, "campaign.created", 1, 5); return err },
		"names that begin with": func(s *models.Store) error {
			_, _, err := s.FindNamed(ctx, "name-1", 10)
			_, _, again := s.FindNamed(ctx, publicID(7)[:20], 10)
			_, _, nothing := s.FindNamed(ctx, "a part of no name", 10)
			return errors.Join(err, again, nothing)
		},
		"names": func(s *models.Store) error {
			_, err := s.NamesOf(ctx, []string{publicID(7), publicID(8), "none"})
			_, again := s.Numbered(ctx, []int64{7, grown})
			return errors.Join(err, again)
		},
		"running on":         func(s *models.Store) error { _, err := s.RunningOn(ctx, "inbox"); return err },
		"event backlog":      func(s *models.Store) error { _, err := s.EventBacklog(ctx); return err },
		"known users":        func(s *models.Store) error { _, err := s.KnownUsers(ctx, []string{userOf(7)}); return err },
		"directory":          func(s *models.Store) error { _, err := s.Directory(ctx); return err },
		"sync":               func(s *models.Store) error { _, err := s.Sync(ctx); return err },
		"group":              func(s *models.Store) error { _, err := s.Group(ctx, userOf(7)); return err },
		"schedule":           func(s *models.Store) error { _, err := s.Schedule(ctx, publicID(7)); return err },
		"campaign by number": func(s *models.Store) error { _, err := s.CampaignByID(ctx, 7); return err },
		"old events":         func(s *models.Store) error { _, err := s.PurgeEvents(ctx, 2, 100); return err },
		"occurrences":        func(s *models.Store) error { _, err := s.Occurrences(ctx, 7, 0, 100); return err },
	}
}

func notFound(err error) error {
	if models.AsError(err).Code == models.CodeRecordNotFound {
		return nil
	}
	return fmt.Errorf("want 1004, not %v", err) //nolint:errorlint // nil too
}

func userOf(i int) string   { return fmt.Sprintf("user-%07d", i) }
func publicID(i int) string { return fmt.Sprintf("%026d", i) }

// fill makes a ledger that is old: nearly all campaigns are over, each with a page, the last 20 are in every open state.
func fill(t *testing.T, db *sql.DB, dialect string) {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	insert := func(table, columns string, row func(i int) string) {
		var rows []string
		for i := range grown {
			rows = append(rows, "("+row(i+1)+")")
		}
		for some := range slices.Chunk(rows, 500) {
			if _, err := tx.ExecContext(t.Context(), "INSERT INTO "+table+" ("+columns+") VALUES "+strings.Join(some, ",")); err != nil {
				t.Fatal(table, err)
			}
		}
	}
	insert("users", "user_id, added_rev, nickname, face_url, timezone, ex", func(i int) string {
		return fmt.Sprintf("'%s',%d,'Nick %d','','%s',''", userOf(i), i, i%100, someZones[i%len(someZones)])
	})
	insert("chat_groups", "group_id, name, version, size", func(i int) string { return fmt.Sprintf("'%s','',1,1", userOf(i)) })
	insert("group_members", "group_id, version, user_id", func(i int) string { return fmt.Sprintf("'%s',1,'%s'", userOf(i), userOf(i)) })
	insert("idempotency", "caller, route, idem_key, body_hash, public_id, answer, created_at", func(i int) string {
		return fmt.Sprintf("'admin','/msg','%d','%032d','%s','{}',%d", i, i, publicID(i), i)
	})
	insert("schedules", `public_id, name, cron, timezone, local_time, anchor, start_at, end_at, missed, missed_grace, overlap, campaign, status, version,
		next_slot, next_fire, operation_id, created_by, created_at`, func(i int) string {
		return fmt.Sprintf("'%s','','@daily','UTC',0,0,0,0,'skip',0,'allow','{}','%s',1,0,9000000000000000,'op','admin',0", publicID(i), []string{"active", "paused"}[i%2])
	})
	insert("occurrences", "schedule_id, slot, last_slot, slots, outcome, reason, campaign_id, created_at", func(i int) string { return fmt.Sprintf("%d,1,0,1,'fired','','',0", i) })
	insert("events", "at, kind, campaign_id, schedule_id, from_status, to_status, reason_code, reason, actor, via, operation_id, data", func(i int) string {
		return fmt.Sprintf("%d,'campaign.created','%s','%s','','running','','','%s','api','op',''", i, publicID(i), publicID(i), []string{"admin", "bob", "carol"}[i%3])
	})
	insert("campaigns", `id, public_id, message, inbox, kind, group_id, started_at, finished_at, status, channel, audience_type, total, planned, created_at,
		name, status_reason, group_version, mark, plan_cursor, plan_epoch, plan_due, pages, rate_per_second, delivery, retry, retry_page, priority, operation_id, created_by, expire_at`,
		func(i int) string {
			status, finished := "completed", i*apart
			if i%7 == 0 {
				status = "cancelled"
			}
			if i > grown-20 {
				status, finished = []string{"running", "paused", "cancelled", "scheduled"}[i%4], 0
			}
			return fmt.Sprintf("%d,'%s','{}',%d,0,'',%d,%d,'%s','inbox','users',1,1,%d,'A part %d','',0,0,'',1,0,1,0,'atLeastOnce','',0,'bulk','op','admin',0", i, publicID(i), 1+i%2, i*apart, finished, status, i*apart, i%100)
		})
	insert("pages", "campaign_id, no, state, due_at, epoch, rev, size, pos, pending_rows, rest, first_id, sent, failed, skipped, expired, cancelled, unknown", func(i int) string {
		state := models.PageDone
		if i > grown-20 {
			state = models.PageState(i % 4)
		}
		return fmt.Sprintf("%d,0,%d,%d,1,1,1,1,0,0,'%s',1,0,0,0,0,0", i, state, i, userOf(7))
	})
	blob := models.PackMembers([]string{userOf(7)})
	insert("page_members", "campaign_id, no, members", func(i int) string { return fmt.Sprintf("%d,0,X'%X'", i, blob) })
	insert("recipients", "campaign_id, kind, user_id, status, attempts, sent_at", func(i int) string { return fmt.Sprintf("%d,0,'%s',1,1,%d", i, userOf(7), i*apart) })
	insert("inbox_small", "kind, user_id, sent_at, campaign_id", func(i int) string { return fmt.Sprintf("0,'%s',%d,%d", userOf(i), i*apart, i) })
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if dialect == "sqlite" { // which nobody analyzes: it goes by its rules
		return
	}
	for _, table := range []string{"users", "chat_groups", "group_members", "idempotency", "schedules", "occurrences", "events", "campaigns", "pages", "page_members", "recipients", "inbox_small"} {
		if _, err := db.ExecContext(t.Context(), "ANALYZE TABLE "+table); err != nil {
			t.Fatal(err)
		}
	}
}

// scans are the steps of a statement that would read the whole of a table or of an index.
func scans(t *testing.T, db *sql.DB, dialect, query string) (found []string) {
	t.Helper()
	for _, step := range explain(t, db, dialect, query) {
		if dialect == "sqlite" {
			if m := sqliteScan.FindStringSubmatch(step["detail"]); m != nil && !derived(query, m[1]) {
				found = append(found, step["detail"])
			}
			continue
		}
		if step["select_type"] == "INSERT" { // which MariaDB shows as if it read its table
			continue
		}
		if table := step["table"] != "" && step["table"] != "directory" && !strings.HasPrefix(step["table"], "<"); table && (step["type"] == "ALL" || step["type"] == "index") {
			found = append(found, fmt.Sprint(step))
		}
	}
	return found
}

// explain asks the database how it would run a statement.
func explain(t *testing.T, db *sql.DB, dialect, query string) (steps []map[string]string) {
	t.Helper()
	how := "EXPLAIN "
	if dialect == "sqlite" {
		// gorm shows values in double quotes, in which SQLite would look for a column first
		how, query = "EXPLAIN QUERY PLAN ", strings.ReplaceAll(query, `"`, "'")
	}
	rows, err := db.QueryContext(t.Context(), how+query)
	if err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		cells, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range cells {
			into[i] = &cells[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		step := map[string]string{}
		for i, name := range columns {
			step[strings.ToLower(name)] = cells[i].String
		}
		steps = append(steps, step)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return steps
}

// sqliteScan is a step that reads all of a table, or of an index.
var sqliteScan = regexp.MustCompile(`^SCAN (\w+)`)

// derived says whether a name in a statement stands for a subquery, of which reading all is what it is for.
func derived(query, name string) bool {
	query = strings.Join(strings.Fields(query), " ")
	return name == "CONSTANT" || strings.Contains(query, ") "+name+" ") || strings.HasSuffix(query, ") "+name)
}
