package feature

import (
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
)

// Skew is a value that training sees and scoring cannot: it becomes known after
// the run that scores, and before the last moment that the run answers for.
type Skew struct {
	Run   time.Time // when the run that scores is due
	Known time.Time // when the value becomes known
	Until time.Time // the end of the window that the run answers for
}

// skewSamples is how many runs are looked at: more than a year of daily ones, so
// that each week's day and each change of clocks is among them.
const skewSamples = 400

// FindSkew looks for a skew between a scoring schedule and the schedule of a
// feature table whose values are known some time after it is due (PROTOCOLS
// §4.5). Bounds of the schedules do not count. Without two schedules there is
// nothing to compare.
func FindSkew(scoring, writing calendar.Timetable, availableAfter time.Duration) (Skew, bool) {
	if !scoring.Scheduled() || !writing.Scheduled() {
		return Skew{}, false
	}
	after := scoring.Start
	if after.IsZero() {
		after = time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)
	}
	for _, t := range []*calendar.Timetable{&scoring, &writing} {
		t.Start, t.End = time.Time{}, time.Time{}
	}
	for range skewSamples {
		run, ok := scoring.Next(after)
		if !ok {
			return Skew{}, false
		}
		after = run.Due
		written, ok := writing.Next(run.Due.Add(-availableAfter))
		if known := written.Due.Add(availableAfter); ok && known.Before(run.Window.End) {
			return Skew{Run: run.Due, Known: known, Until: run.Window.End}, true
		}
	}
	return Skew{}, false
}
