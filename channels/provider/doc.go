// Package provider is what all channels share that talk to a provider over HTTP: connections, the number of requests in
// flight, faults, and the limits of an answer. A channel makes an Exchange of each request; Client.Send does the rest.
//
// # The promise
//
// A request is written at most once, and its outcome says truly what became of it:
//
//   - NotTried: no request was begun.
//   - Retry with CodeNetwork: nothing of the request left this process.
//   - Ambiguous with CodeNetwork: something of the request left, and no whole answer came.
//   - Everything else is the channel's own reading of a whole answer.
//
// The one exception is no exception: a request is written again, on a new connection, where a kept connection was
// certainly closed before its other end read any of the request (docs/adr/0014).
//
// # How it is kept
//
//   - A Client speaks HTTP/1.1 only. With one request on a connection at a time, the bytes written to the connection
//     tell for certain whether any of this request left.
//   - A Client follows no redirect and never repeats a request by itself.
//   - A Client uses no proxy, whatever the environment says: a proxy would see users' IDs and texts, and its own errors
//     would pass for the provider's answers.
//   - A Client reads at most 64 KiB of an answer's head and 1 MiB of its body.
//   - How many requests are in flight follows from the provider's own answers: see limit.go.
//
// Why in this way, and what it costs: docs/adr/0019.
package provider
