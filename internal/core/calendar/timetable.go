package calendar

import (
	"iter"
	"strings"
	"time"
)

// Timetable is everything that decides when a pipeline is due and for which
// windows: a schedule, an alignment and bounds.
//
// The bounds are about windows, that is, about data: the first window begins at
// Start, and no window reaches past End. Without an alignment this says as well
// that nothing is due after End; with one, the last complete unit before End
// still gets its run, which comes due a little later.
type Timetable struct {
	Schedule  Schedule
	Alignment Alignment
	Start     time.Time // zero: no bound
	End       time.Time // zero: no bound
}

// Occurrence is a due time and its window.
type Occurrence struct {
	Due    time.Time
	Window Window
}

// Scheduled says whether the timetable ever comes due by itself.
func (t Timetable) Scheduled() bool {
	switch t.Schedule.(type) {
	case nil, None:
		return false
	}
	return true
}

// Zone returns the zone of the schedule.
func (t Timetable) Zone() *time.Location {
	if t.Schedule == nil {
		return time.UTC
	}
	return t.Schedule.Zone()
}

// String identifies the timetable: equal strings make equal slots. The ledger
// keeps it with each slot, to see which ones an edited schedule has left behind.
func (t Timetable) String() string {
	parts := []string{"none " + t.Zone().String()}
	if t.Schedule != nil {
		parts[0] = t.Schedule.String()
	}
	if alignment := t.Alignment.String(); alignment != "" {
		parts = append(parts, "window "+alignment)
	}
	if !t.Start.IsZero() {
		parts = append(parts, "start "+t.Start.UTC().Format(time.RFC3339Nano))
	}
	if !t.End.IsZero() {
		parts = append(parts, "end "+t.End.UTC().Format(time.RFC3339Nano))
	}
	return strings.Join(parts, ", ")
}

// end returns the end of the window of a due time.
func (t Timetable) end(due time.Time) time.Time { return t.Alignment.End(due, t.Zone()) }

// opens returns the first moment whose due times have a window that ends after mark.
func (t Timetable) opens(mark time.Time) time.Time { return t.Alignment.opens(mark, t.Zone()) }

// past says whether a window that ends at a moment reaches past the bound.
func (t Timetable) past(end time.Time) bool { return !t.End.IsZero() && end.After(t.End) }

// Whole returns the window that the timetable alone gives to a due time: from
// the end of the previous window, but not before Start, to its own end. It says
// false if that would be empty or reach past End.
func (t Timetable) Whole(due time.Time) (Window, bool) {
	if !t.Scheduled() {
		return Window{}, false
	}
	w := Window{End: t.end(due)}
	if previous, ok := t.Schedule.Prev(due); ok {
		w.Start = t.end(previous)
	}
	if !t.Start.IsZero() {
		w.Start = later(w.Start, t.Start.UTC())
	}
	// Without a previous due time and without a bound nothing says where to begin.
	return w, !w.Start.IsZero() && !w.Empty() && !t.past(w.End)
}

// Next returns the first occurrence strictly after a moment, with its whole
// window. Due times whose window would be empty are no occurrences.
func (t Timetable) Next(after time.Time) (Occurrence, bool) {
	if !t.Scheduled() {
		return Occurrence{}, false
	}
	if !t.Start.IsZero() {
		after = later(after, t.opens(t.Start).Add(-1))
	}
	for {
		due, ok := t.Schedule.Next(after)
		if !ok || t.past(t.end(due)) {
			return Occurrence{}, false
		}
		if w, ok := t.Whole(due); ok {
			return Occurrence{Due: due, Window: w}, true
		}
		after = later(due, t.opens(t.end(due)).Add(-1))
	}
}

