package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/core/slot"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/scheduler"
)

// world is a scheduler over a real ledger, in virtual time: a bubble begins at
// midnight of 1 January 2000, UTC.
type world struct {
	t      *testing.T
	ledger *ledger.Ledger
	live   *project.Project
	broken string // what is wrong with pipelines that are not live
	wake   chan struct{}
	stop   func()
}

func bubble(t *testing.T, live *project.Project, test func(*testing.T, *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l, err := ledger.Open(t.Context(), filepath.Join(t.TempDir(), "ledger.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		w := &world{t: t, ledger: l, live: live, wake: make(chan struct{}, 1)}
		l.Notify = func(n ledger.Note) {
			if n.Slots {
				select {
				case w.wake <- struct{}{}:
				default:
				}
			}
		}
		w.activate()
		w.start()
		defer func() { w.stop() }()
		test(t, w)
	})
}

func (w *world) activate() {
	w.t.Helper()
	var names []string
	for _, pl := range w.live.Pipelines {
		names = append(names, pl.Name)
	}
	if err := w.ledger.Activate(w.t.Context(), "base", "b1", names, nil); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) start() {
	s := &scheduler.Scheduler{
		Ledger: w.ledger, Environment: "base", Log: slog.New(slog.DiscardHandler), Wake: w.wake,
		Live:   func() (*project.Project, string) { return w.live, "b1" },
		Broken: func(string) string { return w.broken },
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	w.stop = func() {
		stop()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	}
}

// pass lets time pass. The scheduler looks each second, so it is only there for the
// last ones of it.
func (w *world) pass(d time.Duration) {
	w.stop()
	time.Sleep(d - 3*time.Second)
	w.start()
	time.Sleep(3 * time.Second)
	synctest.Wait()
}

// runs lists when runs of a pipeline were made and the day that each is for, the oldest first.
func (w *world) runs(pipeline string) []string {
	w.t.Helper()
	list, err := w.ledger.Runs(w.t.Context(), ledger.RunFilter{Environment: "base", Pipeline: pipeline, Most: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, r := range slices.Backward(list) {
		out = append(out, r.Created.Format("02 15:04:05")+" for "+r.Window.Start.Format("02"))
	}
	return out
}

func (w *world) want(pipeline string, want ...string) {
	w.t.Helper()
	if got := w.runs(pipeline); !slices.Equal(got, want) {
		w.t.Errorf("runs of %s:\n%q\nwant\n%q", pipeline, got, want)
	}
}

func (w *world) incidents() []string {
	w.t.Helper()
	list, err := w.ledger.Incidents(w.t.Context(), "base", false)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, i := range list {
		out = append(out, i.Kind+" "+i.Pipeline+" "+i.Opened.Format("02 15:04:05"))
	}
	return out
}

// work does every task that is or becomes ready at this moment, one after the
// other, and says which, with the days they are for.
func (w *world) work() []string {
	w.t.Helper()
	if err := w.ledger.OpenSession(w.t.Context(), ledger.Session{ID: "s", Worker: "home", Slots: 9}); err != nil {
		w.t.Fatal(err)
	}
	var out []string
	idle := false
	for {
		grants, err := w.ledger.Claim(w.t.Context(), "s", 9, true)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(grants) == 0 {
			if idle {
				return out
			}
			idle = true
			synctest.Wait() // for the scheduler, which has heard of the ends
			continue
		}
		idle = false
		for _, g := range grants {
			out = append(out, g.Pipeline+"/"+g.Task+" "+g.Window.Start.Format("02"))
			var tables []commit.TableCommit
			pl, _ := find(w.live, g.Pipeline)
			one, _ := pl.Task(g.Task)
			for _, write := range one.Writes {
				tables = append(tables, commit.TableCommit{Table: write.Table, Window: g.Window})
			}
			errs, err := w.ledger.Step(w.t.Context(),
				ledger.Command{Ref: g.Ref, Event: run.Acknowledged{Epoch: g.Epoch}},
				ledger.Command{Ref: g.Ref, Event: run.AttemptSucceeded{Epoch: g.Epoch, Tables: tables}})
			if err := errors.Join(err, errors.Join(errs...)); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

func find(p *project.Project, name string) (*project.Pipeline, bool) {
	for i := range p.Pipelines {
		if p.Pipelines[i].Name == name {
			return &p.Pipelines[i], true
		}
	}
	return nil, false
}

var flights = project.Table{Store: "warehouse", Schema: "raw", Name: "flights"}

// daily is a pipeline of one task that is due at an hour for the day before.
func daily(name, cron string, t project.Task) project.Pipeline {
	t.Name = "x"
	return project.Pipeline{Name: name, Schedule: project.Schedule{Cron: cron, Timezone: "UTC", Window: project.UnitDay}, Tasks: []project.Task{t}}
}

func of(pipelines ...project.Pipeline) *project.Project {
	return &project.Project{Pipelines: pipelines}
}

func TestARunIsMadeWhenItIsDueAndNotBefore(t *testing.T) {
	bubble(t, of(daily("land", "0 6 * * *", project.Task{})), func(t *testing.T, w *world) {
		w.pass(6*time.Hour - time.Millisecond)
		w.want("land")
		time.Sleep(time.Millisecond)
		synctest.Wait()
		w.want("land", "01 06:00:00 for 31")
		w.work()
		w.pass(24 * time.Hour)
		w.want("land", "01 06:00:00 for 31", "02 06:00:00 for 01")
	})
}

func TestAnEndedRunLetsTheQueuedOneBeginAtOnce(t *testing.T) {
	bubble(t, of(daily("land", "0 6 * * *", project.Task{})), func(t *testing.T, w *world) {
		w.pass(6 * time.Hour)
		w.pass(24 * time.Hour)
		begun := time.Now()
		if got := w.work(); !slices.Equal(got, []string{"land/x 31", "land/x 01"}) || time.Since(begun) != 0 {
			t.Errorf("done %v within %s, want both at once", got, time.Since(begun))
		}
	})
}

func TestSlotsThatCameDueWithoutAServerAreMadeUp(t *testing.T) {
	bubble(t, of(daily("land", "0 6 * * *", project.Task{})), func(t *testing.T, w *world) {
		w.pass(time.Hour)
		w.pass(72 * time.Hour)
		if got := w.work(); !slices.Equal(got, []string{"land/x 31", "land/x 01", "land/x 02"}) {
			t.Errorf("done %v, want the three in window order", got)
		}
		if got := w.incidents(); len(got) != 0 {
			t.Errorf("incidents %v", got)
		}
	})
}

func TestAnEditedScheduleTakesEffectAtOnce(t *testing.T) {
	bubble(t, of(daily("land", "0 6 * * *", project.Task{})), func(t *testing.T, w *world) {
		w.pass(time.Hour)
		w.live = of(daily("land", "0 3 * * *", project.Task{}))
		w.activate()
		w.pass(2 * time.Hour)
		w.want("land", "01 03:00:00 for 31")
	})
}

func TestARunThatIsNotDoneByItsDeadlineIsLate(t *testing.T) {
	land := daily("land", "0 6 * * *", project.Task{})
	land.Deadline = 90 * time.Minute
	bubble(t, of(land), func(t *testing.T, w *world) {
		w.pass(6 * time.Hour)
		w.pass(89 * time.Minute)
		if got := w.incidents(); len(got) != 0 {
			t.Errorf("too early: %v", got)
		}
		w.pass(time.Minute + 2*time.Second)
		if got := w.incidents(); len(got) != 1 || !strings.HasPrefix(got[0], "late land 01 07:30:0") {
			t.Errorf("incidents %v", got)
		}
		w.work()
		if got := w.incidents(); len(got) != 0 {
			t.Errorf("still open after the run's end: %v", got)
		}
	})
}

func TestPipelinesThatAreDueTogetherStartOneAfterTheOther(t *testing.T) {
	const bound = 10 * time.Minute
	var all []project.Pipeline
	for n := range 60 {
		pl := daily(fmt.Sprintf("land_%02d", n), "0 6 * * *", project.Task{})
		pl.Schedule.Spread = bound
		all = append(all, pl)
	}
	all = append(all, daily("alone", "0 6 * * *", project.Task{}))
	bubble(t, of(all...), func(t *testing.T, w *world) {
		w.pass(6 * time.Hour)
		w.want("alone", "01 06:00:00 for 31")
		time.Sleep(bound)
		synctest.Wait()
		list, err := w.ledger.Runs(t.Context(), ledger.RunFilter{Environment: "base", Most: 100})
		if err != nil || len(list) != len(all) {
			t.Fatalf("%d runs, %v; want %d", len(list), err, len(all))
		}
		due, window := time.Date(2000, 1, 1, 6, 0, 0, 0, time.UTC), calendar.Window{Start: time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC), End: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)}
		starts := map[time.Time]int{}
		for _, r := range list {
			if !r.Due.Equal(due) || r.Window != window {
				t.Errorf("%s is due %s for %s", r.Pipeline, r.Due, r.Window)
			}
			if pl, _ := find(w.live, r.Pipeline); r.Created.Sub(due) != slot.Spread(r.Pipeline, pl.Schedule.Spread) {
				t.Errorf("%s starts %s", r.Pipeline, r.Created)
			}
			starts[r.Created]++
		}
		if len(starts) < 50 {
			t.Errorf("%d pipelines start at %d instants", len(all), len(starts))
		}
	})
}

func TestAPipelineWithoutAScheduleIsNeverDue(t *testing.T) {
	land := daily("land", "", project.Task{})
	land.Schedule.Window = ""
	bubble(t, of(land), func(t *testing.T, w *world) {
		w.pass(48 * time.Hour)
		w.want("land")
	})
}

func TestATaskWaitsForTheTableThatAnotherPipelineBrings(t *testing.T) {
	for _, wait := range []bool{true, false} {
		land := daily("land", "0 6 * * *", project.Task{Writes: []project.Write{{Table: flights}}})
		features := daily("features", "0 5 * * *", project.Task{Reads: []project.Read{{Table: flights, Wait: wait, Producer: "land/x"}}})
		features.Schedule.Cron = "30 6 * * *"
		bubble(t, of(land, features), func(t *testing.T, w *world) {
			w.pass(6 * time.Hour)
			w.pass(30 * time.Minute)
			first := w.work()
			want := []string{"land/x 31", "features/x 31"}
			if !slices.Equal(first, want) {
				t.Errorf("wait %v: done %v, want %v", wait, first, want)
			}
			// The next day nobody loads: the reader waits, unless it was told not to.
			if err := w.ledger.SetPaused(t.Context(), "base", "land", true, "ann", ""); err != nil {
				t.Fatal(err)
			}
			w.pass(24 * time.Hour)
			if got := w.work(); (len(got) == 0) != wait {
				t.Errorf("wait %v: done %v though the table does not cover the 1st", wait, got)
			}
		})
	}
}

func TestAfterPreviousHoldsATaskUntilTheWindowBeforeSucceeded(t *testing.T) {
	land := daily("land", "0 6 * * *", project.Task{Previous: true})
	land.Overlap = project.OverlapAllow
	bubble(t, of(land), func(t *testing.T, w *world) {
		w.pass(6 * time.Hour)
		for range 2 { // three are due and nobody worked
			w.pass(24 * time.Hour)
		}
		w.want("land", "01 06:00:00 for 31", "02 06:00:00 for 01", "03 06:00:00 for 02")
		if got := w.work(); !slices.Equal(got, []string{"land/x 31", "land/x 01", "land/x 02"}) {
			t.Errorf("done %v, want one after the other", got)
		}
	})
}

// TestARunDoesNotWaitForWhatWasNotDueYet: a score in the morning for the day that
// begins reads tables that will cover that day only tomorrow.
func TestARunDoesNotWaitForWhatWasNotDueYet(t *testing.T) {
	score := daily("score", "30 6 * * *", project.Task{Reads: []project.Read{{Table: flights, Wait: true, Producer: "land/x"}}})
	score.Schedule.Shift = 1
	p := of(daily("land", "0 6 * * *", project.Task{Writes: []project.Write{{Table: flights}}}), score)
	due := time.Date(2013, 1, 3, 6, 30, 0, 0, time.UTC)
	for _, c := range []struct {
		name    string
		feature bool
		shift   int
		want    string
	}{
		{"today's window is not loaded before tomorrow", false, 1, ""},
		{"yesterday's is", false, 0, "2013-01-02/2013-01-03"},
		{"a feature table must have had the slot that was due just before", true, 1, "2013-01-02/2013-01-03"},
	} {
		pl := &p.Pipelines[1]
		pl.Schedule.Shift, pl.Tasks[0].Reads[0].Feature = c.shift, c.feature
		start := time.Date(2013, 1, 2+c.shift, 0, 0, 0, 0, time.UTC)
		tasks, err := scheduler.Tasks(p, pl, calendar.Window{Start: start, End: start.AddDate(0, 0, 1)}, due, scheduler.Choice{})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, wait := range tasks[0].Waits {
			got = wait.Window.Start.Format(time.DateOnly) + "/" + wait.Window.End.Format(time.DateOnly)
		}
		if got != c.want {
			t.Errorf("%s: waits for %q, want %q", c.name, got, c.want)
		}
	}
}

func TestARunOfSomeTasksWaitsForNoOther(t *testing.T) {
	pl := project.Pipeline{Name: "p", Schedule: project.Schedule{Timezone: "UTC"}, Tasks: []project.Task{
		{Name: "a"}, {Name: "b", Upstream: []string{"a"}}, {Name: "c", Upstream: []string{"b"}}, {Name: "z"},
	}}
	for _, c := range []struct {
		choice scheduler.Choice
		want   []string
	}{
		{scheduler.Choice{}, []string{"a", "b after a", "c after b", "z"}},
		{scheduler.Choice{Tasks: []string{"b"}}, []string{"b"}},
		{scheduler.Choice{From: "b"}, []string{"b", "c after b"}},
	} {
		tasks, err := scheduler.Tasks(of(pl), &pl, calendar.Window{}, time.Time{}, c.choice)
		var got []string
		for _, one := range tasks {
			got = append(got, strings.TrimSpace(one.Name+" "+strings.Join(prefixed(one.Upstream), " ")))
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, %v; want %v", c.choice, got, err, c.want)
		}
	}
	if _, err := scheduler.Tasks(of(pl), &pl, calendar.Window{}, time.Time{}, scheduler.Choice{From: "none"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("a task that is not there: %v", err)
	}
}

func prefixed(names []string) []string {
	var out []string
	for _, name := range names {
		out = append(out, "after "+name)
	}
	return out
}
