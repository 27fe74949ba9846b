// Package handlers is HTTP: it reads requests, asks models, and renders answers. What a stored campaign needs
// next is put into the queue by a function that cmd hands in.
//
// A route is three steps: a function reads its input of the request, an operation acts on it, and its data is the
// answer. See operation.go. What all routes share is in handlers/web, and the inbox's streams are in handlers/streams.
package handlers

import (
	"context"
	"net/http"
	"time"

	"github.com/hibiken/asynq"

	"carillon/channels"
	"carillon/handlers/streams"
	"carillon/handlers/web"
	"carillon/internal/metrics"
	"carillon/models"
)

// Problem is one finding of /readyz.
type Problem = web.Problem

// API is everything the routes need.
type API struct {
	web.Gate
	RedisConn asynq.RedisConnOpt                                // the monitor's own way to the same Redis
	Enqueue   func(ctx context.Context, c models.Created) error // what a stored campaign needs first
	Describe  func(payload []byte) string                       // a task's payload as the monitor shows it
	Ready     func(ctx context.Context) []Problem               // what is wrong now; none = ready
	// Pace is how fast a campaign goes, as far as known, and what holds it back; nil = not known here.
	Pace func(ctx context.Context, c models.CampaignView) models.Pace
	// Shared reads what all processes share. A source that is nil is not known here.
	Shared metrics.Sources
	// Task reads which page of which campaign a task is about, by the campaign's internal number; nil = not known here.
	Task func(payload []byte) (campaign int64, page int, err error)
	// Check asks a channel's provider whether it can be used, and delivers nothing; nil = not known here.
	Check   func(ctx context.Context, channel string) []channels.Finding
	Process Process
	// PageError shows an error on a page; nil = errors of pages are JSON.
	PageError web.ErrorPage
	// EndRest lets a channel go on although its provider asked for rest or does not answer.
	EndRest  func(ctx context.Context, channel string) error
	Channels []channels.Traits // set up here; the first is the default
	Rates    map[string]int    // recipients a second by channel; 0 or absent = no limit
	Zone     string            // of users who have none; IANA name
	// BatchWait is how long a POST /msg/batch_send_msg for a list of up to maxAsOriginal recipients may take to be answered
	// as the original answers it, at most a minute; 0 = every answer is the campaign's.
	BatchWait time.Duration
	// Metrics answers a scrape. MetricsPublic says that anybody may scrape; otherwise an admin's token is needed.
	Metrics       http.Handler
	MetricsPublic bool

	kept         kept
	waiters      waiters
	watchers     watchers
	inboxReaders turns // who read an inbox for a list
	estimators   turns // who estimate a campaign
	streams      streams.Hub
	monitor      monitor
}

// Close ends all streams and what feeds them, and waits for them: at most a few seconds, for clients that do
// not read. It may be called twice; a stream that is asked for later gets 503.
func (a *API) Close() {
	a.waiters.close()
	a.streams.Close()
	a.monitor.close()
}
