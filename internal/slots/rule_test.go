package slots_test

import (
	"testing"
	"time"

	"carillon/internal/slots"
	"carillon/internal/zones"
)

// rule is the daylight-saving rule by hand: every instant is written from the zone's transitions, as zdump -v
// gives them, not computed. Times are UTC.
var rule = []struct {
	zone, text, after string
	want              []string
}{
	// Forward 2027-03-28 01:00Z, 02:00 +1 -> 03:00 +2.
	{"Europe/Berlin", "30 2 * * *", "2027-03-27T12:00:00Z", []string{"2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"}},
	{"Europe/Berlin", "0,30 2,3 * * *", "2027-03-28T00:00:00Z", []string{"2027-03-28T01:00:00Z", "2027-03-28T01:30:00Z", "2027-03-29T00:00:00Z"}},
	{"Europe/Berlin", "0 9 * * *", "2027-03-27T07:00:00Z", []string{"2027-03-27T08:00:00Z", "2027-03-28T07:00:00Z", "2027-03-29T07:00:00Z"}},
	{"Europe/Berlin", "30 * * * *", "2027-03-28T00:00:00Z", []string{"2027-03-28T00:30:00Z", "2027-03-28T01:30:00Z", "2027-03-28T02:30:00Z"}},
	{"Europe/Berlin", "30 */2 * * *", "2027-03-27T23:00:00Z", []string{"2027-03-27T23:30:00Z", "2027-03-28T02:30:00Z", "2027-03-28T04:30:00Z"}},
	{"Europe/Berlin", "@every 6h", "2027-03-27T21:00:00Z", []string{"2027-03-28T00:00:00Z", "2027-03-28T06:00:00Z", "2027-03-28T12:00:00Z"}},
	// Back 2027-10-31 01:00Z, 03:00 +2 -> 02:00 +1.
	{"Europe/Berlin", "30 2 * * *", "2027-10-30T12:00:00Z", []string{"2027-10-31T00:30:00Z", "2027-11-01T01:30:00Z"}},
	{"Europe/Berlin", "30 2 * * *", "2027-10-31T01:15:00Z", []string{"2027-11-01T01:30:00Z"}},
	{"Europe/Berlin", "*/20 2 * * *", "2027-10-30T12:00:00Z", []string{"2027-10-31T00:00:00Z", "2027-10-31T00:20:00Z", "2027-10-31T00:40:00Z", "2027-11-01T01:00:00Z"}},
	{"Europe/Berlin", "0 9 * * *", "2027-10-30T06:00:00Z", []string{"2027-10-30T07:00:00Z", "2027-10-31T08:00:00Z", "2027-11-01T08:00:00Z"}},
	{"Europe/Berlin", "30 * * * *", "2027-10-30T23:59:00Z", []string{"2027-10-31T00:30:00Z", "2027-10-31T01:30:00Z", "2027-10-31T02:30:00Z"}},
	{"Europe/Berlin", "0 */2 * * *", "2027-10-30T23:00:00Z", []string{"2027-10-31T00:00:00Z", "2027-10-31T01:00:00Z", "2027-10-31T03:00:00Z"}},
	{"Europe/Berlin", "@every 6h", "2027-10-30T21:00:00Z", []string{"2027-10-31T00:00:00Z", "2027-10-31T06:00:00Z"}},

	// Forward 2027-03-14 07:00Z, 02:00 -5 -> 03:00 -4.
	{"America/New_York", "30 2 * * *", "2027-03-13T12:00:00Z", []string{"2027-03-14T07:00:00Z", "2027-03-15T06:30:00Z"}},
	{"America/New_York", "@daily", "2027-03-13T12:00:00Z", []string{"2027-03-14T05:00:00Z", "2027-03-15T04:00:00Z"}},
	{"America/New_York", "@hourly", "2027-03-14T05:30:00Z", []string{"2027-03-14T06:00:00Z", "2027-03-14T07:00:00Z", "2027-03-14T08:00:00Z"}},
	// Back 2027-11-07 06:00Z, 02:00 -4 -> 01:00 -5.
	{"America/New_York", "30 1 * * *", "2027-11-06T12:00:00Z", []string{"2027-11-07T05:30:00Z", "2027-11-08T06:30:00Z"}},
	{"America/New_York", "0 1,2 * * *", "2027-11-07T04:00:00Z", []string{"2027-11-07T05:00:00Z", "2027-11-07T07:00:00Z", "2027-11-08T06:00:00Z"}},
	{"America/New_York", "@hourly", "2027-11-07T04:30:00Z", []string{"2027-11-07T05:00:00Z", "2027-11-07T06:00:00Z", "2027-11-07T07:00:00Z"}},

	// Back 2027-04-03 15:00Z, 02:00 +11 -> 01:30 +10:30: half an hour.
	{"Australia/Lord_Howe", "45 1 * * *", "2027-04-03T12:00:00Z", []string{"2027-04-03T14:45:00Z", "2027-04-04T15:15:00Z"}},
	{"Australia/Lord_Howe", "0 2 * * *", "2027-04-03T12:00:00Z", []string{"2027-04-03T15:30:00Z", "2027-04-04T15:30:00Z"}},
	{"Australia/Lord_Howe", "45 * * * *", "2027-04-03T14:00:00Z", []string{"2027-04-03T14:45:00Z", "2027-04-03T15:15:00Z", "2027-04-03T16:15:00Z"}},
	// Forward 2027-10-02 15:30Z, 02:00 +10:30 -> 02:30 +11.
	{"Australia/Lord_Howe", "15 2 * * *", "2027-10-02T12:00:00Z", []string{"2027-10-02T15:30:00Z", "2027-10-03T15:15:00Z"}},
	{"Australia/Lord_Howe", "15 * * * *", "2027-10-02T14:00:00Z", []string{"2027-10-02T14:45:00Z", "2027-10-02T16:15:00Z"}},
	{"Australia/Lord_Howe", "0 * * * *", "2027-10-02T14:00:00Z", []string{"2027-10-02T14:30:00Z", "2027-10-02T16:00:00Z"}},

	// Forward 2027-03-27 22:00Z, 00:00 +2 -> 01:00 +3: a day without midnight.
	{"Asia/Beirut", "@daily", "2027-03-27T12:00:00Z", []string{"2027-03-27T22:00:00Z", "2027-03-28T21:00:00Z"}},
	{"Asia/Beirut", "30 0 * * *", "2027-03-27T12:00:00Z", []string{"2027-03-27T22:00:00Z", "2027-03-28T21:30:00Z"}},
	{"Asia/Beirut", "30 * * * *", "2027-03-27T21:00:00Z", []string{"2027-03-27T21:30:00Z", "2027-03-27T22:30:00Z", "2027-03-27T23:30:00Z"}},
	// Back 2027-10-30 21:00Z, 24:00 +3 -> 23:00 +2.
	{"Asia/Beirut", "30 23 * * *", "2027-10-30T12:00:00Z", []string{"2027-10-30T20:30:00Z", "2027-10-31T21:30:00Z"}},
	{"Asia/Beirut", "@daily", "2027-10-30T12:00:00Z", []string{"2027-10-30T22:00:00Z", "2027-10-31T22:00:00Z"}},
	{"Asia/Beirut", "30 * * * *", "2027-10-30T20:00:00Z", []string{"2027-10-30T20:30:00Z", "2027-10-30T21:30:00Z", "2027-10-30T22:30:00Z"}},

	// Back 2027-04-03 14:00Z, 03:45 +13:45 -> 02:45 +12:45.
	{"Pacific/Chatham", "0 3 * * *", "2027-04-03T00:00:00Z", []string{"2027-04-03T13:15:00Z", "2027-04-04T14:15:00Z"}},
	{"Pacific/Chatham", "45 3 * * *", "2027-04-03T00:00:00Z", []string{"2027-04-03T15:00:00Z", "2027-04-04T15:00:00Z"}},
	{"Pacific/Chatham", "0 * * * *", "2027-04-03T13:00:00Z", []string{"2027-04-03T13:15:00Z", "2027-04-03T14:15:00Z", "2027-04-03T15:15:00Z"}},
	// Forward 2027-09-25 14:00Z, 02:45 +12:45 -> 03:45 +13:45.
	{"Pacific/Chatham", "0 3 * * *", "2027-09-25T00:00:00Z", []string{"2027-09-25T14:00:00Z", "2027-09-26T13:15:00Z"}},
	{"Pacific/Chatham", "0 * * * *", "2027-09-25T13:00:00Z", []string{"2027-09-25T13:15:00Z", "2027-09-25T14:15:00Z"}},

	// 2011-12-30 10:00Z, -10 -> +14: the 30th does not exist, and its 09:00 is the first instant of the 31st.
	{"Pacific/Apia", "0 9 * * *", "2011-12-29T20:00:00Z", []string{"2011-12-30T10:00:00Z", "2011-12-30T19:00:00Z"}},
	{"Pacific/Apia", "0 */12 * * *", "2011-12-29T20:00:00Z", []string{"2011-12-29T22:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T22:00:00Z"}},
	// 2018-11-04 03:00Z, 00:00 -3 -> 01:00 -2.
	{"America/Sao_Paulo", "@daily", "2018-11-03T12:00:00Z", []string{"2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"}},
	// The last day of a leap year beyond the zone's table, where ZoneBounds names a bound that has passed.
	{"Europe/Berlin", "@daily", "2040-12-31T12:00:00Z", []string{"2040-12-31T23:00:00Z", "2041-01-01T23:00:00Z"}},
	{"Europe/Berlin", "@hourly", "2040-12-31T22:30:00Z", []string{"2040-12-31T23:00:00Z", "2041-01-01T00:00:00Z", "2041-01-01T01:00:00Z"}},
	// 2100 is no leap year: eight years without 29 February.
	{"UTC", "0 12 29 2 *", "2096-03-01T00:00:00Z", []string{"2104-02-29T12:00:00Z"}},
	// Day of month and day of week, both restricted: either. The 13th is a Thursday, the 14th a Friday.
	{"UTC", "0 0 13 * 0-7", "2027-05-08T00:00:00Z", []string{"2027-05-09T00:00:00Z", "2027-05-10T00:00:00Z"}}, // a whole week is no *
	{"UTC", "0 0 ? * FRI", "2027-05-08T00:00:00Z", []string{"2027-05-14T00:00:00Z", "2027-05-21T00:00:00Z"}},
	// 2027-05-09 is a Sunday. 7 is Sunday, at the end of a range too; ranges go on over the week's, the day's and the year's end.
	{"UTC", "0 9 * * 7", "2027-05-08T00:00:00Z", []string{"2027-05-09T09:00:00Z", "2027-05-16T09:00:00Z"}},
	{"UTC", "0 9 * * SUN-SUN", "2027-05-08T00:00:00Z", []string{"2027-05-09T09:00:00Z", "2027-05-16T09:00:00Z"}},
	{"UTC", "0 9 * * 7-7", "2027-05-08T00:00:00Z", []string{"2027-05-09T09:00:00Z", "2027-05-16T09:00:00Z"}},
	{"UTC", "0 9 * * 7-1", "2027-05-08T00:00:00Z", []string{"2027-05-09T09:00:00Z", "2027-05-10T09:00:00Z", "2027-05-16T09:00:00Z"}},
	{"UTC", "0 9 * * 6-7", "2027-05-09T10:00:00Z", []string{"2027-05-15T09:00:00Z", "2027-05-16T09:00:00Z", "2027-05-22T09:00:00Z"}},
	{"UTC", "0 9 * * fri-Mon", "2027-05-10T10:00:00Z", []string{"2027-05-14T09:00:00Z", "2027-05-15T09:00:00Z", "2027-05-16T09:00:00Z", "2027-05-17T09:00:00Z", "2027-05-21T09:00:00Z"}},
	{"UTC", "0 9 * * FRI-MON/2", "2027-05-10T10:00:00Z", []string{"2027-05-14T09:00:00Z", "2027-05-16T09:00:00Z", "2027-05-21T09:00:00Z"}},
	{"UTC", "0 22-2 * * *", "2027-05-08T20:00:00Z", []string{"2027-05-08T22:00:00Z", "2027-05-08T23:00:00Z", "2027-05-09T00:00:00Z", "2027-05-09T01:00:00Z", "2027-05-09T02:00:00Z", "2027-05-09T22:00:00Z"}},
	{"UTC", "0 22-3/2,12 * * *", "2027-05-08T20:00:00Z", []string{"2027-05-08T22:00:00Z", "2027-05-09T00:00:00Z", "2027-05-09T02:00:00Z", "2027-05-09T12:00:00Z"}},
	{"UTC", "50-10/10 0 * * *", "2027-05-08T20:00:00Z", []string{"2027-05-09T00:00:00Z", "2027-05-09T00:10:00Z", "2027-05-09T00:50:00Z", "2027-05-10T00:00:00Z"}},
	{"UTC", "0 0 1 11-2 *", "2027-02-02T00:00:00Z", []string{"2027-11-01T00:00:00Z", "2027-12-01T00:00:00Z", "2028-01-01T00:00:00Z", "2028-02-01T00:00:00Z", "2028-11-01T00:00:00Z"}},
	{"UTC", "0 0 1 nov-FEB/3 *", "2027-02-02T00:00:00Z", []string{"2027-11-01T00:00:00Z", "2028-02-01T00:00:00Z"}},
	{"UTC", "0 0 30-2 * *", "2027-04-29T00:00:00Z", []string{"2027-04-30T00:00:00Z", "2027-05-01T00:00:00Z", "2027-05-02T00:00:00Z", "2027-05-30T00:00:00Z", "2027-05-31T00:00:00Z"}},
	{"UTC", "0/25 * * * *", "2027-05-08T00:00:00Z", []string{"2027-05-08T00:25:00Z", "2027-05-08T00:50:00Z", "2027-05-08T01:00:00Z"}},
	{"UTC", "@Midnight", "2027-05-08T00:00:00Z", []string{"2027-05-09T00:00:00Z"}},
	// The hours over midnight in the night in which clocks go forward: 02:00 is 03:00.
	{"Europe/Berlin", "0 22-3 * * *", "2027-03-27T22:30:00Z", []string{"2027-03-27T23:00:00Z", "2027-03-28T00:00:00Z", "2027-03-28T01:00:00Z", "2027-03-28T20:00:00Z"}},
	{"UTC", "0 0 13 * FRI", "2027-05-08T00:00:00Z", []string{"2027-05-13T00:00:00Z", "2027-05-14T00:00:00Z", "2027-05-21T00:00:00Z"}},
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	instant, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return instant
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := zones.Load(name)
	if err != nil {
		t.Fatalf("%s %v", name, err)
	}
	return loc
}

