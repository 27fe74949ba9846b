package web

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"carillon/models"
)

const (
	// defaultMemory is CARILLON_MEMORY's default, in MiB.
	defaultMemory = 256
	// BudgetWait is how long a request waits for memory before it is turned away.
	BudgetWait = 2 * time.Second
	// FreeBytes is the part of a body that costs nothing: long messages never crowd out short ones.
	FreeBytes = 64 << 10
	// decodeFactor and valueBytes weigh a body by what decoding costs: the text, its copy, what
	// goes to the database, and room for the most values that the bytes can hold.
	decodeFactor = 4
	valueBytes   = 192
)

// budget is the memory that large bodies and large answers of this process share: half of
// CARILLON_MEMORY. The zero value is ready.
type budget struct {
	once sync.Once
	size int64
	sem  *semaphore.Weighted
}

// take takes n bytes of half of the memory until give is called, or fails with 3005. A caller that
// needs more than all of it takes all of it.
func (b *budget) take(ctx context.Context, memory, n int64) (give func(), err error) {
	b.once.Do(func() {
		b.size = memory / 2
		b.sem = semaphore.NewWeighted(b.size)
	})
	n = min(n, b.size)
	waiting, cancel := context.WithTimeout(ctx, BudgetWait)
	defer cancel()
	if err := b.sem.Acquire(waiting, n); err != nil {
		return nil, &models.Error{Code: models.CodeUnavailable, Detail: "too many large requests at once", RetryAfter: BudgetWait}
	}
	return func() { b.sem.Release(n) }, nil
}

// cost is what a body of so many bytes may need until its request is done.
func cost(bytes int64) int64 { return decodeFactor*bytes + valueBytes*min(bytes/3, maxEntries) }

// charge is what one request has taken of the budget.
type charge struct{ give []func() }

func (c *charge) release() {
	for _, give := range c.give {
		give()
	}
	c.give = nil
}
