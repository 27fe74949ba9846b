package models

import "testing"

func TestTextsAreCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, cut, short string }{
		{"", "", ""},
		{"äöü", "äöü", "äö…"}, // 6 bytes, of which 4 stay
		{"äöüx", "äöü", "äö…"},
		{"abcdefgh", "abc", "abcde…"},
		{"a\xff\xffb", "a\xff\xff", "a\xff\xffb"},
	} {
		if got := CutText(c.text, 3); got != c.cut {
			t.Errorf("CutText(%q): %q", c.text, got)
		}
		if got := Shorten(c.text, 5); got != c.short {
			t.Errorf("Shorten(%q): %q", c.text, got)
		}
	}
}
