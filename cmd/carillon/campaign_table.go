package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"carillon/client"
	"carillon/models"
)

// campaignHead is the head of a list of campaigns. RATE is the recipients a second now, and the
// limit.
var campaignHead = []string{"ID", "STATUS", "TOTAL", "PENDING", "SENT", "FAILED", "SKIPPED", "EXPIRED", "CANCELLED", "UNKNOWN", "CREATED", "BY", "RATE", "ETA", "NAME", "REASON"}

// campaignRow is a campaign with all its counts.
func campaignRow(v client.Campaign) []string {
	cells := []string{v.ID, string(v.Status)}
	n := v.Counts
	for _, count := range []int64{n.Total, n.Pending, n.Sent, n.Failed, n.Skipped, n.Expired, n.Cancelled, n.Unknown} {
		cells = append(cells, strconv.FormatInt(count, 10))
	}
	return append(cells, stamp(v.CreatedAt), orDash(v.CreatedBy), rate(speed(v), v.RatePerSecond), eta(v.EtaSeconds), v.Name, v.StatusReason)
}

// speed is how fast a running campaign is. nil = not known, or it does not run.
func speed(v client.Campaign) *float32 {
	if v.Status != client.CampaignStatusRunning {
		return nil
	}
	return v.CurrentRatePerSecond
}

// rate words how fast a campaign is, and how fast it may be. nil = not known.
func rate(now *float32, limit int) string {
	switch {
	case now != nil && limit > 0:
		return fmt.Sprintf("%.0f/s of %d/s", *now, limit)
	case now != nil:
		return fmt.Sprintf("%.0f/s", *now)
	case limit > 0:
		return fmt.Sprintf("at most %d/s", limit)
	}
	return "-"
}

// eta is how long the pending recipients take. nil = not known.
func eta(seconds *int64) string {
	if seconds == nil {
		return "-"
	}
	return (time.Duration(*seconds) * time.Second).String()
}

// campaignText is what a campaign is now, on two lines.
func campaignText(v client.Campaign) string {
	n := v.Counts
	text := fmt.Sprintf("%s is %s: %d of %d pending, %d sent, %d failed, %d skipped, %d expired, %d cancelled, %d unknown\n",
		models.Shown(v.ID), models.Shown(string(v.Status)), n.Pending, n.Total, n.Sent, n.Failed, n.Skipped, n.Expired, n.Cancelled, n.Unknown)
	made := []string{"created " + stamp(v.CreatedAt)}
	if v.CreatedBy != "" {
		made[0] += " by " + models.Shown(v.CreatedBy)
	}
	if v.RatePerSecond > 0 {
		made = append(made, fmt.Sprintf("at most %d/s", v.RatePerSecond))
	}
	if now := speed(v); now != nil {
		made = append(made, fmt.Sprintf("%.0f/s now", *now))
	}
	if v.EtaSeconds != nil {
		made = append(made, eta(v.EtaSeconds)+" left")
	}
	if by := textOf(v.LimitedBy); by != "" {
		made = append(made, "held back by: "+models.Shown(by))
	}
	if v.StatusReason != "" {
		made = append(made, models.Shown(v.StatusReason))
	}
	return text + strings.Join(made, ", ") + "\n"
}
