package handlers

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/internal/slots"
	"carillon/internal/testkit"
	"carillon/models"
)

// rows counts the rows of every table.
func rows(t *testing.T, db *sql.DB, dialect string) map[string]int {
	t.Helper()
	list := "SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite_%'"
	if dialect == "mysql" {
		list = "SELECT table_name FROM information_schema.tables WHERE table_schema=DATABASE()"
	}
	found, err := db.QueryContext(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	var tables []string
	for found.Next() {
		var name string
		if err := found.Scan(&name); err != nil {
			t.Fatal(err)
		}
		tables = append(tables, name)
	}
	if err := found.Err(); err != nil || len(tables) < 10 {
		t.Fatal(tables, err)
	}
	n := map[string]int{}
	for _, name := range tables {
		var rows int
		if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+name).Scan(&rows); err != nil {
			t.Fatal(err)
		}
		n[name] = rows
	}
	return n
}

// TestEstimateIsWhatThePlannerDoes: of random audiences and times, a campaign of the same body gets
// the same total, the same recipients in each zone, the same zones that are skipped, and the same
// times. An estimate stores nothing.
func TestEstimateIsWhatThePlannerDoes(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		var plans []models.PlanTask
		s := newServer(t, stores, func(a *API) {
			a.Zone = "Asia/Kathmandu"
			a.Enqueue = func(_ context.Context, c models.Created) error {
				if c.Plan != nil {
					plans = append(plans, *c.Plan)
				}
				return nil
			}
		})
		db, dialect, err := s.Store.Writer()
		if err != nil {
			t.Fatal(err)
		}
		seed := rand.Uint64()
		t.Log("seed", seed)
		r := rand.New(rand.NewPCG(seed, 0))
		somewhere := []string{"", "", "Asia/Kathmandu", "Etc/GMT-14", "Etc/GMT+12", "Asia/Tokyo", "Europe/Berlin", "America/Los_Angeles", "America/St_Johns", "Of/A_newer_program"}
		var ids []string
		var users []models.UserChange
		for i := range 800 {
			id := fmt.Sprintf("u%03d", i)
			ids, users = append(ids, id), append(users, models.UserChange{UserID: id, Timezone: &somewhere[r.IntN(len(somewhere))]})
		}
		if r.IntN(2) == 0 {
			users = append(users, models.UserChange{UserID: "imAdmin", Timezone: new("Asia/Tokyo")})
		}
		if _, err := s.Store.UpsertUsers(t.Context(), users); err != nil {
			t.Fatal(err)
		}
		some := func() []string {
			var list []string
			for range 1 + r.IntN(400) {
				switch r.IntN(10) {
				case 0:
					list = append(list, fmt.Sprintf("nobody%d", r.IntN(100)))
				case 1:
					list = append(list, "imAdmin")
				default:
					list = append(list, ids[r.IntN(len(ids))])
				}
			}
			return list
		}
		for range 12 {
			s.putGroup("g", "", some()...)
			list, err := json.Marshal(some())
			if err != nil {
				t.Fatal(err)
			}
			body := []string{`{"audience":{"all":true}`, `{"audience":{"userIDs":` + string(list) + `}`, `{"audience":{"groupID":"g"}`}[r.IntN(3)]
			if r.IntN(4) > 0 {
				// No zone's time is about to come or to be too late: see missedGrace.
				wall := time.Now().UTC().Truncate(time.Second).Add(7*time.Minute + time.Duration(r.IntN(24)-11)*time.Hour)
				body += `,"localTime":true,"sendAt":"` + wall.Format(models.WallClock) + `"`
				body += []string{"", `,"missed":"skip"`, `,"missedGrace":"3h"`}[r.IntN(3)]
			}
			if r.IntN(2) == 0 {
				body += fmt.Sprintf(`,"quietHours":{"from":"%02d:00","to":"%02d:30"}`, r.IntN(24), r.IntN(24))
			}
			body += "," + strings.TrimSuffix(hello, "}") + `,"sessionType":` + map[bool]string{true: "2", false: "1"}[strings.Contains(body, "groupID")] + "}}"

			before := rows(t, db, dialect)
			e := s.estimate(t, body)
			if after := rows(t, db, dialect); !maps.Equal(before, after) {
				t.Errorf("an estimate has stored: %v, then %v", before, after)
			}
			plans = nil
			status, got := s.do(http.MethodPost, "/v1/campaigns", body)
			var made CampaignView
			if got.into(t, &made); status != http.StatusAccepted {
				t.Fatalf("%s: %d %s", body, status, got.Raw)
			}
			for _, task := range plans {
				for done := false; !done; {
					step, err := s.Store.PlanNext(t.Context(), task, slots.Turn)
					if err != nil {
						t.Fatal(err)
					}
					done = step.Done
				}
			}
			c, err := s.Store.Campaign(t.Context(), made.ID)
			if err != nil {
				t.Fatal(err)
			}
			if !c.Planned || c.Counts.Total != e.Total || c.Skipped != e.Skipped || !slices.Equal(e.Warnings, append([]string{}, made.Warnings...)) {
				t.Errorf("%.200s: %+v\n%+v", body, e, c)
			}
			if c.Zoned() {
				s.compareZones(t, body, e, c)
			} else if _, got := s.do(http.MethodGet, "/v1/campaigns/"+made.ID+"/zones", nil); string(got.Data) != `{"zones":[]}` {
				t.Errorf("%.200s: %s", body, got.Raw)
			}
		}
	})
}

