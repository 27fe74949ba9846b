package testkit

import (
	"testing"
	"time"
)

// Patience is how long tests wait for what must happen. It judges no speed: a wait that succeeds costs what it takes, and
// a machine that builds something else beside the tests is twenty times slower than an idle one.
const Patience = 3 * time.Minute

// Eventually waits until ok holds, and fails the test after within. last, if given, tells what ok saw last; its
// values are part of the failure. A test of a promised time passes that time as within, and all others Patience.
func Eventually(tb testing.TB, what string, within time.Duration, ok func() bool, last ...func() any) {
	tb.Helper()
	began := time.Now()
	for deadline := began.Add(within); !ok(); {
		if time.Now().After(deadline) {
			for _, l := range last {
				tb.Logf("last seen: %+v", l())
			}
			tb.Fatalf("not within %s: %s", within, what)
		}
		// A look may cost much, and a wait that takes long is judged no better by many of them.
		time.Sleep(min(max(time.Millisecond, time.Since(began)/10), 100*time.Millisecond))
	}
}
