package userfile

import (
	"bytes"
	"io"
)

// records cuts a file into records and counts its lines. A record is one line. In CSV, a record
// with line ends inside quotes is several lines. A quote that is not one of CSV's takes no other
// row with it: reading goes on behind the line in which the quote opened.
type records struct {
	*source
	csv   bool
	comma byte  // the delimiter between two fields
	lines int   // read so far
	ends  []int // the slice of found.ends, used again
	isRow func(line []byte) bool
}

// record is the result of next: a text that is valid until the next call, or the fault for which
// its lines are refused.
type record struct {
	text  []byte
	line  int // number of its first line
	last  int
	lines int // how many of its lines are not empty
	rows  int // how many rows are refused with a fault
	fault string
}

// found is where a record ends in the window. The window may have been read further than that.
type found struct {
	scan
	size     int   // bytes of the record in the window
	ends     []int // of each of its lines in the window: the place behind its line end
	dropped  bool  // the first line is too long and no longer in the window; ends[0] is 0
	overflow bool  // the window ends before the record does
	over     bool  // the file ends with the record
}

// next returns the next record. Errors: io.EOF, or the reader's own. After an error of the reader,
// what was read of a record is dropped.
func (s *records) next() (record, error) {
	f, err := s.find()
	if err != nil {
		return record{}, err
	}
	rec := record{line: s.lines + 1, lines: 1, rows: 1}
	switch {
	case f.state == broken && len(f.ends) > 1, f.overflow, f.state == quoted:
		err = s.giveUp(&f, &rec)
	default:
		s.whole(&f, &rec)
	}
	return rec, err
}

// whole takes a record that ends where the rules of CSV say.
func (s *records) whole(f *found, rec *record) {
	text := s.window()[:f.size]
	row := 0 // which of its lines is a row, counted from 1
	from := f.ends[0]
	for i, end := range f.ends[1:] {
		if s.heldRow(trimEnd(text[:f.ends[0]]), trimEnd(text[from:end])) {
			row = i + 2
			break
		}
		from = end
	}
	s.take(f, rec, len(f.ends))
	text = trimEnd(text)
	if len(f.ends) > 1 {
		rec.lines = count(text, f)
	}
	switch {
	case row > 0:
		rec.rows = rec.lines
		rec.fault = heldRow(rec.line+row-1, rec.line+f.opened)
	case f.dropped || len(text) > MaxLine:
		rec.fault = tooLong
	default:
		rec.text = text
	}
}

// heldRow reports whether a line that begins inside a quoted text would be a row without the quote
// that closes the text. If all delimiters of the line stand behind that quote, the line is normal,
// unless the record's first line is a row too.
func (s *records) heldRow(first, line []byte) bool {
	at := closing(line)
	if at < 0 {
		return s.isRow(line)
	}
	if bytes.IndexByte(line[:at], s.comma) < 0 && (!bytes.HasPrefix(first, []byte(`"`)) || !s.isRow(first[1:])) {
		return false
	}
	return s.isRow(append(bytes.Clone(line[:at]), line[at+1:]...))
}

// closing is the place in a line where a quoted text from an earlier line ends, or -1.
func closing(line []byte) int {
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] != '"':
		case i+1 < len(line) && line[i+1] == '"':
			i++
		default:
			return i
		}
	}
	return -1
}

// giveUp refuses a record whose quotes are wrong. If the lines that it took with it read as rows,
// only the lines up to the one with the last opening quote are refused. The others are read again.
func (s *records) giveUp(f *found, rec *record) error {
	opened := rec.line + f.opened
	switch {
	case f.state == broken:
		rec.fault = badClose(opened, rec.line+len(f.ends)-1)
	case f.overflow:
		rec.fault = notClosedSoon(opened)
	default:
		rec.fault = notClosed(opened)
	}
	if s.mostAreRows(f) {
		s.take(f, rec, f.opened+1)
		rec.rows = count(s.buf[s.start-f.ends[f.opened]:s.start], f)
		return nil
	}
	if !f.overflow {
		s.take(f, rec, len(f.ends))
		rec.rows = count(s.buf[s.start-f.size:s.start], f)
		return nil
	}
	return s.readOver(f, rec)
}

