package handlers

import (
	"context"
	"sync"
	"time"

	"carillon/handlers/web"
	"carillon/models"
)

// turns lets only so many requests of one kind use the database at a time: sends go through the same
// connections.
type turns struct {
	once   sync.Once
	places chan struct{}
}

// enter waits for one of n places. Who gets none within web.BudgetWait is told that too many of what
// are going on. n is the same in each call.
func (t *turns) enter(ctx context.Context, n int, what string) (leave func(), err error) {
	t.once.Do(func() { t.places = make(chan struct{}, n) })
	waiting := time.NewTimer(web.BudgetWait)
	defer waiting.Stop()
	select {
	case t.places <- struct{}{}:
		return func() { <-t.places }, nil
	case <-waiting.C:
		return nil, &models.Error{Code: models.CodeUnavailable, Detail: "too many " + what + " at once", RetryAfter: web.BudgetWait}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
