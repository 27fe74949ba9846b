// Package handlers is HTTP: it reads requests, asks models, and renders answers. What a stored campaign needs
// next is put into the queue by a function that cmd hands in.
package handlers

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"carillon/channels"
	"carillon/models"
)

// API is everything the routes need.
type API struct {
	Store     *models.Store
	Redis     redis.UniversalClient
	RedisConn asynq.RedisConnOpt                                // the monitor's own way to the same Redis
	Enqueue   func(ctx context.Context, c models.Created) error // what a stored campaign needs first
	Describe  func(payload []byte) string                       // a task's payload as the monitor shows it
	Ready     func(ctx context.Context) []Problem               // what is wrong now; none = ready
	// Pace is how fast a campaign goes, as far as known, and what holds it back; nil = not known here.
	Pace func(ctx context.Context, c models.CampaignView) models.Pace
	// EndRest lets a channel go on although its provider asked for rest or does not answer.
	EndRest  func(ctx context.Context, channel string) error
	Secret   string // signs tokens
	Previous string // the secret before it: tokens that it has signed are still good; empty = none
	// ParseToken asks OpenIM about tokens that neither secret has signed; nil = they open nothing.
	ParseToken ParseToken
	Admins     []string          // user IDs that are admins, until SetAdmins
	Channels   []channels.Traits // set up here; the first is the default
	Rates      map[string]int    // recipients a second by channel; 0 or absent = no limit
	Zone       string            // of users who have none; IANA name
	BodyTime   time.Duration     // within which a body must arrive; 0 = 30 s
	// BatchWait is how long a POST /msg/batch_send_msg for a list of up to maxAsOriginal recipients may take to be answered
	// as the original answers it, at most a minute; 0 = every answer is the campaign's.
	BatchWait time.Duration
	Patience  time.Duration  // within which the database must do something for a change; 0 = 8 s
	Memory    int            // MiB that the process is to stay under; 0 = 256
	Conns     *Conns         // the connections and their shares; nil = no limit
	Proxies   []netip.Prefix // whose X-Forwarded-For is believed
	Log       *slog.Logger

	waiters       waiters
	inboxOnce     sync.Once
	inboxReaders  chan struct{} // holds a token for each list that is being read
	lockouts      lockouts
	admins        adminList
	refusedLogins refusals
	openIM        openIMTokens
	budget        budget
	streams       streamHub
	monitor       monitor
}

// ParseToken says whose a token of OpenIM's is, and when it ends. Its error is a *models.Error with OpenIM's code where OpenIM
// says that the token does not stand. Any other error is that OpenIM does not say.
type ParseToken func(ctx context.Context, token string) (userID string, platformID int, expires time.Time, err error)

// AdminIDs are the user IDs that are admins now.
func (a *API) AdminIDs() []string { return a.admins.current(a.Admins) }

// SetAdmins makes these IDs the admins of this process. Whoever is none any more is refused from then on, and their
// requests under way end, streams and exports too.
func (a *API) SetAdmins(ids []string) { a.admins.set(ids) }

func (a *API) isAdmin(userID string) bool { return slices.Contains(a.AdminIDs(), userID) }

// Close ends all streams and what feeds them, and waits for them: at most a few seconds, for clients that do
// not read. It may be called twice; a stream that is asked for later gets 503.
func (a *API) Close() {
	a.waiters.close()
	a.streams.close()
	a.monitor.close()
}
