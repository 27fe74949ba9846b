package userfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"carillon/models"
)

// maxShown is how much of a column's or field's name a reason repeats. The name comes from the
// caller's file.
const maxShown = 64

// columns are the fields of a user that a file may have.
var columns = []string{"userID", "nickname", "faceURL", "timezone", "ex"}

// Others is what can be done about a column that is not one of users.
const Others = "name it in map, or ignore other columns"

// commas may stand between fields. The first of them that makes the header name userID is taken.
var commas = []byte(",;\t")

// Map gives the columns of a file the names that they have here.
type Map []Named

// Named is one column: its name in the file and its name here.
type Named struct{ From, To string }

// ParseMap reads names as a command or a query gives them: user_id=userID, several with commas
// between.
func ParseMap(texts ...string) (Map, error) {
	var m Map
	from := ""
	for piece := range strings.SplitSeq(strings.Join(texts, ","), ",") {
		from += piece
		i := strings.LastIndexByte(from, '=')
		if i < 0 && from != "" {
			from += "," // the comma belongs to the name
			continue
		}
		if from == "" {
			continue
		}
		to := strings.TrimSpace(from[i+1:])
		at := slices.IndexFunc(columns, func(c string) bool { return sameName(c, to) })
		switch {
		case at < 0:
			return nil, badFile("map", shown(to)+" is not a column of users; the columns are "+strings.Join(columns, ", "))
		case slices.ContainsFunc(m, func(n Named) bool { return n.To == columns[at] }):
			return nil, badFile("map", "names "+columns[at]+" twice")
		}
		m = append(m, Named{strings.TrimSpace(from[:i]), columns[at]})
		from = ""
	}
	if from != "" {
		return nil, badFile("map", "must be like user_id=userID, a name in the file and one of ours")
	}
	return m, nil
}

// plainName is a column's name without the differences that do not count: capitals, spaces and the
// like.
func plainName(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(strings.TrimSpace(name)))
}

func sameName(a, b string) bool { return plainName(a) == plainName(b) }

// same compares keys of JSON, of which each letter counts.
func same(a, b string) bool { return a == b }

// target is the column that a name of the file stands for: -1 = none.
func (m Map) target(name string, same func(a, b string) bool) int {
	for _, n := range m {
		if same(n.From, name) {
			return slices.Index(columns, n.To)
		}
	}
	at := slices.IndexFunc(columns, func(c string) bool { return same(c, name) })
	if at >= 0 && slices.ContainsFunc(m, func(n Named) bool { return n.To == columns[at] }) {
		return -1 // the Map gives this column another name
	}
	return at
}

// table is a CSV file after its header.
type table struct {
	options Options
	comma   byte
	names   map[string]bool // of the header, each by its plainName
	targets []int           // for each column of the file its number in columns; -1 is left out
	unnamed int             // how many columns at the end have no name
	id      int             // which column has the ID
}

// readHeader reads the header, and finds out which comma stands between the fields.
func readHeader(in *records, o Options) (*table, error) {
	in.isRow = func([]byte) bool { return false }
	given := commas
	for {
		rec, comma, err := in.header(given, o)
		switch {
		case err == io.EOF: //nolint:errorlint // a fault may wrap io.EOF and is no end
			return nil, badFile("header", "is missing; the first line names the columns, userID among them")
		case err != nil:
			return nil, &ReadError{err}
		case rec.fault != "":
			return nil, badFile("header", rec.fault)
		case in.blank(rec.text):
			continue
		case len(rec.text) == len("sep=,") && bytes.HasPrefix(rec.text, []byte("sep=")) && bytes.IndexByte(commas, rec.text[4]) >= 0:
			given = bytes.Clone(rec.text[4:]) // some spreadsheets write this line
			continue
		}
		t := &table{options: o, comma: comma}
		in.comma, in.isRow = comma, t.isRow
		return t, t.readNames(rec.text)
	}
}

