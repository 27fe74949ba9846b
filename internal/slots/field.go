package slots

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"carillon/models"
)

// field is one of the five fields of a cron text.
type field struct {
	name   string
	min    int
	max    int
	limits string
	names  []string      // names of its values, from min on
	unit   string        // one step in words
	each   time.Duration // the length of one step; 0 = not always the same
	whole  string        // what all its values together make, in words; "" = of different lengths
}

var fields = [...]field{
	{name: "minute", max: 59, limits: "minutes go from 0 to 59", unit: "minute", each: time.Minute, whole: "an hour"},
	{name: "hour", max: 23, limits: "hours go from 0 to 23", unit: "hour", each: time.Hour, whole: "a day"},
	{name: "day of month", min: 1, max: 31, limits: "days of the month go from 1 to 31", unit: "day", each: 24 * time.Hour},
	{
		name: "month", min: 1, max: 12, limits: "months go from 1 to 12, or JAN to DEC", unit: "month", whole: "a year",
		names: []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"},
	},
	{
		name: "day of week", max: 6, limits: "days of the week go from 0 to 7, or SUN to SAT; 0 and 7 are Sunday", unit: "day", each: 24 * time.Hour, whole: "a week",
		names: []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"},
	},
}

const (
	domField = 2
	dowField = 4
	sunday   = 7 // the second number of Sunday
)

// entry is one member of a field's list: the values from lo up to hi, step by step. When it wraps
// around the field's end, hi is below lo.
type entry struct {
	text   string
	lo, hi int
	step   int
	star   bool // every value of the field, so the field restricts nothing
	open   bool // goes on to the field's end, as */step and lo/step do
}

func (f field) size() int { return f.max - f.min + 1 }

// span is the distance from lo to hi, around the field's end if the entry wraps.
func (f field) span(e entry) int {
	if e.hi < e.lo {
		return e.hi - e.lo + f.size()
	}
	return e.hi - e.lo
}

// values returns the values of an entry, in the order in which the clock comes to them.
func (f field) values(e entry) (list []int) {
	for off := 0; off <= f.span(e); off += e.step {
		list = append(list, f.min+(e.lo-f.min+off)%f.size())
	}
	return list
}

