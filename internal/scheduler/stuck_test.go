package scheduler_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/ledger"
)

// slots lists what became of a pipeline's slots, the oldest first: the day that each is for, and its state.
func (w *world) slots(pipeline string) string {
	w.t.Helper()
	list, err := w.ledger.Slots(w.t.Context(), "base", pipeline, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, s := range slices.Backward(list) {
		out = append(out, s.Window.Start.Format("02 ")+s.String())
	}
	return strings.Join(out, "\n")
}

func (w *world) wantSlots(pipeline string, want ...string) {
	w.t.Helper()
	if got := w.slots(pipeline); got != strings.Join(want, "\n") {
		w.t.Errorf("slots of %s:\n%s\nwant\n%s", pipeline, got, strings.Join(want, "\n"))
	}
}

// swap makes another version live, and lets the scheduler hear of it.
func (w *world) swap(live *project.Project) {
	w.t.Helper()
	w.live = live
	w.activate()
	synctest.Wait()
}

func TestASlotOfABrokenPipelineIsHeldAndBlockedAfterTheLookBack(t *testing.T) {
	land := of(daily("land", "0 6 * * *", project.Task{}))
	bubble(t, land, func(t *testing.T, w *world) {
		w.pass(time.Hour)
		w.broken = "x.yaml:1:1: TM115 overlap cannot be \"qeue\""
		w.swap(of())
		w.pass(6 * time.Hour)
		w.wantSlots("land", `31 held: the pipeline is broken: x.yaml:1:1: TM115 overlap cannot be "qeue"`)
		w.swap(land) // mended an hour later
		w.want("land", "01 07:00:00 for 31")
		w.work()

		w.swap(of())
		w.pass(7 * 24 * time.Hour)
		w.pass(24*time.Hour + time.Minute)
		w.wantSlots("land", "31 ran", `01 blocked: the pipeline is broken: x.yaml:1:1: TM115 overlap cannot be "qeue"; older than the look-back of 7d`)
		if got := w.incidents(); len(got) != 1 || !strings.HasPrefix(got[0], "missed_slot land") {
			t.Errorf("incidents %v", got)
		}
	})
}

func TestTheSlotOfARemovedPipelineIsSkippedAndMadeAnewWhenItIsBack(t *testing.T) {
	land := of(daily("land", "0 6 * * *", project.Task{}))
	bubble(t, land, func(t *testing.T, w *world) {
		w.pass(time.Hour)
		w.swap(of())
		w.wantSlots("land", "31 skipped: removed from the project")
		w.swap(land)
		w.wantSlots("land", "31 expected")
	})
}

// upstream is a pipeline that brings a table, and one that reads it half an hour later.
func upstream(deadline time.Duration) *project.Project {
	land := daily("land", "0 6 * * *", project.Task{Writes: []project.Write{{Table: flights}}})
	features := daily("features", "30 6 * * *", project.Task{Reads: []project.Read{{Table: flights, Wait: true, Producer: "land/x"}}})
	features.Deadline = deadline
	return of(land, features)
}

func TestASlotIsBlockedFromItsDeadlineUntilItsUpstreamComes(t *testing.T) {
	bubble(t, upstream(90*time.Minute), func(t *testing.T, w *world) {
		w.pass(6 * time.Hour)
		w.pass(30 * time.Minute)
		w.pass(89 * time.Minute)
		w.wantSlots("features", "31 ran", "01 expected")
		w.pass(2 * time.Minute)
		w.wantSlots("features", "31 blocked: waits until raw.flights covers 1999-12-31", "01 expected")
		if got := w.incidents(); len(got) != 1 || !strings.HasPrefix(got[0], "late features") { // and nothing is missed
			t.Errorf("incidents %v", got)
		}
		if got := w.work(); !slices.Equal(got, []string{"land/x 31", "features/x 31"}) {
			t.Errorf("done %v", got)
		}
		w.wantSlots("features", "31 ran", "01 expected")
		if got := w.incidents(); len(got) != 0 {
			t.Errorf("still open: %v", got)
		}
	})
}

func TestARunWhoseUpstreamNeverComesIsGivenUpAfterTheLookBack(t *testing.T) {
	p := upstream(0)
	p.Pipelines[1].Missed.LookBack = 36 * time.Hour
	bubble(t, p, func(t *testing.T, w *world) {
		w.pass(6 * time.Hour)
		w.pass(30 * time.Minute)
		w.pass(35 * time.Hour)
		w.wantSlots("features", "31 ran", "01 queued: waits for the run of window 1999-12-31T00:00:00Z/2000-01-01T00:00:00Z", "02 expected")
		w.pass(time.Hour + time.Minute)
		w.wantSlots("features", "31 blocked: waits until raw.flights covers 1999-12-31; given up after the look-back of 1d12h", "01 ran", "02 expected")
		if got := w.incidents(); len(got) != 1 || !strings.HasPrefix(got[0], "missed_slot features 02 18:30:") {
			t.Errorf("incidents %v", got)
		}
		runs, err := w.ledger.Runs(t.Context(), ledger.RunFilter{Environment: "base", Pipeline: "features", State: run.Cancelled})
		if err != nil || len(runs) != 1 || runs[0].CancelBy != "the end of its look-back" {
			t.Fatalf("cancelled %+v, %v", runs, err)
		}
		// Its upstream comes after all: the next window goes on, and the blocked one is a person's to make up.
		w.work()
		w.wantSlots("features", "31 blocked: waits until raw.flights covers 1999-12-31; given up after the look-back of 1d12h", "01 ran", "02 expected")
		if _, err := w.ledger.Rerun(t.Context(), runs[0].RunRef, ledger.RerunScope{}, "ann"); err != nil {
			t.Fatal(err)
		}
		w.work()
		w.wantSlots("features", "31 ran", "01 ran", "02 expected")
		if got := w.incidents(); len(got) != 0 {
			t.Errorf("still open: %v", got)
		}
	})
}
