package jobs

import (
	"testing"

	"carillon/channels"
	"carillon/models"
)

// However long a provider is away, what is counted meanwhile fits into the row.
func TestAttemptsFitTheirColumn(t *testing.T) {
	t.Parallel()
	d := &delivery{Worker: &Worker{opts: Options{}.Defaults()}, v: &models.Visit{}}
	m := member{id: "a", again: true}
	for range 200 {
		o := d.row(m, channels.Outcome{Result: channels.Ambiguous, Fault: channels.Stumble}, true, false)
		if o.Status != models.RecipientPending || o.Attempts <= m.attempts && o.Attempts != 127 || o.Attempts > 127 {
			t.Fatalf("after %d attempts: %+v", m.attempts, o)
		}
		m.attempts = o.Attempts
	}
	if o := d.row(m, channels.Outcome{Result: channels.Sent}, false, false); o.Status != models.RecipientSent || o.Attempts != 127 {
		t.Errorf("%+v", o)
	}
}
