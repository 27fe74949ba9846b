package console

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/models"
)

const (
	runningShown = 10
	dueShown     = 8
)

// overview is what the first page shows. It is read once for all who look.
type overview struct {
	Findings []handlers.Finding
	Away     bool // the database is away, and nothing else is known
	Running  []handlers.CampaignView
	More     bool // more campaigns run
	Due      []handlers.Due
	Health   []health
	Minutes  []handlers.ChartPoint
	Sent     int64 // within them
	At       time.Time
}

// health is how it is with one thing that Carillon needs.
type health struct {
	Name  string
	State string // ok, bad or unknown
	Words string
}

func (c *Console) overview(in *web.In) error {
	now, err := c.now.get(in.Context())
	if err != nil {
		return err
	}
	return c.show(in, "overview.html", page{Title: "Overview", Here: "overview", Data: now})
}

// overviewNow is the part of the page that moves.
func (c *Console) overviewNow(in *web.In) error { return c.fragment(in, "overview-now", c.now) }

// overviewChart is the chart, which moves once a minute.
func (c *Console) overviewChart(in *web.In) error { return c.fragment(in, "overview-chart", c.now) }

// fragment answers with a part of a page.
func (c *Console) fragment(in *web.In, name string, g *glance[overview]) error {
	now, err := g.get(in.Context())
	if err != nil {
		return err
	}
	return c.part(in, http.StatusOK, name, now)
}

// readOverview reads the first page.
func (c *Console) readOverview(ctx context.Context) (v overview, err error) {
	call := web.Call{}
	v.At = time.Now()
	if v.Findings, err = c.api.Attention(ctx, call, struct{}{}); err != nil {
		return v, err
	}
	channels, err := c.api.ChannelsHealth(ctx, call, struct{}{})
	if err != nil {
		return v, err
	}
	v.Health = healthOf(v.Findings, channels)
	for _, f := range v.Findings {
		if v.Away = f.About == handlers.AboutDatabase; v.Away {
			return v, nil
		}
	}
	together, ctx := errgroup.WithContext(ctx) // each waits for its answers most of the time
	together.Go(func() error {
		running, err := c.api.ListCampaigns(ctx, call, models.CampaignFilter{Status: models.StatusRunning, Limit: runningShown})
		v.Running, v.More = running.Campaigns, running.NextCursor != ""
		return err
	})
	together.Go(func() (err error) {
		v.Due, err = c.api.Upcoming(ctx, call, dueShown)
		return err
	})
	together.Go(func() (err error) {
		v.Minutes, err = c.api.SendChart(ctx, call, struct{}{})
		return err
	})
	err = together.Wait()
	for _, m := range v.Minutes {
		v.Sent += m.Sent
	}
	return v, err
}

func healthOf(found []handlers.Finding, channels []handlers.ChannelHealth) []health {
	list := []health{{"Database", "ok", "answers"}, {"Redis", "ok", "answers"}}
	for _, f := range found {
		switch f.About {
		case handlers.AboutDatabase:
			list[0].State, list[0].Words = "bad", "cannot be written"
		case handlers.AboutRedis:
			list[1].State, list[1].Words = "bad", "cannot be written"
		default:
		}
	}
	for _, ch := range channels {
		h := health{Name: "Channel " + ch.Name, State: "ok", Words: "goes"}
		switch {
		case !ch.Known && list[1].State == "bad":
			h.State, h.Words = "unknown", "not known without Redis"
		case ch.Rest > 0:
			h.State, h.Words = "bad", "rests, as its provider asks"
		case ch.Stopped:
			h.State, h.Words = "bad", "its provider does not answer"
		case ch.Ceiling > 0:
			h.Words = "goes, at most " + count(int64(ch.Ceiling)) + " a second"
		}
		list = append(list, h)
	}
	return list
}

// findingPath is where something can be done about a finding.
func (p pages) findingPath(f handlers.Finding) string {
	switch f.About {
	case handlers.AboutCampaign:
		if f.ID != "" {
			return p.path("/campaigns/", f.ID)
		}
		return p.path("/campaigns?status=running")
	case handlers.AboutSchedule:
		if f.ID != "" {
			return p.path("/schedules/", f.ID)
		}
		return p.path("/schedules")
	case handlers.AboutChannel:
		return p.path("/settings#channels")
	case handlers.AboutQueue:
		return p.path("/queue")
	case handlers.AboutDirectory:
		return p.path("/events?kind=directory.syncFailed")
	case handlers.AboutPauseAll:
		return p.path("/pause")
	default:
		return p.path("/settings")
	}
}

// heldBack says in words what holds a campaign back; "" = nothing does.
func heldBack(v handlers.CampaignView) string {
	if v.LimitedBy == nil || *v.LimitedBy == models.LimitedByNothing || v.StatusReason == "" {
		return ""
	}
	return handlers.Capital(v.StatusReason) + "."
}

// pauseAsk asks before everything is paused.
func (c *Console) pauseAsk(in *web.In) error {
	n, err := c.api.PauseCounts(in.Context(), in.Call, struct{}{})
	if err != nil {
		return err
	}
	return c.show(in, "pause.html", page{Title: "Pause everything", Here: "overview", Data: n})
}

// everything serves a button that pauses or resumes all.
func (c *Console) everything(do func(context.Context, web.Call) error, did string) web.Handler {
	return func(in *web.In) error {
		if err := do(in.Context(), in.Call); err != nil {
			return err
		}
		return c.next(in, c.pages.path("/pause"), did)
	}
}

func (c *Console) pauseCampaigns(ctx context.Context, call web.Call) error {
	_, err := c.api.PauseAllCampaigns(ctx, call, struct{}{})
	return err
}

func (c *Console) resumeCampaigns(ctx context.Context, call web.Call) error {
	_, err := c.api.ResumeAllCampaigns(ctx, call, struct{}{})
	return err
}

func (c *Console) pauseSchedules(ctx context.Context, call web.Call) error {
	_, err := c.api.PauseAllSchedules(ctx, call, struct{}{})
	return err
}

func (c *Console) resumeSchedules(ctx context.Context, call web.Call) error {
	_, err := c.api.ResumeAllSchedules(ctx, call, struct{}{})
	return err
}
