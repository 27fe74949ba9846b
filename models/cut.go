package models

import "strings"

// Widths of columns, in characters.
const (
	// MaxTextChars of a reason, or of a recipient's error, are stored. The rest is cut off.
	MaxTextChars = 255
	// MaxNameChars is the longest nickname, and the longest name of a campaign, schedule or group.
	// A longer name is refused.
	MaxNameChars = 255
)

// CutText is the first chars characters of a text. A byte that is not UTF-8 counts as one.
func CutText(text string, chars int) string {
	for i := range text {
		if chars <= 0 {
			return text[:i]
		}
		chars--
	}
	return text
}

// Shorten is a text that is too long to be repeated whole: at most so many bytes, then "…". It cuts
// between two characters.
func Shorten(text string, bytes int) string {
	if len(text) <= bytes {
		return text
	}
	return strings.ToValidUTF8(text[:bytes], "") + "…"
}
