package models

import "unicode/utf8"

// MaxTextChars is how many characters of a reason, or of a recipient's error, are stored: the width of their columns.
const MaxTextChars = 255

// CutText is the first chars characters of a text.
func CutText(text string, chars int) string {
	if utf8.RuneCountInString(text) <= chars {
		return text
	}
	return string([]rune(text)[:chars])
}
