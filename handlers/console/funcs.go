package console

import (
	"fmt"
	"html/template"
	"maps"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"carillon/models"
)

// funcs are the functions of the templates.
func (p pages) funcs() template.FuncMap {
	all := template.FuncMap{
		"path":     p.path,
		"asset":    p.asset,
		"count":    count,
		"percent":  percent,
		"command":  command,
		"when":     when,
		"duration": duration,
		"seconds":  func(n int64) string { return duration(time.Duration(n) * time.Second) },
		"words":    func(name string) string { return statusWords[name] },
		"settled":  settled,
		"page":     pageOf,
		"lower":    strings.ToLower,
		"sentence": sentence,
		"deref":    deref,
		"entry":    entryOf,
		"outcomes": outcomes,
		"bars":     bars,
		"finding":  p.findingPath,
	}
	for _, some := range []template.FuncMap{campaignFuncs, directoryFuncs, otherFuncs} {
		maps.Copy(all, some)
	}
	return all
}

// path makes a path of this server: the texts and, between them, IDs, each as one segment. An ID that is a step stands in the
// query, and noID in its place.
//
//	{{path "/campaigns/" .ID "/pause"}}
func (p pages) path(parts ...string) string {
	var b strings.Builder
	b.WriteString(p.base)
	query := ""
	for i, part := range parts {
		switch {
		case i%2 == 1 && isStep(part):
			part, query = noID, "?id="+part
		case i%2 == 1:
			part = url.PathEscape(part)
		}
		b.WriteString(part)
	}
	return b.String() + query
}

const noID = "-"

// isStep is true of the IDs that browsers and proxies take for steps in a path, however they are escaped.
func isStep(id string) bool { return id == "." || id == ".." }

// asset is where one of the files is, named by its content so that a browser may keep it.
func (p pages) asset(name string) string {
	return p.base + "/assets/" + name + "?v=" + p.assets[name].Tag()
}

// command shows a command line. No line of the page ends within a word of the command line, as after
// the dashes of a flag. A part in quotation marks is one word.
func command(parts ...string) template.HTML {
	var words []string
	for _, part := range parts {
		one := strings.Fields(part)
		if strings.HasPrefix(part, `"`) {
			one = []string{part}
		}
		for _, word := range one {
			words = append(words, "<span>"+template.HTMLEscapeString(word)+"</span>")
		}
	}
	return template.HTML(`<code class="command">` + strings.Join(words, " ") + "</code>") //nolint:gosec // escaped
}

// count writes a number in groups of three digits, as 1,234,567.
func count(n any) string {
	digits := fmt.Sprint(n) // of any whole number
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	var groups []string
	for len(digits) > 3 {
		groups = append([]string{digits[len(digits)-3:]}, groups...)
		digits = digits[:len(digits)-3]
	}
	return sign + strings.Join(append([]string{digits}, groups...), ",")
}

// share is part of total in percent, from 0 to 100, for the width of a bar.
func share(part, total int64) float64 {
	if total <= 0 {
		return 0
	}
	return math.Round(float64(part)/float64(total)*1e4) / 100
}

// percent is part of total as a text. What is not all is never 100 %, and what is some is never 0 %.
func percent(part, total int64) string {
	p := share(part, total)
	switch {
	case total <= 0 || part == 0:
		return "0 %"
	case part == total:
		return "100 %"
	case p < 0.1:
		return "< 0.1 %"
	case p > 99.9:
		return "> 99.9 %"
	}
	return strconv.FormatFloat(p, 'f', 1, 64) + " %"
}

// settled is how many recipients have an outcome.
func settled(c models.Counts) int64 { return c.Total - c.Pending }

