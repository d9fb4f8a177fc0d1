package calendar

import (
	"math/bits"
	"time"
)

// searchYears bounds a search. The rarest satisfiable date, 29 February on one
// weekday, comes at most 40 years apart; twice that lets a zone skip one.
const searchYears = 90

// Cron is a parsed cron expression in a zone. The zero value is never due.
type Cron struct {
	text    string
	zone    *time.Location
	minutes uint64 // bit n: minute n
	hours   uint32
	months  uint16 // bit 1: January
	days    daySet
	running bool // the hour field has a "*" item: it follows the running clock
}

// daySet is what the two day fields of an expression say.
type daySet struct {
	ofMonth   uint32   // bit n: day n
	last      bool     // "L": the last day of the month
	ofWeek    uint8    // bit 0: Sunday
	nth       [6]uint8 // "MON#2": bit of the weekday at index 2
	lastWeek  uint8    // "5L": bit of the weekday
	monthOpen bool     // the day of month field has a "*" item
	weekOpen  bool     // the day of week field has one
}

// matches decides by the length of the month and the weekday of the day.
func (d daySet) matches(dayOfMonth, length, weekday int) bool {
	byMonth := d.ofMonth>>dayOfMonth&1 == 1 || d.last && dayOfMonth == length
	byWeek := (d.ofWeek|d.nth[(dayOfMonth+6)/7])>>weekday&1 == 1 ||
		dayOfMonth > length-7 && d.lastWeek>>weekday&1 == 1
	if d.monthOpen || d.weekOpen {
		return byMonth && byWeek
	}
	return byMonth || byWeek
}

// Zone returns the zone whose clock the expression is about.
func (c Cron) Zone() *time.Location { return orUTC(c.zone) }

// Text returns the expression as it was written.
func (c Cron) Text() string { return c.text }

// String identifies the schedule: two crons with one string are due at the same instants.
func (c Cron) String() string { return "cron " + c.text + " " + c.Zone().String() }

// Next returns the first due instant strictly after a moment.
func (c Cron) Next(after time.Time) (time.Time, bool) {
	if c.minutes == 0 || !inRange(after) {
		return time.Time{}, false
	}
	if c.running {
		return c.nextRunning(secondsUpTo(after) + 1)
	}
	zone := c.Zone()
	// Every fixed time up to the peak has been reached by then, every later one
	// will be reached afterwards.
	wall := peak(zone, secondsUpTo(after)) + 1
	limit := wall + searchYears*366*secondsPerDay
	for {
		found, ok := c.nextWall(wall, limit)
		if !ok {
			return time.Time{}, false
		}
		midnight := floorDiv(found, secondsPerDay) * secondsPerDay
		if dayOccurs(zone, midnight) {
			return instant(reached(zone, found)), true
		}
		wall = midnight + secondsPerDay
	}
}

// Prev returns the last due instant strictly before a moment.
func (c Cron) Prev(before time.Time) (time.Time, bool) {
	if c.minutes == 0 || !inRange(before) {
		return time.Time{}, false
	}
	if c.running {
		return c.prevRunning(secondsBefore(before))
	}
	zone := c.Zone()
	wall := peak(zone, secondsBefore(before))
	limit := wall - searchYears*366*secondsPerDay
	for {
		found, ok := c.prevWall(wall, limit)
		if !ok {
			return time.Time{}, false
		}
		midnight := floorDiv(found, secondsPerDay) * secondsPerDay
		if dayOccurs(zone, midnight) {
			return instant(reached(zone, found)), true
		}
		wall = midnight - 1
	}
}

// nextRunning returns the first instant at or after from at which the clock shows a matching time.
func (c Cron) nextRunning(from int64) (time.Time, bool) {
	limit := from + searchYears*366*secondsPerDay
	for from < limit {
		s := spanAt(c.Zone(), from)
		if wall, ok := c.nextWall(from+s.offset, s.end-1+s.offset); ok {
			return instant(wall - s.offset), true
		}
		from = s.end
	}
	return time.Time{}, false
}

// prevRunning returns the last instant at or before until at which the clock shows a matching time.
func (c Cron) prevRunning(until int64) (time.Time, bool) {
	limit := until - searchYears*366*secondsPerDay
	for until > limit {
		s := spanAt(c.Zone(), until)
		if wall, ok := c.prevWall(until+s.offset, s.start+s.offset); ok {
			return instant(wall - s.offset), true
		}
		until = s.start - 1
	}
	return time.Time{}, false
}

