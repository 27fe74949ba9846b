package jobs_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/models"
)

// zone is a time zone with some users in it.
type zone struct {
	name   string
	offset time.Duration
}

// zones are every whole-hour offset from UTC+14 to UTC−12, and Kathmandu's 5:45.
func zones() []zone {
	var all []zone
	for h := 14; h >= -12; h-- {
		all = append(all, zone{fmt.Sprintf("Etc/GMT%+d", -h), time.Duration(h) * time.Hour}) // POSIX signs
		if h == 6 {
			all = append(all, zone{"Asia/Kathmandu", 5*time.Hour + 45*time.Minute})
		}
	}
	return all
}

// zoneOfUser is the zone that the directory has for a user of populate.
func populate(r *rig, all []zone, perZone int) map[string]zone {
	r.t.Helper()
	of := map[string]zone{}
	var batch []models.UserChange
	add := func(id, timezone string, z zone) {
		of[id] = z
		batch = append(batch, models.UserChange{UserID: id, Timezone: new(timezone)})
		if len(batch) == 1000 {
			r.upsert(batch)
			batch = nil
		}
	}
	for i := range perZone {
		for k, z := range all {
			add(fmt.Sprintf("user-%05d-%02d", i, k), z.name, z)
		}
	}
	add("nobody-knows-where", "", zone{"Europe/Berlin", 2 * time.Hour}) // the default of localSpec, in June
	r.upsert(batch)
	return of
}

func millis(t time.Time) models.Millis { return models.Millis(t.UnixMilli()) }

var wall = time.Date(2027, 6, 4, 9, 0, 0, 0, time.UTC) // a Friday at nine, by everybody's own clock

func localSpec(policy models.Missed, grace time.Duration) models.CampaignSpec {
	sp := spec(models.Audience{Type: models.AudienceAll})
	sp.Timing = models.Timing{WallAt: millis(wall), Missed: policy, MissedGrace: models.Millis(grace.Milliseconds()), Zone: "Europe/Berlin"}
	sp.SendAt = millis(wall.Add(-14 * time.Hour))
	return sp
}

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestUnknownZone: a user whose zone only a newer program knows goes by the campaign's zone, as those do who have none, and the
// log says so.
func TestUnknownZone(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		berlin := wall.Add(-2 * time.Hour)
		r, clock := newQuietRigAt(t, s, wall.Add(-20*time.Hour))
		var said lines
		r = r.withLog(jobs.Options{}, &said)
		r.schedule()
		r.upsert([]models.UserChange{{UserID: "mars", Timezone: new("Asia/Tokyo")}, {UserID: "none"}})
		db, _, err := r.store.Writer()
		if err == nil {
			_, err = db.ExecContext(t.Context(), "UPDATE users SET timezone='Mars/Olympus' WHERE user_id='mars'")
		}
		if err != nil {
			t.Fatal(err)
		}
		id := r.post(localSpec(models.MissedOnce, time.Minute))
		clock.Set(berlin.Add(-time.Minute))
		r.until(id, "planned", func(c models.CampaignView) bool { return c.Planned })
		if c := r.view(id); c.Sent != 0 {
			t.Errorf("%d were sent before nine", c.Sent)
		}
		clock.Set(berlin)
		r.until(id, "both are sent at nine", func(c models.CampaignView) bool { return c.Status == models.StatusCompleted && c.Sent == 2 })
		if text := said.String(); !strings.Contains(text, "zone=Mars/Olympus instead=Europe/Berlin") {
			t.Errorf("the log says %s", text)
		}
	})
}

