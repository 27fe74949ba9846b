package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"carillon/client"
	"carillon/models"
)

// Exit codes of what follows a campaign to its end.
const (
	exitFailures = 3 // it is over, and some have not got it
	exitStopped  = 4 // it was cancelled, has expired, or failed as a whole
	exitDetached = 5 // the command was interrupted, and the campaign goes on
)

// helpOutcome explains the exit codes.
const helpOutcome = `In a terminal a bar shows how far the campaign is, how fast it goes, what holds it back, and why recipients failed. Elsewhere each change of its state is one line; with --json each state is one JSON object. Ctrl-C leaves the campaign as it is: nothing is cancelled.

Exit codes of a campaign that is followed to its end: 0 all were sent (skipped ones, who take no messages, do not count), 3 it is over and some failed or are unknown, 4 it was cancelled, has expired or failed as a whole, 5 you left it with Ctrl-C and it goes on, 1 anything else.`

type watchCmd struct {
	ID   string `arg:"" complete:"campaigns:running" help:"The campaign."`
	JSON bool   `name:"json" help:"Print each state as a line of JSON, as the API has it."`
}

// Help is shown by carillon campaigns watch --help.
func (watchCmd) Help() string { return helpOutcome }

// Run follows a campaign.
func (c *watchCmd) Run(a *app) error {
	return withAPI(a, "", func(api *client.Client) error { return a.watch(api, c.ID, c.JSON) })
}

// watch follows a campaign to its end. The error holds the exit code.
func (a *app) watch(api *client.Client, id string, asJSON bool) error {
	view := &watchView{a: a, api: api, asJSON: asJSON, bar: newBar(a.stderr)}
	defer view.bar.close()
	for v, err := range api.Watch(a.ctx, id) {
		switch {
		case err != nil && a.ctx.Err() != nil:
			view.bar.close()
			fmt.Fprintf(a.stderr, "carillon: detached: campaign %[1]s goes on. carillon campaigns watch %[1]s follows it again, carillon campaigns cancel %[1]s ends it\n", models.Shown(id))
			return exit(exitDetached)
		case err != nil:
			return err
		}
		if err := view.show(v); err != nil {
			return err
		}
	}
	return view.end()
}

// watchView shows a campaign that is followed.
type watchView struct {
	a      *app
	api    *client.Client
	asJSON bool
	bar    *bar

	last    client.Campaign
	shown   bool             // a state was printed
	why     []client.Failure // the most frequent
	asked   time.Time        // when the reasons were asked for
	counted int64            // how many had failed then
}

// show shows a state.
func (w *watchView) show(v client.Campaign) error {
	before := w.last
	w.last = v
	switch {
	case w.asJSON:
		return w.a.printJSON(v)
	case w.bar.live():
		w.askWhy()
		w.bar.draw(w.lines())
	case !w.shown || before.Status != v.Status:
		w.shown = true
		switch v.Status {
		case client.CampaignStatusCompleted, client.CampaignStatusCancelled, client.CampaignStatusExpired, client.CampaignStatusFailed:
			return nil // end says it, when its recipients have their outcomes
		default:
		}
		_, err := fmt.Fprint(w.a.stdout, firstLine(campaignText(v)))
		return err
	}
	return nil
}

// end prints what became of the campaign. Its error is the exit code.
func (w *watchView) end() error {
	v := w.last
	w.bar.close()
	if !w.asJSON {
		w.asked, w.counted = time.Time{}, 0
		w.askWhy()
		if err := w.a.show(v, false); err != nil {
			return err
		}
		for _, f := range w.why {
			fmt.Fprintf(w.a.stdout, "%d %s: %s\n", f.Count, models.Shown(string(f.Status)), models.Shown(reasonOf(f)))
		}
	}
	if code := outcome(v); code != 0 {
		return exit(code)
	}
	return nil
}

// outcome is the exit code of a campaign that has ended.
func outcome(v client.Campaign) int {
	switch {
	case v.Status != client.CampaignStatusCompleted:
		return exitStopped
	case v.Counts.Failed+v.Counts.Unknown+v.Counts.Expired+v.Counts.Cancelled > 0:
		return exitFailures
	}
	return 0
}

const (
	whyEvery = 2 * time.Second // the reasons are counted from the rows, which costs the database more than the counts
	whyTime  = 5 * time.Second
	whyMost  = 3
)

// askWhy asks why recipients failed, when more have than before. Without an answer the view goes
// without reasons.
func (w *watchView) askWhy() {
	failed := w.last.Counts.Failed + w.last.Counts.Unknown
	if failed == w.counted || time.Since(w.asked) < whyEvery {
		return
	}
	w.counted, w.asked = failed, time.Now()
	limit := whyMost
	ctx, cancel := context.WithTimeout(w.a.ctx, whyTime)
	defer cancel()
	f, err := client.Data[client.Failures](w.api.ListFailures(ctx, w.last.ID, &client.ListFailuresParams{Limit: &limit}))
	if err == nil {
		w.why = slices.Clone(f.Failures)
	}
}

func reasonOf(f client.Failure) string {
	if f.ErrMsg == "" {
		return fmt.Sprintf("error %d", f.ErrCode)
	}
	return f.ErrMsg
}

// lines are what the bar shows: the bar's own line, and one for each reason.
func (w *watchView) lines() (done, total int64, right string, below []string) {
	v, n := w.last, w.last.Counts
	parts := []string{fmt.Sprintf("%d of %d", n.Total-n.Pending, n.Total)}
	if v.Status != client.CampaignStatusRunning {
		parts = append(parts, models.Shown(string(v.Status)))
	}
	if now := speed(v); now != nil {
		parts = append(parts, rate(now, v.RatePerSecond))
	}
	if v.EtaSeconds != nil {
		parts = append(parts, eta(v.EtaSeconds)+" left")
	}
	if by := textOf(v.LimitedBy); by != "" && by != string(v.Status) {
		parts = append(parts, "held back by: "+models.Shown(by))
	}
	if n.Failed+n.Unknown > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", n.Failed+n.Unknown))
	}
	for _, f := range w.why {
		below = append(below, fmt.Sprintf("  %d %s: %s", f.Count, f.Status, models.Shown(reasonOf(f))))
	}
	return n.Total - n.Pending, n.Total, strings.Join(parts, ", "), below
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line + "\n"
}
