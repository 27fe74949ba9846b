package slots_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"carillon/internal/slots"
)

// days are those around which zones did something to their clocks, and two on which the standard library has
// bounds of its own.
var days = []struct{ zone, day string }{
	{"Europe/Berlin", "2027-03-28"},
	{"Europe/Berlin", "2027-10-31"},
	{"Europe/Berlin", "2040-12-31"},
	{"America/New_York", "2027-03-14"},
	{"America/New_York", "2027-11-07"},
	{"America/St_Johns", "2027-11-07"},
	{"America/St_Johns", "2006-10-29"}, // 00:01 back to 23:01 of the day before
	{"America/St_Johns", "1988-04-03"}, // two hours
	{"Australia/Lord_Howe", "2027-04-04"},
	{"Australia/Lord_Howe", "2027-10-03"},
	{"Asia/Beirut", "2027-03-28"},
	{"Asia/Beirut", "2027-10-30"},
	{"Africa/Cairo", "2027-04-30"},
	{"Africa/Casablanca", "2027-02-07"},
	{"Pacific/Chatham", "2027-04-04"},
	{"Pacific/Chatham", "2027-09-26"},
	{"Pacific/Apia", "2011-12-30"},      // left out
	{"Pacific/Kwajalein", "1993-08-21"}, // left out
	{"America/Sao_Paulo", "2018-11-04"},
	{"America/Sao_Paulo", "2018-02-18"},
	{"Antarctica/Troll", "2027-03-28"}, // two hours
	{"UTC", "2028-02-29"},
}

// window is the minutes of six days around a day, with what the local clock shows at each, read field by
// field: the oracles below know of nothing else.
type window struct {
	loc    *time.Location
	begin  time.Time
	clocks []time.Time // as if in UTC
}

func drawWindow(t *rapid.T, zones map[string]*time.Location) window {
	d := rapid.SampledFrom(days).Draw(t, "day")
	noon, err := time.Parse(time.DateOnly, d.day)
	if err != nil {
		t.Fatal(err)
	}
	w := window{loc: zones[d.zone], begin: noon.AddDate(0, 0, -3)}
	for u := w.begin; len(w.clocks) < 6*24*60; u = u.Add(time.Minute) {
		l := u.In(w.loc)
		w.clocks = append(w.clocks, time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), 0, 0, time.UTC))
	}
	return w
}

func (w window) instant(i int) time.Time { return w.begin.Add(time.Duration(i) * time.Minute) }

// drawInside is an instant that leaves the window's clocks a day to settle.
func (w window) drawInside(t *rapid.T, label string) time.Time {
	minute := rapid.IntRange(36*60, len(w.clocks)-36*60).Draw(t, label)
	return w.instant(minute).Add(time.Duration(rapid.IntRange(0, 59_999).Draw(t, label+" ms")) * time.Millisecond)
}

// fields is a cron text and, beside it, what it matches.
type fields struct {
	text            string
	minute, hour    []bool
	dom, month, dow []bool
	anyDom, anyDow  bool // the field is *, and so restricts nothing
	interval        bool
}

func (f fields) match(clock time.Time) bool {
	dom, dow := f.dom[clock.Day()], f.dow[clock.Weekday()]
	day := dom && dow
	if !f.anyDom && !f.anyDow {
		day = dom || dow
	}
	return f.minute[clock.Minute()] && f.hour[clock.Hour()] && f.month[clock.Month()] && day
}

// part is a field as people mean it: its values stand on a circle, and a range goes on from its first until its last.
type part struct {
	name     string
	min, max int
	names    []string
}

var parts = []part{
	{"minute", 0, 59, nil},
	{"hour", 0, 23, nil},
	{"day of month", 1, 31, nil},
	{"month", 1, 12, []string{"", "jan", "Feb", "MAR", "apr", "may", "jun", "jul", "aug", "sep", "Oct", "nov", "dec"}},
	{"day of week", 0, 6, []string{"sun", "MON", "Tue", "wed", "thu", "FRI", "sat"}},
}

func (p part) next(v int) int {
	if v == p.max {
		return p.min
	}
	return v + 1
}

// write is one of the ways in which a value can be written.
func (p part) write(t *rapid.T, v int) string {
	switch way := rapid.IntRange(0, 3).Draw(t, p.name+" way"); {
	case way == 0 && p.names != nil:
		return p.names[v]
	case way == 1 && p.name == "day of week" && v == 0:
		return "7"
	case way == 2:
		return fmt.Sprintf("%02d", v)
	}
	return strconv.Itoa(v)
}

