package slot

import (
	"errors"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
)

// ErrNoWindow means that there is no window yet for which a run could be started.
var ErrNoWindow = errors.New("no window is complete yet")

// ErrNotWaiting means that the slot to be skipped is neither the expected one nor waiting.
var ErrNotWaiting = errors.New("no such slot is expected or waiting")

// ManualWindow returns the window of a run that a person starts without naming
// one. On a scheduled pipeline that is the newest complete window, and the mark
// stays. Without a schedule it is [mark, now), and moves says that the mark must
// go to its end together with the run's creation; the first mark is the start,
// else 1970. The error is ErrNoWindow.
func ManualWindow(p Pipeline, now time.Time) (w calendar.Window, moves bool, err error) {
	if p.Timetable.Scheduled() {
		if f := p.Future; !f.Due.IsZero() && !f.Due.After(now) {
			return f.Window, false, nil // complete, and its own run starts a little later
		}
		if !p.Newest.IsZero() {
			return p.Newest, false, nil
		}
		latest, ok := p.Timetable.Latest(now)
		if !ok {
			return calendar.Window{}, false, ErrNoWindow
		}
		return latest.Window, false, nil
	}
	// The ledger keeps microseconds; a finer end would not be the next start.
	w = calendar.Window{Start: p.Mark.UTC(), End: now.UTC().Truncate(time.Microsecond)}
	if p.Mark.IsZero() {
		w.Start = time.Unix(0, 0).UTC()
		if !p.Timetable.Start.IsZero() {
			w.Start = p.Timetable.Start.UTC()
		}
	}
	if end := p.Timetable.End; !end.IsZero() && end.Before(w.End) {
		w.End = end.UTC()
	}
	if w.Empty() {
		return calendar.Window{}, false, ErrNoWindow
	}
	return w, true, nil
}

// Skip ends a slot that has not started, because a person said so. The expected
// slot's window is left out as well: the next one begins at its end. Plan must
// follow, to expect the next slot. The error is ErrNotWaiting, wrapped with the
// due time.
func Skip(p Pipeline, due time.Time, reason string) (Decision, error) {
	d := Decision{Known: p.Known, Seen: p.Seen, Mark: p.Mark, Newest: p.Newest, Wake: p.Future.Due}
	if !p.Future.Due.IsZero() && p.Future.Due.Equal(due) {
		s := p.Future
		s.State, s.Reason = Skipped, reason
		d.Write = []Slot{s}
		d.Mark, d.Seen = s.Window.End, s.Due
		d.Wake = time.Time{}
		return d, nil
	}
	for _, s := range p.Waiting {
		if s.Due.Equal(due) {
			s.State, s.Reason = Skipped, reason
			d.Write = []Slot{s}
			return d, nil
		}
	}
	return Decision{}, fmt.Errorf("skip the slot due %s: %w", due.UTC().Format(time.RFC3339), ErrNotWaiting)
}
