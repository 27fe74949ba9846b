// Package pacing decides when a campaign may send: how many pages of it a process holds, how many
// recipients it may send now, and how the channel's provider does.
//
//	params.go    every constant, with its reason
//	pacer.go     all of pacing of one process
//	places.go    how many pages of a campaign and of a channel one process holds
//	rates.go     the rates of campaigns and channels over all processes: recipients that may be sent now
//	health.go    what this process sees of the channels' providers
//	trial.go     one chunk on its way: which requests may start, and who is to blame for its failures
//	breaker.go   what all processes together know of a provider: a breaker, and a ceiling that falls and rises
//	explain.go   what holds a campaign back
//	scripts.go   makes the two Lua scripts: take.lua grants recipients, observe.lua keeps the provider's state
//	keys.go      the names of all that is kept in Redis
//
// Redis holds nothing that cannot be lost: a bucket begins empty, and a provider of which nothing
// is known is healthy.
package pacing
