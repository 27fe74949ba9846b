package webhook

import (
	"strings"
	"testing"
)

// A rate too low for the batch is said, with the figures.
func TestBatchWarning(t *testing.T) {
	for _, c := range []struct {
		rate, batch int
		want        string // "" = no warning
	}{
		{20, 100, "at most 1 recipient and not the 100"},
		{1, 2, "at most 1 recipient and not the 2"},
		{1999, 100, "at most 99 recipients and not the 100"},
		{2000, 100, ""},
		{0, 100, ""},
		{5, 1, ""},
	} {
		set := Config{URL: "https://hook.example", Rate: c.rate, Batch: c.batch}
		got := ""
		for _, w := range set.Warnings() {
			got += w.Detail
		}
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%d/s in batches of %d: %q", c.rate, c.batch, got)
		}
		set.URL = ""
		if len(set.Warnings()) > 0 {
			t.Errorf("%d/s in batches of %d: warned without a webhook", c.rate, c.batch)
		}
	}
}
