package console

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/models"
)

type eventList struct {
	Query  url.Values
	Kinds  []models.EventKind
	Events []eventLine
	More   more
	Errors map[string]string // by field
}

// events shows the event log, newest first. The query is the API's.
func (c *Console) events(in *web.In) error {
	data := eventList{Query: in.R.URL.Query(), Kinds: models.EventKinds}
	show := func(status int) error {
		return c.showWith(in, status, "events.html", page{Title: "Events", Here: "events", Data: data})
	}
	q, err := handlers.ReadEventQuery(in)
	if err != nil {
		fields, ok := refused(err)
		if !ok {
			return err
		}
		data.Errors = fields
		return show(http.StatusUnprocessableEntity)
	}
	list, err := c.api.ListEvents(in.Context(), in.Call, q)
	if err != nil {
		return err
	}
	if data.Events, err = c.eventLines(in, list.Events); err != nil {
		return err
	}
	data.More = pageOf(data.Query, list.NextCursor)
	return show(http.StatusOK)
}

// eventLine is an event as a page shows it.
type eventLine struct {
	handlers.EventView
	Parts []eventPart // the sentence
	How   string      // by which way, in words; empty = the program did it by itself
	More  string      // its data, as JSON; empty = none
}

// eventPart is a part of a sentence.
type eventPart struct {
	Kind  string // text, who, campaign, schedule, user or group
	Text  string
	ID    string
	First bool // the sentence begins with it
}

// eventLines makes sentences of events. The names of their campaigns and schedules are read together.
func (c *Console) eventLines(in *web.In, events []handlers.EventView) ([]eventLine, error) {
	var ids []string
	for _, e := range events {
		ids = append(ids, e.CampaignID, e.ScheduleID)
	}
	names, err := c.api.NamesOf(in.Context(), in.Call, ids)
	if err != nil {
		return nil, err
	}
	lines := make([]eventLine, len(events))
	for i, e := range events {
		lines[i] = eventLine{EventView: e, Parts: eventParts(e, names), How: viaWords[e.Via], More: eventData(e.Data)}
		lines[i].Reason = reasonOf(e)
		if e.Kind == models.EventLoginAccepted { // with a browser, and the session begins only then
			lines[i].How = ""
		}
	}
	return lines, nil
}

// reasonOf is why, but for a reason that only says again who did what, such as "paused by anna".
func reasonOf(e handlers.EventView) string {
	what, said := strings.CutSuffix(e.Reason, " by "+e.Actor)
	if said && e.Actor != "" && !strings.Contains(what, " ") {
		return ""
	}
	return e.Reason
}

// viaWords say by which way somebody has done something. What the program does by itself has no way.
var viaWords = map[models.Via]string{
	models.ViaAPI: "over the API", models.ViaConsole: "in the console", models.ViaCLI: "on the command line",
}

// programNames name the part of the program that did something.
var programNames = map[models.Via]string{
	models.ViaScheduler: "the scheduler", models.ViaWorker: "a worker", models.ViaReconciler: "Carillon", models.ViaGuard: "the guard against failures",
}

// eventSentences say what happened. A word in braces is who did it, what it is about, or a value of the event's data.
// A number has its noun behind it, for one and for many.
var eventSentences = map[models.EventKind]string{
	models.EventCampaignCreated:   "{who} made {campaign}",
	models.EventCampaignStarted:   "{campaign} has started",
	models.EventCampaignPaused:    "{who} paused {campaign}",
	models.EventCampaignResumed:   "{who} resumed {campaign}",
	models.EventCampaignRetried:   "{who} tries {recipients|recipient|recipients} of {campaign} again",
	models.EventCampaignCompleted: "{campaign} is complete: every recipient has an outcome",
	models.EventCampaignFailed:    "{campaign} failed as a whole",
	models.EventCampaignExpired:   "{campaign} has expired with recipients unsent",
	models.EventCampaignCancelled: "{who} cancelled {campaign}",
	models.EventCampaignStuck:     "{campaign} runs and cannot end; verify it",
	models.EventCampaignChanged:   "{who} changed {changed} of {campaign}",
	models.EventCampaignWaiting:   "{campaign} is due, and waits for the directory's sync",

	models.EventScheduleCreated: "{who} made {schedule}",
	models.EventScheduleEdited:  "{who} changed {changed} of {schedule}",
	models.EventSchedulePaused:  "{who} paused {schedule}",
	models.EventScheduleResumed: "{who} resumed {schedule}",
	models.EventScheduleDeleted: "{who} deleted {schedule}",
	models.EventScheduleFired:   "{schedule} fired and made {campaign}",
	models.EventScheduleMissed:  "{schedule} missed {slots|slot|slots}",
	models.EventScheduleSkipped: "{schedule} left out a slot",

	models.EventUsersImported:       "{who} imported a file of users: {created} new, {changed} changed, {refused} refused",
	models.EventUsersPut:            "{who} saved users: {created} new, {changed} changed",
	models.EventUserDeleted:         "{who} deleted {user}",
	models.EventDirectorySyncAsked:  "{who} asked for a sync of the directory",
	models.EventDirectorySynced:     "the directory was synced: {created|new user|new users}, {changed} changed, {vanished} gone",
	models.EventDirectorySyncFailed: "the sync of the directory failed",
	models.EventGroupPut:            "{who} saved {group} with {members|member|members}",
	models.EventGroupDeleted:        "{who} deleted {group}",

	models.EventLoginAccepted: "{who} logged in",
	models.EventLoginRefused:  "{refused|log-in was|log-ins were} refused",
	models.EventTokenIssued:   "{who} made a token for {user}",
	models.EventServeStarted:  "a process started: version {version}, roles {roles}",
}

