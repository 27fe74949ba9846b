package jobs

import (
	"testing"
	"time"

	"carillon/channels"
	"carillon/internal/pacing"
	"carillon/models"
)

// fewAttempts are the rules of a process with the default settings.
func fewAttempts() attemptRules {
	o := Options{}.Defaults()
	return attemptRules{maxAttempts: o.MaxAttempts, backoff: o.Backoff, pacing: pacing.Defaults(), visit: &models.Visit{}}
}

// However long a provider is away, what is counted meanwhile fits into the row.
func TestAttemptsFitTheirColumn(t *testing.T) {
	t.Parallel()
	d := &delivery{attempts: fewAttempts()}
	m := member{id: "a", hasRow: true}
	for range 200 {
		o := d.attempts.row(m, channels.Outcome{Result: channels.Ambiguous, Fault: channels.Stumble}, true, false)
		if o.Status != models.RecipientPending || o.Attempts <= m.attempts && o.Attempts != 127 || o.Attempts > 127 {
			t.Fatalf("after %d attempts: %+v", m.attempts, o)
		}
		m.attempts = o.Attempts
	}
	if o := d.attempts.row(m, channels.Outcome{Result: channels.Sent}, false, false); o.Status != models.RecipientSent || o.Attempts != 127 {
		t.Errorf("%+v", o)
	}
}

// Every recipient's tries end: by attempts, and those that cost none by time.
func TestTriesEnd(t *testing.T) {
	t.Parallel()
	d := &delivery{attempts: fewAttempts()}
	for name, o := range map[string]channels.Outcome{
		"refused": {Result: channels.Retry, Fault: channels.Away, ErrCode: models.CodeNetwork},
		"503":     {Result: channels.Retry, Fault: channels.Away, ErrCode: models.CodeCallback, ErrMsg: "503"},
		"rest":    {Result: channels.Retry, ErrCode: models.CodeCallback, RetryAfter: time.Hour},
	} {
		m := member{id: "a", hasRow: true, failingSince: d.attempts.visit.Now()}
		if r := d.attempts.row(m, o, true, false); r.Status != models.RecipientPending || r.FailingSince != m.failingSince || r.RetryIn < o.RetryAfter || r.Attempts != 0 {
			t.Errorf("%s, excused: %+v", name, r)
		}
		if _, over := d.passedOver(m); over {
			t.Errorf("%s: given up at once", name)
		}
		m.failingSince -= models.Millis(maxTrying.Milliseconds()) + 1
		if r := d.attempts.row(m, o, true, false); r.Status != models.RecipientFailed || r.ErrCode != o.ErrCode || r.FailingSince != 0 {
			t.Errorf("%s, excused for longer than %s: %+v", name, maxTrying, r)
		}
		if r, over := d.passedOver(m); !over || r.Status != models.RecipientFailed || !r.HasRow {
			t.Errorf("%s, not tried again: %+v", name, r)
		}
	}
	m := member{id: "a"}
	for range d.attempts.maxAttempts {
		r := d.attempts.row(m, channels.Outcome{Result: channels.Retry, RetryAfter: time.Minute}, false, false)
		m.attempts, m.failingSince = r.Attempts, r.FailingSince
		if r.Status == models.RecipientFailed {
			return
		}
	}
	t.Errorf("not over after %d attempts", m.attempts)
}