// draw is a text and the values that it means; star is true of one that is * or has it in its list.
func (p part) draw(t *rapid.T) (text string, on []bool, star bool) {
	on = make([]bool, p.max+1)
	var entries []string
	for range rapid.IntRange(1, 3).Draw(t, p.name+" entries") {
		from := rapid.IntRange(p.min, p.max).Draw(t, p.name+" from")
		switch rapid.IntRange(0, 5).Draw(t, p.name+" kind") {
		case 0:
			star = true
			entries = append(entries, "*")
			for v := p.min; v <= p.max; v++ {
				on[v] = true
			}
		case 1: // each so many from the field's beginning, or from a value on
			first, text := p.min, "*"
			if rapid.Bool().Draw(t, p.name+" from a value") && from < p.max {
				first, text = from, p.write(t, from)
			}
			step := rapid.IntRange(1, p.max-first).Draw(t, p.name+" step")
			star = star || text == "*" && step == 1
			entries = append(entries, fmt.Sprintf("%s/%d", text, step))
			for v := first; v <= p.max; v += step {
				on[v] = true
			}
		case 2, 3: // a range, over the field's end too
			to := rapid.IntRange(p.min, p.max).Draw(t, p.name+" to")
			low, high := p.write(t, from), p.write(t, to)
			if p.name == "day of week" && from == 0 && low != "7" && high == "7" {
				high = "0" // 0-7 is the whole week, and stands among the examples
			}
			length := 1
			for v := from; v != to; v = p.next(v) {
				length++
			}
			step := 1
			if length > 1 && (from <= to || p.name != "day of month") {
				step = rapid.IntRange(1, length-1).Draw(t, p.name+" step")
			}
			entry := low + "-" + high
			if step > 1 {
				entry += fmt.Sprintf("/%d", step)
			}
			entries = append(entries, entry)
			for i, v := 0, from; i < length; i, v = i+1, p.next(v) {
				if i%step == 0 {
					on[v] = true
				}
			}
		default:
			entries = append(entries, p.write(t, from))
			on[from] = true
		}
	}
	return strings.Join(entries, ","), on, star
}

func drawFields(t *rapid.T) (f fields) {
	var texts [5]string
	texts[0], f.minute, _ = parts[0].draw(t)
	texts[1], f.hour, _ = parts[1].draw(t)
	f.interval = strings.HasPrefix(texts[1], "*")
	all := func(p part) (string, []bool, bool) { return "*", slices.Repeat([]bool{true}, p.max+1), true }
	some := func(p part) (string, []bool, bool) {
		if rapid.Bool().Draw(t, "* "+p.name) {
			return all(p)
		}
		return p.draw(t)
	}
	texts[2], f.dom, f.anyDom = some(parts[2])
	texts[3], f.month, _ = some(parts[3])
	texts[4], f.dow, f.anyDow = some(parts[4])
	f.text = strings.Join(texts[:], " ")
	return f
}

// walk is the rule written naively. An interval fires in every minute that matches. A fixed spec fires when the
// clock shows, or has jumped over, a match that it has never shown or jumped over before.
func (f fields) walk(w window) (found []time.Time) {
	furthest := w.clocks[0]
	for i, clock := range w.clocks {
		if f.interval {
			if f.match(clock) {
				found = append(found, w.instant(i))
			}
			continue
		}
		fires := false
		for furthest.Before(clock) {
			furthest = furthest.Add(time.Minute)
			fires = fires || f.match(furthest)
		}
		if fires {
			found = append(found, w.instant(i))
		}
	}
	return found
}

// comes says whether there is a day that matches, in a leap year whose days of the week and month meet anywhere.
func (f fields) comes() bool {
	for d := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC); d.Year() < 2028; d = d.AddDate(0, 0, 1) {
		for hour := range 24 {
			for minute := range 60 {
				if f.hour[hour] && f.minute[minute] && f.match(d.Add(time.Duration(hour*60+minute)*time.Minute)) {
					return true
				}
			}
		}
	}
	return false
}

func allZones(t *testing.T) map[string]*time.Location {
	zones := map[string]*time.Location{}
	for _, d := range days {
		zones[d.zone] = zone(t, d.zone)
	}
	return zones
}

