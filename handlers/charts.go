package handlers

import (
	"context"
	"time"

	"carillon/handlers/web"
	"carillon/models"
)

const (
	// chartPoints is about how many points a chart has at most.
	chartPoints = 200
	// minutesShown is how far the chart of all sends goes back.
	minutesShown = 3 * time.Hour
)

// ChartPoint is a moment of a chart: recipients who were sent to, and who failed.
type ChartPoint struct {
	At           int64 // seconds since 1970
	Sent, Failed int64
}

// CampaignChart is how far a campaign was over time, from its start to its end or to now. A campaign that has not begun has no
// points, nor has one that is too short or too small to have been sampled in between.
func (a *API) CampaignChart(ctx context.Context, _ web.Call, id string) ([]ChartPoint, error) {
	c, err := a.Store.Campaign(ctx, id)
	if err != nil || c.StartedAt == 0 {
		return nil, err
	}
	samples, err := a.Store.Samples(ctx, c.Campaign, chartPoints)
	if err != nil {
		return nil, err
	}
	end := c.FinishedAt
	if end == 0 {
		end = models.Millis(time.Now().UnixMilli())
	}
	points := []ChartPoint{{At: int64(c.StartedAt / 1000)}}
	add := func(at models.Millis, sent, failed int64) {
		if second := int64(at / 1000); second > points[len(points)-1].At {
			points = append(points, ChartPoint{second, sent, failed})
		}
	}
	for _, s := range samples {
		if s.At < end {
			add(s.At, s.Sent, s.Failed)
		}
	}
	add(end, c.Sent, c.Failed)
	if len(points) < 3 {
		return nil, nil
	}
	return points, nil
}

// SendChart is how many recipients of all campaigns got an outcome in each of the last minutes. A minute in which nobody did
// is a point of zero.
func (a *API) SendChart(ctx context.Context, _ web.Call, _ nothing) ([]ChartPoint, error) {
	now, err := a.Store.Now(ctx)
	if err != nil {
		return nil, err
	}
	const minute = int64(60)
	last := int64(now/1000) / minute * minute
	first := last - int64(minutesShown/time.Second)
	known, err := a.Store.SendMinutes(ctx, models.Millis(first*1000))
	if err != nil {
		return nil, err
	}
	points := make([]ChartPoint, 0, (last-first)/minute+1)
	for at := first; at <= last; at += minute {
		p := ChartPoint{At: at}
		if len(known) > 0 && int64(known[0].At/1000) == at {
			p.Sent, p.Failed, known = known[0].Sent, known[0].Failed, known[1:]
		}
		points = append(points, p)
	}
	return points, nil
}
