// Package calendar says when something is due and which time a due moment stands for.
//
// It holds schedules (cron expressions, fixed intervals, none), the alignment of
// windows to local hours, days, weeks and months, and the texts in which people
// write moments, windows and durations.
//
// What it guarantees:
//
//   - Hours given as numbers, lists or ranges are fixed clock times: each happens
//     exactly once on each matching local date. Inside a gap it happens at the
//     first instant after the gap, in a repeated stretch at the first pass.
//   - An hour field with any "*" item follows the running clock: an instant is
//     due when the local clock shows a matching time. Times inside a gap do not
//     occur, times in a repeated stretch occur at each pass.
//   - A local date which the zone skips does not occur.
//   - On business days alone (Business) due times on days off are left out, or
//     moved to the next or the previous business day at the same local time; those
//     that come to one instant are one.
//   - Next is strictly after its argument and Prev strictly before; both are
//     bounded and never panic.
//   - Windows are half-open, in UTC, contiguous and never empty.
//
// It is pure: no clock, no I/O, no zone database. Zones arrive as *time.Location,
// so that the caller decides where zone data come from; nil means UTC.
package calendar
