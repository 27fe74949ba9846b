package main

import (
	"fmt"
	"io"
	"slices"
)

// promises are the rows of the report, in order.
var promises = []struct{ id, text string }{
	{"R1", "an answered POST is durable"},
	{"R2", "nobody is lost, total = sum at every sample"},
	{"R3", "repeats are bounded"},
	{"R4", "a killed worker's pages move again within 30 s"},
	{"R5", "SIGTERM: gone within 10 s, no repeats"},
	{"R6", "Redis loss"},
	{"R7", "MySQL loss"},
	{"R8", "pause, resume and cancel obey"},
	{"R9", "one rate over all processes"},
	{"R10", "one campaign per slot of a schedule"},
	{"R11", "one campaign per idempotency key"},
	{"R12", "poison is isolated"},
	{"S2", "1,000,000 recipients and 20 × kill -9"},
	{"S3", "a slow provider slows the channel down, and it comes back"},
	{"S4", "a dead provider is tried once a second at most, and nobody pays for it"},
	{"S5a", "a slow rate is smooth: 5/s is 5 ± 1 in every second"},
	{"S5b", "two campaigns share a channel's rate within 10 %"},
	{"S5c", "a new rate shows within 1 s"},
	{"S5d", "transactional is first: p99 ≤ 100 ms from POST to provider"},
	{"S6", "1/s for 1,000,000 holds up none of ten others"},
	{"S8a", "a soak: each of its campaigns ends as it must"},
	{"S8b", "a soak: goroutines stay flat"},
	{"S8c", "a soak: memory stays flat"},
	{"token", "OpenIM: one admin token for all processes, asked for once, and once after each kick"},
	{"secrets", "OpenIM's secret and tokens stand in no log, answer, task, page or process list"},
	{"health", "no data race, no odd answer, the nemesis itself"},
}

// Report collects the checks of all trials.
type Report struct {
	checks []trialCheck
}

type trialCheck struct {
	trial string
	Check
}

// Add takes a trial's checks; its error is a failure too, for a trial that could not run proves nothing.
func (r *Report) Add(trial string, checks []Check, err error) {
	for _, c := range checks {
		r.checks = append(r.checks, trialCheck{trial, c})
	}
	if err != nil {
		r.checks = append(r.checks, trialCheck{trial, Check{"health", Fail, "the trial could not be run to its end: " + err.Error()}})
	}
}

// Of is a promise's verdict over all trials: one FAIL is a FAIL, and what no trial exercised is not exercised.
func (r *Report) Of(promise string) Verdict {
	v := NotExercised
	for _, c := range r.checks {
		switch {
		case c.Promise != promise:
		case c.Verdict == Fail:
			return Fail
		case c.Verdict == Pass:
			v = Pass
		}
	}
	return v
}

// Failed says whether any check failed.
func (r *Report) Failed() bool {
	return slices.ContainsFunc(r.checks, func(c trialCheck) bool { return c.Verdict == Fail })
}

// Print writes a row per promise, and under it the figure of each trial.
func (r *Report) Print(w io.Writer) {
	for _, p := range promises {
		fmt.Fprintf(w, "\n%-7s %-14s %s\n", p.id, r.Of(p.id), p.text)
		for _, c := range r.checks {
			if c.Promise == p.id {
				fmt.Fprintf(w, "        %-14s %s: %s\n", c.Verdict, c.trial, c.Figure)
			}
		}
	}
}
