// Package jobs is everything that happens after a POST was answered. The way of one campaign:
//
//	plan.go       cuts the frozen audience into pages                       (task "plan")
//	window.go     lets a bounded number of them into the queue, and finishes the campaign
//	deliver.go    visits a page, and goes on with the next one                      (task "page")
//	chunk.go      who is in a chunk, how many of it may go, and what became of them
//	sending.go    hands a chunk to the channel, and goes on without its last few answers
//	park.go       lets a visit that only waits for late answers wait beside its slot
//	contact.go    takes no tasks while the database cannot be written
//	guard.go      stops a campaign whose failures are not its recipients'; guard_rule.go says when
//	reconcile.go  finds what should be moving and is not, and enqueues it again
//
// How many pages of a campaign a process holds, how many recipients it may send now, and how the provider does: that is
// internal/pacing.
//
// tasks.go puts tasks into Redis and worker.go takes them out. SQL is the ledger: all of Redis may be lost at
// any moment, and the reconciler brings back what was in it.
package jobs
