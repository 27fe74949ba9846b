package main

import "testing"

func TestTerminalShowsNoControlCharacters(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                             "",
		"Frühling 🙂 \\ \"x\"":          "Frühling 🙂 \\ \"x\"",
		"a\nb\tc\rd":                   `a\nb\tc\rd`,
		"\x1b[2J\x1b]0;owned\x07":      `\x1b[2J\x1b]0;owned\a`,
		"\u009b31m\x7f":                `\u009b31m\x7f`,
		"abc\u202efdp.exe\u2066\u00a0": `abc\u202efdp.exe\u2066\u00a0`,
		"a\u2028b":                     `a\u2028b`,
		"M\xfcller":                    "M\uFFFDller",
	} {
		if got := visible(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
