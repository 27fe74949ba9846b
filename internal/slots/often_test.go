package slots_test

import (
	"strings"
	"testing"

	"carillon/internal/slots"
	"carillon/models"
)

// table is the timetable of a stored schedule.
func table(t *testing.T, cron string) slots.Timetable {
	t.Helper()
	tt, err := slots.Of(models.Schedule{Cron: cron, Timezone: "UTC"})
	if err != nil {
		t.Fatalf("%q: %v", cron, err)
	}
	return tt
}

func TestOften(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text   string
		perDay float64
		words  string
	}{
		{"* * * * *", 1440, "60 times an hour, 1440 times a day"},
		{"* 9 * * *", 60, "60 times an hour, 60 times a day"},
		{"*/25 * * * *", 72, "3 times an hour, 72 times a day"},
		{"@hourly", 24, "24 times a day"},
		{"@midnight", 1, "once a day"},
		{"0 9,17 * * *", 2, "twice a day"},
		{"0 22-2 * * *", 5, "5 times a day"},
		{"0 9 * * FRI-MON", 0.5714, "once a day, on 4 days of the week"},
		{"0 9 * * 0,7", 0.1429, "once a day, on one day of the week"},
		{"0 9 * * 0-7", 1, "once a day"},
		{"0 9 1 * *", 0.0329, "once a day, on about 12 days of the year"},
		{"0 9 13 * FRI", 0.171, "once a day, on about 62 days of the year"},
		{"@yearly", 0.0027, "once a day, on about 1 day of the year"},
		{"0 9 29 2 *", 0.0007, "once a day, on one day in about 4 years"},
		{"@every 90m", 16, "every 1h30m, 16 times a day"},
		{"@every 24h", 1, "every 24h, once a day"},
		{"@every 25m", 57.6, "every 25m, about 57.6 times a day"},
		{"@every 36h", 0.6667, "every 36h"},
		{"@every 1h0m5s", 23.9667, "every 1h0m5s, about 24.0 times a day"},
		{"@every 10s", 8640, "every 10s, 8640 times a day"},
	} {
		if perDay, words := table(t, c.text).Often(); perDay != c.perDay || words != c.words {
			t.Errorf("%q: %v, %q", c.text, perDay, words)
		}
	}
}

func TestTimetableWarnings(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"*/25 * * * *":    "fires unevenly: */25 in the minute field means 0, 25 and 50, and the next 0 comes 10 minutes later; for every 25 minutes write @every 25m",
		"5/25 * * * *":    "5/25 in the minute field means 5, 30 and 55, and the next 5 comes 10 minutes later",
		"*/7 * * * *":     "means 0, 7, 14, … and 56, and the next 0 comes 4 minutes later",
		"*/59 * * * *":    "means 0 and 59, and the next 0 comes 1 minute later",
		"0 */5 * * *":     "*/5 in the hour field means 0, 5, 10, 15 and 20, and the next 0 comes 4 hours later; for every 5 hours write @every 5h",
		"0 0 */2 * *":     "means 1, 3, 5, … and 31, and the next 1 comes when the next month begins; for every 2 days write @every 48h",
		"0 0 1 */5 *":     "means 1, 6 and 11, and the next 1 comes 2 months later",
		"0 0 * * */2":     "means 0, 2, 4 and 6, and the next 0 comes 1 day later",
		"@every 1s":       "fires every 1s, which makes up to 86400 campaigns a day",
		"*/90 * * * *":    "the cron text has a fault in the minute field: */90 means 0 alone", // stored before such were refused
		"*/15 * * * *":    "",
		"1/15 * * * *":    "",
		"0 */6 * * *":     "",
		"0 0 1 */3 *":     "",
		"*/25 9 * * *":    "", // there is no next hour
		"0 */5 * * MON":   "",
		"0 */5 1 * *":     "",
		"0 0 */2 1 *":     "",
		"0-50/25 * * * *": "", // who ends a range has seen its end
		"0 9 * * *":       "",
		"@every 25m":      "",
	} {
		got := table(t, text).Warnings()
		if want == "" && len(got) != 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0], want)) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
