package main

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"carillon/internal/testkit/services"
)

// TestStorm is a short storm over the real binary, built with the race detector. It judges counts only: on a
// busy machine times tell of the machine. CARILLON_CHAOS_SEED draws another schedule.
func TestStorm(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT TESTED: it takes a minute")
	}
	if err := services.Available(); err != nil {
		if os.Getenv("CARILLON_TEST_REQUIRE") == "1" || os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("NOT TESTED: ", err)
	}
	o := Options{Seed: 117, Recipients: 4000, Workers: 2, Batch: 1, Span: 11 * time.Second, Every: 1500 * time.Millisecond}
	if v := os.Getenv("CARILLON_CHAOS_SEED"); v != "" {
		var err error
		if o.Seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	var log strings.Builder
	report := runTrials(t.Context(), t.TempDir(), true, trials()[:1], 1, o, &log)
	report.Print(&log)
	t.Log(log.String())
	if report.Failed() {
		t.Errorf("seed %d: go run ./internal/testkit/chaos --seed %d --trials storm keeps the logs", o.Seed, o.Seed)
	}
	for _, promise := range []string{"R2", "R3"} {
		if report.Of(promise) != Pass {
			t.Errorf("%s: %s", promise, report.Of(promise))
		}
	}
}
