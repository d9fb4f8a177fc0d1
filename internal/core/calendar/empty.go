package calendar

import (
	"fmt"
	"math/bits"
	"time"
)

// Check refuses a timetable whose windows would ordinarily be empty, because it
// comes due more often than its windows end: an hourly cron with days, say. The
// error is an *EmptyWindowError, or a *ParseError for an impossible alignment.
//
// It judges a cron by its clock times. Where a zone's change of clocks brings
// two due times into one unit all the same, the second is no occurrence.
func (t Timetable) Check() error {
	if err := t.Alignment.Validate(); err != nil {
		return err
	}
	if !t.Start.IsZero() && !t.End.IsZero() && !t.Start.Before(t.End) {
		return &ParseError{
			Field: FieldWindow, Text: Window{t.Start, t.End}.String(), Problem: "the schedule ends before it has begun",
			Remedy: "Write a \"start:\" that lies before \"end:\".",
		}
	}
	if t.Alignment.Unit == UnitNone {
		return nil
	}
	switch schedule := t.Schedule.(type) {
	case Business: // days off make due times fewer, and a move makes two of them one
		t.Schedule = schedule.base
		return t.Check()
	case Cron:
		return schedule.checkUnit(t.Alignment.Unit)
	case Every:
		return t.checkEvery(schedule)
	case None, nil:
		return &ParseError{
			Field: FieldWindow, Text: string(t.Alignment.Unit), Problem: "there is no schedule whose windows could be aligned",
			Remedy: "Leave out \"window:\", or add \"cron:\" or \"every:\".",
		}
	}
	return nil
}

// emptyWindow makes the error for two due times that share a window.
func emptyWindow(unit Unit, example string) error {
	return &EmptyWindowError{
		Unit: unit, First: example,
		Remedy: fmt.Sprintf("Come due at most once per %s, or choose a smaller window, or leave \"window:\" out.", unit),
	}
}

// checkUnit counts clock times per unit.
func (c Cron) checkUnit(unit Unit) error {
	if minutes := bits.OnesCount64(c.minutes); minutes > 1 {
		return emptyWindow(unit, fmt.Sprintf("it is due %d times in an hour", minutes))
	}
	if unit == UnitHour {
		return nil
	}
	if hours := bits.OnesCount32(c.hours); hours > 1 {
		return emptyWindow(unit, fmt.Sprintf("it is due %d times in a day", hours))
	}
	if unit == UnitDay {
		return nil
	}
	// 28 years hold every sequence of weekdays, month lengths and leap years.
	g := grid{time.UTC, unit}
	last := dayOf(2029, time.January, 1)
	previous := int64(-1)
	for day := dayOf(2001, time.January, 1); ; day++ {
		found, ok := c.nextDay(day, last)
		if !ok {
			return nil
		}
		cell := g.floor(found * secondsPerDay)
		if cell == previous {
			return emptyWindow(unit, fmt.Sprintf("it is due more than once in the %s of %s",
				unit, instant(cell*secondsPerDay).Format(time.DateOnly)))
		}
		day, previous = found, cell
	}
}

// checkEvery looks at real due times: an interval drifts against local units.
func (t Timetable) checkEvery(e Every) error {
	const sample = 3000
	due := time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)
	end := time.Time{}
	for range sample {
		next, ok := e.Next(due)
		if !ok {
			return nil
		}
		nextEnd := t.end(next)
		if nextEnd.Equal(end) {
			return emptyWindow(t.Alignment.Unit, fmt.Sprintf("it is due at %s and at %s",
				due.Format(time.RFC3339), next.Format(time.RFC3339)))
		}
		due, end = next, nextEnd
	}
	return nil
}
