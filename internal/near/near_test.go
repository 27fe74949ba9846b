package near_test

import (
	"testing"

	"carillon/internal/near"
)

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"status", "status", 0}, {"stauts", "status", 2}, {"kitten", "sitting", 3}, {"ab", "ba", 2}} {
		if d, back := near.Distance(c.a, c.b), near.Distance(c.b, c.a); d != c.want || back != c.want {
			t.Errorf("%q, %q: %d and %d, want %d", c.a, c.b, d, back, c.want)
		}
	}
}

func TestName(t *testing.T) {
	t.Parallel()
	known := []string{"status", "cursor", "limit", "n"}
	for name, want := range map[string]string{"stauts": "status", "Limits": "limit", "LIMIT": "limit", "offset": "", "x": "", "": "", "crsr": "cursor", "crs": ""} {
		if got := near.Name(name, known, 2); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
