// Package slots says when a cron text fires in a time zone. It holds pure functions only.
//
// A spec is an interval if it is @every or its hour field begins with `*`. Every other spec is
// fixed.
//
// Fixed specs follow the local clock:
//
//   - A local time that does not exist that day fires at the first instant after the gap.
//   - A local time that comes twice fires once, at its first coming.
//   - Slots that fall on the same instant are one slot.
//
// Intervals follow real time. They fire at every instant whose local clock matches the fields. So
// `0 * * * *` fires in both comings of 01:00, and not for an hour that does not exist.
//
// The parser of robfig/cron reads the fields. Times are searched here, on a *floating* clock: a date
// and time of day written as if in UTC. The parser's own search goes minute by minute, and errs where
// clocks change.
package slots
