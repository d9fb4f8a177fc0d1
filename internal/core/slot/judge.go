package slot

import (
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
)

// judge decides what becomes of slots that have come due, and of those that a
// pause suspended, once it is over.
func (w *planner) judge(due []Slot) {
	if w.Paused {
		for _, s := range due {
			w.end(s, Skipped, ReasonPaused)
		}
		return
	}
	w.giveUp()
	overdue := w.resume()
	limit := w.begun.Add(-Grace)
	timely := due
	for len(timely) > 0 && firstDue(timely[0]).Before(limit) {
		overdue, timely = append(overdue, timely[0]), timely[1:]
	}
	if len(overdue) > 0 {
		timely = w.catchUp(overdue, timely)
	}
	for _, s := range timely {
		w.overlap(s)
	}
}

// firstDue returns the earliest due time that a slot stands for.
func firstDue(s Slot) time.Time {
	if s.First.IsZero() {
		return s.Due
	}
	return s.First
}

// resume returns the suspended slots that the missed policy shall judge, oldest first.
func (w *planner) resume() []Slot {
	var found []Slot
	for _, s := range w.Suspended {
		if w.tooOld(s.Due) {
			w.end(s, Missed, "paused, and "+w.tooOldReason())
			continue
		}
		found = append(found, s)
	}
	w.Suspended = nil
	slices.SortFunc(found, func(a, b Slot) int { return a.Due.Compare(b.Due) })
	return found
}

// catchUp applies the missed policy. It returns the timely slots that the
// overlap policy shall judge as usual: none, if they are caught up as well.
func (w *planner) catchUp(overdue, timely []Slot) []Slot {
	switch w.Policy.Missed {
	case MissedNone:
		for _, s := range overdue {
			w.end(s, Missed, w.absence(s)+"; missed: none")
		}
		return timely
	case MissedLatest:
		if len(timely) == 0 {
			last := len(overdue) - 1
			w.queue(overdue[last])
			overdue = overdue[:last]
		}
		for _, s := range overdue {
			w.end(s, Missed, w.absence(s)+"; a newer window runs instead (missed: latest)")
		}
		return timely
	case MissedMerge:
		w.merge(slices.Concat(overdue, timely))
	case MissedAll:
		for _, s := range slices.Concat(overdue, timely) {
			w.queue(s)
		}
	}
	return nil
}

// absence says why nobody started a slot when it came due.
func (w *planner) absence(s Slot) string {
	if old, ok := w.stored[key(s.Due)]; ok && old.Reason == ReasonPaused {
		return "the pipeline was paused"
	}
	if slices.ContainsFunc(w.Waiting, isBroken) {
		return "the pipeline was broken"
	}
	return "the scheduler was not running"
}

// merge makes one run of each stretch of slots whose windows touch.
func (w *planner) merge(slots []Slot) {
	for len(slots) > 0 {
		size := 1
		for size < len(slots) && slots[size].Window.Start.Equal(slots[size-1].Window.End) {
			size++
		}
		newest := slots[size-1]
		for _, s := range slots[:size-1] {
			s.State, s.Reason, s.Into = Merged, "", newest.Due
			w.write(s)
		}
		newest.Window.Start = slots[0].Window.Start
		if size > 1 && newest.Window.End.Equal(w.Newest.End) {
			w.Newest = newest.Window
		}
		w.queue(newest)
		slots = slots[size:]
	}
}

// queue lets a slot wait for its turn; start decides whether it is that already.
func (w *planner) queue(s Slot) {
	s.State, s.Reason = Queued, ""
	w.Waiting = append(w.Waiting, s)
}

// overlap judges a slot that comes due on time against what is still going on.
func (w *planner) overlap(s Slot) {
	switch w.Policy.Overlap {
	case OverlapSkip:
		if reason := w.occupied(); reason != "" {
			w.end(s, Skipped, "overlap: "+reason)
			return
		}
	case OverlapCancel:
		for _, waiting := range w.Waiting {
			w.end(waiting, Skipped, "overlap: "+named(s.Window)+" takes its place (overlap: cancel)")
		}
		w.Waiting = nil
		for i, r := range w.Running {
			if !r.Cancelling {
				w.cancel = append(w.cancel, Cancellation{r.ID, "overlap: " + named(s.Window) + " takes its place (overlap: cancel)"})
			}
			w.Running[i].Cancelling = true
		}
	case OverlapQueue, OverlapQueueAll, OverlapAllow:
	}
	w.queue(s)
}

// occupied says what is still going on, or nothing.
func (w *planner) occupied() string {
	switch {
	case len(w.Running) > 0:
		return "the run of " + named(oldest(w.Running)) + " is still going"
	case len(w.Waiting) > 0:
		return named(w.Waiting[0].Window) + " is still waiting"
	}
	return ""
}

// start lets waiting slots become runs, in window order, and tells the others what they wait for.
func (w *planner) start() {
	byWindow(w.Waiting)
	hold := w.Hold
	if w.Paused {
		hold = "the pipeline is paused"
	}
	ahead := ""
	if len(w.Running) > 0 {
		ahead = "waits for the run of " + named(oldest(w.Running))
	}
	for i, s := range w.Waiting {
		switch {
		case hold != "":
			s.State, s.Reason = Held, hold
		case ahead != "" && w.Policy.Overlap != OverlapAllow:
			s.State, s.Reason = Queued, ahead
			// Said without the window, so that the end of a run rewrites two rows and not all.
			ahead = "waits for earlier windows"
		default:
			s.State, s.Reason = Ran, ""
			w.started = append(w.started, s)
			ahead = "waits for the run of " + named(s.Window)
		}
		w.write(s)
		w.Waiting[i] = s
	}
}

// oldest returns the earliest window that runs.
func oldest(running []Run) calendar.Window {
	return slices.MinFunc(running, func(a, b Run) int { return a.Window.Start.Compare(b.Window.Start) }).Window
}
