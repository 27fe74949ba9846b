package models

import (
	"context"

	"gorm.io/gorm"
)

// Observer is told what this process has committed to the ledger. Its functions are called after
// the commit, from any goroutine, and must not wait. What was rolled back is never told. A COMMIT
// whose answer was lost is not told either.
type Observer struct {
	// Moved tells that n campaigns came into a state for a reason. A new campaign comes into its
	// first state. A campaign that stays in its state may get another reason.
	Moved func(to Status, why ReasonCode, n int64)
	// Settled tells how many recipients of a channel got which outcome. Pending and Total are 0.
	Settled func(channel string, n Counts)
}

// Observe sets who is told. A function that is nil is not called. Observe must be called before
// anything else uses the store.
func (s *Store) Observe(o Observer) { s.observer = o }

// Trace sets what names the span of a context, as a traceparent; "" = the context has none. Trace
// must be called before anything else uses the store.
func (s *Store) Trace(traceparent func(context.Context) string) { s.traced = traceparent }

// traceparent names the span of ctx; "" where traces are off.
func (s *Store) traceparent(ctx context.Context) string {
	if s.traced == nil {
		return ""
	}
	return s.traced(ctx)
}

// afterCommit are the calls that one transaction has led to.
type afterCommit struct{ calls []func() }

type afterCommitKey struct{}

// noting is ctx, in which a transaction's calls are noted.
func noting(ctx context.Context, after *afterCommit) context.Context {
	return context.WithValue(ctx, afterCommitKey{}, after)
}

// note keeps a call until the transaction has been committed.
func (s *Store) note(tx *gorm.DB, call func()) {
	if after, ok := tx.Statement.Context.Value(afterCommitKey{}).(*afterCommit); ok {
		after.calls = append(after.calls, call)
	}
}

// noteMoved notes that n campaigns came into a state.
func (s *Store) noteMoved(tx *gorm.DB, to Status, why ReasonCode, n int64) {
	if s.observer.Moved != nil {
		s.note(tx, func() { s.observer.Moved(to, why, n) })
	}
}

// noteSettled notes that recipients got an outcome.
func (s *Store) noteSettled(tx *gorm.DB, channel string, n Counts) {
	s.note(tx, func() { s.tellSettled(channel, n) })
}

// tellSettled tells that recipients got an outcome.
func (s *Store) tellSettled(channel string, n Counts) {
	s.unflushed.add(n.Sent, n.Failed)
	if s.observer.Settled != nil && n != (Counts{}) {
		s.observer.Settled(channel, n)
	}
}

// done makes the calls.
func (a *afterCommit) done() {
	for _, call := range a.calls {
		call()
	}
}

// settledAs is n recipients of one status.
func settledAs(status RecipientStatus, n int64) (c Counts) {
	switch status {
	case RecipientSent:
		c.Sent = n
	case RecipientFailed:
		c.Failed = n
	case RecipientSkipped:
		c.Skipped = n
	case RecipientExpired:
		c.Expired = n
	case RecipientCancelled:
		c.Cancelled = n
	case RecipientUnknown:
		c.Unknown = n
	case RecipientPending, RecipientClaimed:
	}
	return c
}

// settledSince is what the counters of a page have gained since an earlier state of the page.
func (p *Page) settledSince(before *Page) Counts {
	return Counts{
		Sent: int64(p.Sent - before.Sent), Failed: int64(p.Failed - before.Failed), Skipped: int64(p.Skipped - before.Skipped),
		Expired: int64(p.Expired - before.Expired), Cancelled: int64(p.Cancelled - before.Cancelled), Unknown: int64(p.Unknown - before.Unknown),
	}
}
