package handlers

import (
	"testing"
	"time"

	"carillon/models"
)

// at is an instant of 4 December 2026, a day without a change of clocks, in UTC.
func at(hour, minute, second int) models.Millis {
	return models.Millis(time.Date(2026, 12, 4, hour, minute, second, 0, time.UTC).UnixMilli())
}

// TestForecast: every number by hand.
func TestForecast(t *testing.T) {
	t.Parallel()
	users := func(n int64) models.ZoneUsers { return models.ZoneUsers{Users: n} }
	quiet := func(from, to int) models.Timing { return models.Timing{QuietFrom: from, QuietTo: to, Zone: "UTC"} }
	byWall := models.Timing{WallAt: at(9, 0, 0), Missed: models.MissedOnce, MissedGrace: 600_000, Zone: "UTC"}
	type zoneWant struct {
		counts EstimateCounts
		starts string
		ends   string
	}
	for name, c := range map[string]struct {
		campaign models.Campaign
		begins   models.Millis
		rate     int
		users    models.AudienceZones
		total    EstimateCounts
		takes    int64 // -1 = not known
		ends     models.Millis
		tooLong  bool
		zones    map[string]zoneWant
	}{
		"at once, with a rate": {
			begins: at(8, 0, 0), rate: 10, users: models.AudienceZones{"": users(101)},
			total: EstimateCounts{Total: 101, Sent: 101}, takes: 11, ends: at(8, 0, 10) + 100,
			zones: map[string]zoneWant{"UTC": {EstimateCounts{Total: 101, Sent: 101}, "2026-12-04T08:00:00Z", "2026-12-04T08:00:10.1Z"}},
		},
		"without a rate nobody knows the end": {
			begins: at(8, 0, 0), users: models.AudienceZones{"": users(101)},
			total: EstimateCounts{Total: 101, Sent: 101}, takes: -1,
			zones: map[string]zoneWant{"UTC": {EstimateCounts{Total: 101, Sent: 101}, "2026-12-04T08:00:00Z", ""}},
		},
		"nobody to send to": {
			begins: at(8, 0, 0), users: models.AudienceZones{"": {Users: 5, Unknown: 5}},
			total: EstimateCounts{Total: 5, Failed: 5}, takes: -1, ends: at(8, 0, 0),
		},
		"unknown and refusing users take no time": {
			begins: at(8, 0, 0), rate: 1, users: models.AudienceZones{"": {Users: 20, Unknown: 5}, "Asia/Tokyo": {Users: 10, Refusing: 4}},
			total: EstimateCounts{Total: 30, Sent: 21, Failed: 5, Skipped: 4}, takes: 21, ends: at(8, 0, 21),
		},
		"it expires in the middle": {
			campaign: models.Campaign{ExpireAt: at(8, 0, 4)}, begins: at(8, 0, 0), rate: 10, users: models.AudienceZones{"Asia/Tokyo": users(50), "UTC": users(50)},
			total: EstimateCounts{Total: 100, Sent: 40, Expired: 60}, takes: 4, ends: at(8, 0, 4),
			zones: map[string]zoneWant{
				"UTC":        {EstimateCounts{Total: 50, Sent: 20, Expired: 30}, "2026-12-04T08:00:00Z", "2026-12-04T08:00:04Z"},
				"Asia/Tokyo": {EstimateCounts{Total: 50, Sent: 20, Expired: 30}, "2026-12-04T17:00:00+09:00", "2026-12-04T17:00:04+09:00"},
			},
		},
		"longer than a year": {
			begins: at(8, 0, 0), rate: 1, users: models.AudienceZones{"": users(367 * 86400)},
			total: EstimateCounts{Total: 367 * 86400, Sent: 367 * 86400}, takes: 367 * 86400, tooLong: true,
		},
		"by local time: over, now and later": { // 9:00 was in Tokyo at 0:00, in Berlin it is 8:00, in New York 14:00
			campaign: models.Campaign{Timing: byWall}, begins: at(8, 0, 0), rate: 10,
			users: models.AudienceZones{"Asia/Tokyo": users(30), "Europe/Berlin": users(60), "America/New_York": users(45), "": users(5)},
			total: EstimateCounts{Total: 140, Sent: 110, Skipped: 30}, takes: 11, ends: at(14, 0, 4) + 500,
			zones: map[string]zoneWant{
				"Asia/Tokyo":       {EstimateCounts{Total: 30, Skipped: 30}, "", ""},
				"Europe/Berlin":    {EstimateCounts{Total: 60, Sent: 60}, "2026-12-04T09:00:00+01:00", "2026-12-04T09:00:06+01:00"},
				"UTC":              {EstimateCounts{Total: 5, Sent: 5}, "2026-12-04T09:00:00Z", "2026-12-04T09:00:00.5Z"},
				"America/New_York": {EstimateCounts{Total: 45, Sent: 45}, "2026-12-04T09:00:00-05:00", "2026-12-04T09:00:04.5-05:00"},
			},
		},
		"a zone whose time comes as it expires": {
			campaign: models.Campaign{Timing: byWall, ExpireAt: at(14, 0, 0)}, begins: at(8, 0, 0),
			users: models.AudienceZones{"Europe/Berlin": users(60), "America/New_York": {Users: 45, Unknown: 3}},
			total: EstimateCounts{Total: 105, Sent: 60, Expired: 45}, takes: -1,
		},
		"a zone that is late by less than its grace": {
			campaign: models.Campaign{Timing: byWall}, begins: at(8, 9, 59), rate: 1,
			users: models.AudienceZones{"Europe/Berlin": users(3)},
			total: EstimateCounts{Total: 3, Sent: 3}, takes: 3, ends: at(8, 10, 2),
			zones: map[string]zoneWant{"Europe/Berlin": {EstimateCounts{Total: 3, Sent: 3}, "2026-12-04T09:09:59+01:00", "2026-12-04T09:10:02+01:00"}},
		},
		"a zone that is late by more": {
			campaign: models.Campaign{Timing: byWall}, begins: at(8, 10, 1), rate: 1,
			users: models.AudienceZones{"Europe/Berlin": {Users: 3, Unknown: 2}},
			total: EstimateCounts{Total: 3, Skipped: 3}, takes: 0, ends: at(8, 10, 1),
		},
		"quiet hours begin in the middle": { // 22:00 to 8:00; Berlin has 21:59:50 at 20:59:50
			campaign: models.Campaign{Timing: quiet(22*60, 8*60)}, begins: at(20, 59, 50), rate: 2,
			users: models.AudienceZones{"Europe/Berlin": users(50)},
			total: EstimateCounts{Total: 50, Sent: 50}, takes: 25, ends: at(24+7, 0, 15),
			zones: map[string]zoneWant{"Europe/Berlin": {EstimateCounts{Total: 50, Sent: 50}, "2026-12-04T21:59:50+01:00", "2026-12-05T08:00:15+01:00"}},
		},
		"others go first while it is night": { // in Tokyo it is 23:00: until 8:00, which is 23:00 UTC
			campaign: models.Campaign{Timing: quiet(22*60, 8*60)}, begins: at(14, 0, 0), rate: 1,
			users: models.AudienceZones{"Asia/Tokyo": users(60), "Europe/Berlin": users(120)},
			total: EstimateCounts{Total: 180, Sent: 180}, takes: 180, ends: at(23, 1, 0),
			zones: map[string]zoneWant{
				"Asia/Tokyo":    {EstimateCounts{Total: 60, Sent: 60}, "2026-12-05T08:00:00+09:00", "2026-12-05T08:01:00+09:00"},
				"Europe/Berlin": {EstimateCounts{Total: 120, Sent: 120}, "2026-12-04T15:00:00+01:00", "2026-12-04T15:02:00+01:00"},
			},
		},
		"two zones share the rate": {
			campaign: models.Campaign{Timing: quiet(22*60, 8*60)}, begins: at(12, 0, 0), rate: 1,
			users: models.AudienceZones{"Africa/Abidjan": users(10), "UTC": users(10)},
			total: EstimateCounts{Total: 20, Sent: 20}, takes: 20, ends: at(12, 0, 20),
			zones: map[string]zoneWant{
				"Africa/Abidjan": {EstimateCounts{Total: 10, Sent: 10}, "2026-12-04T12:00:00Z", "2026-12-04T12:00:10Z"},
				"UTC":            {EstimateCounts{Total: 10, Sent: 10}, "2026-12-04T12:00:00Z", "2026-12-04T12:00:20Z"},
			},
		},
		"it expires in the quiet hours": { // 10 s before them, and none of the morning
			campaign: models.Campaign{Timing: quiet(22*60, 8*60), ExpireAt: at(24, 0, 0)}, begins: at(21, 59, 50), rate: 2,
			users: models.AudienceZones{"UTC": users(50)},
			total: EstimateCounts{Total: 50, Sent: 20, Expired: 30}, takes: 10, ends: at(24, 0, 0),
		},
		"one second a day": { // quiet for all but the minute from 8:00 to 8:01
			campaign: models.Campaign{Timing: quiet(8*60+1, 8*60)}, begins: at(8, 0, 0), rate: 1,
			users: models.AudienceZones{"UTC": users(180)},
			total: EstimateCounts{Total: 180, Sent: 180}, takes: 180, ends: at(48+8, 1, 0),
		},
		"a minute a day for longer than a year": {
			campaign: models.Campaign{Timing: quiet(8*60+1, 8*60)}, begins: at(8, 0, 0), rate: 1,
			users: models.AudienceZones{"UTC": users(60 * 400)},
			total: EstimateCounts{Total: 60 * 400, Sent: 60 * 400}, takes: 60 * 400, tooLong: true,
		},
	} {
		c.campaign.Zone = "UTC"
		f := &forecast{c: c.campaign, begins: c.begins, rate: c.rate}
		for zone, u := range c.users {
			f.add(zone, u, true)
		}
		if err := f.run(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		v := f.view()
		if v.EstimateCounts != c.total {
			t.Errorf("%s: %+v, not %+v", name, v.EstimateCounts, c.total)
		}
		if takes := v.TakesSeconds; takes == nil != (c.takes < 0) || takes != nil && *takes != c.takes {
			t.Errorf("%s: it takes %v s, not %d", name, deref(takes), c.takes)
		}
		if want := instantJSON(c.ends, false); deref(v.EndsAt) != deref(want) || f.tooLong != c.tooLong {
			t.Errorf("%s: it ends at %q, not %q, too long: %t", name, deref(v.EndsAt), deref(want), f.tooLong)
		}
		for _, z := range v.Zones {
			want, ok := c.zones[z.Zone]
			if got := (zoneWant{z.EstimateCounts, deref(z.StartsAt), deref(z.EndsAt)}); ok && got != want {
				t.Errorf("%s: %s: %+v, not %+v", name, z.Zone, got, want)
			}
			delete(c.zones, z.Zone)
		}
		if len(c.zones) > 0 {
			t.Errorf("%s: no zones %v", name, c.zones)
		}
	}
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
