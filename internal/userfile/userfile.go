// Package userfile reads files of users: CSV with a header row, or one JSON object a line. It holds
// one batch in memory, whatever the file's size.
package userfile

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"io"
	"strings"
	"unicode/utf8"

	"carillon/models"
)

// Format is how a file is written.
type Format string

const (
	CSV    Format = "text/csv"             // RFC 4180; the first record names the columns, userID among them, in any order
	NDJSON Format = "application/x-ndjson" // one user a line, with the fields of the API
)

// MaxLine is the largest length of a line, or of a CSV record of several lines, in bytes without
// the line end.
const MaxLine = 64 << 10

// A batch is flushed when it holds this many users or bytes. Long texts make small batches, so
// memory and the statement stay small.
const (
	batchUsers = 1000
	batchBytes = 1 << 20
)

// maxSeen is how many users of one file are remembered, to find repeats: some 20 MiB. In a longer
// file, a later user who comes again in another batch counts as a user who stood in the directory.
const maxSeen = 1_000_000

// ReadError is a fault of the reader: the file was not read to its end. The users before the fault
// are imported.
type ReadError struct{ Err error }

func (e *ReadError) Error() string { return "the file could not be read to its end: " + e.Err.Error() }
func (e *ReadError) Unwrap() error { return e.Err }

// Options say how to read a file.
type Options struct {
	Map         Map  // the file's own names of columns or keys
	IgnoreOther bool // columns or keys that users do not have are left out
	Raw         bool // cells are taken as they stand: Guard was not used
}

// Refusal is why one row, or some lines together, were refused.
type Refusal struct {
	Line   int    `json:"line"`             // counted from 1
	ToLine int    `json:"toLine,omitempty"` // the last line, if there are several
	Rows   int    `json:"rows,omitempty"`   // how many rows are refused with it, if there are several
	UserID string `json:"userID,omitempty"` // of the row, cut, and with escapes for what cannot be seen; empty = none was read
	Error  string `json:"error"`            // never repeats values of the file
}

// Count is how many rows are refused.
func (r Refusal) Count() int { return max(1, r.Rows) }

// String names the lines before the reason. It does not name the user: it stands in errors, which callers log.
func (r Refusal) String() string {
	if r.ToLine == 0 {
		return fmt.Sprintf("line %d: %s", r.Line, r.Error)
	}
	return fmt.Sprintf("lines %d to %d: %s", r.Line, r.ToLine, r.Error)
}

// Counts are of what was read. Each line is a row, except the header, empty lines, and the further
// lines of a row whose texts span several.
type Counts struct {
	Lines   int `json:"lines"`
	Rows    int `json:"rows"` // accepted or refused
	Refused int `json:"refusedCount"`
}

// Taken is how many rows flush has taken.
func (n Counts) Taken() int { return n.Rows - n.Refused }

// Read reads a file of users.
//
//   - It calls flush with batches of at most 1,000 users. flush must not keep the slice.
//   - It calls refuse for each row that it cannot take. Lines count from 1; a CSV record of several lines reports its first
//     line. Of the row's values a refusal has the user's ID alone.
//   - Empty lines are skipped. Every other line is counted, however it is quoted.
//   - A line that a fault cut off is never taken for a whole one.
//
// Errors:
//
//   - a *models.Error of code 1001, before anything is read: the file, the CSV header or the map cannot be used;
//   - the error of flush, which ends the reading;
//   - a *ReadError.
func Read(r io.Reader, format Format, o Options, flush func([]models.UserChange) error, refuse func(Refusal)) (Counts, error) {
	b := &batch{flush: flush, seen: map[uint64]struct{}{}, seed: maphash.MakeSeed()}
	err := read(r, format, o, b, refuse)
	b.counts.Rows += b.counts.Refused
	return b.counts, err
}