// TestLocalTime: everybody gets it at nine by their own clock, from UTC+14 to UTC−12; the campaign is complete after
// the last zone.
func TestLocalTime(t *testing.T) {
	t.Parallel()
	const perZone, wide = 3, 5
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		all := zones()
		r, clock := newRigAt(t, s, wall.Add(-20*time.Hour))
		of := populate(r, all, perZone)
		var batch []models.UserChange // one zone's users cross the end of a page
		for i := range models.PageSize {
			user := fmt.Sprintf("wide-%05d", i)
			of[user] = all[wide]
			batch = append(batch, models.UserChange{UserID: user, Timezone: &all[wide].name})
		}
		r.upsert(batch)
		id := r.post(localSpec(models.MissedOnce, time.Minute))
		r.until(id, "scheduled", func(c models.CampaignView) bool { return c.Status == models.StatusScheduled })
		sent := int64(0)
		for i, z := range all {
			at := wall.Add(-z.offset)
			clock.Set(at.Add(-time.Second))
			clock.Set(at)
			sent += perZone
			if i == wide {
				sent += int64(len(batch))
			}
			if z.offset == 2*time.Hour {
				sent++ // the user without a zone
			}
			c := r.until(id, fmt.Sprintf("%d sent at nine in %s", sent, z.name), func(c models.CampaignView) bool { return c.Sent >= sent })
			if c.Sent != sent {
				t.Fatalf("%d sent when %s came, not %d", c.Sent, z.name, sent)
			}
			if last := i == len(all)-1; !last && c.Status != models.StatusRunning {
				t.Fatalf("%s before the last zone", c.Status)
			}
		}
		r.until(id, "completed", func(c models.CampaignView) bool { return c.Status == models.StatusCompleted })
		for user, rec := range r.recipients(id) {
			want := millis(wall.Add(-of[user].offset))
			if rec.Status != models.RecipientSent || *rec.SentAt < want || *rec.SentAt > want+1000 {
				t.Fatalf("%s of %s: %+v, not sent at %s", user, of[user].name, rec, want.Time())
			}
			delete(of, user)
		}
		if len(of) > 0 {
			t.Errorf("%d users are no recipients", len(of))
		}
		r.verified(id)
	})
}

// TestLocalDeadline: expireAfter counts from each zone's own time. Whoever's zone is over expires, also while the campaign is
// paused, and the zones to come are sent to; a retry has no such end.
func TestLocalDeadline(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, clock := newRigAt(t, s, wall.Add(-20*time.Hour))
		var all []zone
		for i, z := range zones() {
			if i%3 == 0 {
				all = append(all, z)
				r.upsert([]models.UserChange{{UserID: z.name, Timezone: &z.name}})
			}
		}
		sch := r.every("0 9 * * 5", wall.Add(-20*time.Hour), func(s *models.Schedule) {
			s.LocalTime, s.Campaign = true, spec(models.Audience{Type: models.AudienceAll})
			s.Campaign.ExpireAfter = models.Millis(time.Hour.Milliseconds())
		})
		id, sent := "", int64(0)
		for i, z := range all {
			late := i == 4
			if late {
				r.must(r.store.PauseCampaign(t.Context(), id, "test"))
			}
			clock.Set(wall.Add(-z.offset))
			if i == 0 {
				r.historyIs(sch, "09:00:00 fired 1\n")
				list, _ := r.store.Occurrences(t.Context(), sch.ID, 0, 1)
				id = list[0].CampaignID
			}
			if late {
				clock.Set(wall.Add(-z.offset + time.Hour))
				r.until(id, "expired in "+z.name, func(c models.CampaignView) bool { return c.Expired == 1 })
				r.must(r.store.ResumeCampaign(t.Context(), id))
				continue
			}
			sent++
			r.until(id, "sent in "+z.name, func(c models.CampaignView) bool { return c.Sent == sent })
		}
		c := r.until(id, "completed", func(c models.CampaignView) bool { return c.Status == models.StatusCompleted })
		if c.Expired != 1 || c.Sent != int64(len(all)-1) || c.ExpireAt != millis(wall.Add(13*time.Hour)) {
			t.Errorf("%+v, until %s", c.Counts, c.ExpireAt.Time())
		}
		r.verified(id)
		if _, _, err := r.store.RetryCampaign(t.Context(), id, models.Retry{Statuses: []models.RecipientStatus{models.RecipientExpired}}); err != nil {
			t.Fatal(err)
		}
		r.until(id, "sent by a retry", func(c models.CampaignView) bool {
			return c.Status == models.StatusCompleted && c.Sent == int64(len(all))
		})
		r.verified(id)
	})
}

// TestLocalDeadlineInVisit: a page that is being sent when its zone's end comes sends no further.
func TestLocalDeadlineInVisit(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, clock := newRigAt(t, s, wall.Add(-20*time.Hour))
		r.users(900)
		sp := localSpec(models.MissedOnce, time.Hour)
		sp.RatePerSecond, sp.ExpireAfter = 100, 1500
		id := r.post(sp)
		clock.Set(wall.Add(-2 * time.Hour)) // Berlin in June
		r.until(id, "planned", func(c models.CampaignView) bool { return c.Planned })
		// The visit goes by its own clock, which runs on from the claim.
		r.until(id, "back among the new pages", func(c models.CampaignView) bool {
			w, err := r.store.WindowOf(t.Context(), c.ID)
			if err != nil {
				t.Fatal(err)
			}
			return c.FinishedAt != 0 || w != nil && w.Inside() == 0 && w.Later == 1
		})
		c := r.view(id) // the one above was read before its window
		clock.Set(wall.Add(-2*time.Hour + 2*time.Second))
		end := r.until(id, "over", func(c models.CampaignView) bool { return c.FinishedAt != 0 })
		if end.Status != models.StatusCompleted || end.Sent != c.Sent || end.Expired != 900-c.Sent || end.Expired == 0 {
			t.Errorf("%s %+v, and %d were sent when the end came", end.Status, end.Counts, c.Sent)
		}
		r.verified(id)
	})
}

