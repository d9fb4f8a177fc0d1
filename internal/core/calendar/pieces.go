package calendar

import "time"

// mostPieces bounds what a window is cut into: more files than one load opens.
const mostPieces = 20_000

// ByUnit cuts a window into the whole units that the alignment names, with the
// unit before it and the one after it at either end of the answer. It says false
// where there is no alignment or the window is not made of whole units.
func (t Timetable) ByUnit(w Window) ([]Window, bool) {
	a := Alignment{Unit: t.Alignment.Unit, Shift: 1}
	if t.Alignment.Unit == UnitNone || w.Empty() {
		return nil, false
	}
	zone := t.Zone()
	before := Window{Start: Alignment{Unit: a.Unit}.End(w.Start.Add(-1), zone), End: w.Start}
	pieces, ok := cut(w, func(at time.Time) (time.Time, bool) { return a.End(at, zone), true })
	if !ok {
		return nil, false
	}
	return append(append([]Window{before}, pieces...), Window{Start: w.End, End: a.End(w.End, zone)}), true
}

// BySlot cuts a window into those that the schedule has there, with the days that
// a calendar leaves out if the window is made of such, else without them. It says
// false where the window does not begin and end with windows of the schedule.
func (t Timetable) BySlot(w Window) ([]Window, bool) {
	if !t.Scheduled() || w.Empty() {
		return nil, false
	}
	if pieces, ok := cut(w, t.everyDay().Boundary); ok {
		return pieces, true
	}
	return cut(w, t.Boundary)
}

// Parted says whether a window of the schedule, days off included, ends within a window.
func (t Timetable) Parted(w Window) bool {
	end, ok := t.everyDay().Boundary(w.Start)
	return ok && end.Before(w.End)
}

// everyDay is the timetable without its calendar.
func (t Timetable) everyDay() Timetable {
	if b, ok := t.Schedule.(Business); ok {
		t.Schedule = b.Base()
	}
	return t
}

// Reached returns the end of the newest window that has come due, bounds left
// aside: data up to there are complete. Without a schedule that is now.
func (t Timetable) Reached(now time.Time) time.Time {
	if !t.Scheduled() {
		return now
	}
	t.Start, t.End = time.Time{}, time.Time{}
	newest, ok := t.Latest(now)
	if !ok {
		return now
	}
	return newest.Window.End
}

// Open says whether a moment lies on a business day of the calendar. Without a
// calendar every day is one.
func (t Timetable) Open(at time.Time) bool {
	b, ok := t.Schedule.(Business)
	return !ok || b.days.business(floorDiv(wallOf(b.Zone(), at.Unix()), secondsPerDay))
}

// cut cuts a window at boundaries, of which next returns the first after a
// moment. It says false where the window begins or ends between two of them.
func cut(w Window, next func(time.Time) (time.Time, bool)) ([]Window, bool) {
	if first, ok := next(w.Start.Add(-1)); !ok || !first.Equal(w.Start) {
		return nil, false
	}
	var pieces []Window
	for at := w.Start; at.Before(w.End); {
		end, ok := next(at)
		if !ok || end.After(w.End) || len(pieces) == mostPieces {
			return nil, false
		}
		pieces = append(pieces, Window{Start: at, End: end})
		at = end
	}
	return pieces, true
}
