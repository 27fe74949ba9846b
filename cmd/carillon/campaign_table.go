package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"carillon/models"
)

// measureFor is how long campaigns are watched to measure their speed.
const measureFor = time.Second

// measure returns how many recipients a second each running campaign of a list completes, by
// internal number.
func measure(ctx context.Context, ledger *models.Store, list []models.CampaignView) (map[int64]float64, error) {
	before := map[int64]int64{}
	for _, v := range list {
		if v.Status == models.StatusRunning {
			before[v.ID] = v.Pending
		}
	}
	if len(before) == 0 {
		return nil, nil
	}
	began := time.Now()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(measureFor):
	}
	now, err := ledger.RunningCounts(ctx)
	paces := map[int64]float64{}
	for _, v := range now {
		if pending, ok := before[v.ID]; ok && v.Planned { // before that, its total is not final
			paces[v.ID] = float64(max(0, pending-v.Pending)) / time.Since(began).Seconds()
		}
	}
	return paces, err
}

// campaignTable prints campaigns with all their counts. RATE is the recipients a second now, and
// the limit.
func campaignTable(out io.Writer, list []models.CampaignView, paces map[int64]float64) error {
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tSTATUS\tTOTAL\tPENDING\tSENT\tFAILED\tSKIPPED\tEXPIRED\tCANCELLED\tUNKNOWN\tCREATED\tBY\tRATE\tETA\tNAME\tREASON")
	for _, v := range list {
		n := v.Counts
		pace, known := paces[v.ID]
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", v.PublicID, v.Status, n.Total, n.Pending, n.Sent, n.Failed, n.Skipped, n.Expired,
			n.Cancelled, n.Unknown, v.CreatedAt.Shown(time.RFC3339), models.Shown(cmp.Or(v.CreatedBy, "-")), rate(pace, known, v.RatePerSecond), eta(n.Pending, pace), models.Shown(v.Name), models.Shown(v.StatusReason))
	}
	return t.Flush()
}

func rate(pace float64, known bool, limit int) string {
	switch {
	case known && limit > 0:
		return fmt.Sprintf("%.0f/s of %d/s", pace, limit)
	case known:
		return fmt.Sprintf("%.0f/s", pace)
	case limit > 0:
		return fmt.Sprintf("at most %d/s", limit)
	}
	return "-"
}

// eta is how long the pending recipients take at a pace. At pace 0 it is unknown.
func eta(pending int64, pace float64) string {
	if pace <= 0 {
		return "-"
	}
	return (time.Duration(float64(pending)/pace) * time.Second).String()
}

// campaignText is what a campaign is now, on two lines.
func campaignText(v models.CampaignView) string {
	n := v.Counts
	text := fmt.Sprintf("%s is %s: %d of %d pending, %d sent, %d failed, %d skipped, %d expired, %d cancelled, %d unknown\n",
		v.PublicID, v.Status, n.Pending, n.Total, n.Sent, n.Failed, n.Skipped, n.Expired, n.Cancelled, n.Unknown)
	made := []string{"created " + v.CreatedAt.Shown(time.RFC3339)}
	if v.CreatedBy != "" {
		made[0] += " by " + models.Shown(v.CreatedBy)
	}
	if v.RatePerSecond > 0 {
		made = append(made, fmt.Sprintf("at most %d/s", v.RatePerSecond))
	}
	if v.StatusReason != "" {
		made = append(made, models.Shown(v.StatusReason))
	}
	return text + strings.Join(made, ", ") + "\n"
}
