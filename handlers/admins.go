package handlers

import (
	"context"
	"slices"
	"sync"
)

// adminList is who is an admin now, and what admins have under way.
type adminList struct {
	mu      sync.Mutex
	ids     []string // nil = API.Admins, as the process began with
	running map[*adminRequest]struct{}
}

type adminRequest struct {
	userID string
	end    context.CancelFunc
}

// AdminIDs are the user IDs that are admins now.
func (a *API) AdminIDs() []string {
	a.admins.mu.Lock()
	defer a.admins.mu.Unlock()
	return a.adminIDs()
}

func (a *API) adminIDs() []string {
	if a.admins.ids != nil {
		return a.admins.ids
	}
	return a.Admins
}

// SetAdmins makes these IDs the admins of this process. Whoever is none any more is refused from then on, and their requests
// under way, streams and exports too, end.
func (a *API) SetAdmins(ids []string) {
	a.admins.mu.Lock()
	defer a.admins.mu.Unlock()
	a.admins.ids = append([]string{}, ids...)
	for r := range a.admins.running {
		if !slices.Contains(a.admins.ids, r.userID) {
			r.end()
		}
	}
}

func (a *API) isAdmin(userID string) bool { return slices.Contains(a.AdminIDs(), userID) }

// whileAdmin is a context that ends when its user is no admin any more; leave must be called at the request's end.
func (a *API) whileAdmin(ctx context.Context, userID string) (_ context.Context, leave func()) {
	ctx, end := context.WithCancel(ctx)
	r := &adminRequest{userID, end}
	a.admins.mu.Lock()
	defer a.admins.mu.Unlock()
	if !slices.Contains(a.adminIDs(), userID) { // since their token was looked at
		end()
	}
	if a.admins.running == nil {
		a.admins.running = map[*adminRequest]struct{}{}
	}
	a.admins.running[r] = struct{}{}
	return ctx, func() {
		end()
		a.admins.mu.Lock()
		defer a.admins.mu.Unlock()
		delete(a.admins.running, r)
	}
}
