package value

import (
	"math"
	"time"
)

// The days of the years 1 and 10000, counted from 1970-01-01.
const (
	firstDay = -719162
	endDay   = 2932897
)

const secondsPerDay = 24 * 60 * 60

// ParseDate reads YYYY-MM-DD as days from 1970-01-01.
func ParseDate(text string) (int32, Flaw) {
	if len(text) != 10 || text[4] != '-' || text[7] != '-' {
		return 0, NotDate
	}
	year, ok1 := digits4(text)
	month, ok2 := digits2(text[5:])
	day, ok3 := digits2(text[8:])
	if !ok1 || !ok2 || !ok3 {
		return 0, NotDate
	}
	return days(year, month, day)
}

// days counts from 1970-01-01; the day must exist.
func days(year, month, day int) (int32, Flaw) {
	if year < 1 || year > 9999 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return 0, NoSuchDay
	}
	// Years begin in March here, so that the leap day is the last of its year.
	y, m := year, month-3
	if month < 3 {
		y, m = year-1, month+9
	}
	era := y / 400
	yearOfEra := y - era*400
	dayOfYear := (153*m+2)/5 + day - 1
	return int32(era*146097 + yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear - 719468), Sound
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	default:
		return 31
	}
}

func digits2(text string) (int, bool) {
	if len(text) < 2 || !isDigit(text[0]) || !isDigit(text[1]) {
		return 0, false
	}
	return int(text[0]-'0')*10 + int(text[1]-'0'), true
}

func digits4(text string) (int, bool) {
	high, ok1 := digits2(text)
	if !ok1 {
		return 0, false
	}
	low, ok2 := digits2(text[2:])
	return high*100 + low, ok2
}

// clock is a time of day taken apart: whole seconds, nanoseconds, and whether
// digits finer than the unit were cut.
type clock struct {
	seconds int64
	nanos   int64
	cut     bool
}

// parseClock reads HH:MM[:SS[.f…]] at the start of text and returns the rest.
func parseClock(text string, unit time.Duration) (c clock, rest string, ok bool) {
	hour, ok1 := digits2(text)
	if !ok1 || len(text) < 5 || text[2] != ':' || hour > 23 {
		return c, "", false
	}
	minute, ok2 := digits2(text[3:])
	if !ok2 || minute > 59 {
		return c, "", false
	}
	c.seconds = int64(hour*3600 + minute*60)
	text = text[5:]
	if text == "" || text[0] != ':' {
		return c, text, true
	}
	second, ok3 := digits2(text[1:])
	if !ok3 || second > 59 {
		return c, "", false
	}
	c.seconds += int64(second)
	text = text[3:]
	if text == "" || text[0] != '.' {
		return c, text, true
	}
	i, scale := 1, int64(time.Second)
	for ; i < len(text) && isDigit(text[i]); i++ {
		scale /= 10
		if scale >= int64(unit) {
			c.nanos += int64(text[i]-'0') * scale
		} else if text[i] != '0' {
			c.cut = true
		}
	}
	return c, text[i:], i > 1
}

// ParseClock reads a time of day as units (microseconds or nanoseconds) since midnight.
func ParseClock(text string, unit time.Duration) (int64, Flaw) {
	c, rest, ok := parseClock(text, unit)
	switch {
	case !ok || rest != "":
		return 0, NotTime
	case c.cut:
		return 0, TooFine
	}
	return c.units(unit), Sound
}

func (c clock) units(unit time.Duration) int64 {
	return c.seconds*int64(time.Second/unit) + c.nanos/int64(unit)
}

// moment is a date with a time of day, and perhaps an offset.
type moment struct {
	day    int32
	clock  clock
	offset int64 // seconds east of UTC
	zoned  bool
}

// parseMoment reads a timestamp; NoZone and HasZone are the caller's business.
func parseMoment(text string, unit time.Duration) (m moment, f Flaw) {
	if len(text) < 16 || text[10] != 'T' && text[10] != ' ' {
		return m, NotTimestamp
	}
	if m.day, f = ParseDate(text[:10]); f != Sound {
		if f == NotDate {
			f = NotTimestamp
		}
		return m, f
	}
	var rest string
	var ok bool
	if m.clock, rest, ok = parseClock(text[11:], unit); !ok {
		return m, NotTimestamp
	}
	if rest != "" {
		if m.offset, ok = parseOffset(rest); !ok {
			return m, NotTimestamp
		}
		m.zoned = true
	}
	return m, Sound
}

