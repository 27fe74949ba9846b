package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"carillon/internal/config"
	"carillon/models"
)

// TestNamesOfOldRowsDoNotReachTheTerminal: a name from before they were checked moves no cursor and makes no line of its own.
func TestNamesOfOldRowsDoNotReachTheTerminal(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	if code, _, stderr := finish(t, "migrate", "--data-dir", dir); code != 0 {
		t.Fatal(stderr)
	}
	ledger, err := openLedger(&config.Config{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	const name, shown = "a\x1b[2J\nb\tc\u009bm\u202ed\x7f", `a\u001b[2J\u000ab\u0009c\u009bm\u202ed\u007f`
	spec := models.CampaignSpec{
		Name: name, Channel: "inbox", Audience: models.Audience{Type: models.AudienceUsers, UserIDs: []string{"u1"}}, Priority: models.PriorityBulk, Delivery: models.AtLeastOnce,
		Message: models.Message{SendID: "imAdmin", ContentType: models.ContentText, SessionType: models.SessionSingle, Content: json.RawMessage(`{"content":"hi"}`)},
	}
	admins := []string{"imAdmin"}
	if _, err := ledger.CreateCampaign(t.Context(), spec, admins, models.Idempotency{}, func(models.Campaign) []byte { return nil }); err != nil {
		t.Fatal(err)
	}
	sch := models.Schedule{Name: name, Cron: "0 9 * * *", Timezone: "UTC", Missed: models.MissedSkip, Overlap: models.OverlapSkip, Campaign: spec}
	if _, err := ledger.CreateSchedule(t.Context(), sch, admins, models.Idempotency{}, func(models.Schedule) []byte { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := ledger.Close(); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"campaigns", "schedules"} {
		code, stdout, stderr := finish(t, command, "list", "--local", "--data-dir", dir)
		if code != 0 || !strings.Contains(stdout, shown) || strings.Count(stdout, "\n") != 2 || strings.ContainsAny(stdout, "\x1b\u009b\u202e\x7f") {
			t.Errorf("%s: exit code %d, %q %s", command, code, stdout, stderr)
		}
		code, stdout, _ = finish(t, command, "list", "--local", "--json", "--data-dir", dir)
		var row struct{ Name string }
		if err := json.Unmarshal([]byte(stdout), &row); err != nil || code != 0 || row.Name != name || strings.ContainsAny(stdout, "\x1b\u009b\u202e\x7f") {
			t.Errorf("%s --json: exit code %d, %q %v", command, code, stdout, err)
		}
	}
}

func TestPlainWriter(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	text := "a\tb\n\x1b[1m\\u000a\r\n"
	if n, err := (plainWriter{&out}).Write([]byte(text)); n != len(text) || err != nil || out.String() != "a\tb\n\\u001b[1m\\u000a\\u000d\n" {
		t.Errorf("%d %v %q", n, err, out.String())
	}
}