func parse(t testing.TB, text, zoneName string, anchor time.Time) slots.Spec {
	t.Helper()
	spec, err := slots.Parse(text, zone(t, zoneName), anchor)
	if err != nil {
		t.Fatalf("%q %v", text, err)
	}
	return spec
}

func TestRule(t *testing.T) {
	t.Parallel()
	anchor := at(t, "2000-01-01T00:00:00Z")
	for _, c := range rule {
		spec := parse(t, c.text, c.zone, anchor)
		slot := at(t, c.after)
		for _, want := range c.want {
			var ok bool
			if slot, ok = spec.Next(slot); !ok || slot.Format(time.RFC3339) != want {
				t.Errorf("%s %q after %s: %v %v, want %s", c.zone, c.text, c.after, slot, ok, want)
				break
			}
		}
	}
}

func TestNote(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ zone, text, slot, want string }{
		{"Europe/Berlin", "30 2 * * *", "2027-03-27T01:30:00Z", ""},
		{"Europe/Berlin", "30 2 * * *", "2027-03-28T01:00:00Z", "clocks go forward this day: 02:30 does not exist, so it is 03:00"},
		{"Europe/Berlin", "0 3 * * *", "2027-03-28T01:00:00Z", "clocks go forward this day"},
		{"Europe/Berlin", "0 9 * * *", "2027-03-28T07:00:00Z", "clocks go forward this day"},
		{"Europe/Berlin", "@hourly", "2027-03-28T01:00:00Z", "clocks go forward this day"},
		{"Europe/Berlin", "30 2 * * *", "2027-03-29T00:30:00Z", ""},
		{"Europe/Berlin", "30 2 * * *", "2027-10-31T00:30:00Z", "clocks go back this day; fires at the first 02:30"},
		{"Europe/Berlin", "0 3 * * *", "2027-10-31T02:00:00Z", "clocks go back this day"},
		{"Europe/Berlin", "@hourly", "2027-10-31T00:00:00Z", "clocks go back this day; this is the first 02:00"},
		{"Europe/Berlin", "@every 1h", "2027-10-31T01:00:00Z", "clocks go back this day; this is the second 02:00"},
		{"Asia/Beirut", "@daily", "2027-03-27T22:00:00Z", "clocks go forward this day: 00:00 does not exist, so it is 01:00"},
		{"Asia/Beirut", "0 12 * * *", "2027-10-31T10:00:00Z", ""}, // they went back on the day before
		{"Asia/Beirut", "30 23 * * *", "2027-10-30T20:30:00Z", "clocks go back this day; fires at the first 23:30"},
		{"Pacific/Apia", "0 9 * * *", "2011-12-30T10:00:00Z", "clocks go forward this day: 2011-12-30 09:00 does not exist, so it is 00:00"},
		{"UTC", "0 9 * * *", "2027-03-28T09:00:00Z", ""},
		{"Europe/Berlin", "0 0 1 1 *", "2029-12-31T23:00:00Z", ""}, // where the standard library has a bound and no change
		{"Europe/Berlin", "0 0 1 1 *", "2040-12-31T23:00:00Z", ""},
	} {
		slot := at(t, c.slot)
		spec := parse(t, c.text, c.zone, at(t, "2000-01-01T00:00:00Z"))
		if next, ok := spec.Next(slot.Add(-1)); !ok || !next.Equal(slot) {
			t.Errorf("%s %q: %v is no slot, the next is %v", c.zone, c.text, slot, next)
		}
		if got := spec.Note(slot); got != c.want {
			t.Errorf("%s %q at %s: %q, want %q", c.zone, c.text, c.slot, got, c.want)
		}
	}
}

