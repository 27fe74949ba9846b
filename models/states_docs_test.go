package models_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"carillon/models"
)

var arrow = regexp.MustCompile(`(?m)^  (\[\*\]|\w+) --> (\w+)`)

// drawn are the arrows of the diagram under a heading of docs/states.md, each as "from to"; the beginning is "[*]".
func drawn(t *testing.T, heading string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../docs/states.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## "+heading+"\n")
	_, diagram, ok2 := strings.Cut(section, "```mermaid\n")
	diagram, _, ok3 := strings.Cut(diagram, "```")
	if !ok || !ok2 || !ok3 {
		t.Fatalf("docs/states.md has no diagram under %s", heading)
	}
	arrows := map[string]bool{}
	for _, m := range arrow.FindAllStringSubmatch(diagram, -1) {
		arrows[m[1]+" "+m[2]] = true
	}
	return arrows
}

// compare tells of arrows that are drawn and not in the code, and the other way round.
func compare(t *testing.T, drawn, code map[string]bool) {
	t.Helper()
	for a := range drawn {
		if !code[a] {
			t.Errorf("%s is drawn, and not in the code", a)
		}
	}
	for a := range code {
		if !drawn[a] {
			t.Errorf("%s is in the code, and not drawn", a)
		}
	}
}

// The diagrams of docs/states.md draw exactly the transitions that the code allows.
func TestDiagramIsTheCode(t *testing.T) {
	t.Parallel()
	t.Run("Campaign", func(t *testing.T) {
		t.Parallel()
		code := map[string]bool{"[*] scheduled": true, "[*] running": true}
		for _, from := range models.Statuses {
			for _, to := range models.Statuses {
				if models.Transition(from, to) == nil {
					code[string(from+" "+to)] = true
				}
			}
		}
		compare(t, drawn(t, "Campaign"), code)
	})
	t.Run("Recipient", func(t *testing.T) {
		t.Parallel()
		code := map[string]bool{"[*] pending": true}
		for status, name := range models.RecipientStatusNames {
			if models.RecipientStatus(status) != models.RecipientPending {
				code["pending "+name] = true
			}
			if slices.Contains(models.Retryable, models.RecipientStatus(status)) {
				code[name+" pending"] = true
			}
		}
		compare(t, drawn(t, "Recipient"), code)
	})
	t.Run("Schedule", func(t *testing.T) {
		t.Parallel()
		code := map[string]bool{"[*] active": true}
		for _, from := range models.ScheduleStatuses {
			for _, to := range models.ScheduleStatuses {
				if models.ScheduleTransition(from, to) == nil {
					code[string(from+" "+to)] = true
				}
			}
		}
		compare(t, drawn(t, "Schedule"), code)
	})
}

// docs/api.md explains every kind of event and every reason code.
func TestEventsStandInTheDocs(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(raw), "\n## Events\n")
	text, _, _ = strings.Cut(text, "\n## Commands\n")
	for _, kind := range models.EventKinds {
		about, what, _ := strings.Cut(string(kind), ".")
		if !strings.Contains(text, "`"+string(kind)+"`") && !regexp.MustCompile("`"+about+`\..*`+"`\\."+what+"`").MatchString(text) {
			t.Errorf("docs/api.md does not explain the event %s", kind)
		}
	}
	for _, code := range models.ReasonCodes {
		if !strings.Contains(text, "\n| `"+string(code)+"` |") {
			t.Errorf("docs/api.md does not explain the reason %s", code)
		}
	}
}
