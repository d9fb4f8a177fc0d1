package slot

import (
	"slices"

	"github.com/tidemill/tidemill/internal/core/calendar"
)

// Sets of time, such as the published intervals of a table, are lists of
// half-open windows that are sorted, do not touch and are not empty. Add keeps
// them so; nil is the empty set.

// Add returns the set with a window added. The given set stays as it is.
func Add(intervals []calendar.Window, window calendar.Window) []calendar.Window {
	if window.Empty() {
		return slices.Clone(intervals)
	}
	merged := make([]calendar.Window, 0, len(intervals)+1)
	placed := false
	for _, i := range intervals {
		switch {
		case i.End.Before(window.Start):
			merged = append(merged, i)
		case window.End.Before(i.Start):
			if !placed {
				merged, placed = append(merged, window), true
			}
			merged = append(merged, i)
		default: // they overlap or touch
			if i.Start.Before(window.Start) {
				window.Start = i.Start
			}
			window.End = later(window.End, i.End)
		}
	}
	if !placed {
		merged = append(merged, window)
	}
	return merged
}

// Covers says whether every moment of a window lies in the set. An empty window always does.
func Covers(intervals []calendar.Window, window calendar.Window) bool {
	return len(Holes(intervals, window)) == 0
}

// Holes returns the parts of a range that are not in the set, earliest first.
func Holes(intervals []calendar.Window, within calendar.Window) []calendar.Window {
	var holes []calendar.Window
	for _, i := range intervals {
		if hole := (calendar.Window{Start: within.Start, End: i.Start}).Clip(within); !hole.Empty() {
			holes = append(holes, hole)
		}
		within.Start = later(within.Start, i.End)
	}
	if !within.Empty() {
		holes = append(holes, within)
	}
	return holes
}
