package handlers

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"carillon/handlers/web"
	"carillon/internal/metrics"
	"carillon/models"
)

// A Finding is one thing that needs somebody's attention.
type Finding struct {
	Urgent bool   // something does not go out, or is lost, until somebody acts
	About  About  // what the finding is about
	ID     string // of it; empty = of none in particular
	Name   string // of it, for people
	Words  string // what is so, as a sentence
	Do     string // what to do, as a sentence
}

// About is what a finding or a date is about.
type About string

// What findings are about.
const (
	AboutCampaign  About = "campaign"
	AboutSchedule  About = "schedule"
	AboutChannel   About = "channel"
	AboutQueue     About = "queue"
	AboutReceiver  About = "receiver" // of events
	AboutDirectory About = "directory"
	AboutPauseAll  About = "pauseAll"
	AboutDatabase  About = "database"
	AboutRedis     About = "redis"
	AboutProcess   About = "process"
)

// From when on findings are worth somebody's attention. The alerts of deploy/prometheus have the same limits where both
// know of a thing.
const (
	oldTask      = time.Minute
	lateSlot     = time.Minute
	stalledFor   = 2 * time.Minute
	oldEvent     = 10 * time.Minute
	recently     = 24 * time.Hour
	mostFindings = 10 // of one kind
)

// Attention lists what needs somebody's attention, the urgent first. While the database is away that is the only thing that
// is known.
func (a *API) Attention(ctx context.Context, _ web.Call, _ nothing) ([]Finding, error) {
	found := storesAway(a.lately(ctx))
	if databaseAway(found) {
		return found, nil
	}
	looks := []func(context.Context) ([]Finding, error){a.troubledCampaigns, a.late, a.recentEvents, a.receiver, a.shared}
	parts := make([][]Finding, len(looks))
	together, looking := errgroup.WithContext(ctx) // each waits for its answers most of the time
	for i, look := range looks {
		together.Go(func() (err error) {
			parts[i], err = look(looking)
			return err
		})
	}
	if err := together.Wait(); err != nil {
		if models.IsUnavailable(err) { // it may have gone since the last check
			if found = storesAway(a.problems(ctx)); databaseAway(found) {
				return found, nil
			}
		}
		return nil, err
	}
	found = slices.Concat(append([][]Finding{found}, parts...)...)
	slices.SortStableFunc(found, func(a, b Finding) int {
		return cmp.Compare(map[bool]int{true: 0, false: 1}[a.Urgent], map[bool]int{true: 0, false: 1}[b.Urgent])
	})
	return found, nil
}

func databaseAway(found []Finding) bool {
	return slices.ContainsFunc(found, func(f Finding) bool { return f.About == AboutDatabase })
}

// storesAway are the problems of /readyz as findings.
func storesAway(problems []Problem) (found []Finding) {
	for _, p := range problems {
		f := Finding{Urgent: true, About: AboutProcess, Words: "This process is not ready: " + p.What + ": " + p.Detail, Do: "See its log."}
		switch p.What {
		case "database", "migrations":
			f.About, f.Words = AboutDatabase, "The database cannot be written: "+p.Detail
			f.Do = "Nothing is lost. Campaigns go on by themselves when the database answers. The command carillon doctor says more."
		case "redis":
			f.About, f.Words = AboutRedis, "Redis cannot be written: "+p.Detail
			f.Do = "Nothing is lost. Campaigns go on by themselves when Redis answers. The command carillon doctor says more."
		}
		found = append(found, f)
	}
	return found
}

// troubleAdvice says what to do about a campaign that needs somebody.
var troubleAdvice = map[models.ReasonCode]string{
	models.ReasonGuard:         "Look at its failures, mend the cause, and resume it.",
	models.ReasonRestored:      "Some may have the message already. Look at who, then resume or cancel it.",
	models.ReasonTakenOver:     "Some may have the message already. Look at who, then resume or cancel it.",
	models.ReasonMissed:        "Its time passed while nothing ran. Resume it to send now, or cancel it.",
	models.ReasonNoAudience:    "Nobody is there to send to. Mend the group or the users, and resume it, or cancel it.",
	models.ReasonRefused:       "The channel refuses it as a whole. Mend what its reason says.",
	models.ReasonTotalDiffers:  "Verify it: its outcomes are not as many as its recipients.",
	models.ReasonDirectorySync: "It starts after the sync. Resume it to start with the directory as it is.",
}

