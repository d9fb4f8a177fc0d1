package scheduler

import (
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/ledger"
)

// waits returns what other pipelines' tables must cover before a task may run
// (PROTOCOLS §1.6).
//
// A run never waits for what was not yet due when it was due itself: a score at
// 06:30 for the day that begins reads tables that will cover that day only
// tomorrow, and must not wait a day for them. So the part of the window that is
// waited for ends where the producer's newest slot due by then ends. A feature
// table is read as of moments, not by window: it must have had the producer's
// slot that was due just before.
func waits(t project.Task, mine calendar.Timetable, producers map[string]calendar.Timetable, window calendar.Window, due time.Time) []ledger.Wait {
	if !mine.Scheduled() {
		return nil // [mark, now) is never covered whole
	}
	first, last := dueTimes(mine, window, due)
	var out []ledger.Wait
	for _, r := range t.Reads {
		if !r.Wait || r.Table.IsZero() {
			continue
		}
		pipeline, _, _ := strings.Cut(r.Producer, "/")
		producer, ok := producers[pipeline]
		if !ok || !producer.Scheduled() {
			continue
		}
		newest, ok := producer.Latest(last)
		if !ok {
			continue
		}
		part := window
		if r.Feature {
			part = newest.Window
			if oldest, ok := producer.Latest(first); ok {
				part.Start = oldest.Window.Start
			}
		}
		part = part.Clip(calendar.Window{Start: producer.Start, End: newest.Window.End})
		if !part.Empty() {
			out = append(out, ledger.Wait{Target: r.Table.String(), Window: part})
		}
	}
	return out
}

// dueTimes returns when the first and the last slot of a window were or would be due.
func dueTimes(t calendar.Timetable, window calendar.Window, due time.Time) (first, last time.Time) {
	if !due.IsZero() {
		return due, due
	}
	return dueOf(t, window.Start.Add(time.Microsecond)), dueOf(t, window.End)
}

// dueOf returns the due time of the first slot whose window reaches end. A
// window that no slot makes (beyond the schedule's bounds) was due at its end.
func dueOf(t calendar.Timetable, end time.Time) time.Time {
	for o := range t.All(end.Add(-reach(t))) {
		if !o.Window.End.Before(end) {
			return o.Due
		}
	}
	return end
}

// reach is how long before its window's end a slot can at most be due.
func reach(t calendar.Timetable) time.Duration {
	unit := map[calendar.Unit]time.Duration{
		calendar.UnitHour: time.Hour, calendar.UnitDay: 25 * time.Hour,
		calendar.UnitWeek: 7*24*time.Hour + time.Hour, calendar.UnitMonth: 31*24*time.Hour + time.Hour,
	}[t.Alignment.Unit]
	return time.Duration(max(t.Alignment.Shift, 0)+1)*unit + time.Minute
}

// previous returns the window of the slot before a window; zero where the
// schedule begins with it.
func previous(t calendar.Timetable, window calendar.Window) calendar.Window {
	if !t.Start.IsZero() && !window.Start.After(t.Start) {
		return calendar.Window{}
	}
	o, ok := t.Latest(dueOf(t, window.End).Add(-time.Microsecond))
	if !ok || o.Window.End.After(window.Start) {
		return calendar.Window{}
	}
	return o.Window
}
