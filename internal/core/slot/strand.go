package slot

import (
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
)

// Strand decides for a pipeline that the live project does not have, and whose
// schedule and policies nobody can tell: because its files are broken (which says
// how), or, where broken is empty, because it was removed.
//
// The expected slot of a broken pipeline comes due all the same; those after it are
// found, and judged by missed:, when the pipeline is back.
func Strand(p Pipeline, now time.Time, broken string) Decision {
	p.Delay = 0
	w := newPlanner(p, now, p.Known)
	reason := ReasonBroken + ": " + broken
	if broken == "" {
		reason = ReasonRemoved
		if !w.Future.Due.IsZero() { // made anew, should the pipeline come back
			w.end(w.Future, Skipped, reason)
			w.Future = Slot{}
		}
	}
	w.hold(reason)
	return w.decision()
}

// hold lets what is due wait for the pipeline to come back: its folder may only be
// away while somebody copies it.
func (w *planner) hold(reason string) {
	if due := w.Future.Due; !due.IsZero() && due.After(w.now) {
		w.wake = due
	} else if !due.IsZero() {
		w.Waiting = append(w.Waiting, w.Future)
		w.pass(w.Future)
		w.Future = Slot{}
	}
	for i := range w.Waiting {
		s := &w.Waiting[i]
		s.State, s.Reason = Held, reason
		w.write(*s)
	}
	w.giveUp()
	for _, s := range w.Waiting {
		if end := s.Due.Add(w.Policy.LookBack + time.Millisecond); w.wake.IsZero() || end.Before(w.wake) {
			w.wake = end
		}
	}
}

// giveUp ends slots that were held for longer than the look-back because the live
// project did not have their pipeline.
func (w *planner) giveUp() {
	w.Waiting = slices.DeleteFunc(w.Waiting, func(s Slot) bool {
		removed := s.State == Held && s.Reason == ReasonRemoved
		if !isBroken(s) && !removed || !w.tooOld(s.Due) {
			return false
		}
		state := Blocked
		if removed {
			state = Skipped
		}
		w.end(s, state, s.Reason+"; "+w.tooOldReason())
		return true
	})
}

func isBroken(s Slot) bool { return s.State == Held && strings.HasPrefix(s.Reason, ReasonBroken) }

// Stuck judges the slot of a run that cannot go on, because what it reads has not
// come: waits says what. From the deadline on it is blocked, if there is one. At the
// end of the look-back the run is given up: nobody would make it up any more, and
// later windows may wait behind it.
func Stuck(s Slot, waits string, deadline, lookBack time.Duration, now time.Time) (after Slot, givenUp bool) {
	if lookBack <= 0 {
		lookBack = DefaultLookBack
	}
	late := now.Sub(s.Due)
	switch {
	case late >= lookBack:
		s.State, s.Reason = Blocked, waits+"; given up after the look-back of "+calendar.FormatDuration(lookBack)
		return s, true
	case deadline > 0 && late >= deadline:
		s.State, s.Reason = Blocked, waits
	}
	return s, false
}
