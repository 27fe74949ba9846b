package slots_test

import (
	"strings"
	"testing"
	"time"

	"carillon/internal/slots"
)

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, reason string }{
		{"", "must not be empty"},
		{"   ", "must not be empty"},
		{strings.Repeat("1", 256), "at most 255 bytes, has 256"},
		{"0 9 * *\t*", "control characters"},
		{"0 9 * * *\n", "control characters"},
		{"0 9 * * *\x00", "control characters"},
		{"0 9 * * *\x7f", "control characters"},
		{"0 9 * * \u00a0*", "ASCII"},
		{"0 9 * * \xff", "ASCII"},
		{"CRON_TZ=UTC", "write the zone in timezone"}, // the parser panics
		{"TZ=UTC", "write the zone in timezone"},
		{" TZ=Europe/Berlin 0 9 * * *", "write the zone in timezone"},
		{"cron_tz=Europe/Berlin 0 9 * * *", "write the zone in timezone"},
		{"0 0 9 * * *", "seconds are not supported"},
		{"0 9 * *", "must have five fields (minute, hour, day of month, month, day of week), has 4"},
		{"0 9 * * * * *", "has 7"},
		{"0 TZ=UTC * * *", "fault in the hour field"},
		{"60 9 * * *", "fault in the minute field"},
		{"0 24 * * *", "fault in the hour field"},
		{"0 9 0 * *", "fault in the day of month field"},
		{"0 9 * 13 *", "fault in the month field"},
		{"0 9 * * 8", "8 is no day of week; days of the week go from 0 to 7"},
		{"0 9 * * monday", "monday is no day of week"},
		{"0 9 * MON *", "MON is no month; months go from 1 to 12, or JAN to DEC"},
		{"5-70 * * * *", "70 is no minute; minutes go from 0 to 59"},
		{"0 24 * * *", "24 is no hour; hours go from 0 to 23"},
		{"0 9 25-5/2 * *", "25-5/2 steps over the end of the month"},
		{"0 9 * * FRI#2", "the n-th weekday of a month is not supported"},
		{"0 9 * * 5L", "5L: L and W"},
		{"0 9 LW * *", "LW: L and W"},
		{"0 9 15W * *", "15W: L and W"},
		{"0 +9 * * *", "+9 is no hour"},
		{"0 9-17-19 * * *", "17-19 is no hour"},
		{"0 */2/3 * * *", "*/2/3 has no step"},
		{"0 */ * * *", "*/ has no step"},
		{"0 /2 * * *", "fault in the hour field"},
		{"0 -9 * * *", "\"\" is no hour"},
		{"*/0 * * * *", "*/0 has the step 0"},
		{"*/-5 * * * *", "*/-5 has no step"},
		// A step that its field cannot hold, with what to write instead.
		{"*/90 * * * *", "has a fault in the minute field: */90 means 0 alone; minutes go from 0 to 59; for every 90 minutes write @every 90m"},
		{"0/90 * * * *", "0/90 means 0 alone; minutes go from 0 to 59; for every 90 minutes write @every 90m"},
		{"*/60 * * * *", "for once an hour write 0"},
		{"30/45 * * * *", "30/45 means 30 alone; write 30"},
		{"10-20/30 * * * *", "10-20/30 means 10 alone; write 10"},
		{"0,*/90 * * * *", "*/90 means 0 alone"},
		{"0 */36 * * *", "*/36 means 0 alone; hours go from 0 to 23; for every 36 hours write @every 36h"},
		{"0 */24 * * *", "for once a day write 0"},
		{"0 0 */31 * *", "for every 31 days write @every 744h"},
		{"0 0 */400 * *", "name them, such as 1,16"},
		{"0 0 1 */12 *", "for once a year write 1"},
		{"0 0 1 */18 *", "name them, such as 1,7"},
		{"0 0 * * */7", "for once a week write 0"},
		{"0 0 * * */14", "for every 14 days write @every 336h"},
		{"0 0 * * MON/6", "MON/6 means 1 alone; write 1"},
		{"0 9 * * MON-", "fault in the day of week field"},
		{"0 9 L * *", "fault in the day of month field"},
		{"0 */0 * * *", "fault in the hour field"},
		{"0 -1 * * *", "fault in the hour field"},
		{"0 */99999999999999999999 * * *", "fault in the hour field"},
		{"0 9,, * * *", "fault in the hour field: 9,, has an empty entry"},
		{", 9 * * *", "fault in the minute field: , has an empty entry"},
		{"0 ? * * *", "fault in the hour field: must not have ?: write *"},
		{"0 *-5 * * *", "fault in the hour field: *-5 is no range from *"},
		{"0 0 31 2 *", "never fires"},
		{"0 0 30 2 *", "never fires"},
		{"0 0 31 2,4,6,9,11 *", "never fires"},
		{"@reboot", "must not be @reboot"},
		{"@Dayly", "unknown name"},
		{"@", "unknown name"},
		{"@daily now", "unknown name"},
		{"@every1h", "unknown name"},
		{"@every", "a duration such as"},
		{"@every ", "a duration such as"},
		{"@every 1", "a duration such as"},
		{"@every 1d", "a duration such as"},
		{"@every 1h 30m", "a duration such as"},
		{"@every 999999999h", "a duration such as"},
		{"@every 0s", "at least 1s"},
		{"@every -1h", "at least 1s"},
		{"@every 999ms", "at least 1s"},
		{"@every 1500ms", "whole seconds"},
		{"@every 8784h0m1s", "at most 366 days"},
	} {
		_, err := slots.Parse(c.text, time.UTC, time.Time{})
		if err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%q: %v, want %q", c.text, err, c.reason)
		}
		// What the standard library says of a number or a duration is no help to who wrote a cron text.
		for _, own := range []string{"strconv", "time:", "parse int", "parsing", "%!"} {
			if err != nil && strings.Contains(err.Error(), own) {
				t.Errorf("%q: %v", c.text, err)
			}
		}
	}
	if _, err := slots.Parse("@daily", nil, time.Time{}); err == nil {
		t.Error("no zone was taken")
	}
}

