package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"carillon/client"
	"carillon/models"
)

const (
	campaignShare     = 100 // recipients of the large campaign for each small campaign
	smallCampaign     = 10  // recipients
	consoleSchedules  = 200
	consoleWaiting    = 50 // scheduled campaigns
	consoleGroups     = 200
	consoleMembers    = 5_000
	consoleFailed     = 100 // one in so many recipients of the large campaign
	consolePosters    = 8
	consoleSlow       = 50  // recipients/s of the campaign that runs, at most
	consoleRuns       = 600 // seconds that this campaign takes, at least
	consoleOtherUsers = 997
)

// consolePlaces are what the pages are asked about.
type consolePlaces struct {
	big, small, running, schedule, group string
	users                                int
}

// fill makes a path of the n-th request.
func (p consolePlaces) fill(path string, n int) string {
	return strings.NewReplacer("{big}", p.big, "{small}", p.small, "{running}", p.running, "{schedule}", p.schedule, "{group}", p.group,
		"{user}", userID(n*consoleOtherUsers%p.users), "{n}", fmt.Sprint(n)).Replace(path)
}

// seedConsole fills a ledger over the API: a large campaign of whose recipients some have failed, a small one,
// campaigns that wait, one that runs, schedules and groups. The failures, and many copies of the small campaign, are written
// into the tables.
func (s *Service) seedConsole(ctx context.Context, d *Directory) (p consolePlaces, err error) {
	p.users = d.Users
	few := d.Users / campaignShare
	s.bench.note("a campaign to %d, and %d small ones", d.Users, few)
	big, err := s.postWith(ctx, map[string]any{"name": "To all"})
	if err != nil {
		return p, err
	}
	p.big = big
	if _, err := s.await(ctx, big); err != nil {
		return p, err
	}
	users := make([]string, min(smallCampaign, d.Users))
	for i := range users {
		users[i] = userID(i)
	}
	small, err := s.postWith(ctx, map[string]any{"name": "Newsletter"}, users...)
	if err != nil {
		return p, err
	}
	p.small = small
	if _, err := s.await(ctx, small); err != nil {
		return p, err
	}
	err = d.write(ctx, func(tx *sql.Tx) error {
		return errors.Join(failSome(ctx, tx, big, d.Users), copies(ctx, tx, small, few))
	})
	if err != nil {
		return p, err
	}
	if err := s.seedWaiting(ctx, d, few, &p); err != nil {
		return p, err
	}
	if d.db != nil {
		if err := d.settle(ctx); err != nil {
			return p, err
		}
	}
	p.running, err = s.postWith(ctx, map[string]any{"name": "It runs", "ratePerSecond": min(consoleSlow, max(1, d.Users/consoleRuns))})
	return p, err
}

// seedWaiting adds campaigns that wait for their time, schedules and groups.
func (s *Service) seedWaiting(ctx context.Context, d *Directory, few int, p *consolePlaces) error {
	err := inParallel(min(consoleWaiting, few), func(i int) error {
		_, err := s.postWith(ctx, map[string]any{"name": fmt.Sprintf("Tomorrow %d", i), "sendAt": time.Now().Add(24 * time.Hour).Format(time.RFC3339)})
		return err
	})
	if err != nil {
		return err
	}
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Sydney"}
	err = inParallel(min(consoleSchedules, few), func(i int) error {
		body, err := json.Marshal(map[string]any{
			"name": fmt.Sprintf("Three times %d", i), "cron": fmt.Sprintf("%d 8,12,18 * * *", i%60), "timezone": zones[i%len(zones)],
			"campaign": map[string]any{"audience": map[string]any{"all": true}, "message": message()},
		})
		if err != nil {
			return err
		}
		made, err := client.Data[client.Schedule](s.CreateScheduleWithBody(ctx, nil, "application/json", bytes.NewReader(body)))
		if i == 0 {
			p.schedule = made.ID
		}
		return err
	})
	if err != nil {
		return err
	}
	p.group = "team-0"
	return inParallel(min(consoleGroups, few), func(i int) error {
		members := make([]string, min(consoleMembers, d.Users))
		for k := range members {
			members[k] = userID(k)
		}
		if i > 0 {
			members = members[:1]
		}
		name := fmt.Sprintf("Team %d", i)
		_, err := client.Data[client.Group](s.PutGroup(ctx, fmt.Sprintf("team-%d", i), client.GroupRequest{Name: &name, MemberIDs: members}))
		return err
	})
}