func TestEvery(t *testing.T) {
	t.Parallel()
	spec := parse(t, " @every 90m ", "Europe/Berlin", at(t, "2027-03-28T00:00:07.9Z"))
	for _, c := range []struct{ after, want string }{
		{"2020-01-01T00:00:00Z", "2027-03-28T00:00:07Z"}, // none before the anchor
		{"2027-03-28T00:00:06.5Z", "2027-03-28T00:00:07Z"},
		{"2027-03-28T00:00:07Z", "2027-03-28T01:30:07Z"},
		{"2027-03-28T01:30:06.999Z", "2027-03-28T01:30:07Z"},
		{"2027-03-28T01:30:07.001Z", "2027-03-28T03:00:07Z"},
	} {
		if got, ok := spec.Next(at(t, c.after)); !ok || !got.Equal(at(t, c.want)) {
			t.Errorf("after %s: %v %v, want %s", c.after, got, ok, c.want)
		}
	}
	if n, last := spec.Missed(at(t, "2027-03-28T01:30:07Z"), at(t, "2127-03-28T00:00:00Z")); n != 584383 || !last.Equal(at(t, "2127-03-27T22:30:07Z")) {
		t.Errorf("a hundred years: %d, last %v", n, last) // 36,523 days of 16 slots, 14 in the 22:29:53 left, and the first
	}
}

