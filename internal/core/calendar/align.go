package calendar

import (
	"fmt"
	"time"
)

// Unit is a local unit of time that windows can be aligned to.
type Unit string

// The units. Weeks begin on Monday.
const (
	UnitNone  Unit = ""
	UnitHour  Unit = "hour"
	UnitDay   Unit = "day"
	UnitWeek  Unit = "week"
	UnitMonth Unit = "month"
)

// maxShift keeps a shift within what a person can mean.
const maxShift = 1000

// Alignment ties the end of a window to local units: without a shift, to the
// end of the last unit that is complete when the window comes due. The zero
// value ends a window at its due time.
type Alignment struct {
	Unit  Unit
	Shift int // whole units later, or earlier when negative
}

// ParseUnit reads "hour", "day", "week" or "month". The error is a *ParseError.
func ParseUnit(text string) (Unit, error) {
	switch unit := Unit(text); unit {
	case UnitHour, UnitDay, UnitWeek, UnitMonth:
		return unit, nil
	case UnitNone:
	}
	return UnitNone, &ParseError{
		Field: FieldWindow, Text: text, Problem: "this unit is not known",
		Remedy: "Write hour, day, week or month.",
	}
}

// Validate refuses units that do not exist and shifts without a unit or out of reason.
func (a Alignment) Validate() error {
	if a.Unit == UnitNone {
		if a.Shift == 0 {
			return nil
		}
		return &ParseError{
			Field: FieldWindow, Text: fmt.Sprint(a.Shift), Problem: "a shift needs a unit",
			Remedy: "Write \"window: {unit: day, shift: 1}\".",
		}
	}
	if _, err := ParseUnit(string(a.Unit)); err != nil {
		return err
	}
	if a.Shift > maxShift || a.Shift < -maxShift {
		return &ParseError{
			Field: FieldWindow, Text: fmt.Sprint(a.Shift), Problem: "the shift is too large",
			Remedy: fmt.Sprintf("Write a shift from %d to %d units.", -maxShift, maxShift),
		}
	}
	return nil
}

// String identifies the alignment: "", "day", "day+1".
func (a Alignment) String() string {
	if a.Shift == 0 {
		return string(a.Unit)
	}
	return fmt.Sprintf("%s%+d", a.Unit, a.Shift)
}

// End returns the end of the window that comes due at a moment. It never
// decreases as due grows.
func (a Alignment) End(due time.Time, zone *time.Location) time.Time {
	if a.Unit == UnitNone {
		return due.UTC()
	}
	g := grid{orUTC(zone), a.Unit}
	return instant(g.start(g.step(g.floor(secondsUpTo(due)), a.Shift)))
}

// opens returns the first moment from which on a due time has a window that
// ends after mark: End(due) > mark exactly when due >= opens(mark).
func (a Alignment) opens(mark time.Time, zone *time.Location) time.Time {
	if a.Unit == UnitNone {
		return mark.Add(1)
	}
	g := grid{orUTC(zone), a.Unit}
	return instant(g.start(g.step(g.floor(secondsUpTo(mark)), 1-a.Shift)))
}

// grid numbers the local units of a zone. A cell is a day counted from
// 1970-01-01 for dates, weeks and months, and the instant of its beginning for
// hours, which have no other name when the clock repeats one.
type grid struct {
	zone *time.Location
	unit Unit
}

// floor returns the cell that an instant lies in.
func (g grid) floor(at int64) int64 {
	if g.unit == UnitHour {
		return hourAtOrBefore(g.zone, at)
	}
	// The peak, not the clock: a date has begun when it was first shown, even
	// if the clock then goes back across midnight.
	day := floorDiv(peak(g.zone, at), secondsPerDay)
	switch g.unit {
	case UnitWeek:
		day -= int64((weekdayOf(day) + 6) % 7)
	case UnitMonth:
		year, month, _ := dateOf(day)
		day = dayOf(year, month, 1)
	case UnitNone, UnitHour, UnitDay:
	}
	return day
}

// start returns the instant at which a cell begins.
func (g grid) start(cell int64) int64 {
	if g.unit == UnitHour {
		return cell
	}
	return reached(g.zone, cell*secondsPerDay)
}

// step returns the cell that lies count cells later. Dates that the zone skips are no cells.
func (g grid) step(cell int64, count int) int64 {
	direction := 1
	if count < 0 {
		direction = -1
	}
	for range count * direction {
		switch g.unit {
		case UnitHour:
			if direction > 0 {
				cell = hourAfter(g.zone, cell)
			} else {
				cell = hourAtOrBefore(g.zone, cell-1)
			}
		case UnitWeek:
			cell += 7 * int64(direction)
		case UnitMonth:
			year, month, _ := dateOf(cell)
			cell = dayOf(year, month+time.Month(direction), 1)
		case UnitDay:
			for cell += int64(direction); !dayOccurs(g.zone, cell*secondsPerDay); {
				cell += int64(direction)
			}
		case UnitNone:
		}
	}
	return cell
}

const secondsPerHour = 60 * 60

// beginsHour says whether a local hour begins where a span does: the clock
// stands at a full hour, or jumps into another hour.
func beginsHour(zone *time.Location, s span) bool {
	wall := s.start + s.offset
	before := wallOf(zone, s.start-1)
	return floorMod(wall, secondsPerHour) == 0 || floorDiv(wall, secondsPerHour) != floorDiv(before, secondsPerHour)
}

// hourAtOrBefore returns the beginning of the local hour that an instant lies in.
func hourAtOrBefore(zone *time.Location, at int64) int64 {
	for {
		s := spanAt(zone, at)
		wall := at + s.offset
		if full := at - floorMod(wall, secondsPerHour); full >= s.start {
			return full
		}
		if beginsHour(zone, s) {
			return s.start
		}
		at = s.start - 1
	}
}

// hourAfter returns the beginning of the first local hour after an instant.
func hourAfter(zone *time.Location, at int64) int64 {
	for {
		s := spanAt(zone, at)
		if full := at + secondsPerHour - floorMod(at+s.offset, secondsPerHour); full < s.end {
			return full
		}
		next := spanAt(zone, s.end)
		next.start = s.end
		if beginsHour(zone, next) {
			return s.end
		}
		at = s.end
	}
}