// nextWall returns the first matching wall time in [from, limit].
func (c Cron) nextWall(from, limit int64) (int64, bool) {
	day, second := floorDiv(from, secondsPerDay), int(floorMod(from, secondsPerDay))
	lastDay := floorDiv(limit, secondsPerDay)
	for {
		found, ok := c.nextDay(day, lastDay)
		if !ok {
			return 0, false
		}
		if found != day {
			second = 0
		}
		if at, ok := c.timeFrom(second); ok {
			wall := found*secondsPerDay + int64(at)
			return wall, wall <= limit
		}
		day, second = found+1, 0
	}
}

// prevWall returns the last matching wall time in [limit, from].
func (c Cron) prevWall(from, limit int64) (int64, bool) {
	day, second := floorDiv(from, secondsPerDay), int(floorMod(from, secondsPerDay))
	firstDay := floorDiv(limit, secondsPerDay)
	for {
		found, ok := c.prevDay(day, firstDay)
		if !ok {
			return 0, false
		}
		if found != day {
			second = secondsPerDay - 1
		}
		if at, ok := c.timeUpTo(second); ok {
			wall := found*secondsPerDay + int64(at)
			return wall, wall >= limit
		}
		day, second = found-1, secondsPerDay-1
	}
}

// nextDay returns the first matching day in [day, last]. It leaves out whole months.
func (c Cron) nextDay(day, last int64) (int64, bool) {
	for day <= last {
		year, month, dayOfMonth := dateOf(day)
		length := monthLength(year, month)
		if c.months>>month&1 == 1 {
			weekday := weekdayOf(day)
			for i := range length - dayOfMonth + 1 {
				if c.days.matches(dayOfMonth+i, length, (weekday+i)%7) {
					return day + int64(i), day+int64(i) <= last
				}
			}
		}
		day += int64(length - dayOfMonth + 1)
	}
	return 0, false
}

// prevDay returns the last matching day in [first, day].
func (c Cron) prevDay(day, first int64) (int64, bool) {
	for day >= first {
		year, month, dayOfMonth := dateOf(day)
		if c.months>>month&1 == 1 {
			length, weekday := monthLength(year, month), weekdayOf(day)
			for i := range dayOfMonth {
				if c.days.matches(dayOfMonth-i, length, (weekday+35-i)%7) {
					return day - int64(i), day-int64(i) >= first
				}
			}
		}
		day -= int64(dayOfMonth)
	}
	return 0, false
}

// timeFrom returns the first matching second of a day at or after second.
func (c Cron) timeFrom(second int) (int, bool) {
	minute := (second + 59) / 60
	hour, minute := minute/60, minute%60
	if hour < 24 && c.hours>>hour&1 == 1 {
		if rest := c.minutes >> minute << minute; rest != 0 {
			return hour*3600 + bits.TrailingZeros64(rest)*60, true
		}
	}
	if rest := uint64(c.hours) >> (hour + 1) << (hour + 1); rest != 0 {
		return bits.TrailingZeros64(rest)*3600 + bits.TrailingZeros64(c.minutes)*60, true
	}
	return 0, false
}

// timeUpTo returns the last matching second of a day at or before second.
func (c Cron) timeUpTo(second int) (int, bool) {
	hour, minute := second/3600, second/60%60
	if c.hours>>hour&1 == 1 {
		if rest := c.minutes & (1<<(minute+1) - 1); rest != 0 {
			return hour*3600 + (bits.Len64(rest)-1)*60, true
		}
	}
	if rest := c.hours & (1<<hour - 1); rest != 0 {
		return (bits.Len32(rest)-1)*3600 + (bits.Len64(c.minutes)-1)*60, true
	}
	return 0, false
}

// satisfiable says whether any date matches. Every combination of month,
// length and first weekday occurs within 400 years, so these are all there are.
func (c Cron) satisfiable() bool {
	for month := time.January; month <= time.December; month++ {
		if c.months>>month&1 == 0 {
			continue
		}
		for _, year := range []int{2023, 2024} {
			length := monthLength(year, month)
			for first := range 7 {
				for day := 1; day <= length; day++ {
					if c.days.matches(day, length, (first+day-1)%7) {
						return true
					}
				}
			}
		}
	}
	return false
}
