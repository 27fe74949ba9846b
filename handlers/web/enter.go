package web

import (
	"context"
	"fmt"
	"sync"
	"time"

	"carillon/models"
)

// enter counts a request of an identified caller; leave must be called at its end. Admins have no limit of
// their own: what they hold for long is bounded by takeLong.
func (g *Gate) enter(ctx context.Context, who claims) (leave func(), err error) {
	cs := g.Conns
	if cs == nil {
		return func() {}, nil
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c, ok := ctx.Value(ctxConn).(*conn); ok {
		cs.setClass(c, known)
		c.met = true
	}
	if who.PlatformID == AdminPlatform {
		return func() {}, nil
	}
	if cs.users[who.UserID] >= maxRequests {
		return nil, &models.Error{Code: models.CodeTooManyRequests, Detail: fmt.Sprintf("this user has %d requests under way", maxRequests), RetryAfter: time.Second}
	}
	cs.users[who.UserID]++
	return func() {
		cs.mu.Lock()
		defer cs.mu.Unlock()
		if cs.users[who.UserID]--; cs.users[who.UserID] == 0 {
			delete(cs.users, who.UserID)
		}
	}, nil
}

// TakeLong takes one of the places that streams, exports and waiting requests have together. ok is false when
// there is none: a quarter of the connections is left to requests that end soon.
func (g *Gate) TakeLong() (give func(), ok bool) {
	cs := g.Conns
	if cs == nil {
		return func() {}, true
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.longNow >= cs.maxLong {
		return nil, false
	}
	cs.longNow++
	return sync.OnceFunc(func() {
		cs.mu.Lock()
		defer cs.mu.Unlock()
		cs.longNow--
	}), true
}

// ErrTooManyLong is for what takes long, where there is no place.
var ErrTooManyLong = &models.Error{Code: models.CodeUnavailable, Detail: "too many streams, exports and waiting requests at once", RetryAfter: 5 * time.Second}

// ErrClosing is for what would hold up a process that stops.
var ErrClosing = &models.Error{Code: models.CodeUnavailable, Detail: "this process is shutting down", RetryAfter: time.Second}
