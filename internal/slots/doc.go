// Package slots says when a cron text fires in a time zone. It holds pure functions only.
//
// A spec is an interval when it is @every or its hour field begins with `*`; every other is fixed.
//
// Fixed specs follow the local clock. A local time that does not exist that day fires at the first instant
// after the gap; one that comes twice fires once, at its first coming; what falls on the same instant is one
// slot.
//
// Intervals follow real time: they fire at every instant whose local clock matches the fields. `0 * * * *` so
// fires in both comings of 01:00, and not for an hour that does not exist.
//
// The parser of robfig/cron finds its next time well where clocks never change and badly where they do, so
// it is asked only there: on a *floating* clock, a date and time of day written as if in UTC.
package slots