// From returns the first occurrence strictly after a moment whose window, begun
// at mark, is not empty. The mark is where the pipeline's newest window ended,
// whatever schedule or zone made it, so that an edit neither doubles nor drops
// time. It says false if nothing is due any more.
func (t Timetable) From(mark, after time.Time) (Occurrence, bool) {
	if !t.Scheduled() {
		return Occurrence{}, false
	}
	due, ok := t.Schedule.Next(later(after, t.opens(mark).Add(-1)))
	if !ok {
		return Occurrence{}, false
	}
	w, ok := t.WindowFrom(mark, due)
	if !ok || t.past(w.End) {
		return Occurrence{}, false
	}
	return Occurrence{Due: due, Window: w}, true
}

// WindowFrom returns the window [mark, end) of a due time, and false if it would be empty.
func (t Timetable) WindowFrom(mark, due time.Time) (Window, bool) {
	w := Window{Start: mark.UTC(), End: t.end(due)}
	return w, !w.Empty()
}

// Latest returns the newest occurrence at or before a moment, with its whole window.
func (t Timetable) Latest(now time.Time) (Occurrence, bool) {
	if !t.Scheduled() {
		return Occurrence{}, false
	}
	before := now.Add(1)
	if !t.End.IsZero() {
		// A due time from here on would reach past End.
		if bound := t.opens(t.End); bound.Before(before) {
			before = bound
		}
	}
	due, ok := t.Schedule.Prev(before)
	if !ok {
		return Occurrence{}, false
	}
	// Of several due times that share one end, the first has the window.
	due, ok = t.Schedule.Next(t.opens(t.end(due).Add(-1)).Add(-1))
	if !ok {
		return Occurrence{}, false
	}
	w, ok := t.Whole(due)
	return Occurrence{Due: due, Window: w}, ok
}

// Note says in words what is unusual about an occurrence: that clocks change on
// its day, and what its calendar left out, or moved, since the one before.
func (t Timetable) Note(previous time.Time, o Occurrence) string {
	due := o.Due.In(t.Zone())
	y, m, d := due.Date()
	start, end := time.Date(y, m, d, 0, 0, 0, 0, due.Location()), time.Date(y, m, d+1, 0, 0, 0, 0, due.Location())
	var words []string
	switch day := end.Sub(start); {
	case day < 24*time.Hour:
		words = append(words, "clocks go forward")
	case day > 24*time.Hour:
		words = append(words, "clocks go back")
	}
	if b, ok := t.Schedule.(Business); ok {
		if note := b.note(previous, o.Due); note != "" {
			words = append(words, note)
		}
	}
	return strings.Join(words, "; ")
}

// All returns the occurrences after a moment, earliest first, with contiguous
// windows, until nothing is due any more.
func (t Timetable) All(after time.Time) iter.Seq[Occurrence] {
	return func(yield func(Occurrence) bool) {
		for o, ok := t.Next(after); ok && yield(o); {
			o, ok = t.From(o.Window.End, o.Due)
		}
	}
}

// Shortest returns the shortest time between two due times that follow each
// other, of the first 400 from 2001 on: they tell of each day of a year. It is zero
// where nothing is ever due twice.
func (t Timetable) Shortest() time.Duration {
	var shortest time.Duration
	if !t.Scheduled() {
		return 0
	}
	last, ok := t.Schedule.Next(time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC))
	for n := 0; ok && n < 400; n++ {
		var next time.Time
		if next, ok = t.Schedule.Next(last); ok {
			if gap := next.Sub(last); shortest == 0 || gap < shortest {
				shortest = gap
			}
			last = next
		}
	}
	return shortest
}

// Boundary returns the first moment after another at which a window of the
// schedule ends. Bounds are left aside: backfills may reach beyond them.
func (t Timetable) Boundary(after time.Time) (time.Time, bool) {
	if !t.Scheduled() {
		return time.Time{}, false
	}
	due, ok := t.Schedule.Next(t.opens(after).Add(-1))
	if !ok {
		return time.Time{}, false
	}
	return t.end(due), true
}

// later returns the later of two moments.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