func (a *API) troubledCampaigns(ctx context.Context) (found []Finding, err error) {
	list, err := a.Store.TroubledCampaigns(ctx, mostFindings)
	for _, c := range list {
		f := Finding{Urgent: true, About: AboutCampaign, ID: c.PublicID, Name: cmp.Or(c.Name, c.PublicID), Do: troubleAdvice[c.StatusReasonCode]}
		switch {
		case c.StatusReasonCode == models.ReasonDirectorySync:
			f.Urgent, f.Words = false, "is due: "+c.StatusReason
		case c.Status == models.StatusPaused:
			f.Words = "paused itself: " + c.StatusReason
		default:
			f.Words = "cannot end: " + c.StatusReason
		}
		f.Words = strings.TrimSuffix(f.Words, ".") + "."
		found = append(found, f)
	}
	return found, err
}

// late finds what should have begun, and what somebody has paused altogether.
func (a *API) late(ctx context.Context) (found []Finding, err error) {
	f, err := a.Store.Overdue(ctx)
	if err != nil {
		return nil, err
	}
	starts := "See that a process with the role scheduler runs."
	if d := ofMillis(f.SlotOverdue); d > lateSlot {
		found = append(found, Finding{Urgent: true, About: AboutSchedule, Words: "A slot of a schedule is " + inWords(d) + " late.", Do: starts})
	}
	if d := ofMillis(f.StartOverdue); d > lateSlot {
		found = append(found, Finding{Urgent: true, About: AboutCampaign, Words: "A scheduled campaign is " + inWords(d) + " late.", Do: starts})
	}
	n, err := a.Store.PauseCounts(ctx)
	if err == nil && n.PausedCampaigns+n.PausedSchedules > 0 {
		found = append(found, Finding{About: AboutPauseAll, Words: fmt.Sprintf("Everything was paused: %d campaigns and %d schedules still are.", n.PausedCampaigns, n.PausedSchedules),
			Do: "Resume them together when you are ready."})
	}
	return found, err
}

// recentEvents finds what went wrong within a day and cannot be seen from how things are now.
func (a *API) recentEvents(ctx context.Context) (found []Finding, err error) {
	kinds := []struct {
		kind  models.EventKind
		about About
		words func(models.Event) string
		do    string
	}{
		{models.EventCampaignFailed, AboutCampaign, func(e models.Event) string { return "failed as a whole: " + e.Reason }, "Mend the cause, and retry those who failed."},
		{models.EventScheduleMissed, AboutSchedule, func(e models.Event) string { return "missed a slot: nothing ran at its time, or it was paused." }, "Run it now if it should still go out."},
		{models.EventScheduleSkipped, AboutSchedule, func(e models.Event) string { return "made no campaign at a slot: " + e.Reason }, "Mend the schedule."},
		{models.EventDirectorySyncFailed, AboutDirectory, func(e models.Event) string { return "The sync of the directory failed: " + e.Reason }, "It is tried again. Mend the provider if it stays so."},
	}
	now, err := a.Store.Now(ctx)
	if err != nil {
		return nil, err
	}
	since := now - models.Millis(recently.Milliseconds())
	for _, k := range kinds {
		list, err := a.Store.EventsSince(ctx, k.kind, since, mostFindings)
		if err != nil {
			return nil, err
		}
		found = append(found, a.recentOf(ctx, k.about, k.words, k.do, since, list)...)
	}
	return found, nil
}

// recentOf makes one finding of each campaign or schedule of the events, for its newest event.
func (a *API) recentOf(ctx context.Context, about About, words func(models.Event) string, do string, since models.Millis, list []models.Event) (found []Finding) {
	seen := map[string]bool{}
	var ids []string
	for _, e := range list {
		id := e.CampaignID
		if about == AboutSchedule {
			id = e.ScheduleID
		}
		if seen[id] || e.Kind == models.EventScheduleSkipped && e.ReasonCode != models.ReasonRefused || e.Kind == models.EventDirectorySyncFailed && a.syncedSince(ctx, since, e) {
			continue
		}
		seen[id] = true
		ids = append(ids, id)
		found = append(found, Finding{About: about, ID: id, Name: id, Words: words(e), Do: do})
	}
	names, err := a.Store.NamesOf(ctx, ids)
	for i, f := range found {
		if name := names[f.ID]; err == nil && name != "" {
			found[i].Name = name
		}
	}
	return found
}