// read reads a field into its entries.
func (f field) read(text string) ([]entry, error) {
	var list []entry
	for one := range strings.SplitSeq(text, ",") {
		if one == "" {
			return nil, fmt.Errorf("%s has an empty entry", shorten(text))
		}
		e, err := f.entry(one)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

func (f field) entry(text string) (e entry, err error) {
	base, step, stepped := strings.Cut(text, "/")
	e = entry{text: text, lo: f.min, hi: f.max, step: 1}
	if stepped {
		if e.step, err = f.step(text, step); err != nil {
			return e, err
		}
	}
	day := f.name == fields[domField].name || f.name == fields[dowField].name
	low, high, ranged := strings.Cut(base, "-")
	switch {
	case base == "*", base == "?" && day:
		e.star, e.open = e.step == 1, true
		return e, nil
	case base == "?":
		return e, fmt.Errorf("must not have ?: write *")
	case strings.HasPrefix(base, "*") || strings.HasPrefix(base, "?"):
		return e, fmt.Errorf("%s is no range from %c; write the first and the last value, such as %d-%d", shorten(text), base[0], f.min, f.max)
	}
	if e.lo, err = f.value(low); err != nil {
		return e, err
	}
	switch {
	case ranged:
		if e.hi, err = f.value(high); err != nil {
			return e, err
		}
	case stepped:
		e.open = true
	default:
		e.hi = e.lo
	}
	f.week(&e)
	if e.hi < e.lo && e.step > 1 && f.name == fields[domField].name {
		return e, fmt.Errorf("%s steps over the end of the month, which is not always on the same day; name the days", shorten(text))
	}
	return e, nil
}

// week lets 7 be Sunday. At a range's end, 7 is the seventh day. Everywhere else it is 0.
func (f field) week(e *entry) {
	if f.max != sunday-1 {
		return
	}
	if e.lo == sunday {
		e.lo = 0
		if e.hi == sunday {
			e.hi = 0
		}
	}
}

func (f field) step(entry, text string) (int, error) {
	switch n, ok := digits(text); {
	case !ok:
		return 0, fmt.Errorf("%s has no step; write a number after /, such as */%d", shorten(entry), f.size()/2)
	case n == 0:
		return 0, fmt.Errorf("%s has the step 0; a step is at least 1", shorten(entry))
	default:
		return n, nil
	}
}

// value reads a number or a name.
func (f field) value(text string) (int, error) {
	if i := slices.Index(f.names, strings.ToUpper(text)); i >= 0 {
		return f.min + i, nil
	}
	top := f.max
	if f.name == fields[dowField].name {
		top = sunday
	}
	n, ok := digits(text)
	switch {
	case ok && n >= f.min && n <= top:
		return n, nil
	case ok, text == "":
		return 0, fmt.Errorf("%s is no %s; %s", shorten(quoteEmpty(text)), f.name, f.limits)
	case strings.Contains(text, "#"):
		return 0, fmt.Errorf("%s: the n-th weekday of a month is not supported; name days of the month or weekdays", shorten(text))
	}
	if upper := strings.ToUpper(text); strings.HasSuffix(upper, "L") || strings.HasSuffix(upper, "W") {
		if _, ok := digits(strings.TrimRight(upper, "LW")); ok || strings.Trim(upper, "LW") == "" || slices.Contains(f.names, strings.TrimRight(upper, "L")) {
			return 0, fmt.Errorf("%s: L and W, the last day and the nearest weekday, are not supported; name the days, such as 28", shorten(text))
		}
	}
	return 0, fmt.Errorf("%s is no %s; %s", shorten(text), f.name, f.limits)
}

// plain writes the values of all entries together, one by one.
func (f field) plain(entries []entry) string {
	var on [60]bool
	for _, e := range entries {
		for _, v := range f.values(e) {
			on[v] = true
		}
	}
	var texts []string
	for v, is := range on {
		if is {
			texts = append(texts, strconv.Itoa(v))
		}
	}
	return strings.Join(texts, ",")
}

// tooMany stands for a number with more digits than any meaningful number has.
const tooMany = 1_000_000_000

// digits reads a number that is written in digits alone.
func digits(text string) (n int, ok bool) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	if n, err := strconv.Atoi(text); err == nil {
		return min(n, tooMany), true
	}
	return tooMany, true
}

func quoteEmpty(text string) string {
	if text == "" {
		return `""`
	}
	return text
}

// shorten cuts a text from outside to the length that a reason can hold.
func shorten(text string) string {
	const longest = 40
	return models.Shorten(text, longest)
}

// beyond says what is wrong with an entry whose step leads past its end, so that only its first
// value counts. It is "" when nothing is wrong.
func (f field) beyond(e entry) string {
	if !strings.Contains(e.text, "/") || e.step <= f.span(e) {
		return ""
	}
	alone := fmt.Sprintf("%s means %d alone; ", shorten(e.text), e.lo)
	switch {
	case !e.open || e.step < f.size():
		return alone + fmt.Sprintf("write %d", e.lo)
	case e.step == f.size() && f.whole != "":
		return alone + fmt.Sprintf("%s; for once %s write %d", f.limits, f.whole, e.lo)
	}
	if fix := f.every(e.step); fix != "" {
		return alone + f.limits + "; " + fix
	}
	return alone + f.limits + "; name them, such as " + fmt.Sprintf("%d,%d", f.min, f.min+f.size()/2)
}

// every says how to write a step in real time; "" when there is no way.
func (f field) every(step int) string {
	if f.each == 0 || step > int(maxEvery/f.each) {
		return ""
	}
	duration := fmt.Sprintf("%dm", step)
	if f.each >= time.Hour {
		duration = fmt.Sprintf("%dh", step*int(f.each/time.Hour))
	}
	return fmt.Sprintf("for every %s write @every %s", amount(step, f.unit), duration)
}

// uneven says how an entry fires if its steps do not divide the field evenly; "" if they do.
func (f field) uneven(e entry) string {
	if !e.open || e.step == 1 || e.step > f.span(e) {
		return ""
	}
	list := f.values(e)
	gap := f.size() - (list[len(list)-1] - list[0])
	if gap == e.step && f.whole != "" {
		return ""
	}
	later := amount(gap, f.unit) + " later"
	if f.whole == "" {
		later = "when the next month begins"
	}
	reason := fmt.Sprintf("fires unevenly: %s in the %s field means %s, and the next %d comes %s", shorten(e.text), f.name, series(list), list[0], later)
	if fix := f.every(e.step); fix != "" {
		reason += "; " + fix
	}
	return reason
}

func amount(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}

// series writes values in words. Of many values it names those at both ends.
func series(list []int) string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = strconv.Itoa(v)
	}
	last := len(texts) - 1
	switch {
	case last == 0:
		return texts[0]
	case last > 5:
		return strings.Join(texts[:3], ", ") + ", … and " + texts[last]
	}
	return strings.Join(texts[:last], ", ") + " and " + texts[last]
}

// brief writes a duration without zero parts: 90m is 1h30m, and 36h is 36h.
func brief(d time.Duration) string {
	text := d.String()
	if d >= time.Minute {
		text = strings.TrimSuffix(text, "0s")
	}
	if d >= time.Hour && d%time.Hour < time.Minute && d%time.Minute == 0 {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
