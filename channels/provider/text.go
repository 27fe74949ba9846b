package provider

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"carillon/models"
)

// CleanText is a provider's text as it may stand in a row, a CSV file and a terminal: at most n characters, valid UTF-8,
// and a space in place of each character that isUnprintable.
func CleanText(s string, n int) string {
	clean := strings.Map(func(r rune) rune {
		if isUnprintable(r) {
			return ' '
		}
		return r // utf8.RuneError for what is not UTF-8
	}, models.CutText(s, n))
	return strings.TrimSpace(clean)
}

// CleanID is an ID of the provider's, or "" for one that cannot be stored as it is: half an ID finds nothing.
func CleanID(id []byte) string {
	for i := 0; i < len(id); {
		r, size := utf8.DecodeRune(id[i:])
		if r == utf8.RuneError || isUnprintable(r) {
			return ""
		}
		i += size
	}
	return string(id)
}

// isUnprintable reports whether a character changes how a text is shown: control characters, breaks of line and
// paragraph, and marks that turn the direction of the text behind them.
func isUnprintable(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r)
}
