package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"carillon/client"
	"carillon/internal/testkit/lab"
)

const (
	slotSchedules = 50
	slotSpan      = 60 * time.Second
	slotDelay     = time.Second // R10's: from a slot to its campaign, p99
)

// slots is R10: three schedulers share schedules that fire every second, while one of them is killed and one frozen.
func slots(ctx context.Context, b *Bench, o Options) ([]Check, error) {
	rnd := Random(o.Seed, "slots")
	faults := []Fault{
		{At: between(rnd, 8*time.Second, 15*time.Second), Kind: KillWorker, Worker: 0, For: 10 * time.Second},
		{At: between(rnd, 25*time.Second, 32*time.Second), Kind: FreezeWorker, Worker: 1, For: 18 * time.Second},
	}
	users := userIDs(1)
	return b.on(ctx, Setup{Trial: "slots", Workers: 3, Role: "worker,scheduler", Batch: o.Batch}, users, func(ctx context.Context, s *System) ([]Check, error) {
		first := map[string]time.Time{} // each schedule's first slot
		for i := range slotSchedules {
			id, slot, err := s.postSchedule(ctx, fmt.Sprint("every second ", i), users)
			if err != nil {
				return nil, err
			}
			first[id] = slot
		}
		began := time.Now()
		for _, e := range Strike(ctx, s, faults, nil) {
			if e.Err != nil {
				return nil, e.Err
			}
		}
		lab.Sleep(ctx, time.Until(began.Add(slotSpan)))
		if _, err := s.API.Run(ctx, "schedules", "pause", "--all", "--local"); err != nil {
			return nil, err
		}
		end := time.Now()
		made, err := s.occurrences(ctx)
		if err != nil {
			return nil, err
		}
		passed, err := s.passedOver(ctx, first)
		if err != nil {
			return nil, err
		}
		return judgeSlots(first, end, made, passed, o.Times), nil
	})
}

func (s *System) postSchedule(ctx context.Context, name string, users []string) (id string, first time.Time, err error) {
	missed, overlap := client.MissedSkip, client.OverlapAllow
	made, err := s.Client.MakeSchedule(ctx, name, client.ScheduleRequest{
		Name: &name, Cron: "@every 1s", Missed: &missed, Overlap: &overlap,
		Campaign: client.CampaignTemplateRequest{Audience: client.AudienceRequest{UserIDs: &users}, Message: message()},
	})
	if err != nil {
		return "", first, fmt.Errorf("the POST of a schedule: %w", err)
	}
	first, err = slotOf(made.NextSlot)
	return made.ID, first, err
}

// slotRun is one firing as its campaign tells it, or a row of slots that were passed over.
type slotRun struct {
	Schedule string
	Slot     time.Time
	Slots    int
	Delay    time.Duration // from the slot to its campaign
}

// occurrences reads the campaigns of all schedules.
func (s *System) occurrences(ctx context.Context) (made []slotRun, err error) {
	for c, err := range s.Client.Campaigns(ctx, client.ListCampaignsParams{Limit: &listLimit}) {
		if err != nil {
			return nil, err
		}
		if c.Slot == nil {
			continue
		}
		slot, err := slotOf(c.Slot)
		if err != nil {
			return nil, err
		}
		made = append(made, slotRun{c.ScheduleID, slot, 1, c.CreatedAt.Sub(slot)})
	}
	return made, nil
}

// listLimit is the most that a page of a list can have.
var listLimit = 1000

// slotOf reads a slot of a schedule that does not go by local time.
func slotOf(text *string) (time.Time, error) {
	if text == nil {
		return time.Time{}, errors.New("there is no slot")
	}
	return time.Parse(time.RFC3339, *text)
}

// passedOver reads from the histories the slots at which no campaign was made.
func (s *System) passedOver(ctx context.Context, schedules map[string]time.Time) (rows []slotRun, err error) {
	for id := range schedules {
		for o, err := range s.Client.Occurrences(ctx, id, client.GetScheduleParams{Limit: &listLimit}) {
			if err != nil {
				return nil, err
			}
			if o.Outcome == "fired" {
				continue
			}
			slot, err := slotOf(o.Slot)
			if err != nil {
				return nil, err
			}
			rows = append(rows, slotRun{Schedule: id, Slot: slot, Slots: o.Slots})
		}
	}
	return rows, nil
}

// judgeSlots says whether every second from each schedule's first slot to the end has exactly one campaign, or a row
// that says why it has none. Two seconds at the end are grace: a slot just before the pause may not have been seen.
func judgeSlots(first map[string]time.Time, end time.Time, made, passed []slotRun, times bool) []Check {
	type slot struct {
		schedule string
		at       int64
	}
	seen := map[slot]int{}
	var delays []time.Duration
	skipped := 0
	for _, o := range made {
		seen[slot{o.Schedule, o.Slot.Unix()}]++
		delays = append(delays, o.Delay)
	}
	for _, o := range passed {
		skipped += o.Slots
		for i := range o.Slots {
			seen[slot{o.Schedule, o.Slot.Unix() + int64(i)}]++
		}
	}
	due, none, twice := 0, 0, 0
	for id, from := range first {
		for at := from; at.Before(end.Add(-2 * time.Second)); at = at.Add(time.Second) {
			due++
			if seen[slot{id, at.Unix()}] == 0 {
				none++
			}
		}
	}
	for _, n := range seen {
		if n > 1 {
			twice++
		}
	}
	slices.Sort(delays)
	p99 := at(delays, 99)
	return []Check{
		check("R10", twice == 0 && none == 0 && due > 0, "%d slots of %d schedules: %d with no campaign and no reason, %d with two", due, len(first), none, twice),
		check("R10", skipped == 0, "%d slots passed over, which a scheduler alive all the time leaves no reason for", skipped),
		check("R10", !times || p99 <= slotDelay, "from slot to campaign: p50 %s, p99 %s, most %s", at(delays, 50), p99, at(delays, 100)),
	}
}

// at is a percentile of sorted durations.
func at(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, len(sorted)*percent/100)]
}