// mostAreRows reports whether most lines behind the line with the opening quote are rows. A line
// also counts as a row if a quote at the beginning of a field ended the text: from there on,
// opening and closing quotes were exchanged.
func (s *records) mostAreRows(f *found) bool {
	text := s.window()
	rows, others := 0, 0
	for i := f.opened + 1; i < len(f.ends); i++ {
		line := trimEnd(text[f.ends[i-1]:f.ends[i]])
		last := i == len(f.ends)-1
		switch {
		case len(line) == 0:
		case s.isRow(line), last && f.state == broken && f.turned:
			rows++
		default:
			others++
		}
	}
	return rows > others || rows+others == 0
}

// take consumes the first lines of what was found.
func (s *records) take(f *found, rec *record, lines int) {
	s.skip(f.ends[lines-1])
	s.lines += lines
	rec.last = s.lines
}

// count is how many rows are refused with some lines: each line that is not empty is one.
func count(text []byte, f *found) (rows int) {
	if f.dropped {
		rows = 1
	}
	for line := range bytes.Lines(text) {
		if len(trimEnd(line)) > 0 {
			rows++
		}
	}
	return rows
}

// readOver consumes a record that is longer than the window.
func (s *records) readOver(f *found, rec *record) error {
	s.take(f, rec, len(f.ends))
	rec.rows = count(s.buf[s.start-f.ends[len(f.ends)-1]:s.start], f)
	at := f.scan
	for at.state == quoted {
		size, err := s.line(&at)
		if err == io.EOF { //nolint:errorlint // a fault may wrap io.EOF and is no end
			break
		}
		if err != nil {
			return err
		}
		if size > 0 {
			rec.rows++
		}
		s.lines++
	}
	rec.last = s.lines
	if at.state == quoted {
		rec.fault = notClosed(rec.line + f.opened)
	} else {
		rec.fault = tooLong
	}
	return nil
}

// line consumes one line of any length and returns its size without the line end; EOF if there is
// none.
func (s *records) line(at *scan) (size int, err error) {
	began := false
	for {
		w := s.window()
		if i := bytes.IndexByte(w, '\n'); i >= 0 {
			text := trimEnd(w[:i+1])
			at.read(text, s.comma)
			at.endLine(0)
			s.skip(i + 1)
			return size + len(text), nil
		}
		if len(w) > MaxLine {
			at.read(w, s.comma)
			size += len(w)
			s.skip(len(w))
			began = true
		}
		if s.more() {
			continue
		}
		if s.err != io.EOF { //nolint:errorlint // a fault may wrap io.EOF and is no end
			return size, s.err
		}
		w = s.window()
		if len(w) == 0 && !began {
			return 0, io.EOF
		}
		at.read(trimEnd(w), s.comma)
		at.endLine(0)
		s.skip(len(w))
		return size + len(w), nil
	}
}

// find looks for the end of the next record. It consumes nothing, except a first line that is too
// long.
func (s *records) find() (f found, err error) {
	f.ends = s.ends[:0]
	defer func() { s.ends = f.ends }()
	from := 0 // where the line begins
	i := 0    // the window was looked at up to here
	for {
		w := s.window()
		n := bytes.IndexByte(w[i:], '\n')
		if n >= 0 {
			i += n + 1
		} else {
			i = len(w)
		}
		switch {
		case n >= 0:
		case len(f.ends) == 0 && i > MaxLine+len("\r\n"):
			if s.csv {
				f.read(w, s.comma)
			}
			s.skip(i)
			i, f.dropped = 0, true
			continue
		case len(f.ends) > 0 && i >= maxAhead:
			f.overflow = true
			return f, nil
		case s.more():
			continue
		case s.err != io.EOF: //nolint:errorlint // a fault may wrap io.EOF and is no end
			return f, s.err
		case i == from && (len(f.ends) > 0 || !f.dropped):
			if len(f.ends) == 0 {
				return f, io.EOF
			}
			f.over, f.size = true, i
			return f, nil
		default:
			f.over = true
		}
		if s.csv {
			f.read(trimEnd(s.window()[from:i]), s.comma)
			f.endLine(len(f.ends))
		}
		f.ends = append(f.ends, i)
		from, f.size = i, i
		if f.dropped && len(f.ends) == 1 {
			s.skip(i)
			f.ends[0], from, f.size, i = 0, 0, 0, 0
		}
		if f.state != quoted || f.over {
			return f, nil
		}
	}
}

func trimEnd(record []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(record, []byte("\n")), []byte("\r"))
}

// blank reports whether a record is empty. In CSV, spaces are not empty.
func (s *records) blank(record []byte) bool {
	if s.csv {
		return len(record) == 0
	}
	return len(bytes.TrimSpace(record)) == 0
}
