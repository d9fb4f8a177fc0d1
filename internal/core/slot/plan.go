package slot

import (
	"fmt"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
)

// Plan decides what is to be done for a pipeline at a moment. It is called when
// a slot comes due, when a run has ended, and when the pipeline was edited,
// paused, resumed or held; calling it more often does no harm.
func Plan(p Pipeline, now time.Time) Decision {
	w := newPlanner(p, now, p.Timetable.String())
	w.leaveOldSchedule()
	w.judge(w.comeDue())
	w.start()
	w.expect()
	return w.decision()
}

// planner is the working state of one decision.
type planner struct {
	Pipeline
	now     time.Time
	begun   time.Time      // what was due by then may have started by now
	current string         // identity of today's timetable
	fresh   bool           // nobody knew of the pipeline before
	stored  map[int64]Slot // what the ledger has, by due time
	written map[int64]Slot // what it shall have
	started []Slot
	cancel  []Cancellation
	more    bool // due slots are left for the next decision
	wake    time.Time
}

func newPlanner(p Pipeline, now time.Time, current string) *planner {
	p.Policy = p.Policy.withDefaults()
	// The caller keeps its slices as they are.
	p.Waiting, p.Running = slices.Clone(p.Waiting), slices.Clone(p.Running)
	w := &planner{
		Pipeline: p, now: now.UTC(), begun: now.UTC().Add(-p.Delay), current: current, fresh: p.Known == "",
		stored: map[int64]Slot{}, written: map[int64]Slot{},
	}
	for _, s := range slices.Concat([]Slot{p.Future}, p.Waiting, p.Suspended) {
		if !s.Due.IsZero() {
			w.stored[key(s.Due)] = s
		}
	}
	return w
}

// key orders and identifies due times as the ledger does.
func key(due time.Time) int64 { return due.UnixMicro() }

// write records the new content of a row, if it is new.
func (w *planner) write(s Slot) {
	if old, ok := w.stored[key(s.Due)]; ok && equal(old, s) {
		delete(w.written, key(s.Due))
		return
	}
	w.written[key(s.Due)] = s
}

func equal(a, b Slot) bool {
	return a.Due.Equal(b.Due) && a.First.Equal(b.First) && a.Window.Equal(b.Window) && a.State == b.State &&
		a.Reason == b.Reason && a.Into.Equal(b.Into) && a.Schedule == b.Schedule
}

// end writes a slot's final state.
func (w *planner) end(s Slot, state State, reason string) {
	s.State, s.Reason = state, reason
	w.write(s)
}

// leaveOldSchedule ends the unstarted slots of an earlier timetable and takes
// their windows back, and settles where a pipeline begins that was never seen.
func (w *planner) leaveOldSchedule() {
	start := w.Timetable.Start
	switch {
	case w.Known == "":
		w.Seen = w.now
		if w.Mark.IsZero() && !start.IsZero() && w.Timetable.Scheduled() {
			w.Mark = start.UTC()
			if start.Before(w.now) {
				w.Seen = w.Mark
			}
		}
	case w.Known != w.current:
		w.giveBack()
		w.Seen = later(w.Seen, w.now)
	}
	if !w.Mark.IsZero() && start.After(w.Mark) && w.Timetable.Scheduled() {
		w.Mark = start.UTC() // a later start was asked for: the time before it is not wanted
	}
}

// giveBack ends the future slot and the newest waiting ones. A waiting slot
// that lies before one which has started keeps its window: given back, it would
// be doubled by whatever begins at the mark.
func (w *planner) giveBack() {
	if !w.Future.Due.IsZero() {
		w.Mark = w.Future.Window.Start
		w.end(w.Future, Skipped, ReasonScheduleChanged)
		w.Future = Slot{}
	}
	byWindow(w.Waiting)
	kept := slices.Clone(w.Waiting)
	for i := len(kept) - 1; i >= 0 && kept[i].Schedule != w.current && kept[i].Window.End.Equal(w.Mark); i-- {
		w.Mark = kept[i].Window.Start
		w.end(kept[i], Skipped, ReasonScheduleChanged)
		kept = kept[:i]
	}
	w.Waiting = kept
}

// take makes the next slot of the timetable after those seen, and says whether there is one.
func (w *planner) take() (Slot, bool) {
	var next calendar.Occurrence
	var ok bool
	if w.Mark.IsZero() {
		next, ok = w.Timetable.Next(w.Seen)
	} else {
		next, ok = w.Timetable.From(w.Mark, w.Seen)
	}
	return Slot{Due: next.Due, Window: next.Window, State: Expected, Schedule: w.current}, ok
}

