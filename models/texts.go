package models

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"
)

// CheckID says why an ID is not possible, or "" if it is: 1–64 bytes of valid UTF-8 without control
// characters. IDs are compared byte for byte: nothing trims them or folds their case.
func CheckID(id string) string {
	switch {
	case id == "":
		return "must not be empty"
	case len(id) > MaxIDBytes:
		return fmt.Sprintf("must be at most %d bytes, has %d", MaxIDBytes, len(id))
	}
	return CheckLine(id)
}

// CheckNewID is CheckID for IDs that are written. It also refuses characters that nobody can see,
// and white space at the ends: such an ID looks like another. Older rows may have such IDs, which
// can be read and deleted.
func CheckNewID(id string) string {
	if why := CheckID(id); why != "" || plainASCII(id) {
		return why
	}
	runes := []rune(id)
	if r := runes[0]; unicode.IsSpace(r) {
		return "must not begin with white space (" + codePoint(r) + ")"
	}
	if r := runes[len(runes)-1]; unicode.IsSpace(r) {
		return "must not end in white space (" + codePoint(r) + ")"
	}
	for i, r := range runes {
		switch {
		case r == utf8.RuneError:
			return "must not hold " + codePoint(r) + ", which stands for a character that was lost"
		case unseen(r) && !inEmoji(runes, i):
			return "must not hold " + codePoint(r) + ", which cannot be seen"
		}
	}
	return ""
}

// plainASCII is true for nearly all IDs.
func plainASCII(id string) bool {
	for i := range len(id) {
		if id[i] >= utf8.RuneSelf {
			return false
		}
	}
	return id[0] != ' ' && id[len(id)-1] != ' '
}

// CheckLine says what is wrong with a text of one line.
func CheckLine(s string) string {
	if !utf8.ValidString(s) {
		return "must be valid UTF-8"
	}
	if i := strings.IndexFunc(s, unicode.IsControl); i >= 0 {
		r, _ := utf8.DecodeRuneInString(s[i:])
		return "must not hold control characters (" + codePoint(r) + ")"
	}
	return ""
}

// Shown is a text for a terminal or an error. Characters that move the cursor, turn the direction
// or stay unseen are written as \u001b, as in JSON.
func Shown(s string) string {
	var out strings.Builder
	for _, r := range s {
		switch {
		case r == joiner || r == nonJoiner || isTag(r) || !unicode.IsControl(r) && !unicode.In(r, marks...):
			out.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.String()
}

func codePoint(r rune) string { return fmt.Sprintf("U+%04X", r) }

const (
	nonJoiner = '\u200c'
	joiner    = '\u200d'
	emojiForm = '\ufe0f' // makes an emoji of the character before
	textForm  = '\ufe0e'
	keycap    = '\u20e3'
	blackFlag = '\U0001f3f4' // begins the flags that are written with tags
)

var (
	marks = []*unicode.RangeTable{unicode.Cf, unicode.Zl, unicode.Zp}
	// blanks are letters and marks that have no shape.
	blanks = &unicode.RangeTable{R16: []unicode.Range16{
		{Lo: 0x034f, Hi: 0x034f, Stride: 1}, {Lo: 0x115f, Hi: 0x1160, Stride: 1}, {Lo: 0x17b4, Hi: 0x17b5, Stride: 1}, {Lo: 0x180b, Hi: 0x180f, Stride: 1},
		{Lo: 0x2800, Hi: 0x2800, Stride: 1}, {Lo: 0x3164, Hi: 0x3164, Stride: 1}, {Lo: 0xfe00, Hi: 0xfe0f, Stride: 1}, {Lo: 0xffa0, Hi: 0xffa0, Stride: 1},
	}}
)

// unseen reports whether a character takes no place, turns the direction, or is blank without being
// white space.
func unseen(r rune) bool {
	return unicode.In(r, marks...) && !unicode.Is(unicode.Prepended_Concatenation_Mark, r) || unicode.Is(blanks, r)
}

// inEmoji reports whether an unseen character is part of an emoji: a joiner between two characters,
// the emoji form of one, or a tag of a flag.
func inEmoji(runes []rune, i int) bool {
	before, after := rune(0), rune(0)
	if i > 0 {
		before = runes[i-1]
	}
	if i+1 < len(runes) {
		after = runes[i+1]
	}
	switch r := runes[i]; {
	case r == joiner:
		return (before == emojiForm || isEmoji(before)) && isEmoji(after)
	case r == emojiForm, r == textForm:
		return isEmoji(before) || after == keycap && strings.ContainsRune("0123456789#*", before)
	case isTag(r):
		for i > 0 && isTag(runes[i]) {
			i--
		}
		return runes[i] == blackFlag
	}
	return false
}

func isTag(r rune) bool { return r >= 0xe0020 && r <= 0xe007f }

func isEmoji(r rune) bool {
	switch {
	case r >= 0x1f000 && r <= 0x1faff:
		return true
	case r == 0x2194, r == 0x3030, r == 0x303d, r == 0xa9, r == 0xae, r == 0x203c, r == 0x2049:
		return true
	}
	return r >= 0x2100 && r <= 0x3299 && unicode.In(r, unicode.So, unicode.Sm)
}

// isPublicID reports whether a text has the form of a campaign's or schedule's ID. The database is
// not asked for any other text: MySQL refuses to compare non-ASCII text with such a column, and
// ignores trailing spaces.
func isPublicID(text string) bool {
	id, err := ulid.ParseStrict(text)
	return err == nil && id.String() == text
}

// cut makes a reason fit its column.
func cut(reason string) string { return CutText(reason, MaxTextChars) }