func (r *rig) verified(id string) {
	r.t.Helper()
	if report, err := r.store.Verify(r.t.Context(), id); err != nil || !report.OK {
		r.t.Errorf("%+v, %v", report, err)
	}
}

// TestLocalTimeMissed: a campaign whose first zones are past when it starts skips them, or sends within the grace.
func TestLocalTimeMissed(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		all := zones()
		now := wall.Add(-8*time.Hour + 5*time.Minute) // nine was five minutes ago in UTC+8
		r, clock := newRigAt(t, s, now)
		of := populate(r, all, 3)
		for _, policy := range []models.Missed{models.MissedSkip, models.MissedOnce} {
			clock.Set(now)
			id := r.post(localSpec(policy, 10*time.Minute))
			r.until(id, "planned", func(c models.CampaignView) bool { return c.Planned })
			clock.Set(wall.Add(12 * time.Hour))
			c := r.until(id, "completed", func(c models.CampaignView) bool { return c.Status == models.StatusCompleted })
			for user, rec := range r.recipients(id) {
				offset := of[user].offset
				missed := offset > 8*time.Hour || offset == 8*time.Hour && policy == models.MissedSkip
				if missed != (rec.Status == models.RecipientSkipped) || missed && (rec.ErrMsg == nil || *rec.ErrMsg == "") {
					t.Errorf("%s: %s of %s is %s", policy, user, of[user].name, rec.Status)
				}
			}
			if c.Skipped+c.Sent != c.Counts.Total || c.Skipped == 0 || c.Sent == 0 {
				t.Errorf("%+v", c.Counts)
			}
			r.verified(id)
		}
	})
}

// TestLocalTimeOfLists: listed recipients and a group's members go by the directory's zones too.
func TestLocalTimeOfLists(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, clock := newRigAt(t, s, wall.Add(-20*time.Hour))
		r.upsert([]models.UserChange{{UserID: "auckland", Timezone: new("Pacific/Auckland")}, {UserID: "berlin"}, {UserID: "la", Timezone: new("America/Los_Angeles")}})
		if _, err := r.store.PutGroup(t.Context(), "g", nil, []string{"auckland", "berlin", "la"}); err != nil {
			t.Fatal(err)
		}
		list := localSpec(models.MissedSkip, 0)
		list.Audience = models.Audience{Type: models.AudienceUsers, UserIDs: []string{"auckland", "berlin", "la"}}
		list.Priority = models.PriorityTransactional
		group := localSpec(models.MissedSkip, 0)
		group.Audience, group.Message.SessionType = models.Audience{Type: models.AudienceGroup, GroupID: "g"}, models.SessionGroup
		ids := []string{r.post(list), r.post(group)}
		clock.Set(wall.Add(-14 * time.Hour))
		for _, id := range ids {
			r.until(id, "planned", func(c models.CampaignView) bool { return c.Planned })
		}
		clock.Set(wall.Add(-12 * time.Hour)) // Auckland in June
		for _, id := range ids {
			r.until(id, "sent in Auckland", func(c models.CampaignView) bool { return c.Sent == 1 })
			c, _ := r.store.Campaign(t.Context(), id)
			for user, want := range map[string]models.RecipientStatus{"auckland": models.RecipientSent, "berlin": models.RecipientPending, "la": models.RecipientPending} {
				if rec, err := r.store.Recipient(t.Context(), c.Campaign, user); err != nil || rec.Status != want {
					t.Errorf("%s: %s, %v", user, rec.Status, err)
				}
			}
		}
		clock.Set(wall.Add(7 * time.Hour)) // Los Angeles
		for _, id := range ids {
			r.until(id, "completed", func(c models.CampaignView) bool { return c.Status == models.StatusCompleted && c.Sent == 3 })
			r.verified(id)
		}
	})
}

