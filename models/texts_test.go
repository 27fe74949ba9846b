package models

import (
	"strings"
	"testing"
)

func TestNewIDs(t *testing.T) {
	t.Parallel()
	for _, id := range []string{
		"bob", "Bób", "b b", "b\u00a0b", "用户", "b\u3000b", "🙂", "👨‍👩‍👧", "❤️", "❤️‍🔥", "1️⃣", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "👩🏽‍⚕️", "🏳️‍🌈", "🙂‍↔️",
		"'=x", "%", "-5", "नमस्ते", "e\u0301", "עברית", "\u0600",
	} {
		if why := CheckNewID(id); why != "" {
			t.Errorf("%q %s", id, why)
		}
	}
	for id, want := range map[string]string{
		" b": "must not begin with white space (U+0020)", "b ": "must not end in white space (U+0020)", " ": "must not begin with white space (U+0020)",
		"\u00a0b": "begin with white space (U+00A0)", "b\u00a0": "end in white space (U+00A0)", "\u3000b": "U+3000", "b\u3000": "U+3000", "b\u2003": "U+2003", "b\u202f": "U+202F", "\u1680b": "U+1680",
		"b\u200b": "must not hold U+200B, which cannot be seen", "b\u200bo": "U+200B", "\u200bb": "U+200B", "b\u200c": "U+200C", "b\u200do": "U+200D", "👨\u200d": "U+200D", "\u200d👨": "U+200D",
		"👨\u200db": "U+200D", "b\u2060": "U+2060", "\ufeffb": "U+FEFF", "b\u180e": "U+180E", "b\u00ad": "U+00AD", "b\u200eo": "U+200E", "b\u202e": "U+202E", "b\u2066o\u2069": "U+2066", "b\u061c": "U+061C",
		"b\u2028o": "U+2028", "b\ufe0f": "U+FE0F", "1\ufe0f": "U+FE0F", "b\u034f": "U+034F", "b\u3164": "U+3164", "\u2800": "U+2800", "b\U000e0067": "U+E0067", "b\U000e0001": "U+E0001",
		"b\ufffd": "must not hold U+FFFD, which stands for a character that was lost", "b\tb": "must not hold control characters (U+0009)", "b\u0085": "(U+0085)", "b\x7f": "(U+007F)",
		"": "must not be empty", "b\xff": "must be valid UTF-8",
	} {
		if why := CheckNewID(id); !strings.Contains(why, want) {
			t.Errorf("%q: %q, want %q", id, why, want)
		}
	}
}

func TestShown(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Bób, 用户 👨‍👩‍👧": "Bób, 用户 👨‍👩‍👧", "a\x1b[2Jb": `a\u001b[2Jb`, "a\nb\tc\r": `a\u000ab\u0009c\u000d`, "\u009b1m\x7f": `\u009b1m\u007f`, "a\u202eb": `a\u202eb`, "a\u2028b\U000e0001": `a\u2028b\udb40\udc01`,
	} {
		if got := Shown(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}
