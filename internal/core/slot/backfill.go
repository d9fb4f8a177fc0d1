package slot

import (
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
)

// Reprocess says which windows of its range a backfill runs.
type Reprocess string

// The rules.
const (
	ReprocessAll     Reprocess = "all"     // every one
	ReprocessMissing Reprocess = "missing" // those that are not covered
	ReprocessFailed  Reprocess = "failed"  // those that failed or were cancelled, and that no success has covered since
)

// Direction says in which order the windows of a backfill start.
type Direction string

// The directions.
const (
	OldestFirst Direction = "oldest"
	NewestFirst Direction = "newest"
)

// Turns is how many more runs of a backfill may begin, beside those that run. A
// pause lets what runs go on.
func Turns(concurrency, running int, paused bool) int {
	if paused {
		return 0
	}
	return max(0, concurrency-running)
}

// Outcome is how far a run has come.
type Outcome string

// The outcomes.
const (
	OutcomeOpen      Outcome = "open"
	OutcomeSucceeded Outcome = "succeeded"
	OutcomeFailed    Outcome = "failed"
	OutcomeCancelled Outcome = "cancelled"
)

// Past is a run that was made for some window before.
type Past struct {
	Run     string
	Window  calendar.Window
	Outcome Outcome
	Ended   time.Time // zero while it is open
}

// Reasons of choices, to be shown and counted by.
const (
	BecauseNeverRan   = "never ran"
	BecauseNotCovered = "not covered"
	BecauseCovered    = "covered"
	BecauseFailed     = "failed"
	BecauseCancelled  = "cancelled"
	BecauseUnderWay   = "under way"
)

// Choice is what a backfill does with one window, and why.
type Choice struct {
	Window calendar.Window
	Runs   bool
	Reason string
	Run    string // the run that is the reason, where one is
}

// Choose says of each window whether a backfill runs it. The windows are in order
// and do not overlap. Tables holds what each table of the pipeline covers; a
// pipeline without one is covered where its runs succeeded. A window that another
// run is about to bring is left out, but by the rule that wants every one.
func Choose(windows []calendar.Window, rule Reprocess, tables [][]calendar.Window, past []Past) []Choice {
	past = slices.Clone(past)
	slices.SortStableFunc(past, func(a, b Past) int { return a.Window.Start.Compare(b.Window.Start) })
	choices := make([]Choice, 0, len(windows))
	var near []Past // those that may reach into the windows to come
	for _, w := range windows {
		near = slices.DeleteFunc(near, func(p Past) bool { return !p.Window.End.After(w.Start) })
		for len(past) > 0 && past[0].Window.Start.Before(w.End) {
			if past[0].Window.End.After(w.Start) {
				near = append(near, past[0])
			}
			past = past[1:]
		}
		choices = append(choices, choose(w, rule, covered(w, tables, near), near))
	}
	return choices
}

func choose(w calendar.Window, rule Reprocess, isCovered bool, near []Past) Choice {
	c := Choice{Window: w, Runs: true, Reason: BecauseNeverRan}
	bad, isBad := unmended(w, near)
	open := slices.IndexFunc(near, func(p Past) bool { return p.Outcome == OutcomeOpen })
	switch {
	case isBad:
		c.Reason, c.Run = string(bad.Outcome), bad.Run
	case isCovered:
		c.Reason = BecauseCovered
	case len(near) > 0:
		c.Reason = BecauseNotCovered
	}
	switch rule {
	case ReprocessMissing:
		if isCovered {
			c.Runs, c.Reason, c.Run = false, BecauseCovered, ""
		}
	case ReprocessFailed:
		c.Runs = isBad
	case ReprocessAll:
		return c
	}
	if c.Runs && open >= 0 {
		c.Runs, c.Reason, c.Run = false, BecauseUnderWay, near[open].Run
	}
	return c
}

// covered says whether nothing of a window is missing.
func covered(w calendar.Window, tables [][]calendar.Window, near []Past) bool {
	if len(tables) == 0 {
		return Covers(successes(near, time.Time{}), w)
	}
	return !slices.ContainsFunc(tables, func(intervals []calendar.Window) bool { return !Covers(intervals, w) })
}

// unmended returns the newest run that ended badly for a part of a window which
// no success has covered since.
func unmended(w calendar.Window, near []Past) (newest Past, found bool) {
	for _, p := range near {
		if p.Outcome != OutcomeFailed && p.Outcome != OutcomeCancelled || found && p.Ended.Before(newest.Ended) {
			continue
		}
		if !Covers(successes(near, p.Ended), p.Window.Clip(w)) {
			newest, found = p, true
		}
	}
	return newest, found
}

// successes returns the time that runs which succeeded after a moment were for.
func successes(near []Past, after time.Time) (set []calendar.Window) {
	for _, p := range near {
		if p.Outcome == OutcomeSucceeded && !p.Ended.Before(after) {
			set = Add(set, p.Window)
		}
	}
	return set
}