// parseOffset reads Z, ±HH, ±HHMM or ±HH:MM as seconds east of UTC.
func parseOffset(text string) (int64, bool) {
	if text == "Z" || text == "z" {
		return 0, true
	}
	if len(text) < 3 || text[0] != '+' && text[0] != '-' {
		return 0, false
	}
	hours, ok := digits2(text[1:])
	minutes := 0
	if rest := text[3:]; ok && rest != "" {
		if rest[0] == ':' {
			rest = rest[1:]
		}
		minutes, ok = digits2(rest)
		ok = ok && len(rest) == 2
	}
	if !ok || hours > 15 || minutes > 59 {
		return 0, false
	}
	offset := int64(hours*3600 + minutes*60)
	if text[0] == '-' {
		offset = -offset
	}
	return offset, true
}

// ParseTimestamp reads a timestamp without zone as units since 1970-01-01T00:00.
func ParseTimestamp(text string, unit time.Duration) (int64, Flaw) {
	m, f := parseMoment(text, unit)
	switch {
	case f != Sound:
		return 0, f
	case m.zoned:
		return 0, HasZone
	case m.clock.cut:
		return 0, TooFine
	}
	return units(m.wall(), m.clock.nanos, unit)
}

// wall is the moment's seconds as if its clock showed UTC.
func (m moment) wall() int64 { return int64(m.day)*secondsPerDay + m.clock.seconds }

// units puts seconds and nanoseconds since 1970 into one number.
func units(seconds, nanos int64, unit time.Duration) (int64, Flaw) {
	if seconds < firstDay*secondsPerDay || seconds >= endDay*secondsPerDay {
		return 0, OutOfRange
	}
	if unit == time.Nanosecond && (seconds <= math.MinInt64/int64(time.Second) || seconds >= math.MaxInt64/int64(time.Second)) {
		return 0, OutOfRange
	}
	return seconds*int64(time.Second/unit) + nanos/int64(unit), Sound
}

// ParseInstant reads a timestamp with zone as units since 1970-01-01T00:00Z.
// Text without an offset is a wall clock of zone; a nil zone refuses it.
func ParseInstant(text string, zone *time.Location, unit time.Duration) (int64, Flaw) {
	m, f := parseMoment(text, unit)
	switch {
	case f != Sound:
		return 0, f
	case m.clock.cut:
		return 0, TooFine
	}
	seconds := m.wall() - m.offset
	if !m.zoned {
		if seconds, f = ToInstant(m.wall(), zone); f != Sound {
			return 0, f
		}
	}
	return units(seconds, m.clock.nanos, unit)
}

// ToInstant returns the instant, in seconds since 1970 in UTC, at which the
// clock of the zone shows wall, which is in seconds as if the clock showed UTC.
// SkippedHour comes with the first instant after the gap, RepeatedHour with the
// first of the two.
func ToInstant(wall int64, zone *time.Location) (int64, Flaw) {
	switch zone {
	case nil:
		return 0, NoZone
	case time.UTC:
		return wall, Sound
	}
	// Zones change their offset at most once in two days, so that the offsets
	// before and after are all that may be in force.
	before, after := offsetAt(wall-secondsPerDay, zone), offsetAt(wall+secondsPerDay, zone)
	early, late := wall-max(before, after), wall-min(before, after)
	first, second := offsetAt(early, zone) == wall-early, offsetAt(late, zone) == wall-late
	switch {
	case first && second && early != late:
		return early, RepeatedHour
	case first:
		return early, Sound
	case second:
		return late, Sound
	}
	_, end := time.Unix(early, 0).In(zone).ZoneBounds()
	return end.Unix(), SkippedHour
}

func offsetAt(unix int64, zone *time.Location) int64 {
	_, offset := time.Unix(unix, 0).In(zone).Zone()
	return int64(offset)
}

// ToWall returns what the clock of the zone shows at an instant, in seconds as
// if the clock showed UTC.
func ToWall(instant int64, zone *time.Location) (int64, Flaw) {
	if zone == nil {
		return 0, NoZone
	}
	return instant + offsetAt(instant, zone), Sound
}
