package userfile

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"carillon/models"
)

const (
	// maxShown is how much of a column's or field's name, which is the caller's own, a reason repeats.
	maxShown  = 64
	notClosed = "a quoted field is not closed before the end of the file"
)

// columns are what a file may say about a user.
var columns = []string{"userID", "nickname", "faceURL", "timezone", "ex"}

// table is a CSV file after its header.
type table struct {
	header []string
	in     *records
	src    bytes.Reader
	buf    *bufio.Reader // csv.NewReader uses it as it is
}

func readHeader(in *records) (*table, error) {
	t := &table{in: in, buf: bufio.NewReader(nil)}
	for {
		record, _, err := in.next()
		switch {
		case err == io.EOF: //nolint:errorlint // a fault that wraps it is no end
			return nil, badHeader("header", "is missing; the first line names the columns, userID among them")
		case err == errTooLong: //nolint:errorlint // our own, never wrapped
			return nil, badHeader("header", tooLong(in.open()))
		case err != nil:
			return nil, &ReadError{err}
		case in.blank(record):
			continue
		}
		var reason string
		if t.header, reason = t.parse(record); reason != "" {
			return nil, badHeader("header", reason)
		}
		return t, t.checkHeader()
	}
}

func (t *table) checkHeader() error {
	for i, name := range t.header {
		switch {
		case !slices.Contains(columns, name):
			return badHeader(shown(name), "is not a column of users; the columns are "+strings.Join(columns, ", ")+", separated by commas")
		case slices.Contains(t.header[:i], name):
			return badHeader(name, "must not be given twice")
		}
	}
	if !slices.Contains(t.header, "userID") {
		return badHeader("userID", "is a column that must be there")
	}
	return nil
}

func badHeader(field, reason string) error {
	return models.Invalid([]models.FieldError{{Field: field, Reason: reason}})
}

// decode reads one record; reason says why it is none.
func (t *table) decode(record []byte) (u models.UserChange, reason string) {
	cells, reason := t.parse(record)
	if reason != "" {
		return u, reason
	}
	if len(cells) != len(t.header) {
		return u, fmt.Sprintf("has %d fields, the header has %d", len(cells), len(t.header))
	}
	for i, cell := range cells {
		switch t.header[i] {
		case "userID":
			u.UserID = cell
		case "nickname":
			u.Nickname = &cells[i]
		case "faceURL":
			u.FaceURL = &cells[i]
		case "timezone":
			u.Timezone = &cells[i]
		case "ex":
			u.Ex = &cells[i]
		}
	}
	return u, ""
}

// parse has encoding/csv read one record, whose text is never shown.
func (t *table) parse(record []byte) (cells []string, reason string) {
	t.src.Reset(record)
	t.buf.Reset(&t.src)
	cells, err := csv.NewReader(t.buf).Read()
	switch {
	case err == nil:
		return cells, ""
	case errors.Is(err, csv.ErrBareQuote):
		return nil, `has a " inside a field that is not quoted`
	case t.in.open():
		return nil, notClosed
	}
	return nil, `has a quoted field that goes on after its closing "`
}

// decodeJSON reads one line as strictly as the API reads a body: valid UTF-8, no field twice, none unknown.
// A null counts as an absent field.
func decodeJSON(line []byte) (u models.UserChange, reason string) {
	err := json.Unmarshal(line, &u, json.RejectUnknownMembers(true))
	var semantic *json.SemanticError
	var syntax *jsontext.SyntacticError
	switch {
	case err == nil && bytes.TrimLeft(line, " \t\r\n")[0] != '{': // a null
		return u, "must be a JSON object"
	case err == nil:
		return u, ""
	case errors.As(err, &semantic) && semantic.JSONPointer == "":
		return u, "must be a JSON object"
	case errors.Is(err, json.ErrUnknownName):
		return u, shown(semantic.JSONPointer.LastToken()) + " is not a field of a user"
	case semantic != nil:
		return u, shown(semantic.JSONPointer.LastToken()) + " must be a string"
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return u, shown(syntax.JSONPointer.LastToken()) + " must not be given twice"
	case !utf8.Valid(line):
		return u, "must be valid UTF-8"
	}
	return u, "is not one valid JSON object"
}

// shown is a name as a reason may repeat it.
func shown(name string) string {
	if len(name) > maxShown {
		name = name[:maxShown] + "…"
	}
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(name, ""))
	if name == "" {
		return `""`
	}
	return name
}