func read(r io.Reader, format Format, o Options, b *batch, refuse func(Refusal)) error {
	src, err := newSource(r)
	if err != nil {
		return err
	}
	src.findLineEnds(format == CSV)
	in := &records{source: src, csv: format == CSV}
	defer func() { b.counts.Lines = in.lines }()
	decode := jsonDecoder(o)
	if format == CSV {
		table, err := readHeader(in, o)
		if err != nil {
			return err
		}
		decode = table.decode
	}
	for {
		rec, err := in.next()
		switch {
		case err == io.EOF: //nolint:errorlint // a fault may wrap io.EOF and is no end
			return b.empty()
		case err != nil:
			return cmp.Or(b.empty(), error(&ReadError{err}))
		case rec.fault == "" && in.blank(rec.text):
			continue
		}
		user, reason := models.UserChange{}, rec.fault
		if reason == "" {
			if user, reason = decode(rec.text); reason != "" {
				rec.rows = rec.lines
			} else {
				reason = reasons(user.Check())
			}
			if reason != "" {
				reason += encodingOf(rec.text)
			}
		}
		if reason != "" {
			b.counts.Refused += rec.rows
			refuse(rec.refusal(user.UserID, reason))
			continue
		}
		if err := b.add(user); err != nil {
			return err
		}
	}
}

func (rec record) refusal(userID, reason string) Refusal {
	r := Refusal{Line: rec.line, Error: reason}
	r.UserID = models.Shown(models.Shorten(strings.ToValidUTF8(userID, "\ufffd"), models.MaxIDBytes))
	if rec.last > rec.line {
		r.ToLine = rec.last
	}
	if rec.rows > 1 {
		r.Rows = rec.rows
	}
	return r
}

var tooLong = fmt.Sprintf("is longer than %d bytes", MaxLine)

const ownRow = "a quote is missing there, or one too many"

func notClosed(line int) string {
	return fmt.Sprintf("a quoted field that opens in line %d is not closed before the end of the file: %s", line, ownRow)
}

func notClosedSoon(line int) string {
	return fmt.Sprintf("a quoted field that opens in line %d is not closed within %d bytes: %s", line, maxAhead, ownRow)
}

func badClose(opened, line int) string {
	return fmt.Sprintf("a quoted field that opens in line %d meets a quote in line %d that cannot close it: %s", opened, line, ownRow)
}

func heldRow(line, opened int) string {
	return fmt.Sprintf("line %d, within a quoted field that opens in line %d, reads as a row of its own: %s; NDJSON takes texts with such lines", line, opened, ownRow)
}

// encodingOf says in which encoding a line that is not UTF-8 may be.
func encodingOf(line []byte) string {
	if !utf8.Valid(line) && likeWindows1252(line) {
		return "; it looks like Windows-1252: " + saveAsUTF8
	}
	return ""
}

func reasons(fields []models.FieldError) (text string) {
	for _, f := range fields {
		if text != "" {
			text += "; "
		}
		text += f.Field + " " + f.Reason
	}
	return text
}

// batch collects users until there are enough of them.
type batch struct {
	flush  func([]models.UserChange) error
	users  []models.UserChange
	bytes  int
	counts Counts // Rows counts the accepted rows
	seed   maphash.Seed
	seen   map[uint64]struct{} // hashes of the IDs read so far
}

func (b *batch) add(u models.UserChange) error {
	id := maphash.String(b.seed, u.UserID)
	if _, u.Repeated = b.seen[id]; !u.Repeated && len(b.seen) < maxSeen {
		b.seen[id] = struct{}{}
	}
	b.users = append(b.users, u)
	b.bytes += len(u.UserID)
	for _, text := range []*string{u.Nickname, u.FaceURL, u.Timezone, u.Ex} {
		if text != nil {
			b.bytes += len(*text)
		}
	}
	if len(b.users) < batchUsers && b.bytes < batchBytes {
		return nil
	}
	return b.empty()
}

func (b *batch) empty() error {
	if len(b.users) == 0 {
		return nil
	}
	if err := b.flush(b.users); err != nil {
		return err
	}
	b.counts.Rows += len(b.users)
	b.users, b.bytes = b.users[:0], 0
	return nil
}
