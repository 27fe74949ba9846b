// Package userfile reads files of users: CSV with a header row, or one JSON object a line. It holds one batch
// in memory, whatever the file's size.
package userfile

import (
	"bufio"
	"fmt"
	"hash/maphash"
	"io"

	"carillon/models"
)

// Format is how a file is written.
type Format string

const (
	CSV    Format = "text/csv"             // RFC 4180; the first record names the columns, userID among them, in any order
	NDJSON Format = "application/x-ndjson" // one user a line, with the fields of the API
)

// MaxLine is how long a line, or a CSV record of several lines, may be in bytes, without its line end.
const MaxLine = 64 << 10

// A batch is flushed when it holds so many users or bytes: long texts make small batches, so that memory and
// the statement stay small.
const (
	batchUsers = 1000
	batchBytes = 1 << 20
)

// maxSeen is how many users of one file are remembered, to tell who comes again: some 20 MiB. In a
// longer file a user behind them who comes again in another batch is taken for one who stood in the
// directory.
const maxSeen = 1_000_000

// ReadError is a fault of the reader: the file was not read to its end. What came before is imported.
type ReadError struct{ Err error }

func (e *ReadError) Error() string { return "the file could not be read to its end: " + e.Err.Error() }
func (e *ReadError) Unwrap() error { return e.Err }

// Read hands what a file says of users to flush, in batches of at most 1,000 that flush must not keep, and each line
// that holds no acceptable user to refuse: its number, counted from 1, of a record of several lines the first
// one's, and the reason, which repeats no values. Blank lines are skipped. n is how many users flush has taken.
//
// Errors: a *models.Error of code 1001 for a CSV header that cannot be used, before anything was read; the
// error of flush, which ends the reading; a *ReadError. A line that a fault cut off is never taken for whole.
func Read(r io.Reader, format Format, flush func([]models.UserChange) error, refuse func(line int, reason string)) (n int, err error) {
	in := &records{r: bufio.NewReaderSize(r, MaxLine), quotes: format == CSV}
	b := &batch{flush: flush, seen: map[uint64]struct{}{}, seed: maphash.MakeSeed()}
	decode := decodeJSON
	if format == CSV {
		table, err := readHeader(in)
		if err != nil {
			return 0, err
		}
		decode = table.decode
	}
	for {
		record, line, err := in.next()
		switch {
		case err == io.EOF: //nolint:errorlint // a fault that wraps it is no end
			return b.end(nil)
		case err == errTooLong: //nolint:errorlint // our own, never wrapped
			refuse(line, tooLong(in.open()))
			continue
		case err != nil:
			return b.end(&ReadError{err})
		case in.blank(record):
			continue
		}
		user, reason := decode(record)
		if reason == "" {
			reason = reasons(user.Check())
		}
		if reason != "" {
			refuse(line, reason)
			continue
		}
		if err := b.add(user); err != nil {
			return b.taken, err
		}
	}
}

// tooLong gives the likely cause where the record was still inside quotes when the file ended.
func tooLong(open bool) string {
	reason := fmt.Sprintf("is longer than %d bytes", MaxLine)
	if open {
		reason += "; " + notClosed
	}
	return reason
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
	flush func([]models.UserChange) error
	users []models.UserChange
	bytes int
	taken int
	seed  maphash.Seed
	seen  map[uint64]struct{} // hashes of the IDs that came
}

func (b *batch) add(u models.UserChange) error {
	id := maphash.String(b.seed, u.UserID)
	if _, u.Again = b.seen[id]; !u.Again && len(b.seen) < maxSeen {
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
	b.taken += len(b.users)
	b.users, b.bytes = b.users[:0], 0
	return nil
}

// end flushes what is left; cause is why the reading ended, nil at the file's end.
func (b *batch) end(cause error) (int, error) {
	if err := b.empty(); err != nil {
		return b.taken, err
	}
	return b.taken, cause
}
