// Package jobs is everything that happens after a POST was answered. SQL is the ledger: all of Redis may be lost at any moment,
// and the reconciler brings back what was in it.
//
// The way of one campaign:
//
//	tasks.go       puts tasks into Redis
//	worker.go      the worker of a process
//	serve.go       takes tasks out, and runs them
//	plan.go        cuts the frozen audience into pages                                      (task "plan")
//	window.go      lets a bounded number of pages into the queue, and finishes the campaign
//	visit.go       claims a page, finds a place for it, and goes on with the next page      (task "page")
//	delivery.go    what one visit to one page works with
//	deliver.go     the visit: members, grant, send, write
//	chunk.go       members: who is in the next chunk; grant: how many of them may go now
//	sending.go     send: hands the chunk to the channel, and takes the answers
//	outcome.go     what an answer makes of a recipient's row: its end, or when it is tried again
//	writer.go      write: one chunk while the next one is sent
//	trace.go       the spans of a plan, a visit and a slot
//	late.go        the last few answers of a chunk, which hold nobody up
//	slots.go       who may stay in a slot, and who may wait beside one
//	park.go        lets a visit that only waits for late answers wait beside its slot
//
// What a visit asks before it sends:
//
//	lease.go       whether the page is still this worker's
//	control.go     whether the campaign runs
//	guard.go       whether the campaign's failures are its recipients'
//	guard_rule.go  the guard's rule
//	legible.go     whether the provider's answers can be read
//	refused.go     whether the channel refuses the campaign as a whole
//	contact.go     whether this process can work with its database; without contact it takes no tasks
//	restored.go    whether the database is still the ledger that it was
//
// How many pages of a campaign a process holds, how many recipients it may send now, and how the provider does: that is
// internal/pacing.
//
// What every process does again and again, each duty in a loop of its own:
//
//	loop.go        the loops
//	reconcile.go   the list of the duties
//	promote.go     queues pages whose time has come
//	rescue.go      takes over pages of dead workers, and queues what was lost with Redis
//	requeue.go     how both queue a page again
//	steady.go      when a page may be taken from its worker
//	finish.go      ends campaigns and zones whose end has come
//	progress.go    measures how fast campaigns go
//	pace.go        says what holds a campaign back, and when it will be done
//	purge.go       deletes what is old
//	figures.go     tells the metrics how the queue, the providers and the campaigns do
//	recount.go     stores counts that an older program did not store
//	log.go         logs the ends of campaigns, and what operators did
//	schedule.go    starts scheduled campaigns and fires schedules
//	sync.go        syncs the directory from a provider's users
//	notify.go      posts the events of the log to their receiver: who posts, and when
//	notify_post.go the posts
//
// And shared.go is what the worker and the reconciler of one process have in common.
package jobs
