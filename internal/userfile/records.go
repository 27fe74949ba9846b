package userfile

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

var errTooLong = errors.New("a record is too long")

// records cuts a file into records and counts its lines. encoding/csv alone would hold a record of any length
// in memory; here one that is too long is read over, to the place where CSV says that it ends.
type records struct {
	r      *bufio.Reader
	quotes bool // CSV: a line end inside quotes belongs to the record
	lines  int  // ended so far
	began  bool
	buf    []byte // of a record that did not come in one piece
	state  state  // of CSV, at the end of what was read
}

// next gives the next record with its line end and the number of its first line. The record is valid until
// the next call. Errors: io.EOF at the end, errTooLong with the line, or the reader's own: then what was
// read of the record is dropped.
func (s *records) next() (record []byte, line int, err error) {
	s.buf, s.state = s.buf[:0], fieldStart
	line = s.lines + 1
	size := 0
	for {
		piece, err := s.r.ReadSlice('\n')
		if err != nil && err != io.EOF && err != bufio.ErrBufferFull { //nolint:errorlint // bufio gives them as they are
			return nil, line, err
		}
		if !s.began {
			s.began = true
			piece = bytes.TrimPrefix(piece, []byte("\ufeff")) // a byte order mark is no part of the first name
		}
		size += len(piece)
		if size == 0 && err == io.EOF {
			return nil, line, io.EOF
		}
		if s.quotes {
			s.state = s.state.after(piece)
		}
		whole := err == io.EOF
		if err == nil {
			s.lines++
			whole = s.state != quoted
		}
		if whole && size == len(piece) { // in one piece, as nearly all are
			return limited(piece, line)
		}
		if size <= MaxLine+len("\r\n") {
			s.buf = append(s.buf, piece...)
		}
		if whole && size > len(s.buf) {
			return nil, line, errTooLong
		}
		if whole {
			return limited(s.buf, line)
		}
	}
}

// open says whether the last record ended inside quotes, which only the file's end brings about.
func (s *records) open() bool { return s.state == quoted }

func limited(record []byte, line int) ([]byte, int, error) {
	if len(trimEnd(record)) > MaxLine {
		return nil, line, errTooLong
	}
	return record, line, nil
}

func trimEnd(record []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(record, []byte("\n")), []byte("\r"))
}

// blank says whether there is nothing in a record; in CSV spaces are something.
func (s *records) blank(record []byte) bool {
	if s.quotes {
		return len(trimEnd(record)) == 0
	}
	return len(bytes.TrimSpace(record)) == 0
}

// state is where in a CSV record a byte stands, by the same rules as encoding/csv.
type state int

const (
	fieldStart state = iota
	unquoted
	quoted
	quoteSeen // inside quotes, behind a quote: the field's end or the first half of ""
	broken    // what encoding/csv refuses: the record ends with the line
)

func (s state) after(piece []byte) state {
	for _, c := range piece {
		switch {
		case s == quoted:
			if c == '"' {
				s = quoteSeen
			}
		case c == '\n':
			s = fieldStart
		case s == broken:
		case s == quoteSeen && c == '"':
			s = quoted
		case c == ',':
			s = fieldStart
		case s == fieldStart && c == '"':
			s = quoted
		case s == fieldStart:
			s = unquoted
		case s == quoteSeen, c == '"':
			s = broken
		}
	}
	return s
}
