package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"carillon/internal/config"
	"carillon/models"
)

func TestEnqueueDoesNotWaitForARedisThatIsAway(t *testing.T) {
	t.Parallel()
	var log buffer
	release := make(chan struct{})
	e := newEnqueuer(func(context.Context, models.Created) error {
		<-release
		return errors.New("no Redis")
	}, slog.New(slog.NewTextHandler(&log, nil)))
	began := time.Now()
	for range 4 * enqueueSlots { // the first one that finds no slot waits a little, the others do not
		if err := e.enqueue(t.Context(), models.Created{}); err != nil {
			t.Fatal(err)
		}
	}
	if d := time.Since(began); d > 10*enqueueWait {
		t.Errorf("it took %s", d)
	}
	close(release)
	e.close()
	if n := strings.Count(log.String(), "left to the reconciler"); n != 1 {
		t.Errorf("said %d times:\n%s", n, log.String())
	}
}

func TestEnqueueIsWaitedForAndSaysWhenItWorksAgain(t *testing.T) {
	t.Parallel()
	var log buffer
	fail, done := errors.New("no Redis"), 0
	e := newEnqueuer(func(ctx context.Context, _ models.Created) error {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("it may take for ever")
		}
		done++
		return fail
	}, slog.New(slog.NewTextHandler(&log, nil)))
	for _, fail = range []error{fail, fail, nil, nil} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // that the caller went away does not matter
		if err := e.enqueue(ctx, models.Created{}); err != nil {
			t.Fatal(err)
		}
		e.close()
	}
	if done != 4 || strings.Count(log.String(), "left to the reconciler") != 1 || strings.Count(log.String(), "reach the queue again") != 1 {
		t.Errorf("%d done\n%s", done, log.String())
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	cfg := &config.Config{DatabaseURL: "mysql://h/db"}
	for text, want := range map[string]string{"api,worker,scheduler": "", "worker": "", "": `--roles knows api, worker and scheduler, not ""`} {
		r, err := parseRoles(strings.Split(text, ","), cfg)
		if want == "" && (err != nil || r.String() != strings.ReplaceAll(text, ",", ", ")) || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("%q: %s, %v", text, r, err)
		}
	}
}

func TestReachable(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		":8080": "127.0.0.1:8080", "0.0.0.0:8080": "127.0.0.1:8080", "[::]:8080": "127.0.0.1:8080", "10.0.0.7:80": "10.0.0.7:80", "localhost:1": "localhost:1", "[::1]:2": "[::1]:2",
	} {
		if got := reachable(addr); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

func TestQuote(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"/var/lib/carillon-2": "/var/lib/carillon-2", "/a b": "'/a b'", "/it's": `'/it'\''s'`, "$(x)": "'$(x)'"} {
		if got := quote(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestVersionsThatAreTooOld(t *testing.T) {
	t.Parallel()
	for version, ok := range map[string]bool{"6.2.0": true, "6.0.16": false, "7.2.4": true, "10.0.0": true, "5.9": false, "": true} {
		if err := atLeast(version, 6, 2); (err == nil) != ok || err != nil && !errors.Is(err, errTooOld) {
			t.Errorf("%s: %v", version, err)
		}
	}
}

func TestInfoField(t *testing.T) {
	t.Parallel()
	info := "# Memory\r\nused_memory:1\r\nmaxmemory_policy:noeviction\r\n"
	if got := infoField(info, "maxmemory_policy"); got != "noeviction" {
		t.Errorf("%q", got)
	}
	if got := infoField(info, "memory"); got != "" {
		t.Errorf("%q", got)
	}
}