// header reads the next record once with each of the given commas. It takes the comma that makes
// the most sense of the record.
func (s *records) header(given []byte, o Options) (best record, comma byte, err error) {
	most := -1
	for _, c := range given {
		s.comma = c
		f, err := s.find()
		if err != nil {
			return record{}, 0, err
		}
		names, _ := split(string(trimEnd(s.window()[:f.size])), c, 0)
		n := len(names)
		if slices.ContainsFunc(names, func(name string) bool { return o.Map.target(name, sameName) == 0 }) {
			n += MaxLine // more than any number of names
		}
		if n > most {
			most, comma = n, c
		}
		if f.dropped {
			return record{fault: tooLong}, 0, nil
		}
	}
	s.comma = comma
	best, err = s.next()
	return best, comma, err
}

func (t *table) readNames(record []byte) error {
	names, fault := split(string(record), t.comma, 0)
	switch {
	case fault != "":
		return badFile("header", fault)
	case bytes.IndexByte(record, 0) >= 0:
		return badFile("header", "holds NUL characters, as UTF-16 does; "+saveAsUTF8)
	}
	for len(names) > 1 && strings.TrimSpace(names[len(names)-1]) == "" { // a delimiter ends the line
		names = names[:len(names)-1]
		t.unnamed++
	}
	var found []models.FieldError
	add := func(field, reason string) {
		if len(found) < models.MaxFindings {
			found = append(found, models.FieldError{Field: field, Reason: reason})
		}
	}
	t.names = map[string]bool{}
	for _, name := range names {
		at := t.options.Map.target(name, sameName)
		switch {
		case at < 0 && t.options.IgnoreOther:
		case at < 0:
			reason := "is not a column of users"
			if len(found) == 0 { // one fault is enough
				reason += "; the columns are " + strings.Join(columns, ", ") + ", separated by commas, semicolons or tabs; " + Others
			}
			add(shown(name), reason+encodingOf([]byte(name)))
		case slices.Contains(t.targets, at):
			add(columns[at], "must not be given twice")
		case at == 0:
			t.id = len(t.targets)
		}
		t.targets = append(t.targets, at)
		t.names[plainName(name)] = true
	}
	for _, n := range t.options.Map {
		if !t.names[plainName(n.From)] {
			add("map", shown(n.From)+" is not a column of the file")
		}
	}
	if len(found) == 0 && !slices.Contains(t.targets, 0) {
		add("userID", "is a column that must be there")
	}
	return models.Invalid(found)
}

// width is how many fields a row has.
func (t *table) width() int { return len(t.targets) + t.unnamed }

// cell is the text of a cell before Guard.
func (t *table) cell(text string) string {
	if t.options.Raw {
		return text
	}
	return Unguard(text)
}

// isRow reports whether a line by itself is a row, whatever its other cells hold.
func (t *table) isRow(line []byte) bool {
	if len(line) == 0 || bytes.Count(line, []byte{t.comma}) < t.width()-1 {
		return false
	}
	cells, fault := split(string(line), t.comma, t.width())
	return fault == "" && len(cells) == t.width() && models.CheckNewID(t.cell(cells[t.id])) == ""
}

// isHeader reports whether a row repeats the names of the header.
func (t *table) isHeader(cells []string) bool {
	for _, cell := range cells[:len(t.targets)] {
		if len(cell) > maxShown || !t.names[plainName(cell)] {
			return false
		}
	}
	return true
}

const severalFiles = ": are these several files in one?"

// decode reads one record. reason says why the record is no user; the user then has an ID if one can be read.
func (t *table) decode(record []byte) (u models.UserChange, reason string) {
	if bytes.HasPrefix(record, []byte(ByteOrderMark)) {
		return u, "begins with a byte order mark (U+FEFF)" + severalFiles
	}
	cells, reason := split(string(record), t.comma, t.width())
	if reason != "" {
		return u, reason
	}
	if len(cells) != t.width() {
		if t.id == 0 { // the fields before the one too many stand where they belong
			u.UserID = t.cell(cells[0])
		}
		return u, fmt.Sprintf("has %d fields, the header has %d", len(cells), t.width())
	}
	if t.isHeader(cells) {
		return u, "is the header again" + severalFiles
	}
	for i, cell := range cells {
		switch {
		case i >= len(t.targets) && cell != "":
			return u, "has a text in a column without a name"
		case i < len(t.targets) && t.targets[i] >= 0:
			set(&u, t.targets[i], t.cell(cell))
		}
	}
	return u, ""
}