// TestQuietHours: what falls into the night waits for eight o'clock in each zone, or expires; nobody is dropped.
func TestQuietHours(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		now := time.Date(2027, 6, 4, 5, 30, 0, 0, time.UTC) // 7:30 in Berlin, 22:30 in Los Angeles, 14:30 in Tokyo
		r, clock := newRigAt(t, s, now)
		r.upsert([]models.UserChange{{UserID: "berlin"}, {UserID: "la", Timezone: new("America/Los_Angeles")}, {UserID: "tokyo", Timezone: new("Asia/Tokyo")}})
		sp := spec(models.Audience{Type: models.AudienceAll})
		sp.Timing = models.Timing{QuietFrom: 22 * 60, QuietTo: 8 * 60, Zone: "Europe/Berlin"}
		whole := r.post(sp)
		sp.ExpireAt = millis(now.Add(2 * time.Hour))
		ends := r.post(sp)
		r.until(whole, "sent by day", func(c models.CampaignView) bool { return c.Sent == 1 })
		r.until(ends, "sent by day", func(c models.CampaignView) bool { return c.Sent == 1 })
		r.eventually("limited by the night", func() bool {
			c, err := r.store.Campaign(t.Context(), whole)
			if err != nil {
				t.Fatal(err)
			}
			p := r.rec.Pace(t.Context(), c)
			return p.LimitedBy == models.LimitedByWaiting && p.Why == "it is night in Europe/Berlin; quiet hours end at 2027-06-04T06:00:00Z"
		})
		berlin := time.Date(2027, 6, 4, 6, 0, 0, 0, time.UTC)
		clock.Set(berlin)
		r.until(whole, "sent at eight in Berlin", func(c models.CampaignView) bool { return c.Sent == 2 })
		r.until(ends, "sent at eight in Berlin", func(c models.CampaignView) bool { return c.Sent == 2 })
		clock.Set(now.Add(2 * time.Hour)) // a stop of its own: a state that was read just before a jump to the morning would still count
		r.until(ends, "expired", func(c models.CampaignView) bool {
			return c.Status == models.StatusExpired && c.Sent == 2 && c.Expired == 1 && c.FinishedAt != 0
		})
		la := time.Date(2027, 6, 4, 15, 0, 0, 0, time.UTC)
		clock.Set(la)
		r.until(whole, "completed", func(c models.CampaignView) bool { return c.Status == models.StatusCompleted && c.Sent == 3 })
		for user, want := range map[string]time.Time{"tokyo": now, "berlin": berlin, "la": la} {
			if rec := r.recipients(whole)[user]; *rec.SentAt < millis(want) || *rec.SentAt > millis(want)+1000 {
				t.Errorf("%s: sent at %s, not %s", user, rec.SentAt.Time(), want)
			}
		}
		if rec := r.recipients(ends)["la"]; rec.Status != models.RecipientExpired {
			t.Errorf("la: %s", rec.Status)
		}
		r.verified(whole)
		r.verified(ends)
	})
}

// TestNightFalls: a campaign that is under way when the night begins goes on in the morning, with its retries.
func TestNightFalls(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		evening := time.Date(2027, 6, 4, 19, 59, 0, 0, time.UTC) // 21:59 in Berlin
		r, clock := newRigAt(t, s, evening)
		r.users(2500)
		sp := spec(models.Audience{Type: models.AudienceAll})
		sp.RatePerSecond = 100
		sp.Timing = models.Timing{QuietFrom: 22 * 60, QuietTo: 8 * 60, Zone: "Europe/Berlin"}
		id := r.post(sp)
		r.until(id, "under way", func(c models.CampaignView) bool { return c.Sent > 50 })
		clock.Set(evening.Add(2 * time.Minute))
		r.until(id, "all pages back among the new ones", func(c models.CampaignView) bool {
			w, err := r.store.WindowOf(t.Context(), c.ID)
			if err != nil {
				t.Fatal(err)
			}
			return c.Planned && w.Inside() == 0 && w.New == 0 && w.Later == 1
		})
		before, err := r.store.Campaign(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.store.UpdateCampaign(t.Context(), id, models.CampaignChange{RatePerSecond: new(int)}); err != nil {
			t.Fatal(err)
		}
		morning := time.Date(2027, 6, 5, 6, 0, 0, 0, time.UTC)
		clock.Set(morning)
		r.until(id, "completed", func(c models.CampaignView) bool { return c.Status == models.StatusCompleted && c.Sent == 2500 })
		early, late := int64(0), int64(0)
		for _, rec := range r.recipients(id) {
			switch {
			case *rec.SentAt >= millis(morning):
				late++
			default:
				early++
			}
		}
		if early != before.Sent || late != 2500-before.Sent {
			t.Errorf("%d sent before the night and %d after it; %d were at its beginning", early, late, before.Sent)
		}
		r.verified(id)
	})
}
