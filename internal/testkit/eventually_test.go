package testkit_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"carillon/internal/testkit"
)

// judged is a test whose failure is looked at.
type judged struct {
	testing.TB
	said []string
}

func (*judged) Helper() {}

func (j *judged) Logf(format string, args ...any) {
	j.said = append(j.said, fmt.Sprintf(format, args...))
}

func (j *judged) Fatalf(format string, args ...any) {
	j.Logf(format, args...)
	runtime.Goexit()
}

func TestEventually(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		wait := func(comes time.Duration) (said string, took time.Duration) {
			j, began := &judged{TB: t}, time.Now()
			done := make(chan struct{})
			go func() {
				defer close(done)
				testkit.Eventually(j, "the parcel", time.Second, func() bool { return time.Since(began) >= comes },
					func() any { return "the van" })
			}()
			<-done
			return strings.Join(j.said, "\n"), time.Since(began)
		}
		if said, took := wait(500 * time.Millisecond); said != "" || took > 560*time.Millisecond {
			t.Errorf("what comes in time: %q after %s", said, took)
		}
		if said, took := wait(time.Hour); said != "last seen: the van\nnot within 1s: the parcel" || took > 1100*time.Millisecond {
			t.Errorf("what does not come: %q after %s", said, took)
		}
	})
}
