package config_test

import (
	"strings"
	"testing"

	"carillon/internal/config"
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
		set := config.Config{WebhookURL: "https://hook.example", WebhookRate: c.rate, WebhookBatch: c.batch}
		got := set.BatchWarning()
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%d/s in batches of %d: %q", c.rate, c.batch, got)
		}
		set.WebhookURL = ""
		if set.BatchWarning() != "" {
			t.Errorf("%d/s in batches of %d: warned without a webhook", c.rate, c.batch)
		}
	}
}
