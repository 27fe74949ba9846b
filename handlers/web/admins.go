package web

import (
	"context"
	"slices"
	"sync"
)

// adminList is who is an admin now, and what admins have under way.
type adminList struct {
	mu      sync.Mutex
	ids     []string // nil = Gate.Admins, as the process began with
	running map[*adminRequest]struct{}
}

type adminRequest struct {
	userID string
	end    context.CancelFunc
}

// current are the user IDs that are admins now; first are those that the process began with.
func (l *adminList) current(first []string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.orFirst(first)
}

// orFirst is called with mu held.
func (l *adminList) orFirst(first []string) []string {
	if l.ids != nil {
		return l.ids
	}
	return first
}

// set makes these IDs the admins, and ends the requests under way of whoever is none any more.
func (l *adminList) set(ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids = append([]string{}, ids...)
	for r := range l.running {
		if !slices.Contains(l.ids, r.userID) {
			r.end()
		}
	}
}

// while is a context that ends when its user is no admin any more; leave must be called at the request's end. first is
// as for current.
func (l *adminList) while(ctx context.Context, first []string, userID string) (_ context.Context, leave func()) {
	ctx, end := context.WithCancel(ctx)
	r := &adminRequest{userID, end}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.orFirst(first), userID) { // since their token was looked at
		end()
	}
	if l.running == nil {
		l.running = map[*adminRequest]struct{}{}
	}
	l.running[r] = struct{}{}
	return ctx, func() {
		end()
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.running, r)
	}
}