// when shows an instant of the API. It stands in UTC; the console's script rewrites it into the browser's zone. A local date
// and clock has no zone, and stays as it is.
func when(at any) template.HTML {
	text := ""
	switch at := at.(type) {
	case string:
		text = at
	case *string:
		text = deref(at)
	case time.Time:
		text = at.UTC().Format(time.RFC3339)
	}
	if text == "" {
		return `<span class="none">–</span>`
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil { // of each recipient's own clock
		shown := template.HTMLEscapeString(strings.TrimSuffix(strings.Replace(text, "T", " ", 1), ":00"))
		return template.HTML(`<time class="wall" datetime="` + template.HTMLEscapeString(text) + `" title="by each user’s own clock">` + shown + ` local</time>`) //nolint:gosec // escaped
	}
	utc := t.UTC().Format("2006-01-02 15:04:05") + " UTC"
	return template.HTML(`<time datetime="` + t.UTC().Format(time.RFC3339) + `" title="` + utc + `">` + t.UTC().Format("2006-01-02 15:04") + ` UTC</time>`) //nolint:gosec // digits
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// duration is a time span for people, as "2 h 5 min".
func duration(d time.Duration) string {
	d = d.Round(time.Second)
	days, hours, minutes, secs := d/(24*time.Hour), d/time.Hour%24, d/time.Minute%60, d/time.Second%60
	unit := func(n time.Duration, name string) string { return strconv.FormatInt(int64(n), 10) + " " + name }
	two := func(n time.Duration, name string, rest time.Duration, small string) string {
		if rest == 0 {
			return unit(n, name)
		}
		return unit(n, name) + " " + unit(rest, small)
	}
	switch {
	case days > 0:
		return two(days, "d", hours, "h")
	case hours > 0:
		return two(hours, "h", minutes, "min")
	case minutes > 0:
		return two(minutes, "min", secs, "s")
	}
	return unit(secs, "s")
}

// statusWords say what a state means, for a badge's title.
var statusWords = map[string]string{
	"scheduled": "It waits for its time.",
	"planning":  "Its recipients are being listed.",
	"running":   "Messages go out.",
	"paused":    "Nothing goes out until somebody resumes it.",
	"completed": "Every recipient has an outcome.",
	"cancelled": "An operator ended it.",
	"expired":   "Its time ended before everybody was reached.",
	"failed":    "It could not go out as a whole.",
	"active":    "It makes campaigns at its times.",
	"ended":     "It makes no further campaigns.",
	"deleted":   "It is gone; its history stands.",
}

// more is how a list goes on.
type more struct {
	Next  string // the query of the next page, without "?"; empty = this page is the last
	First string // the query of the first page; empty = this page is the first
}

// pageOf makes the links below a list. query is the address's own; cursor is where the next page begins; "" = nowhere.
func pageOf(query url.Values, cursor string) more {
	var m more
	if query.Get("cursor") != "" {
		first := maps.Clone(query)
		first.Del("cursor")
		m.First = "?" + first.Encode()
	}
	if cursor != "" {
		next := maps.Clone(query)
		next.Set("cursor", cursor)
		m.Next = "?" + next.Encode()
	}
	return m
}

// entry is one of the menu.
type entry struct {
	Name, Path, Key string
	Now             bool
}

func entryOf(p page, here, name, path, key string) entry {
	return entry{name, path, key, p.Here == here}
}

// outcome is how many recipients have one outcome.
type outcome struct {
	Name string
	N    int64
}

// outcomes are all outcomes that somebody has, and sent, which is shown always.
func outcomes(c models.Counts) []outcome {
	var some []outcome
	for _, o := range []outcome{
		{"sent", c.Sent}, {"failed", c.Failed}, {"unknown", c.Unknown}, {"skipped", c.Skipped}, {"expired", c.Expired}, {"cancelled", c.Cancelled}, {"pending", c.Pending},
	} {
		if o.N > 0 || o.Name == "sent" {
			some = append(some, o)
		}
	}
	return some
}

// barPart is a part of a bar, in percent of its width.
type barPart struct {
	Name        string
	From, Width float64
}

func bars(c models.Counts) []barPart {
	var parts []barPart
	from := 0.0
	for _, o := range outcomes(c) {
		if o.Name == "pending" || o.N == 0 {
			continue
		}
		width := share(o.N, c.Total)
		parts = append(parts, barPart{o.Name, math.Round(from*100) / 100, width})
		from += width
	}
	return parts
}
