package userfile

import (
	"bytes"
	"strings"
)

// state is where in a CSV record a byte stands.
type state int

const (
	fieldStart state = iota
	unquoted
	quoted
	quoteSeen // inside quotes, after a quote: the field's end, or the first half of ""
	broken    // the quotes are wrong: the record ends with the line
)

// scan follows the quotes of a record.
type scan struct {
	state  state
	opened int  // the record's line, counted from 0, in which the last quoted field begins
	opens  bool // a quoted field began in this line
	turned bool // the quote that broke the record stood at the beginning of a field
	border bool // the byte before was a delimiter, or this is the line's first byte
}

// read goes on with a line, or a part of it, without the line end.
func (s *scan) read(text []byte, comma byte) {
	if (s.state == fieldStart || s.state == unquoted) && bytes.IndexByte(text, '"') < 0 {
		if len(text) > 0 { // without a quote, the fields do not matter
			s.state = unquoted
			if text[len(text)-1] == comma {
				s.state = fieldStart
			}
		}
		return
	}
	for _, c := range text {
		switch {
		case s.state == broken:
			return
		case s.state == quoted:
			if c == '"' {
				s.state = quoteSeen
				s.turned = s.border
			}
		case s.state == quoteSeen && c == '"':
			s.state = quoted
		case c == comma:
			s.state = fieldStart
		case s.state == fieldStart && c == '"':
			s.state = quoted
			s.opens = true
		case s.state == fieldStart:
			s.state = unquoted
		case s.state == quoteSeen, c == '"':
			s.state = broken
		}
		s.border = c == comma
	}
}

// endLine ends line n of the record. Inside quotes the record goes on.
func (s *scan) endLine(n int) {
	if s.state == quoted && s.opens {
		s.opened = n
	}
	s.opens, s.border = false, true
}

// split cuts a CSV record into its cells. fault says why that is not possible.
func split(record string, comma byte, width int) (cells []string, fault string) {
	cells = make([]string, 0, width)
	for {
		if !strings.HasPrefix(record, `"`) {
			i := strings.IndexByte(record, comma)
			cell := record
			if i >= 0 {
				cell = record[:i]
			}
			if strings.IndexByte(cell, '"') >= 0 {
				return nil, `has a " inside a field that is not quoted`
			}
			cells = append(cells, cell)
			if i < 0 {
				return cells, ""
			}
			record = record[i+1:]
			continue
		}
		cell, rest, closed := unquote(record[1:])
		switch {
		case !closed:
			return nil, `has a quoted field that is not closed`
		case rest != "" && rest[0] != comma:
			return nil, badAfterClose
		}
		cells = append(cells, cell)
		if rest == "" {
			return cells, ""
		}
		record = rest[1:]
	}
}

const badAfterClose = `has a quoted field that goes on after its closing "`

// unquote reads a field behind its opening quote.
func unquote(text string) (cell, rest string, closed bool) {
	for at := 0; ; {
		i := strings.IndexByte(text[at:], '"')
		if i < 0 {
			return "", "", false
		}
		at += i
		if !strings.HasPrefix(text[at+1:], `"`) {
			return strings.ReplaceAll(text[:at], `""`, `"`), text[at+1:], true
		}
		at += 2
	}
}
