package userfile

import (
	"bytes"
	"encoding/binary"
	"io"
	"unicode/utf16"
	"unicode/utf8"

	"carillon/models"
)

const (
	// readAhead holds one line of any accepted length.
	readAhead = 2 * MaxLine
	// maxAhead is how far the closing quote is looked for before the line is given up, in bytes. No
	// text of a user needs that much. A longer text must not look like rows.
	maxAhead = 1 << 20

	saveAsUTF8 = "save the file as UTF-8"
)

// ByteOrderMark at a file's begin tells spreadsheets that it is UTF-8.
const ByteOrderMark = "\ufeff"

// source is a file as UTF-8, with a window over the bytes that come next.
type source struct {
	r          io.Reader
	buf        []byte
	start, end int   // of the window in buf
	err        error // why nothing follows the window
	returns    bool  // lines end with a CR alone
}

// newSource looks at the first bytes of a file, which tell its encoding. An encoding that cannot be
// read is an error.
func newSource(r io.Reader) (*source, error) {
	s := &source{r: r, buf: make([]byte, readAhead)}
	for s.end < len(utf32Little) && s.more() {
	}
	head := s.window()
	switch {
	case bytes.HasPrefix(head, []byte(utf32Little)), bytes.HasPrefix(head, []byte(utf32Big)):
		return nil, badFile("file", "is UTF-32; "+saveAsUTF8)
	case bytes.HasPrefix(head, []byte("\xff\xfe")):
		s.recode(binary.LittleEndian)
	case bytes.HasPrefix(head, []byte("\xfe\xff")):
		s.recode(binary.BigEndian)
	case len(head) >= 2 && (head[0] == 0) != (head[1] == 0):
		return nil, badFile("file", "is UTF-16 without a byte order mark; "+saveAsUTF8)
	case bytes.HasPrefix(head, []byte(ByteOrderMark)):
		s.skip(len(ByteOrderMark)) // the mark is no part of the first name
	}
	return s, nil
}

const (
	utf32Little = "\xff\xfe\x00\x00"
	utf32Big    = "\x00\x00\xfe\xff"
)

// recode goes on behind the byte order mark of a file in UTF-16.
func (s *source) recode(order binary.ByteOrder) {
	s.skip(2)
	raw := &utf16Reader{r: s.r, err: s.err, order: order, raw: bytes.Clone(s.window())}
	s.r, s.err, s.start, s.end = raw, nil, 0, 0
}

func badFile(field, reason string) error {
	return models.Invalid([]models.FieldError{{Field: field, Reason: reason}})
}

func (s *source) window() []byte { return s.buf[s.start:s.end] }

func (s *source) skip(n int) { s.start += n }

// more makes the window longer. It returns false when nothing more can be read: err says why.
func (s *source) more() bool {
	if s.err != nil {
		return false
	}
	if s.start > 0 && s.end == len(s.buf) {
		s.end = copy(s.buf, s.window())
		s.start = 0
	}
	if s.end == len(s.buf) {
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
	for range maxIdle {
		n, err := s.r.Read(s.buf[s.end:])
		if s.returns {
			returnsToFeeds(s.buf[s.end : s.end+n])
		}
		s.end += n
		s.err = err
		if n > 0 || err != nil {
			return n > 0
		}
	}
	s.err = io.ErrNoProgress
	return false
}

// maxIdle is how many times in a row a reader may return nothing.
const maxIdle = 100

// findLineEnds finds out from the first line whether lines end with a CR alone. With quotes set, a
// line end inside quotes does not count.
func (s *source) findLineEnds(quotes bool) {
	inside := false
	for i := range readAhead {
		if i == s.end-s.start && !s.more() {
			return
		}
		switch c := s.window()[i]; {
		case c == '"' && quotes:
			inside = !inside
		case inside:
		case c == '\n':
			return
		case c == '\r':
			if i+1 < s.end-s.start || s.more() {
				s.returns = s.window()[i+1] != '\n'
			} else {
				s.returns = s.err == io.EOF //nolint:errorlint // a fault may wrap io.EOF and is no end
			}
			if s.returns {
				returnsToFeeds(s.window())
			}
			return
		}
	}
}

func returnsToFeeds(text []byte) {
	for i, c := range text {
		if c == '\r' {
			text[i] = '\n'
		}
	}
}

// utf16Reader turns UTF-16 into UTF-8. Half a character becomes a byte that is not UTF-8, so its
// line is refused.
type utf16Reader struct {
	r     io.Reader
	order binary.ByteOrder
	raw   []byte // not converted so far
	ready []byte // UTF-8 that was not read yet
	err   error
}

func (u *utf16Reader) Read(p []byte) (int, error) {
	for len(u.ready) == 0 {
		whole := u.convert()
		if len(u.ready) > 0 {
			break
		}
		if whole && u.err != nil {
			return 0, u.err
		}
		next := make([]byte, 4096)
		n, err := u.r.Read(next)
		u.raw = append(u.raw, next[:n]...)
		u.err = err
	}
	n := copy(p, u.ready)
	u.ready = u.ready[n:]
	return n, nil
}

// convert converts what is there of raw, and reports whether nothing is left.
func (u *utf16Reader) convert() (whole bool) {
	u.ready = nil
	ended := u.err != nil
	for len(u.raw) >= 2 {
		unit := rune(u.order.Uint16(u.raw))
		size := 2
		if utf16.IsSurrogate(unit) {
			if len(u.raw) < 4 && !ended {
				return false
			}
			low := rune(0)
			if len(u.raw) >= 4 {
				low = rune(u.order.Uint16(u.raw[2:]))
			}
			if unit = utf16.DecodeRune(unit, low); unit == utf8.RuneError {
				u.ready = append(u.ready, notUTF8)
				u.raw = u.raw[2:]
				continue
			}
			size = 4
		}
		u.ready = utf8.AppendRune(u.ready, unit)
		u.raw = u.raw[size:]
	}
	if ended && len(u.raw) > 0 {
		u.ready = append(u.ready, notUTF8)
		u.raw = nil
	}
	return len(u.raw) == 0
}

const notUTF8 = 0xff

// likeWindows1252 reports whether text that is not UTF-8 may be Windows-1252. The text must hold no
// UTF-8 character beyond ASCII, and no byte that Windows-1252 does not have.
func likeWindows1252(text []byte) bool {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size == 1 {
			if bytes.IndexByte([]byte("\x81\x8d\x8f\x90\x9d"), text[0]) >= 0 {
				return false
			}
		} else if size > 1 {
			return false
		}
		text = text[size:]
	}
	return true
}
