package pacing

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/channels"
	"carillon/models"
)

var answered503 = channels.Outcome{Result: channels.Retry, Fault: channels.Away, ErrCode: models.CodeCallback}

// chunk is a trial of recipients whose requests take a millisecond each, one after the other.
func (h *Health) chunk(t *testing.T, name string, out ...channels.Outcome) *Trial {
	t.Helper()
	of := make([]Recipient, len(out))
	for i := range of {
		of[i].ID = fmt.Sprint(name, i)
	}
	trial := h.NewTrial(&models.Campaign{ID: 1, Channel: "webhook"}, false, of)
	for i := range out {
		begun := time.Now()
		time.Sleep(time.Millisecond)
		trial.Record(i, out[i:i+1], time.Since(begun))
	}
	return trial
}

// Each recipient's own failure is held against the answers that came after it: what one of a chunk gets last
// says nothing of those before.
func TestBlameIsOfEachRecipient(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb *redis.Client) {
		h := newHealth(newSharedState(rdb, Defaults()), slog.New(slog.DiscardHandler))
		out := []channels.Outcome{answered503, {}, answered503}
		trial := h.chunk(t, "user", out...)
		blames, err := trial.Judge(t.Context(), out)
		if err != nil || !slices.Equal(blames, []Blame{BlameRecipient, BlameRecipient, BlameUnknown}) {
			t.Fatalf("blames %v, %v", blames, err)
		}
		part := trial.Part([]int{2, 0})
		blames, err = part.Judge(t.Context(), []channels.Outcome{out[2], out[0]})
		if err != nil || !slices.Equal(blames, []Blame{BlameUnknown, BlameRecipient}) {
			t.Fatalf("blames of a part %v, %v", blames, err)
		}
	})
}

// A 503 between two answers was its recipient's: then three recipients with 503 are not yet a provider that is
// away, in another process neither. Without such a 503, they are.
func TestOwn503(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb *redis.Client) {
		process := func() *Health { return newHealth(newSharedState(rdb, Defaults()), slog.New(slog.DiscardHandler)) }
		ill := []channels.Outcome{answered503, answered503, answered503}
		h, other := process(), process()
		if trial := h.chunk(t, "first", ill...); trial.MayStart() {
			t.Error("three 503s, and nobody is served: requests start")
		}
		served := h.chunk(t, "second", channels.Outcome{}, answered503, channels.Outcome{})
		if !served.MayStart() {
			t.Error("somebody is served: no request starts")
		}
		if err := h.Publish(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := other.publish(t.Context(), "webhook"); err != nil { // hears of it
			t.Fatal(err)
		}
		for name, h := range map[string]*Health{"this process": h, "another process": other} {
			trial := h.chunk(t, name, ill...)
			if !trial.MayStart() {
				t.Errorf("%s: a 503 may be its recipient's, and three of them stop all", name)
			}
			for i := range ill {
				if trial.Excuses(BlameUnknown, i, ill[i]) {
					t.Errorf("%s: the failure of recipient %d costs no attempt", name, i)
				}
				if !trial.Excuses(BlameProvider, i, ill[i]) {
					t.Errorf("%s: a provider that serves nobody costs recipient %d an attempt", name, i)
				}
			}
			if trial := h.chunk(t, name+", more", slices.Repeat(ill, 4)...); trial.MayStart() {
				t.Errorf("%s: fifteen 503s, and nobody is served: requests start", name)
			}
		}
	})
}