func TestMissedStopsCounting(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, from, until string
		n                 int
		last              string
	}{
		{"* * * * *", "2027-01-01T00:00:00Z", "2027-03-11T10:39:00Z", 100_000, "2027-03-11T10:39:00Z"}, // exactly so many
		{"* * * * *", "2027-01-01T00:00:00Z", "2027-03-11T10:40:00Z", 100_000, "2027-03-11T10:40:00Z"}, // one more
		{"* * * * *", "2020-01-01T00:00:00Z", "2027-06-01T12:34:56.7Z", 100_000, "2027-06-01T12:34:00Z"},
		{"* 8-9 * 1 *", "1990-01-01T08:00:00Z", "2100-07-01T00:00:00Z", 100_000, "2100-01-31T09:59:00Z"},
		{"0 9 * * *", "2027-01-01T09:00:00Z", "2027-01-01T09:00:00Z", 1, "2027-01-01T09:00:00Z"},
		{"0 9 * * *", "2027-01-01T09:00:00Z", "2027-01-03T08:59:59Z", 2, "2027-01-02T09:00:00Z"},
	} {
		n, last := parse(t, c.text, "UTC", time.Time{}).Missed(at(t, c.from), at(t, c.until))
		if n != c.n || !last.Equal(at(t, c.last)) {
			t.Errorf("%q %s to %s: %d, last %v; want %d, %s", c.text, c.from, c.until, n, last, c.n, c.last)
		}
	}
	if n, last := parse(t, "0 9 * * *", "UTC", time.Time{}).Missed(at(t, "2027-01-02T09:00:00Z"), at(t, "2027-01-02T08:00:00Z")); n != 0 || !last.IsZero() {
		t.Errorf("until before from: %d %v", n, last)
	}
}

func BenchmarkNext(b *testing.B) {
	for _, text := range []string{"* * * * *", "30 2 * * *", "0 12 29 2 *", "0 */4 29 2 *", "@every 90m"} {
		b.Run(text, func(b *testing.B) {
			spec := parse(b, text, "Europe/Berlin", at(b, "2027-01-01T00:00:00Z"))
			after := at(b, "2027-03-28T00:10:00Z")
			for b.Loop() {
				if _, ok := spec.Next(after); !ok {
					b.Fatal("none")
				}
			}
		})
	}
}
