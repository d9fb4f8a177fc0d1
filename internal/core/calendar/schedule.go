package calendar

import (
	"fmt"
	"time"
)

// Schedule says at which instants a pipeline is due. The set is closed: Cron,
// Every, None, and Business on top of the first two. Instants are returned in UTC.
type Schedule interface {
	// Next returns the first due instant strictly after a moment.
	Next(after time.Time) (time.Time, bool)
	// Prev returns the last due instant strictly before a moment. The last one
	// at or before a moment is Prev of the moment plus one nanosecond.
	Prev(before time.Time) (time.Time, bool)
	// Zone is the zone that local dates, and aligned windows, are about.
	Zone() *time.Location
	// String identifies the schedule: equal strings, equal instants.
	String() string

	closed()
}

func (Cron) closed()  {}
func (Every) closed() {}
func (None) closed()  {}

// None is the schedule of a pipeline that only people and other programs start.
type None struct{ zone *time.Location }

// NewNone returns the schedule that is never due. A nil zone is UTC.
func NewNone(zone *time.Location) None { return None{orUTC(zone)} }

// Next reports that nothing is due.
func (None) Next(time.Time) (time.Time, bool) { return time.Time{}, false }

// Prev reports that nothing was due.
func (None) Prev(time.Time) (time.Time, bool) { return time.Time{}, false }

// Zone returns the zone that local dates are about.
func (n None) Zone() *time.Location { return orUTC(n.zone) }

// String identifies the schedule.
func (n None) String() string { return "none " + n.Zone().String() }

// Every is due at a fixed interval of real time, whatever the clocks on the
// wall do. The zero value is never due.
type Every struct {
	period int64 // seconds
	anchor int64
	zone   *time.Location
}

// NewEvery returns the schedule due at anchor and every period before and after
// it; a zero anchor is 1970-01-01T00:00Z. Whole seconds from one second up are
// accepted; the error is a *ParseError.
func NewEvery(period time.Duration, anchor time.Time, zone *time.Location) (Every, error) {
	if period < time.Second || period%time.Second != 0 {
		return Every{}, &ParseError{
			Field: FieldEvery, Text: FormatDuration(period),
			Problem: "the interval is not usable",
			Remedy:  "Write an interval of whole seconds, one second or more, such as \"every: 15m\".",
		}
	}
	e := Every{period: int64(period / time.Second), zone: orUTC(zone)}
	if !anchor.IsZero() {
		e.anchor = anchor.Unix()
	}
	return e, nil
}

// Next returns the first due instant strictly after a moment.
func (e Every) Next(after time.Time) (time.Time, bool) {
	if e.period == 0 || !inRange(after) {
		return time.Time{}, false
	}
	steps := floorDiv(secondsUpTo(after)-e.anchor, e.period) + 1
	return instant(e.anchor + steps*e.period), true
}

// Prev returns the last due instant strictly before a moment.
func (e Every) Prev(before time.Time) (time.Time, bool) {
	if e.period == 0 || !inRange(before) {
		return time.Time{}, false
	}
	steps := floorDiv(secondsBefore(before)-e.anchor, e.period)
	return instant(e.anchor + steps*e.period), true
}

// Period returns the interval.
func (e Every) Period() time.Duration { return time.Duration(e.period) * time.Second }

// Zone returns the zone that local dates are about.
func (e Every) Zone() *time.Location { return orUTC(e.zone) }

// String identifies the schedule.
func (e Every) String() string {
	return fmt.Sprintf("every %s from %s %s", FormatDuration(e.Period()), instant(e.anchor).Format(time.RFC3339), e.Zone())
}
