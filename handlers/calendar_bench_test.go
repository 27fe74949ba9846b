package handlers

import (
	"fmt"
	"testing"
	"time"

	"carillon/internal/zones"
	"carillon/models"
)

// BenchmarkCalendar finds what 200 schedules that fire three times a day do within five weeks, in the order of the days.
//
//	go test ./handlers -run '^$' -bench Calendar
func BenchmarkCalendar(b *testing.B) {
	schedules := make([]models.Schedule, 200)
	names := []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Sydney"}
	for i := range schedules {
		schedules[i] = models.Schedule{PublicID: fmt.Sprint(i), Name: fmt.Sprint("Schedule ", i), Cron: fmt.Sprintf("%d 8,12,18 * * *", i%60), Timezone: names[i%len(names)]}
	}
	for _, zone := range []string{"UTC", "America/New_York"} {
		b.Run(zone, func(b *testing.B) {
			loc, err := zones.Load(zone)
			if err != nil {
				b.Fatal(err)
			}
			begin := time.Date(2027, 3, 1, 0, 0, 0, 0, loc)
			asked := CalendarDays{From: begin, N: 35, Most: 8}
			for b.Loop() {
				days := asked.days(schedules, nil, models.Millis(begin.UnixMilli()))
				if len(days) != 35 || len(days[1].Entries) != 8 || days[1].Rest != 592 {
					b.Fatalf("%+v", days[1])
				}
			}
		})
	}
}
