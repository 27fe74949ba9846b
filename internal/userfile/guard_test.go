package userfile

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"=x": "'=x", "'=x": "''=x", "''=x": "'''=x", "@x": "'@x", "+x": "'+x", "-x": "'-x", "-1+cmd": "'-1+cmd", "\tx": "'\tx", "\rx": "'\rx", "＝x": "'＝x", "＋1+1": "'＋1+1", "'-x": "''-x", "=": "'=",
		"": "", "x": "x", "'x": "'x", "'": "'", "''": "''", "-1": "-1", "+4917012345": "+4917012345", "-1.5": "-1.5", "-": "-", "'-1": "'-1", "x=1": "x=1", " =1": " =1", "🙂": "🙂",
	} {
		if got := Guard(text); got != want || Unguard(got) != text {
			t.Errorf("%q: %q, back %q", text, got, Unguard(got))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"'", "=", "-", "+", "@", "1", "x", "\t", "＋", " "}), 0, 6).Draw(t, "text"), "")
		if cell := Guard(text); Unguard(cell) != text || runs(cell) {
			t.Fatalf("%q: %q, back %q", text, cell, Unguard(cell))
		}
	})
}