// inParallel calls f for each number below n, some at once.
func inParallel(n int, f func(i int) error) error {
	var wg sync.WaitGroup
	failed := make([]error, consolePosters)
	for k := range consolePosters {
		wg.Go(func() {
			for i := k; i < n && failed[k] == nil; i += consolePosters {
				failed[k] = f(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}

// write runs f in a transaction of the ledger, which a service may have open.
func (d *Directory) write(ctx context.Context, f func(*sql.Tx) error) error {
	db := d.db
	if d.Dir != "" {
		store, err := models.Open("sqlite:" + filepath.Join(d.Dir, "carillon.db"))
		if err != nil {
			return err
		}
		defer func() { _ = store.Close() }()
		if db, _, err = store.Writer(); err != nil {
			return err
		}
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// copiesAtOnce is how many copies of a campaign's row one statement writes.
const copiesAtOnce = 100

// copies writes a finished campaign n more times: its row, pages, recipients and events.
func copies(ctx context.Context, tx *sql.Tx, campaign string, n int) error {
	var id, last int64
	if err := tx.QueryRowContext(ctx, "SELECT id, (SELECT MAX(id) FROM campaigns) FROM campaigns WHERE public_id=?", campaign).Scan(&id, &last); err != nil {
		return err
	}
	into, from, err := columnsBut(ctx, tx, "campaigns", "id", "public_id", "name")
	if err != nil {
		return err
	}
	for first := 0; first < n; first += copiesAtOnce {
		var rows []string
		var args []any
		for i := first; i < min(n, first+copiesAtOnce); i++ {
			rows = append(rows, "SELECT ? AS id, ? AS public_id, ? AS name")
			args = append(args, last+1+int64(i), ulid.Make().String(), fmt.Sprintf("Newsletter %d", i))
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO campaigns (id,public_id,name"+into+") SELECT c.id,c.public_id,c.name"+from+
			" FROM campaigns s JOIN ("+strings.Join(rows, " UNION ALL ")+") c WHERE s.id=?", append(args, id)...)
		if err != nil {
			return err
		}
	}
	for _, table := range []string{"pages", "page_members", "recipients", "inbox_small", "events"} {
		key, original := "id", any(id)
		if table == "events" {
			key, original = "public_id", campaign
		}
		into, from, err := columnsBut(ctx, tx, table, "campaign_id", "id", "seq")
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO "+table+" (campaign_id"+into+") SELECT c."+key+from+" FROM "+table+" s JOIN campaigns c ON c.id>? WHERE s.campaign_id=?", last, original)
		if err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
	}
	return nil
}

// columnsBut are the columns of a table but some, each after a comma: to insert into, and to read from the table as s.
func columnsBut(ctx context.Context, tx *sql.Tx, table string, but ...string) (into, from string, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT * FROM "+table+" WHERE 1=0")
	if err != nil {
		return "", "", err
	}
	defer rows.Close()
	names, err := rows.Columns()
	for _, name := range names {
		if !slices.Contains(but, name) {
			into, from = into+","+name, from+",s."+name
		}
	}
	return into, from, errors.Join(err, rows.Err())
}

// failSome makes some recipients of a finished campaign failed ones, evenly over its pages.
func failSome(ctx context.Context, tx *sql.Tx, campaign string, users int) error {
	var id int64
	if err := tx.QueryRowContext(ctx, "SELECT id FROM campaigns WHERE public_id=?", campaign).Scan(&id); err != nil {
		return err
	}
	for reason := range 10 { // the users whose number ends in 000, in 100 and so on
		_, err := tx.ExecContext(ctx, "UPDATE recipients SET status=?, err_code=80000, err_msg=? WHERE campaign_id=? AND kind=0 AND user_id LIKE ?",
			models.RecipientFailed, fmt.Sprintf("the provider said no for reason %d", reason), id, fmt.Sprintf("%%%d00", reason))
		if err != nil {
			return err
		}
	}
	failed := (users + consoleFailed - 1) / consoleFailed
	// A page is a piece of the directory, whose users stand in order: models.PageSize of them, but the last.
	for no := 0; no*models.PageSize < users; no++ {
		n := (min(models.PageSize, users-no*models.PageSize) + consoleFailed - 1) / consoleFailed
		if _, err := tx.ExecContext(ctx, "UPDATE pages SET sent=sent-?, failed=? WHERE campaign_id=? AND no=?", n, n, id, no); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, "UPDATE campaigns SET final_sent=final_sent-?, final_failed=? WHERE id=?", failed, failed, id)
	return err
}

// cleanConsole forgets what no other section has.
func (d *Directory) cleanConsole(ctx context.Context) error {
	for _, table := range []string{"schedules", "schedule_skips", "occurrences", "chat_groups", "group_members", "listed", "campaign_samples"} {
		if _, err := d.db.ExecContext(ctx, "TRUNCATE TABLE "+table); err != nil {
			return err
		}
	}
	return d.Clean(ctx)
}
