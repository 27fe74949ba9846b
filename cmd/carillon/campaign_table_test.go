package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"carillon/client"
)

// All counts are shown, and a rate or an end that nobody knows is not made up.
func TestCampaignTable(t *testing.T) {
	t.Parallel()
	half, two, left, zero := float32(50), float32(2.5), int64(3600), int64(0)
	counts := client.Counts{Total: 28, Pending: 1, Sent: 2, Failed: 3, Skipped: 4, Expired: 5, Cancelled: 6, Unknown: 7}
	list := []client.Campaign{
		{ID: "one", Status: "running", CreatedBy: "imAdmin", RatePerSecond: 100, Name: "n", Counts: counts, CurrentRatePerSecond: &half, EtaSeconds: &zero},
		{ID: "two", Status: "running", Counts: client.Counts{Total: 9000, Pending: 9000}, CurrentRatePerSecond: &two, EtaSeconds: &left},
		{ID: "three", Status: "paused", RatePerSecond: 5, StatusReason: "why"},
	}
	for i := range list {
		list[i].CreatedAt = time.UnixMilli(1_700_000_000_000)
	}
	var out bytes.Buffer
	a := &app{stdout: &out}
	if err := printList(a, listFlags{Limit: 9}, each(list, func(c client.Campaign) client.Campaign { return c }), campaignHead, campaignRow); err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(out.String(), "\n")
	for i, want := range [][]string{
		{"ID", "STATUS", "TOTAL", "PENDING", "SENT", "FAILED", "SKIPPED", "EXPIRED", "CANCELLED", "UNKNOWN", "CREATED", "BY", "RATE", "ETA", "NAME", "REASON"},
		{"one", "running", "28", "1", "2", "3", "4", "5", "6", "7", "2023-11-14T22:13:20Z", "imAdmin", "50/s", "of", "100/s", "0s", "n"},
		{"two", "running", "9000", "9000", "0", "0", "0", "0", "0", "0", "2023-11-14T22:13:20Z", "-", "2/s", "1h0m0s"},
		{"three", "paused", "0", "0", "0", "0", "0", "0", "0", "0", "2023-11-14T22:13:20Z", "-", "at", "most", "5/s", "-", "why"},
	} {
		if got := strings.Join(strings.Fields(rows[i]), " "); got != strings.Join(want, " ") {
			t.Errorf("%q, want %q", got, want)
		}
	}
	text := campaignText(list[0])
	if text != "one is running: 1 of 28 pending, 2 sent, 3 failed, 4 skipped, 5 expired, 6 cancelled, 7 unknown\ncreated 2023-11-14T22:13:20Z by imAdmin, at most 100/s, 50/s now, 0s left\n" {
		t.Errorf("%q", text)
	}
	if text := campaignText(list[2]); !strings.HasSuffix(text, "created 2023-11-14T22:13:20Z, at most 5/s, why\n") {
		t.Errorf("%q", text)
	}
}
