package calendar

import "time"

// Wall time is counted in seconds since 1970-01-01T00:00 as the local clock
// shows it, as if the zone were UTC. All arithmetic on dates happens there; this
// file alone translates between wall time and instants.

const (
	secondsPerDay = 24 * 60 * 60
	// No zone is further from UTC; RFC 8536 has the same bound.
	reach = 26 * 60 * 60
	// Schedules are searched from year 1 to 9999. Outside, nothing is due.
	firstSecond, lastSecond = -62135596800, 253402300799
)

// span is a stretch of instants with one UTC offset: [start, end).
type span struct{ start, end, offset int64 }

// offsetAt returns the UTC offset in force at an instant.
func offsetAt(zone *time.Location, at int64) int64 {
	_, offset := time.Unix(at, 0).In(zone).Zone()
	return int64(offset)
}

// spanAt returns a span around an instant. Neighbouring spans may share an offset.
func spanAt(zone *time.Location, at int64) span {
	moment := time.Unix(at, 0).In(zone)
	_, offset := moment.Zone()
	s := span{start: at - 400*secondsPerDay, end: at + 400*secondsPerDay, offset: int64(offset)}
	from, until := moment.ZoneBounds()
	if !from.IsZero() {
		s.start = from.Unix()
	}
	if !until.IsZero() {
		s.end = until.Unix()
	}
	// Past the last transition of its table, package time derives bounds from a
	// rule for each year and promises them only near a transition. On 31 December
	// of a leap year the end lies before the instant; no rule changes clocks then,
	// so the end of the day will do. The start may reach back over the table's
	// last transition, where the rule did not hold yet: that is searched.
	if s.end <= at {
		s.end = (floorDiv(at, secondsPerDay) + 1) * secondsPerDay
	}
	if offsetAt(zone, s.start) != s.offset {
		s.start = firstWith(zone, s.start, at, s.offset)
	}
	return s
}

// firstWith finds the change to offset between low, which lacks it, and high, which has it.
func firstWith(zone *time.Location, low, high, offset int64) int64 {
	for low+1 < high {
		if middle := low + (high-low)/2; offsetAt(zone, middle) == offset {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}

// reached returns the first instant at which the local clock shows wall or more.
// That is the wall time itself where it occurs, its first pass where it repeats,
// and the first instant after the gap where it does not occur. It never
// decreases as wall grows.
func reached(zone *time.Location, wall int64) int64 {
	s := spanAt(zone, wall-reach)
	for s.start <= wall+reach {
		if at := max(s.start, wall-s.offset); at < s.end {
			return at
		}
		s = spanAt(zone, s.end)
	}
	return wall - s.offset
}

// peak returns the highest wall time that the local clock has shown up to and
// including an instant. It exceeds the clock's own time in the second pass of a
// repeated stretch, and it is the inverse of reached: reached(w) <= at exactly
// when w <= peak(at).
func peak(zone *time.Location, at int64) int64 {
	s := spanAt(zone, at)
	top := at + s.offset
	for s.start > at-2*reach {
		s = spanAt(zone, s.start-1)
		top = max(top, s.end-1+s.offset)
	}
	return top
}

// dayOccurs says whether the local clock ever shows the date that begins at
// wall time midnight. Pacific/Apia went from 29 to 31 December 2011.
func dayOccurs(zone *time.Location, midnight int64) bool {
	at := reached(zone, midnight)
	return at+offsetAt(zone, at) < midnight+secondsPerDay
}

// wallOf returns the wall time that the local clock shows at an instant.
func wallOf(zone *time.Location, at int64) int64 { return at + offsetAt(zone, at) }

// secondsUpTo returns the last whole second at or before t.
func secondsUpTo(t time.Time) int64 { return t.Unix() }

// secondsBefore returns the last whole second strictly before t.
func secondsBefore(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix()
	}
	return t.Unix() - 1
}

// inRange says whether schedules are searched around t at all.
func inRange(t time.Time) bool {
	// In seconds: the year of a time at the ends of int64 is not to be trusted.
	return t.Unix() >= firstSecond && t.Unix() <= lastSecond
}

// instant makes a UTC time of seconds since 1970.
func instant(at int64) time.Time { return time.Unix(at, 0).UTC() }

// dateOf returns the date of a day counted from 1970-01-01.
func dateOf(day int64) (year int, month time.Month, dayOfMonth int) {
	return time.Unix(day*secondsPerDay, 0).UTC().Date()
}

// dayOf counts the days from 1970-01-01 to a date.
func dayOf(year int, month time.Month, dayOfMonth int) int64 {
	return floorDiv(time.Date(year, month, dayOfMonth, 0, 0, 0, 0, time.UTC).Unix(), secondsPerDay)
}

// weekdayOf returns the weekday of a day counted from 1970-01-01, a Thursday.
func weekdayOf(day int64) int { return int(floorMod(day+4, 7)) }

// monthLength returns the number of days of a month.
func monthLength(year int, month time.Month) int {
	switch month {
	case time.April, time.June, time.September, time.November:
		return 30
	case time.February:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	default:
		return 31
	}
}

func floorDiv(a, b int64) int64 {
	quotient := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		quotient--
	}
	return quotient
}

func floorMod(a, b int64) int64 { return a - floorDiv(a, b)*b }

// orUTC lets a nil zone mean UTC.
func orUTC(zone *time.Location) *time.Location {
	if zone == nil {
		return time.UTC
	}
	return zone
}
