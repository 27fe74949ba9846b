// Package services runs private MariaDB and Redis servers for tests, benchmarks and fault trials: each on a
// free loopback port with its files in a directory of its own, so that a server of the machine's is never
// touched. They can be stopped, killed, frozen and started again on the same port and data.
//
// The servers are the installed ones where there are any, else containers of a docker engine (containers.go).
// The package is light on purpose: the command behind `make test` is built before everything else.
package services
