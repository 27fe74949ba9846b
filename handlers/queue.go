package handlers

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/hibiken/asynq"

	"carillon/handlers/web"
	"carillon/internal/metrics"
	"carillon/models"
)

// queueTime is how long Redis may take to say what is in the queue. asynq's calls take no context.
const queueTime = 3 * time.Second

// QueueView is what waits in the queue, and who works on it.
type QueueView struct {
	Classes   []metrics.Queue
	Processes []WorkerProcess
}

// WorkerProcess is a process with the role worker.
type WorkerProcess struct {
	Host    string
	PID     int
	Classes []string // the priorities that it takes
	Slots   int      // how many pages it can hold at once
	Stops   bool     // it takes no further task
	Started time.Time
	Held    []HeldTask
}

// HeldTask is a task that a worker holds.
type HeldTask struct {
	Class    string
	Campaign models.Named // no ID = the task cannot be read, or its campaign is gone
	Page     int
	Plan     bool // the campaign's recipients are being listed; it has no page yet
	Since    time.Time
}

// Queue shows the queue and the workers. Error: 503 while Redis is away.
func (a *API) Queue(ctx context.Context, _ web.Call, _ nothing) (v QueueView, err error) {
	servers, err := within(ctx, queueTime, asynq.NewInspectorFromRedisClient(a.Redis).Servers)
	if err == nil && a.Shared.Queues != nil {
		v.Classes, err = a.Shared.Queues(ctx)
	}
	if err != nil {
		return v, errQueue(err)
	}
	v.Processes, err = a.workerProcesses(ctx, servers)
	return v, err
}

func errQueue(cause error) error {
	return &models.Error{Code: models.CodeUnavailable, Detail: "Redis does not answer, so the queue cannot be seen", RetryAfter: web.UnavailableWait, Cause: cause}
}

// workerProcesses puts the servers of one process together: a process has one for each priority.
func (a *API) workerProcesses(ctx context.Context, servers []*asynq.ServerInfo) ([]WorkerProcess, error) {
	type place struct {
		host string
		pid  int
	}
	at := map[place]*WorkerProcess{}
	numbers := map[*HeldTask]int64{}
	var tasks []*HeldTask
	held := map[*WorkerProcess][]*HeldTask{}
	for _, s := range servers {
		p := at[place{s.Host, s.PID}]
		if p == nil {
			p = &WorkerProcess{Host: s.Host, PID: s.PID, Started: s.Started}
			at[place{s.Host, s.PID}] = p
		}
		for class := range s.Queues {
			p.Classes = append(p.Classes, class)
		}
		p.Slots += s.Concurrency
		p.Stops = p.Stops || s.Status != "active"
		for _, w := range s.ActiveWorkers {
			t := &HeldTask{Class: w.Queue, Since: w.Started, Plan: w.TaskType == "plan"}
			if a.Task != nil {
				if campaign, page, err := a.Task(w.TaskPayload); err == nil {
					t.Page, numbers[t] = page, campaign
				}
			}
			tasks = append(tasks, t)
			held[p] = append(held[p], t)
		}
	}
	var ids []int64
	for _, id := range numbers {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	names, err := a.Store.Numbered(ctx, slices.Compact(ids))
	if err != nil {
		return nil, err
	}
	for _, t := range tasks {
		t.Campaign = names[numbers[t]]
	}
	var list []WorkerProcess
	for _, p := range at {
		for _, t := range held[p] {
			p.Held = append(p.Held, *t)
		}
		slices.Sort(p.Classes)
		slices.SortFunc(p.Held, func(a, b HeldTask) int { return a.Since.Compare(b.Since) })
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b WorkerProcess) int { return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.PID, b.PID)) })
	return list, nil
}

// queues reads the classes of the queue; none while Redis does not answer.
func (a *API) queues(ctx context.Context) []metrics.Queue {
	if a.Shared.Queues == nil {
		return nil
	}
	list, err := a.Shared.Queues(ctx)
	if err != nil {
		return nil
	}
	return list
}

// providers reads what is known of the channels' providers; none while Redis does not answer.
func (a *API) providers(ctx context.Context) []metrics.Provider {
	if a.Shared.Providers == nil {
		return nil
	}
	list, err := a.Shared.Providers(ctx)
	if err != nil {
		return nil
	}
	return list
}

// ChannelHealth is how it is with a channel.
type ChannelHealth struct {
	Name    string
	Known   bool // Redis was asked
	Stopped bool // its provider does not answer, or asked for rest
	Rest    time.Duration
	Ceiling float64 // recipients a second that the provider keeps up with; 0 = no limit was found
	Rate    int     // recipients a second as set; 0 = no limit
}

// ChannelsHealth says how it is with each channel that is set up here, the default first.
func (a *API) ChannelsHealth(ctx context.Context, _ web.Call, _ nothing) ([]ChannelHealth, error) {
	known := map[string]metrics.Provider{}
	for _, p := range a.providers(ctx) {
		known[p.Channel] = p
	}
	list := make([]ChannelHealth, len(a.Channels))
	for i, t := range a.Channels {
		p, ok := known[t.Name]
		list[i] = ChannelHealth{Name: t.Name, Known: ok, Stopped: p.Open || p.Rest > 0, Rest: p.Rest, Ceiling: p.Ceiling, Rate: a.Rates[t.Name]}
	}
	return list, nil
}