func TestInterval(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"0 * * * *": true, "*/5 */2 * * *": true, "0 *,3 * * *": true, "@hourly": true, "@every 1s": true, "@every 8784h": true,
		"0 0-23 * * *": false, "* 9 * * *": false, "0 0/2 * * *": false, "0 3,* * * *": false, "0 9 ? * MON-FRI": false,
		"@yearly": false, "@annually": false, "@monthly": false, "@weekly": false, "@daily": false, "@midnight": false, "  0   9 * * *  ": false,
	} {
		if got := parse(t, text, "Europe/Berlin", time.Time{}).Interval(); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestParseQuiet(t *testing.T) {
	t.Parallel()
	if q, from, to := slots.ParseQuiet("22:00", "08:30"); q != (slots.Quiet{From: 1320, To: 510}) || from != "" || to != "" {
		t.Errorf("%v %q %q", q, from, to)
	}
	for _, c := range []struct {
		from, to         string
		badFrom, badTill bool
	}{
		{"24:00", "08:00", true, false},
		{"22:00", "8:00", false, true},
		{"22:60", "", true, true},
		{"+1:00", "08:00 ", true, true},
		{"22:00:00", "0800", true, true},
		{"08:00", "08:00", false, true},
	} {
		q, from, to := slots.ParseQuiet(c.from, c.to)
		if (from != "") != c.badFrom || (to != "") != c.badTill || q != (slots.Quiet{}) {
			t.Errorf("%q %q: %v %q %q", c.from, c.to, q, from, to)
		}
	}
}

// FuzzParse sees that no text makes it panic, and that what is taken fires.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"0 9 * * *", "*/5 */2 1-15 JAN,jul MON-FRI", "@daily", "@every 1h30m", "0 0 29 2 *", "0 0 31 2 *", "CRON_TZ=UTC", "TZ= 1", "@every 0s", "0 0 ? * 1/2", "59/99 0/23 31/9 12 */1"} {
		f.Add(text, int64(1_800_000_000), uint32(0), uint8(0))
		f.Add(text, int64(1_806_195_600), uint32(999_999_999), uint8(2))
	}
	zones := []string{"UTC", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Beirut", "Pacific/Apia", "Africa/Casablanca", "America/St_Johns", "Asia/Manila"}
	f.Fuzz(func(t *testing.T, text string, seconds int64, nanos uint32, zoneNo uint8) {
		const years300 = 300 * 366 * 86400
		after := time.Unix(seconds%years300, int64(nanos%1_000_000_000))
		spec, err := slots.Parse(text, zone(t, zones[int(zoneNo)%len(zones)]), after.Add(-time.Hour))
		if err != nil {
			if err.Error() == "" {
				t.Errorf("%q: no reason", text)
			}
			return
		}
		slot, ok := spec.Next(after)
		if !ok || slot.IsZero() || !slot.After(after) || slot.Nanosecond() != 0 || slot.Location() != time.UTC {
			t.Errorf("%q after %v: %v %v", text, after, slot, ok)
		}
		if n, last := spec.Missed(slot, slot); n != 1 || !last.Equal(slot) {
			t.Errorf("%q missed of %v: %d %v", text, slot, n, last)
		}
		spec.Note(slot)
	})
}