// sentenceOf chooses between the sentences of one kind.
func sentenceOf(e handlers.EventView) string {
	switch {
	case e.Kind == models.EventCampaignCreated && e.ScheduleID != "":
		return "{schedule} made {campaign}"
	case e.Kind == models.EventCampaignPaused && e.From == e.To:
		return "{who} paused {campaign} for another reason"
	case e.Kind == models.EventScheduleFired && e.ReasonCode == models.ReasonByHand:
		return "{who} ran {schedule} now, which made {campaign}"
	case e.Kind == models.EventScheduleSkipped && e.ReasonCode == models.ReasonSkippedByHand:
		return "{who} left out a slot of {schedule}"
	case e.Kind == models.EventUsersImported && e.Data["whole"] == false:
		return "{who} imported a file of users, which broke off: {created} new, {changed} changed, {refused} refused"
	}
	if s, ok := eventSentences[e.Kind]; ok {
		return s
	}
	return "{who}: " + string(e.Kind) // of a newer program
}

// eventParts cuts an event's sentence into its parts.
func eventParts(e handlers.EventView, names map[string]string) (parts []eventPart) {
	rest := sentenceOf(e)
	for rest != "" {
		text, after, found := strings.Cut(rest, "{")
		if text != "" {
			parts = append(parts, eventPart{Kind: "text", Text: text})
		}
		if !found {
			break
		}
		word, behind, _ := strings.Cut(after, "}")
		parts = append(parts, eventPartOf(e, word, names))
		rest = behind
	}
	first := &parts[0]
	first.First = true
	if first.Kind == "text" || first.Kind == "program" {
		first.Kind, first.Text = "text", handlers.Capital(first.Text)
	}
	return parts
}

func eventPartOf(e handlers.EventView, word string, names map[string]string) eventPart {
	word, nouns, counted := strings.Cut(word, "|")
	one, many, _ := strings.Cut(nouns, "|")
	switch word {
	case "who":
		if e.Actor != "" {
			return eventPart{Kind: "who", Text: e.Actor}
		}
		if name := programNames[e.Via]; name != "" {
			return eventPart{Kind: "program", Text: name}
		}
		return eventPart{Kind: "program", Text: "Carillon"}
	case "campaign":
		return namedPart(word, e.CampaignID, names)
	case "schedule":
		return namedPart(word, e.ScheduleID, names)
	case "user", "group":
		id, _ := e.Data[word+"ID"].(string)
		return eventPart{Kind: word, Text: id, ID: id}
	case "changed":
		if _, number := e.Data[word].(float64); !number { // of users it is how many
			return eventPart{Kind: "text", Text: changedFields(e.Data)}
		}
	}
	switch v := e.Data[word].(type) {
	case nil:
		return eventPart{Kind: "text", Text: strings.TrimSpace(plural(0, one, many))}
	case float64:
		if counted {
			return eventPart{Kind: "text", Text: plural(int64(v), one, many)}
		}
		return eventPart{Kind: "text", Text: count(int64(v))}
	default:
		return eventPart{Kind: "text", Text: fmt.Sprint(v)}
	}
}

func namedPart(kind, id string, names map[string]string) eventPart {
	switch {
	case id == "":
		return eventPart{Kind: "text", Text: "a " + kind}
	case names[id] != "":
		return eventPart{Kind: kind, Text: names[id], ID: id}
	}
	return eventPart{Kind: kind, Text: id, ID: id}
}

// changedFields names what a PATCH has changed. Of a campaign {"changed":{"name":{…}}}, of a schedule the fields and more.
func changedFields(data models.EventData) string {
	changed, ok := data["changed"].(map[string]any)
	if !ok {
		return "something"
	}
	names := slices.Sorted(maps.Keys(changed))
	for i, name := range names {
		names[i] = spaced(name)
	}
	return strings.Join(names, ", ")
}

// spaced writes a name of the API as words: rate per second.
func spaced(name string) string {
	var b strings.Builder
	for _, r := range name {
		switch {
		case r == '.':
			r = ' '
		case unicode.IsUpper(r):
			b.WriteByte(' ')
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

func eventData(data models.EventData) string {
	if len(data) == 0 {
		return ""
	}
	text, err := json.MarshalIndent(data, "", "  ")
	if err != nil {
		return ""
	}
	return string(text)
}
