package console

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/models"
)

// campaignEvent is an event of a campaign in words.
type campaignEvent struct {
	At      string
	What    string
	By      string // empty = the program itself
	Via     models.Via
	Reason  string
	Changes []string
}

// historyShown is how many events a campaign's page shows.
const historyShown = 30

var campaignWords = map[models.EventKind]string{
	models.EventCampaignCreated: "Made", models.EventCampaignStarted: "Started", models.EventCampaignPaused: "Paused", models.EventCampaignResumed: "Resumed",
	models.EventCampaignRetried: "Retried", models.EventCampaignCompleted: "Completed", models.EventCampaignFailed: "Failed", models.EventCampaignExpired: "Expired",
	models.EventCampaignCancelled: "Cancelled", models.EventCampaignStuck: "Cannot end", models.EventCampaignChanged: "Changed", models.EventCampaignWaiting: "Waits for the directory",
}

// changedNames are the fields of a change in words.
var changedNames = map[string]string{"name": "the name", "ratePerSecond": "the rate", "expireAt": "the end", "sendAt": "the begin"}

// campaignHistory are the newest events of a campaign. more says that there are older ones.
func (c *Console) campaignHistory(ctx context.Context, call web.Call, id string) (list []campaignEvent, more bool, err error) {
	found, err := c.api.CampaignHistory(ctx, call, handlers.OlderPage{ID: id, Limit: historyShown})
	if err != nil {
		return nil, false, err
	}
	for _, e := range found.Events {
		list = append(list, tellEvent(e))
	}
	return list, found.More, nil
}

func tellEvent(e handlers.EventView) campaignEvent {
	t := campaignEvent{At: e.At, What: campaignWords[e.Kind], By: e.Actor, Via: e.Via, Reason: reasonOf(e)}
	changed, _ := e.Data["changed"].(map[string]any)
	for _, field := range slices.Sorted(maps.Keys(changed)) {
		if both, ok := changed[field].(map[string]any); ok {
			name := changedNames[field]
			if name == "" {
				name = field
			}
			t.Changes = append(t.Changes, name+" from "+plainValue(field, both["from"])+" to "+plainValue(field, both["to"]))
		}
	}
	if n, ok := e.Data["recipients"].(float64); ok && e.Kind == models.EventCampaignRetried {
		t.Changes = append(t.Changes, plural(int64(n), "recipient is", "recipients are")+" tried again")
	}
	return t
}

// plainValue is a value of a change in words.
func plainValue(field string, v any) string {
	text := strings.TrimSpace(fmt.Sprint(v))
	switch {
	case field == "ratePerSecond" && text == "0":
		return "no limit"
	case field == "ratePerSecond":
		return text + " a second"
	case text == "" && field == "expireAt":
		return "never"
	case text == "":
		return "nothing"
	}
	return "“" + text + "”"
}

// lastChanges are the events by which somebody has changed a campaign since its page was opened, as far as the newest events
// say: of its state, or of the named fields.
func (c *Console) lastChanges(ctx context.Context, call web.Call, id string, fields ...string) []campaignEvent {
	found, err := c.api.CampaignHistory(ctx, call, handlers.OlderPage{ID: id, Limit: historyShown})
	if err != nil { // what changed is still shown, without who did it
		return nil
	}
	var list []campaignEvent
	missing := slices.Clone(fields)
	for _, e := range found.Events {
		changed, _ := e.Data["changed"].(map[string]any)
		before := len(missing)
		missing = slices.DeleteFunc(missing, func(field string) bool { return changed[field] != nil })
		if len(missing) < before || len(fields) == 0 && e.To != "" {
			list = append(list, tellEvent(e))
		}
		if len(fields) == 0 && len(list) > 0 || len(fields) > 0 && len(missing) == 0 {
			break
		}
	}
	return list
}
