// Package web is what all routes share, below what any of them does: who calls, the limits on a request, and how bodies are
// read and answers are written.
//
// A request goes through Gate.Outermost, then through the Gate's method that the route table names (Admin, Msg, …), which
// settles who calls, to a handler, which gets it as an In. A handler's error is rendered in one place (render.go).
package web

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/models"
)

// Gate is what every request goes through. The zero values of its settings have the defaults.
type Gate struct {
	Store    *models.Store
	Redis    redis.UniversalClient
	Secret   string // signs tokens
	Previous string // the secret before it: tokens that it has signed are still good; empty = none
	// ParseToken asks OpenIM about tokens that neither secret has signed; nil = they open nothing.
	ParseToken ParseToken
	Clock      func() time.Time // by which OpenIM's words age; nil = time.Now
	Admins     []string         // user IDs that are admins, until SetAdmins
	BodyTime   time.Duration    // within which a body must arrive; 0 = 30 s
	Patience   time.Duration    // within which the database must do something for a change; 0 = 8 s
	Memory     int              // MiB that the process is to stay under; 0 = 256
	Conns      *Conns           // the connections and their shares; nil = no limit
	Proxies    []netip.Prefix   // whose X-Forwarded-For is believed
	BasePath   string           // below which a proxy shows this server, as /carillon; empty = at the root
	Count      Counter          // nil = nobody counts
	Trace      Tracer           // nil = no traces
	Log        *slog.Logger

	lockouts      lockouts
	admins        adminList
	refusedLogins refusals
	openIM        openIMTokens
	budget        budget
}

// ParseToken says whose a token of OpenIM's is, and when it ends. Its error is a *models.Error with OpenIM's code where OpenIM
// says that the token does not stand. Any other error is that OpenIM does not say.
type ParseToken func(ctx context.Context, token string) (userID string, platformID int, expires time.Time, err error)

// AdminIDs are the user IDs that are admins now.
func (g *Gate) AdminIDs() []string { return g.admins.current(g.Admins) }

// SetAdmins makes these IDs the admins of this process. Whoever is none any more is refused from then on, and their
// requests under way end, streams and exports too.
func (g *Gate) SetAdmins(ids []string) { g.admins.set(ids) }

// IsAdmin is true for the user ID of an admin.
func (g *Gate) IsAdmin(userID string) bool { return slices.Contains(g.AdminIDs(), userID) }
