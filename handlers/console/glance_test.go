package console

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// TestGlancesShareOneReader: 100 who ask the same are one reading, each question has its own answer, and old questions are forgotten.
func TestGlancesShareOneReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g glances[string, string]
		var reads atomic.Int64
		answer := make(chan struct{})
		ask := func(question string) {
			got, err := g.get(t.Context(), question, func(context.Context) (string, error) {
				reads.Add(1)
				<-answer
				return "of " + question, nil
			})
			if err != nil || got != "of "+question {
				t.Errorf("%q: %q %v", question, got, err)
			}
		}
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { ask("a") })
			wg.Go(func() { ask("b") })
		}
		close(answer)
		wg.Wait()
		if n := reads.Load(); n != 2 {
			t.Errorf("200 who look at two things cost %d readings", n)
		}
		for i := range 3 * mostGlances {
			ask(string(rune('A' + i)))
		}
		if n := len(g.open); n > mostGlances {
			t.Errorf("%d questions are remembered", n)
		}
	})
}
