package jobs

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"carillon/internal/tracing"
	"carillon/models"
)

// Task kinds. A payload names a campaign and a page by number: no personal data is in Redis'
// queues.
const (
	KindPlan = "plan"
	KindPage = "page"
)

const payloadVersion = 1

// Payload is what a task carries, as JSON of some 60 bytes.
type Payload struct {
	Version  int             `json:"v"`
	Campaign int64           `json:"campaign"`
	Page     int             `json:"page"` // unused by a plan
	Epoch    int             `json:"epoch"`
	Priority models.Priority `json:"priority"` // the queue it goes through
	// Tries is how often the task was put back because its row was not there yet.
	Tries int `json:"tries,omitempty"`
}

// String is how the queue's monitor shows the task.
func (p Payload) String() string {
	return fmt.Sprintf("campaign %d, page %d, epoch %d", p.Campaign, p.Page, p.Epoch)
}

// DecodePayload reads a task's payload; an unknown version is an error, and the reconciler will
// enqueue the work anew in the version this program writes.
func DecodePayload(raw []byte) (Payload, error) {
	var p Payload
	if err := json.Unmarshal(raw, &p); err != nil {
		return p, fmt.Errorf("the task's payload cannot be read: %w", err)
	}
	if p.Version != payloadVersion {
		return p, fmt.Errorf("the task's payload has version %d, this program reads %d", p.Version, payloadVersion)
	}
	return p, nil
}

// taskTimeout is far above any visit: a visit ends by its own clock, and asynq's own limit would
// free the slot while the handler still runs.
const taskTimeout = 24 * time.Hour

// Queue puts tasks into Redis. Queues carry the priorities' names.
type Queue struct {
	rdb       redis.UniversalClient
	client    *asynq.Client
	inspector *asynq.Inspector
}

// NewQueue shares rdb, which stays the caller's to close.
func NewQueue(rdb redis.UniversalClient) *Queue {
	return &Queue{rdb: rdb, client: asynq.NewClientFromRedisClient(rdb), inspector: asynq.NewInspectorFromRedisClient(rdb)}
}

// Stored enqueues what a stored campaign needs first. Handlers call it after the commit; when it
// fails the reconciler picks the campaign up.
func (q *Queue) Stored(ctx context.Context, c models.Created) error {
	if c.Plan != nil {
		return q.Plan(ctx, *c.Plan)
	}
	return q.Pages(ctx, c.Tasks)
}

// Plan enqueues the planning of a campaign.
func (q *Queue) Plan(ctx context.Context, t models.PlanTask) error {
	id := fmt.Sprintf("c%d:plan:e%d", t.Campaign, t.Epoch)
	return q.enqueue(ctx, KindPlan, id, Payload{Version: payloadVersion, Campaign: t.Campaign, Epoch: t.Epoch, Priority: t.Priority})
}

// Pages enqueues visits to pages.
func (q *Queue) Pages(ctx context.Context, tasks []models.PageTask) error {
	for _, t := range tasks {
		p := Payload{Version: payloadVersion, Campaign: t.Campaign, Page: t.Page, Epoch: t.Epoch, Priority: t.Priority}
		if err := q.enqueue(ctx, KindPage, pageTaskID(t.Campaign, t.Page, t.Epoch), p); err != nil {
			return err
		}
	}
	return nil
}

// enqueueCopy enqueues a task that a worker holds once more, under an ID of its own.
func (q *Queue) enqueueCopy(ctx context.Context, kind string, p Payload) error {
	return q.enqueue(ctx, kind, fmt.Sprintf("c%d:p%d:e%d:%s", p.Campaign, p.Page, p.Epoch, rand.Text()), p)
}

func pageTaskID(campaign int64, page, epoch int) string {
	return fmt.Sprintf("c%d:p%d:e%d", campaign, page, epoch)
}

func (q *Queue) enqueue(ctx context.Context, kind, id string, p Payload) error {
	raw, err := json.Marshal(p)
	if err != nil {
		return err
	}
	task := asynq.NewTaskWithHeaders(kind, raw, tracing.Headers(ctx))
	// No retries by asynq: a visit that fails is the reconciler's to repeat, under a new epoch.
	_, err = q.client.EnqueueContext(ctx, task, asynq.TaskID(id), asynq.Queue(string(p.Priority)),
		asynq.MaxRetry(0), asynq.Timeout(taskTimeout))
	if errors.Is(err, asynq.ErrTaskIDConflict) {
		return nil // the task is in the queue already
	}
	return err
}

// waiting is how many tasks of a priority no worker has taken yet. asynq's own call returns it only
// together with many other figures.
func (q *Queue) waiting(ctx context.Context, p models.Priority) (int64, error) {
	return q.rdb.LLen(ctx, "asynq:{"+string(p)+"}:pending").Result()
}

// keepVisible names our queues in asynq's list of queues again. After a FLUSHALL the queues work,
// but neither the inspector nor the monitor sees them.
func (q *Queue) keepVisible(ctx context.Context) error {
	return q.rdb.SAdd(ctx, "asynq:queues", string(models.PriorityBulk), string(models.PriorityTransactional)).Err()
}

type taskState int

const (
	taskAbsent  taskState = iota // not in Redis, or archived: nobody will run it
	taskPending                  // waits for a worker
	taskActive                   // a worker took it
)

// look finds a page's task in Redis.
func (q *Queue) look(priority models.Priority, p models.Page) (taskState, error) {
	info, err := q.inspector.GetTaskInfo(string(priority), pageTaskID(p.CampaignID, p.No, p.Epoch))
	switch {
	case errors.Is(err, asynq.ErrTaskNotFound), errors.Is(err, asynq.ErrQueueNotFound):
		return taskAbsent, nil
	case err != nil:
		return taskAbsent, err
	case info.State == asynq.TaskStatePending:
		return taskPending, nil
	case info.State == asynq.TaskStateActive:
		return taskActive, nil
	}
	return taskAbsent, nil
}

// forget deletes the task of an epoch that has ended. A task that a worker holds stays, and ends as
// stale.
func (q *Queue) forget(priority models.Priority, p models.Page) {
	_ = q.inspector.DeleteTask(string(priority), pageTaskID(p.CampaignID, p.No, p.Epoch))
}

// slots is how many pages of a priority all live worker processes together can hold at once; 0 = no
// worker is alive.
func (q *Queue) slots(p models.Priority) (int, error) {
	servers, err := q.inspector.Servers()
	n := 0
	for _, s := range servers {
		if _, ok := s.Queues[string(p)]; ok && s.Status == "active" {
			n += s.Concurrency
		}
	}
	return n, err
}