// syncedSince says whether the directory was synced after a failure.
func (a *API) syncedSince(ctx context.Context, since models.Millis, failed models.Event) bool {
	synced, err := a.Store.EventsSince(ctx, models.EventDirectorySynced, since, 1)
	return err == nil && len(synced) > 0 && synced[0].ID > failed.ID
}

// receiver finds what is wrong with the receiver of events.
func (a *API) receiver(ctx context.Context) (found []Finding, err error) {
	b, err := a.Store.EventBacklog(ctx)
	if err != nil {
		return nil, err
	}
	add := func(words, do string) {
		found = append(found, Finding{About: AboutReceiver, Words: words, Do: do})
	}
	switch {
	case b.Failures > 0:
		add("The receiver of events is away, and "+plural(b.Waiting, "event waits", "events wait")+": "+b.Error, "Mend the receiver. Events are tried for three days.")
	case b.OldestAt > 0 && ofMillis(b.Now-b.OldestAt) > oldEvent:
		add("The receiver of events does not keep up: the oldest event has waited for "+inWords(ofMillis(b.Now-b.OldestAt))+".", "See what the receiver answers: the command carillon doctor says it.")
	}
	if b.GivenUpAt > 0 && ofMillis(b.Now-b.GivenUpAt) < recently {
		add("Events were given up within the last day, the last one at "+shown(b.GivenUpAt)+".", "The receiver can pull them with GET /v1/events?after=.")
	}
	return found, nil
}

// shared finds what is wrong with the queue and the providers. What does not answer is left out: then Redis is away.
func (a *API) shared(ctx context.Context) (found []Finding, _ error) {
	if a.Shared.Stalled != nil {
		if s, err := a.Shared.Stalled(ctx); err == nil && s.For > stalledFor {
			found = append(found, a.stalled(ctx, s))
		}
	}
	for _, q := range a.queues(ctx) {
		if q.Oldest > oldTask {
			found = append(found, Finding{About: AboutQueue, Words: "The oldest " + q.Class + " task has waited for " + inWords(q.Oldest) + ".", Do: "See whether workers run, and what they hold."})
		}
	}
	for _, c := range a.providers(ctx) {
		f := Finding{Urgent: true, About: AboutChannel, ID: c.Channel, Name: c.Channel}
		switch {
		case c.Rest > 0:
			f.Words, f.Do = "rests for "+inWords(c.Rest)+", as its provider asks.", "It goes on by itself. You can let it go on now."
		case c.Open:
			f.Words, f.Do = "is stopped: its provider does not answer, or fails for everybody.", "Mend the provider. One request now and then tries it."
		default:
			continue
		}
		found = append(found, f)
	}
	return found, nil
}

// stalled is the finding of a campaign that stands still. A ledger that does not answer leaves out the campaign's name.
func (a *API) stalled(ctx context.Context, s metrics.Stalled) Finding {
	still := "has sent to nobody for " + inWords(s.For) + ", though recipients wait."
	names, err := a.Store.Numbered(ctx, []int64{s.Campaign})
	c, known := names[s.Campaign]
	if err != nil || !known {
		return Finding{Urgent: true, About: AboutCampaign, Words: "A running campaign " + still, Do: "The running campaigns say what holds them back."}
	}
	return Finding{Urgent: true, About: AboutCampaign, ID: c.PublicID, Name: cmp.Or(c.Name, c.PublicID), Words: still, Do: "Its page says what holds it back."}
}

func ofMillis(n models.Millis) time.Duration { return time.Duration(n) * time.Millisecond }

// inWords rounds a time span as people say it.
func inWords(d time.Duration) string {
	switch {
	case d < time.Minute:
		return plural(int64(max(1, d.Round(time.Second)/time.Second)), "second", "seconds")
	case d < 2*time.Hour:
		return plural(int64(d.Round(time.Minute)/time.Minute), "minute", "minutes")
	case d < 48*time.Hour:
		return plural(int64(d.Round(time.Hour)/time.Hour), "hour", "hours")
	}
	return plural(int64(d/(24*time.Hour)), "day", "days")
}

func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}
