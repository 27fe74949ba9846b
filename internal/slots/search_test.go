package slots

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"carillon/internal/zones"
)

// TestSearchIsTheParsers: the parser's own search goes field by field and step by step. It finds the
// same times.
func TestSearchIsTheParsers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var texts [len(fields)]string
		for i, f := range fields {
			texts[i] = "*"
			if rapid.Bool().Draw(t, f.name+" restricted") {
				values := rapid.SliceOfNDistinct(rapid.IntRange(f.min, f.max), 1, 3, rapid.ID).Draw(t, f.name)
				slices.Sort(values)
				list := make([]string, len(values))
				for k, v := range values {
					list[k] = strconv.Itoa(v)
				}
				texts[i] = strings.Join(list, ",")
			}
		}
		text := strings.Join(texts[:], " ")
		var s Spec
		if err := s.readFields(strings.Fields(text)); err != nil {
			t.Fatalf("%q %v", text, err)
		}
		s.cron.Location = time.UTC
		local := time.UnixMilli(rapid.Int64Range(0, 6e12).Draw(t, "after")).UTC() // up to 2160
		for range 10 {
			want := s.cron.Next(local)
			if want.IsZero() { // the parser looks five years ahead
				want = s.cron.Next(local.AddDate(5, 0, 0))
			}
			got, ok := s.after(local)
			if ok == want.IsZero() || !got.Equal(want) {
				t.Fatalf("%q after %v: %v, want %v", text, local, got, want)
			}
			if !ok {
				return
			}
			local = got
		}
	})
}

// BenchmarkMonth finds the slots of five weeks one by one, as a calendar does. In later, the zone's
// clocks change, and the standard library keeps nothing ready for those weeks.
func BenchmarkMonth(b *testing.B) {
	for name, begin := range map[string]time.Time{
		"now":   time.Now(),
		"later": time.Date(time.Now().Year()+2, 3, 10, 0, 0, 0, 0, time.UTC),
	} {
		for _, text := range []string{"59 8,12,18 * * *", "30 */8 * * *", "0 0 29 2 *"} {
			b.Run(name+"/"+text, func(b *testing.B) {
				loc, err := zones.Load("Europe/Berlin")
				if err != nil {
					b.Fatal(err)
				}
				s, err := Parse(text, loc, time.Time{})
				if err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					for t, end := begin, begin.AddDate(0, 0, 35); t.Before(end); {
						t, _ = s.Next(t)
					}
				}
			})
		}
	}
}