// pass moves the mark and what was seen behind a slot.
func (w *planner) pass(s Slot) {
	w.Mark, w.Seen, w.Newest = s.Window.End, s.Due, s.Window
}

// comeDue returns the slots that are due by now, oldest first. What lies beyond
// the look-back is written down as missed at once.
func (w *planner) comeDue() []Slot {
	var due []Slot
	if !w.Future.Due.IsZero() {
		if w.Future.Due.After(w.begun) {
			return nil
		}
		if w.tooOld(w.Future.Due) {
			w.end(w.Future, Missed, w.tooOldReason())
		} else {
			due = append(due, w.Future)
		}
		w.pass(w.Future)
		w.Future = Slot{}
	}
	for {
		next, ok := w.take()
		switch {
		case !ok || next.Due.After(w.begun):
			return due
		case w.tooOld(next.Due):
			w.foldOld(next)
		case len(due) < Limit:
			due = append(due, next)
			w.pass(next)
		case w.Paused || w.Policy.Missed == MissedAll:
			w.more = true // each gets a row of its own: go on in the next decision
			return due
		default:
			return w.foldAllButNewest(due)
		}
	}
}

func (w *planner) tooOld(due time.Time) bool { return due.Before(w.begun.Add(-w.Policy.LookBack)) }

func (w *planner) tooOldReason() string {
	return "older than the look-back of " + calendar.FormatDuration(w.Policy.LookBack)
}

// foldOld writes one missed record for next and all later due times beyond the look-back.
func (w *planner) foldOld(next Slot) {
	last, ok := w.Timetable.Latest(w.begun.Add(-w.Policy.LookBack - 1))
	if ok && last.Due.After(next.Due) && last.Window.End.After(next.Window.End) {
		next.First, next.Due, next.Window.End = next.Due, last.Due, last.Window.End
	}
	w.end(next, Missed, w.tooOldReason())
	w.pass(next)
	if ok && last.Window.End.Equal(next.Window.End) {
		w.Newest.Start = later(w.Newest.Start, last.Window.Start) // one window, not the whole range
	}
}

// foldAllButNewest replaces a multitude of missed slots by one record and the newest slot.
func (w *planner) foldAllButNewest(due []Slot) []Slot {
	newest, ok := w.Timetable.Latest(w.begun)
	if !ok || !newest.Due.After(w.Seen) {
		return due
	}
	before, ok := w.Timetable.Latest(newest.Due.Add(-1))
	if !ok || !before.Due.After(w.Seen) {
		return due
	}
	many := due[0]
	many.First, many.Due = due[0].Due, before.Due
	many.Window.End = newest.Window.Start
	one := Slot{Due: newest.Due, Window: newest.Window, State: Expected, Schedule: w.current}
	if _, stored := w.stored[key(due[0].Due)]; stored {
		// The row of the expected slot is there already and must end as well.
		many.First, many.Window.Start = due[1].Due, due[1].Window.Start
		w.pass(one)
		return []Slot{due[0], many, one}
	}
	w.pass(one)
	return []Slot{many, one}
}

// expect makes the one future slot and says when to decide again.
func (w *planner) expect() {
	if w.more {
		w.wake = w.now
		return
	}
	if w.Future.Due.IsZero() {
		next, ok := w.take()
		if !ok {
			return
		}
		w.Future = next
	}
	w.write(w.Future)
	w.wake = w.Future.Due.Add(w.Delay)
}

// decision collects what was written, in order.
func (w *planner) decision() Decision {
	d := Decision{
		Start: w.started, Cancel: w.cancel, Known: w.current,
		Seen: w.Seen, Mark: w.Mark, Newest: w.Newest, Wake: w.wake,
	}
	for _, s := range w.written {
		d.Write = append(d.Write, s)
		// What was due before the pipeline was first seen, nobody missed.
		if (s.State == Missed || s.State == Blocked) && !w.fresh {
			d.Missed = append(d.Missed, s)
		}
	}
	slices.SortFunc(d.Missed, func(a, b Slot) int { return a.Due.Compare(b.Due) })
	slices.SortFunc(d.Write, func(a, b Slot) int { return a.Due.Compare(b.Due) })
	return d
}

// byWindow sorts slots by where their windows begin.
func byWindow(slots []Slot) {
	slices.SortStableFunc(slots, func(a, b Slot) int { return a.Window.Start.Compare(b.Window.Start) })
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// named describes a window in a reason.
func named(w calendar.Window) string {
	return fmt.Sprintf("window %s/%s", w.Start.UTC().Format(time.RFC3339), w.End.UTC().Format(time.RFC3339))
}