// set sets a user's field, given by the number of its column.
func set(u *models.UserChange, column int, text string) {
	switch column {
	case 0:
		u.UserID = text
	case 1:
		u.Nickname = &text
	case 2:
		u.FaceURL = &text
	case 3:
		u.Timezone = &text
	case 4:
		u.Ex = &text
	}
}

// jsonDecoder reads one line as decode reads a record.
func jsonDecoder(o Options) func([]byte) (models.UserChange, string) {
	strict := strictDecoder(o)
	return func(line []byte) (u models.UserChange, reason string) {
		if u, reason = strict(line); reason != "" {
			u.UserID = idOf(line, o.Map)
		}
		return u, reason
	}
}

// idOf is the ID in a line that is no user; "" = none can be read.
func idOf(line []byte, m Map) (id string) {
	var keys map[string]jsontext.Value
	if json.Unmarshal(line, &keys) != nil {
		return ""
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if m.target(key, same) == 0 && json.Unmarshal(keys[key], &id) != nil {
			return ""
		}
	}
	return id
}

// strictDecoder reads one line as strictly as the API reads a body: valid UTF-8, no field twice, no
// unknown field. A null counts as an absent field.
func strictDecoder(o Options) func([]byte) (models.UserChange, string) {
	return func(line []byte) (u models.UserChange, reason string) {
		if bytes.HasPrefix(line, []byte(ByteOrderMark)) {
			return u, "begins with a byte order mark (U+FEFF)" + severalFiles
		}
		if len(o.Map) == 0 && !o.IgnoreOther {
			return u, badJSON(line, json.Unmarshal(line, &u, json.RejectUnknownMembers(true)))
		}
		var keys map[string]jsontext.Value
		if reason := badJSON(line, json.Unmarshal(line, &keys)); reason != "" {
			return u, reason
		}
		taken := [5]bool{}
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			at := o.Map.target(key, same)
			value := keys[key]
			switch {
			case at < 0 && key == refuses:
				if json.Unmarshal(value, &u.Refuses) != nil {
					return u, refuses + notABool
				}
				continue
			case at < 0 && o.IgnoreOther:
				continue
			case at < 0:
				return u, shown(key) + notAField
			case taken[at]:
				return u, columns[at] + " must not be given twice"
			}
			taken[at] = true
			var text *string
			if json.Unmarshal(value, &text) != nil {
				return u, columns[at] + " must be a string"
			}
			if text != nil {
				set(&u, at, *text)
			}
		}
		return u, ""
	}
}

// refuses is the one field that is no text. CSV has no column for it.
const refuses = "refuses"

const (
	notAField = " is not a field of a user"
	notABool  = " must be true or false"
)

// badJSON words what is wrong with a line.
func badJSON(line []byte, err error) string {
	var semantic *json.SemanticError
	var syntax *jsontext.SyntacticError
	switch {
	case err == nil && bytes.TrimLeft(line, " \t\r\n")[0] != '{': // a null
		return "must be a JSON object"
	case err == nil:
		return ""
	case errors.As(err, &semantic) && semantic.JSONPointer == "":
		return "must be a JSON object"
	case errors.Is(err, json.ErrUnknownName):
		return shown(semantic.JSONPointer.LastToken()) + notAField
	case semantic != nil && semantic.JSONPointer.LastToken() == refuses:
		return refuses + notABool
	case semantic != nil:
		return shown(semantic.JSONPointer.LastToken()) + " must be a string"
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return shown(syntax.JSONPointer.LastToken()) + " must not be given twice"
	case !utf8.Valid(line):
		return "must be valid UTF-8"
	}
	return "is not one valid JSON object"
}

// shown is a name as a reason may repeat it.
func shown(name string) string {
	name = models.Shown(models.Shorten(strings.ToValidUTF8(name, ""), maxShown))
	if name == "" {
		return `""`
	}
	return name
}
