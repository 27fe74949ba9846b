package models

import "context"

// Via is the way by which something was done.
type Via string

// All ways.
const (
	ViaAPI        Via = "api"
	ViaConsole    Via = "console" // a browser's session
	ViaCLI        Via = "cli"
	ViaScheduler  Via = "scheduler"
	ViaWorker     Via = "worker"
	ViaReconciler Via = "reconciler"
	ViaGuard      Via = "guard"
	ViaServe      Via = "serve" // a process that starts
)

// Actor is who does something.
type Actor struct {
	ID          string // an admin's user ID; on the command line the system's user; empty = the program itself
	Via         Via
	OperationID string // of the request; empty = none
}

type actorKey struct{}

// WithActor is a context in which an actor acts: whatever the ledger changes under it is theirs in the event log.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ViaOf is the way by which the context's actor acts; empty = the program itself. The log tells it: an actor's ID is personal.
// The event with the same operationID names the actor.
func ViaOf(ctx context.Context) Via { return actorOf(ctx, "").Via }

// actorOf is the context's actor; without one it is the program itself, by the given way.
func actorOf(ctx context.Context, via Via) Actor {
	if a, ok := ctx.Value(actorKey{}).(Actor); ok {
		return a
	}
	return Actor{Via: via}
}
