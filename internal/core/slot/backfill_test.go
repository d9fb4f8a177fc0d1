package slot_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/slot"
)

// days is the window from one day of January to the beginning of another.
func days(from, to int) calendar.Window {
	at := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	return calendar.Window{Start: at(from), End: at(to)}
}

// past is a run that ended at an hour of a later day.
func past(id string, w calendar.Window, o slot.Outcome, hour int) slot.Past {
	p := slot.Past{Run: id, Window: w, Outcome: o}
	if o != slot.OutcomeOpen {
		p.Ended = time.Date(2026, 2, 1, hour, 0, 0, 0, time.UTC)
	}
	return p
}

func TestEachRuleOfABackfillTakesItsWindowsAndSaysWhy(t *testing.T) {
	t.Parallel()
	windows := []calendar.Window{days(1, 2), days(2, 3), days(3, 4), days(4, 5), days(5, 6), days(6, 7), days(7, 8)}
	table := []calendar.Window{days(1, 4), days(7, 8)}
	runs := []slot.Past{
		past("good1", days(1, 2), slot.OutcomeSucceeded, 1),
		past("bad2", days(2, 3), slot.OutcomeFailed, 1), past("good2", days(2, 3), slot.OutcomeSucceeded, 2), // mended since
		past("good3", days(3, 4), slot.OutcomeSucceeded, 1), past("bad3", days(3, 4), slot.OutcomeFailed, 2), // covered, but not since
		past("stop4", days(4, 5), slot.OutcomeCancelled, 1),
		past("bad5", days(5, 6), slot.OutcomeFailed, 1), past("open5", days(5, 6), slot.OutcomeOpen, 0), // another one is at it
		// Nobody ran the 6th; the 7th was covered by a run over more than it.
		past("wide7", days(7, 12), slot.OutcomeSucceeded, 3),
	}
	for rule, want := range map[slot.Reprocess]string{
		slot.ReprocessAll: `
1 runs: covered
2 runs: covered
3 runs: failed bad3
4 runs: cancelled stop4
5 runs: failed bad5
6 runs: never ran
7 runs: covered`,
		slot.ReprocessMissing: `
1 left out: covered
2 left out: covered
3 left out: covered
4 runs: cancelled stop4
5 left out: under way open5
6 runs: never ran
7 left out: covered`,
		slot.ReprocessFailed: `
1 left out: covered
2 left out: covered
3 runs: failed bad3
4 runs: cancelled stop4
5 left out: under way open5
6 left out: never ran
7 left out: covered`,
	} {
		if d := cmp.Diff(want, choices(slot.Choose(windows, rule, [][]calendar.Window{table}, runs))); d != "" {
			t.Errorf("%s (-want +got):\n%s", rule, d)
		}
	}
}

func choices(list []slot.Choice) string {
	var out strings.Builder
	for _, c := range list {
		does := "left out"
		if c.Runs {
			does = "runs"
		}
		fmt.Fprintf(&out, "\n%s", strings.TrimSpace(fmt.Sprintf("%d %s: %s %s", c.Window.Start.Day(), does, c.Reason, c.Run)))
	}
	return out.String()
}

func TestARangeThatFailedAsOneIsMendedPartByPart(t *testing.T) {
	t.Parallel()
	runs := []slot.Past{past("month", days(1, 8), slot.OutcomeFailed, 1), past("good1", days(1, 2), slot.OutcomeSucceeded, 2)}
	got := choices(slot.Choose([]calendar.Window{days(1, 2), days(2, 3)}, slot.ReprocessFailed, [][]calendar.Window{{days(1, 2)}}, runs))
	if want := "\n1 left out: covered\n2 runs: failed month"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// The other way round: a day that failed inside of the month that runs again.
	got = choices(slot.Choose([]calendar.Window{days(1, 8)}, slot.ReprocessFailed, [][]calendar.Window{{days(1, 3), days(4, 8)}},
		[]slot.Past{past("day", days(3, 4), slot.OutcomeFailed, 1), past("good", days(4, 8), slot.OutcomeSucceeded, 2)}))
	if want := "\n1 runs: failed day"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAPipelineWithoutTablesIsCoveredWhereItsRunsSucceeded(t *testing.T) {
	t.Parallel()
	runs := []slot.Past{past("good", days(1, 2), slot.OutcomeSucceeded, 1)}
	got := choices(slot.Choose([]calendar.Window{days(1, 2), days(2, 3)}, slot.ReprocessMissing, nil, runs))
	if want := "\n1 left out: covered\n2 runs: never ran"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// A table that another program fills covers without a run of ours, and one of two tables is not enough.
	got = choices(slot.Choose([]calendar.Window{days(1, 2), days(2, 3)}, slot.ReprocessMissing, [][]calendar.Window{{days(1, 3)}, {days(1, 2)}}, runs))
	if want := "\n1 left out: covered\n2 runs: never ran"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestABackfillStartsNoMoreThanItMayAndNoneWhilePaused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		concurrency, running int
		paused               bool
		want                 int
	}{{1, 0, false, 1}, {1, 1, false, 0}, {4, 1, false, 3}, {2, 5, false, 0}, {4, 1, true, 0}} {
		if got := slot.Turns(c.concurrency, c.running, c.paused); got != c.want {
			t.Errorf("%+v: %d more may start", c, got)
		}
	}
}
