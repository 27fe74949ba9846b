package handlers

import (
	"cmp"
	"context"
	"slices"

	"carillon/handlers/web"
	"carillon/models"
)

// Due is a scheduled campaign, or a schedule with its next slot.
type Due struct {
	About About // campaign or schedule
	ID    string
	Name  string
	At    string // an instant, or with local time a date and clock
	first models.Millis
}

// Upcoming lists the campaigns and the slots that are due next, at most n.
func (a *API) Upcoming(ctx context.Context, _ web.Call, n int) ([]Due, error) {
	campaigns, err := a.Store.NextCampaigns(ctx, n)
	if err != nil {
		return nil, err
	}
	schedules, err := a.Store.NextSchedules(ctx, n)
	if err != nil {
		return nil, err
	}
	var list []Due
	for _, c := range campaigns {
		at := instantJSON(c.SendAt, false)
		if c.WallAt != 0 {
			at = instantJSON(c.WallAt, true)
		}
		if at != nil {
			list = append(list, Due{AboutCampaign, c.PublicID, cmp.Or(c.Name, c.PublicID), *at, c.SendAt})
		}
	}
	for _, sch := range schedules {
		if v := scheduleJSON(sch); v.NextSlot != nil {
			list = append(list, Due{AboutSchedule, v.ID, cmp.Or(v.Name, v.ID), *v.NextSlot, sch.NextFire})
		}
	}
	slices.SortFunc(list, func(a, b Due) int { return cmp.Compare(a.first, b.first) })
	return list[:min(n, len(list))], nil
}

// PauseCounts counts what a pause of everything would pause, and what the last one has paused.
func (a *API) PauseCounts(ctx context.Context, _ web.Call, _ nothing) (models.PauseCounts, error) {
	return a.Store.PauseCounts(ctx)
}