// compareZones compares an estimate with the pages of a campaign.
func (s *server) compareZones(t *testing.T, body string, e Estimate, c models.CampaignView) {
	t.Helper()
	type zone struct {
		total, skipped int64
		starts         string
	}
	cut, estimated := map[string]zone{}, map[string]zone{}
	db, _, err := s.Store.Writer()
	if err != nil {
		t.Fatal(err)
	}
	pages, err := db.QueryContext(t.Context(), "SELECT zone, size, skipped, due_at FROM pages WHERE campaign_id=?", c.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer pages.Close()
	for pages.Next() {
		var p models.Page
		if err := pages.Scan(&p.Zone, &p.Size, &p.Skipped, &p.DueAt); err != nil {
			t.Fatal(err)
		}
		z := cut[p.Zone]
		z.total += int64(p.Size)
		z.skipped += int64(p.Skipped)
		if p.Skipped == 0 && p.DueAt > models.Millis(time.Now().UnixMilli()) {
			z.starts = shown(p.DueAt)
		}
		cut[p.Zone] = z
	}
	if err := pages.Err(); err != nil {
		t.Fatal(err)
	}
	for _, z := range e.Zones {
		v := zone{total: z.Total, skipped: z.Skipped}
		if at, err := time.Parse(time.RFC3339, deref(z.StartsAt)); err == nil && at.After(time.Now()) {
			v.starts = shown(models.Millis(at.UnixMilli()))
		}
		estimated[z.Zone] = v
	}
	if !maps.Equal(cut, estimated) {
		t.Errorf("%.200s:\n%v\n%v", body, cut, estimated)
	}
	_, got := s.do(http.MethodGet, "/v1/campaigns/"+c.PublicID+"/zones", nil)
	var now CampaignZoneList
	got.into(t, &now)
	before := time.Time{}
	for _, z := range now.Zones {
		begins, err := time.Parse(time.RFC3339, deref(z.StartsAt))
		if want := cut[z.Zone]; z.Total != want.total || z.Skipped != want.skipped || z.Pending != want.total-want.skipped || (err == nil) != (c.WallAt != 0) || begins.Before(before) {
			t.Errorf("%.200s: %+v after %s, want %+v", body, z, before, want)
		}
		before = begins
		delete(cut, z.Zone)
	}
	if len(cut) > 0 {
		t.Errorf("%.200s: without %v", body, cut)
	}
}
