package main

import (
	"reflect"
	"testing"
	"time"
)

func TestTheSameSeedDrawsTheSameFaults(t *testing.T) {
	t.Parallel()
	plan := Plan{Span: 45 * time.Second, Workers: 3, Every: 4 * time.Second, Freeze: true}
	draw := func(seed uint64) []Fault { return Schedule(Random(seed, "storm"), plan) }
	if !reflect.DeepEqual(draw(7), draw(7)) {
		t.Error("two schedules of one seed differ")
	}
	if reflect.DeepEqual(draw(7), draw(8)) || reflect.DeepEqual(draw(7), Schedule(Random(7, "other"), plan)) {
		t.Error("seeds or trials share a schedule")
	}
}

func TestSchedulesAreOfAllKindsAndHealInTime(t *testing.T) {
	t.Parallel()
	plan := Plan{Span: 45 * time.Second, Workers: 3, Every: 4 * time.Second, Freeze: true}
	kinds, toxics := map[Kind]int{}, map[string]int{}
	for seed := range uint64(200) {
		faults := Schedule(Random(seed, "storm"), plan)
		if len(faults) < 4 {
			t.Errorf("seed %d draws only %d faults", seed, len(faults))
		}
		until := map[string]time.Duration{}
		for _, f := range faults {
			if f.At > plan.Span || f.Worker < 0 || f.Worker >= plan.Workers || f.For > 20*time.Second {
				t.Errorf("seed %d: %s", seed, f)
			}
			if f.Kind == FreezeWorker && f.For < 17*time.Second {
				t.Errorf("seed %d: %s: shorter than the lease", seed, f)
			}
			if f.At < until[f.target()] {
				t.Errorf("seed %d: %s hits what is down", seed, f)
			}
			until[f.target()] = f.At + f.For
			kinds[f.Kind]++
			toxics[f.Toxic.Type]++
		}
	}
	for _, k := range drawn {
		if kinds[k] < 20 {
			t.Errorf("%s: only %d in 200 schedules", k, kinds[k])
		}
	}
	for _, toxic := range []string{"latency", "reset_peer", "timeout", "limit_data"} {
		if toxics[toxic] < 20 {
			t.Errorf("%s: only %d in 200 schedules", toxic, toxics[toxic])
		}
	}
	plan.Freeze = false
	for seed := range uint64(50) {
		for _, f := range Schedule(Random(seed, "storm"), plan) {
			if f.Kind == FreezeWorker {
				t.Fatal("a plan without freezing freezes")
			}
		}
	}
}
