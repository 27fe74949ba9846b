// Package openim is the channel that delivers through an OpenIM server's own REST API, and the client of that API for
// everything else that needs it. What a real server answers stands in docs/openim.md.
//
//   - client.go, calls.go, errors.go: calls as an admin, and how they fail.
//   - token.go, seal.go: the one admin token of all processes.
package openim
