package userfile

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// aFile is a generated CSV file: what its rows are, how they are written, and what was done to the text since.
type aFile struct {
	header  []string
	comma   string
	end     string
	rows    [][]string
	text    string
	damages []string
	blank   int // empty lines
}

// marker stands in every text of a row, with the row's number.
func marker(i int) string { return fmt.Sprintf("r%03d", i) }

// draw makes a file. Damage puts quotes where none belong, takes others away, cuts lines and ends the file early.
func draw(t *rapid.T) (f aFile) {
	pick := func(name string, of ...string) string { return rapid.SampledFrom(of).Draw(t, name) }
	f.header = rapid.Permutation([]string{pick("id", "userID", "user_id", "USERID"), "nickname", "ex"}).Draw(t, "header")
	if rapid.Bool().Draw(t, "two") {
		for f.header[0] == "nickname" || f.header[1] == "nickname" {
			f.header = append(f.header[1:], f.header[0])
		}
		f.header = f.header[:2]
	}
	f.comma, f.end = pick("comma", ",", ";", "\t"), pick("end", "\n", "\r\n", "\r")
	cell := func(text string) string {
		if rapid.Bool().Draw(t, "quoted") || strings.ContainsAny(text, "\"\r\n"+f.comma) {
			return `"` + strings.ReplaceAll(text, `"`, `""`) + `"`
		}
		return text
	}
	line := func(cells []string) string {
		texts := make([]string, len(cells))
		for i, text := range cells {
			texts[i] = cell(text)
		}
		return strings.Join(texts, f.comma) + f.end
	}
	f.text = line(f.header)
	for i := range rapid.IntRange(0, 15).Draw(t, "rows") {
		row := make([]string, len(f.header))
		for j, name := range f.header {
			row[j] = marker(i)
			switch {
			case sameName(name, "userID"):
				row[j] += pick("tail", "", "", "ó", " b", `"b`, "=")
			case name == "ex":
				row[j] += pick("tail", "", `say "hi"`, "a,b;c\td", "\n"+marker(i), "\n\n"+marker(i)+` "b"`, `","`, "🙂")
			default:
				row[j] += pick("tail", "", "Smith, B;b", `"`, "ü")
			}
		}
		f.rows = append(f.rows, row)
		f.text += line(row)
		if rapid.IntRange(0, 9).Draw(t, "blank") == 0 {
			f.text += f.end
			f.blank++
		}
	}
	for range rapid.IntRange(0, 3).Draw(t, "damages") {
		begin := strings.Index(f.text, f.end) + len(f.end) // the header is not touched
		at := rapid.IntRange(begin, len(f.text)).Draw(t, "at")
		line := strings.IndexAny(f.text[at:]+"\n", "\r\n")
		damage := pick("damage", "quote", "quote", "unquote", "cut", "end", "comma")
		switch damage {
		case "quote":
			f.text = f.text[:at] + `"` + f.text[at:]
		case "comma":
			f.text = f.text[:at] + f.comma + f.text[at:]
		case "unquote":
			f.text = f.text[:at] + strings.Replace(f.text[at:], `"`, "", 1)
		case "cut":
			f.text = f.text[:at] + f.text[at+rapid.IntRange(0, line).Draw(t, "bytes"):]
		case "end":
			f.text = f.text[:at]
		}
		f.damages = append(f.damages, damage)
	}
	return f
}

// telling says whether what was damaged can still be told from what was meant: one damage, or two quotes. More of them can make a
// file that is right in itself, as can two when a text may begin its row.
func (f aFile) telling() bool {
	quotes := 0
	for _, d := range f.damages {
		if d == "quote" {
			quotes++
		}
	}
	return len(f.damages) <= 1 || len(f.damages) == 2 && quotes == 2 && f.header[0] != "ex"
}

// encoded is the file's text in an encoding that is read.
func encoded(t *rapid.T, text string) []byte {
	switch rapid.IntRange(0, 4).Draw(t, "encoding") {
	case 0:
		return []byte(utf16File(false, strings.ToValidUTF8(text, "?")))
	case 1:
		return []byte(utf16File(true, strings.ToValidUTF8(text, "?")))
	case 2:
		return []byte(ByteOrderMark + text)
	}
	return []byte(text)
}

// holds says whether one text holds two rows: nobody's text has another one's number.
func holds(text string) bool {
	first := ""
	for i := range 16 {
		if m := marker(i); strings.Contains(text, m) {
			if first != "" {
				return true
			}
			first = m
		}
	}
	return false
}

// TestRowsAddUp: whatever a file's quotes are like, each of its lines is in the counts, no value holds another row, and it does not
// matter in which pieces it comes. Of a file without damage every row is taken as it is.
func TestRowsAddUp(t *testing.T) {
	t.Parallel()
	for i := range 10 { // rapid makes 100 files each
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) { addsUp(t, draw(t)) })
		})
	}
}

func addsUp(t *rapid.T, f aFile) {
	file := encoded(t, f.text)
	got := readAll(bytes.NewReader(file), CSV)
	if got.Err != nil {
		t.Fatalf("%v in %q", got.Err, file)
	}
	refused, inRefusals, last := 0, 0, 1
	for _, r := range got.Refused {
		refused += r.Count()
		inRefusals += max(r.Line, r.ToLine) - r.Line + 1
		if r.Line <= last {
			t.Fatalf("%+v come twice", got.Refused)
		}
		last = max(r.Line, r.ToLine)
	}
	n := got.Counts
	lines := strings.Count(strings.ReplaceAll(strings.ReplaceAll(f.text, "\r\n", "\n"), "\r", "\n"), "\n")
	if !strings.HasSuffix(f.text, f.end) && !strings.HasSuffix(f.text, "\r") && !strings.HasSuffix(f.text, "\n") {
		lines++
	}
	if n.Rows != len(got.Users)+refused || n.Refused != refused || n.Lines != lines && f.end != "\r" && !strings.Contains(strings.ReplaceAll(f.text, "\r\n", ""), "\r") {
		t.Fatalf("%+v: %d users, %d refused, %d lines\n%q", n, len(got.Users), refused, lines, f.text)
	}
	texts := 0 // lines within values
	for _, u := range got.Users {
		for _, text := range []*string{&u.UserID, u.Nickname, u.Ex} {
			if text != nil && f.telling() && holds(*text) {
				t.Fatalf("a value holds two rows: %q\n%q", *text, f.text)
			}
		}
		if u.Ex != nil {
			texts += strings.Count(strings.ReplaceAll(*u.Ex, "\r\n", "\n"), "\n")
		}
	}
	if all := 1 + len(got.Users) + texts + inRefusals; all > n.Lines {
		t.Fatalf("%d lines are accounted for, of %d", all, n.Lines)
	}
	if pieces := readAll(&pieces{file, rand.New(rand.NewPCG(uint64(len(file)), 1))}, CSV); !reflect.DeepEqual(pieces, got) {
		t.Fatalf("in pieces %+v, at once %+v", pieces, got)
	}
	if len(f.damages) > 0 {
		return
	}
	if n.Refused != 0 || len(got.Users) != len(f.rows) {
		t.Fatalf("of %d rows %d are taken: %+v\n%q", len(f.rows), len(got.Users), got.Refused, f.text)
	}
	for i, u := range got.Users {
		for j, name := range f.header {
			want := strings.ReplaceAll(f.rows[i][j], "\r", "\n")
			is := map[string]*string{"userid": &u.UserID, "nickname": u.Nickname, "ex": u.Ex}[plainName(name)]
			if is == nil || *is != want {
				t.Fatalf("%+v, want %q", u, f.rows[i])
			}
		}
	}
}
