package main

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// visible is a text from outside as a terminal may show it: on one line, with what would not be seen, or would move the
// cursor, written as Go writes it ("\n", "\x1b", "\u202e").
func visible(text string) string {
	if !strings.ContainsFunc(text, hidden) && utf8.ValidString(text) {
		return text
	}
	var out strings.Builder
	for _, r := range text {
		if hidden(r) {
			quoted := strconv.QuoteRune(r)
			out.WriteString(quoted[1 : len(quoted)-1])
		} else {
			out.WriteRune(r)
		}
	}
	return out.String()
}

func hidden(r rune) bool { return !strconv.IsPrint(r) }