func TestNextIsTheWalk(t *testing.T) {
	t.Parallel()
	zones := allZones(t)
	rapid.Check(t, func(t *rapid.T) {
		w, f := drawWindow(t, zones), drawFields(t)
		spec, err := slots.Parse(f.text, w.loc, time.Time{})
		if err != nil {
			if !f.comes() && strings.HasPrefix(err.Error(), "never fires") {
				t.Skip("no such day exists")
			}
			t.Fatalf("%q %v", f.text, err)
		}
		if spec.Interval() != f.interval {
			t.Fatalf("%q: interval %v", f.text, spec.Interval())
		}
		after := w.drawInside(t, "after")
		end := w.instant(len(w.clocks))
		var want, got []time.Time
		for _, slot := range f.walk(w) {
			if slot.After(after) {
				want = append(want, slot)
			}
		}
		for slot, ok := spec.Next(after); ok && slot.Before(end); slot, ok = spec.Next(slot) {
			if n := len(got); n > 0 && !slot.After(got[n-1]) {
				t.Fatalf("%q: %v comes after %v", f.text, slot, got[n-1])
			}
			got = append(got, slot)
		}
		if !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Fatalf("%q in %v after %v:\n got %v\nwant %v", f.text, w.loc, after, got, want)
		}
		if len(want) == 0 {
			return
		}
		from := rapid.IntRange(0, len(want)-1).Draw(t, "from")
		until := rapid.IntRange(from, len(want)-1).Draw(t, "until")
		late := time.Duration(rapid.IntRange(0, 59_999).Draw(t, "late")) * time.Millisecond
		n, last := spec.Missed(want[from], want[until].Add(late))
		if n != until-from+1 || !last.Equal(want[until]) {
			t.Fatalf("%q in %v missed %v to %v: %d, %v", f.text, w.loc, want[from], want[until], n, last)
		}
	})
}

func TestEveryMissedIsRepeatedNext(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		anchor := time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "anchor"))
		every := rapid.IntRange(1, 366*86400).Draw(t, "every")
		spec, err := slots.Parse(fmt.Sprintf("@every %ds", every), time.UTC, anchor)
		if err != nil {
			t.Fatal(err)
		}
		from, _ := spec.Next(anchor.Add(time.Duration(rapid.IntRange(-1e6, 1e6).Draw(t, "from")) * time.Second))
		until := from.Add(time.Duration(rapid.IntRange(-every, 50*every).Draw(t, "until")) * time.Second)
		var want []time.Time
		for slot := from; !slot.After(until); slot, _ = spec.Next(slot) {
			if past := slot.Unix() - anchor.Unix(); past < 0 || past%int64(every) != 0 {
				t.Fatalf("%v is out of phase", slot)
			}
			want = append(want, slot)
		}
		n, last := spec.Missed(from, until)
		if n != len(want) || n > 0 && !last.Equal(want[n-1]) {
			t.Fatalf("%d, %v, want %v", n, last, want)
		}
	})
}

func TestInstantIsTheFirstThatShows(t *testing.T) {
	t.Parallel()
	zones := allZones(t)
	rapid.Check(t, func(t *rapid.T) {
		w := drawWindow(t, zones)
		wall := w.begin.Add(time.Duration(rapid.IntRange(36*60, len(w.clocks)-36*60).Draw(t, "wall")) * time.Minute)
		// The first that shows it, else the first that shows more.
		i := slices.IndexFunc(w.clocks, wall.Equal)
		if i < 0 {
			i = slices.IndexFunc(w.clocks, wall.Before)
		}
		if got := slots.Instant(wall, w.loc); !got.Equal(w.instant(i)) || got.Location() != time.UTC {
			t.Fatalf("%v in %v: %v, want %v", wall, w.loc, got, w.instant(i))
		}
	})
}

func TestQuietEndsWhereTheWalkDoes(t *testing.T) {
	t.Parallel()
	zones := allZones(t)
	rapid.Check(t, func(t *rapid.T) {
		w := drawWindow(t, zones)
		q := slots.Quiet{From: rapid.IntRange(0, 1439).Draw(t, "from"), To: rapid.IntRange(0, 1439).Draw(t, "to")}
		// A quiet day is all the minutes from From on, around midnight, until To.
		var quiet [1440]bool
		for m := q.From; m != q.To; m = (m + 1) % 1440 {
			quiet[m] = true
		}
		shows := func(i int) bool { return quiet[w.clocks[i].Hour()*60+w.clocks[i].Minute()] }
		at := w.drawInside(t, "at")
		i := int(at.Sub(w.begin) / time.Minute)
		end, got := q.Until(at, w.loc)
		if got != shows(i) {
			t.Fatalf("%v at %v in %v: quiet %v", q, at, w.loc, got)
		}
		if !got {
			return
		}
		for i < len(w.clocks) && shows(i) {
			i++
		}
		if i == len(w.clocks) {
			t.Skip("ends after the window")
		}
		if !end.Equal(w.instant(i)) || !end.After(at) {
			t.Fatalf("%v at %v in %v: ends %v, want %v", q, at, w.loc, end, w.instant(i))
		}
	})
}
