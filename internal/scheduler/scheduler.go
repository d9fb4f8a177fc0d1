// Package scheduler holds the loops that make time pass: slots that come due,
// and deadlines that pass.
//
// It owns no state. What is due is an index in the ledger, not a tick: the loop
// sleeps until the next due time or until something changes. core/slot decides,
// the ledger writes.
package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/core/slot"
	"github.com/tidemill/tidemill/internal/core/why"
	"github.com/tidemill/tidemill/internal/ledger"
)

// Ledger is what the scheduler needs of the ledger.
type Ledger interface {
	Due(ctx context.Context, environment string) ([]string, time.Time, error)
	Decide(ctx context.Context, environment, pipeline string, decide ledger.Decider, newRun func(slot.Slot) ledger.NewRun) (slot.Decision, error)
	Overdue(ctx context.Context, environment string) ([]ledger.OpenRun, error)
	Report(context.Context, ledger.Report) error
	Stuck(ctx context.Context, environment string) ([]ledger.StuckRun, error)
	Block(ctx context.Context, stuck ledger.StuckRun, owner string, judge func(s slot.Slot, now time.Time) (after slot.Slot, givenUp bool)) error
}

// Scheduler makes runs of an environment's pipelines when they are due.
type Scheduler struct {
	Ledger      Ledger
	Environment string
	Live        func() (p *project.Project, bundle string) // the live version; nil: none yet
	Broken      func(pipeline string) string               // what is wrong with the files of one that the live version lacks; empty: it was removed
	Log         *slog.Logger
	Wake        <-chan struct{} // something about slots or pipelines changed
}

// Longest is how long the loop sleeps at most: a clock that was set forward is
// noticed within it.
const Longest = time.Second

// Run decides slots and watches deadlines until ctx ends.
func (s *Scheduler) Run(ctx context.Context) error {
	for {
		next := s.decideDue(ctx)
		s.watchDeadlines(ctx)
		s.watchStuck(ctx)
		wait := Longest
		if !next.IsZero() {
			wait = min(max(time.Until(next), time.Millisecond), Longest)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-s.Wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// decideDue decides every pipeline that is due, and returns when the next one is.
func (s *Scheduler) decideDue(ctx context.Context) time.Time {
	due, next, err := s.Ledger.Due(ctx, s.Environment)
	if err != nil {
		s.Log.Error("which pipelines are due", "cause", err)
		return time.Time{}
	}
	for _, name := range due {
		if err := s.decide(ctx, name); err != nil {
			s.Log.Error("decide slots", "pipeline", name, "cause", err)
		}
	}
	if len(due) > 0 {
		_, next, err = s.Ledger.Due(ctx, s.Environment)
		if err != nil {
			return time.Time{}
		}
	}
	return next
}

func (s *Scheduler) decide(ctx context.Context, name string) error {
	p, bundle := s.Live()
	pl, ok := find(p, name)
	if !ok {
		return s.strand(ctx, name)
	}
	timetable, err := pl.Schedule.Timetable()
	if err != nil {
		return err
	}
	var failed error
	d, err := s.Ledger.Decide(ctx, s.Environment, name, func(known slot.Pipeline, now time.Time) (slot.Decision, error) {
		known.Timetable, known.Policy, known.Delay = timetable, policy(pl), slot.Spread(name, pl.Schedule.Spread)
		return slot.Plan(known, now), nil
	}, func(one slot.Slot) ledger.NewRun {
		tasks, err := Tasks(p, pl, one.Window, one.Due, Choice{})
		if err != nil {
			failed = err
		}
		return ledger.NewRun{Bundle: bundle, Owner: pl.Owner, Overlap: pl.Overlap, By: "schedule", Tasks: tasks}
	})
	if failed != nil {
		return failed
	}
	if err != nil {
		return err
	}
	s.tell(name, d)
	return nil
}

func (s *Scheduler) tell(name string, d slot.Decision) {
	for _, one := range d.Write {
		if one.State != slot.Expected {
			s.Log.Info("slot", "pipeline", name, "due", one.Due, "window", one.Window.String(), "state", one.String())
		}
	}
}

// strand decides for a pipeline that the live version lacks.
func (s *Scheduler) strand(ctx context.Context, name string) error {
	broken := s.Broken(name)
	d, err := s.Ledger.Decide(ctx, s.Environment, name, func(known slot.Pipeline, now time.Time) (slot.Decision, error) {
		return slot.Strand(known, now, broken), nil
	}, func(slot.Slot) ledger.NewRun { return ledger.NewRun{} })
	if err == nil {
		s.tell(name, d)
	}
	return err
}

func find(p *project.Project, name string) (*project.Pipeline, bool) {
	if p == nil {
		return nil, false
	}
	for i := range p.Pipelines {
		if p.Pipelines[i].Name == name {
			return &p.Pipelines[i], true
		}
	}
	return nil, false
}

func policy(pl *project.Pipeline) slot.Policy {
	return slot.Policy{
		Missed: slot.MissedPolicy(pl.Missed.Policy), LookBack: pl.Missed.LookBack, Overlap: slot.OverlapPolicy(pl.Overlap),
	}
}

// watchDeadlines opens an incident for every scheduled run that is not done in time.
func (s *Scheduler) watchDeadlines(ctx context.Context) {
	p, _ := s.Live()
	if p == nil {
		return
	}
	open, err := s.Ledger.Overdue(ctx, s.Environment)
	if err != nil {
		s.Log.Error("which runs are late", "cause", err)
		return
	}
	for _, r := range open {
		pl, ok := find(p, r.Pipeline)
		if !ok || pl.Deadline <= 0 || time.Since(r.Due) < pl.Deadline {
			continue
		}
		err := s.Ledger.Report(ctx, ledger.Report{
			Environment: s.Environment, Kind: "late", Severity: "error", Pipeline: r.Pipeline, Owner: pl.Owner, Run: r.Run, Window: r.Window,
			Summary: fmt.Sprintf("run %s was due %s and is not done %s later", r.Run, r.Due.Format(time.RFC3339), pl.Deadline),
		})
		if err != nil {
			s.Log.Error("report a late run", "run", r.Run, "cause", err)
		}
	}
}

// watchStuck follows scheduled runs that cannot go on, because what they read has
// not come: their slots are blocked from the deadline on, and they are given up at
// the end of the look-back.
func (s *Scheduler) watchStuck(ctx context.Context) {
	stuck, err := s.Ledger.Stuck(ctx, s.Environment)
	if err != nil {
		s.Log.Error("which runs cannot go on", "cause", err)
		return
	}
	p, _ := s.Live()
	for _, r := range stuck {
		pl, ok := find(p, r.Pipeline)
		if !ok {
			pl = &project.Pipeline{Schedule: project.Schedule{Timezone: "UTC"}}
		}
		waits := whatFor(pl, r.Wait)
		judge := func(one slot.Slot, now time.Time) (slot.Slot, bool) {
			return slot.Stuck(one, waits, pl.Deadline, pl.Missed.LookBack, now)
		}
		after, givenUp := judge(r.Slot, time.Now())
		if after.State == r.Slot.State && after.Reason == r.Slot.Reason {
			continue
		}
		if err := s.Ledger.Block(ctx, r, pl.Owner, judge); err != nil {
			s.Log.Error("block a slot", "run", r.Run, "cause", err)
			continue
		}
		s.Log.Info("slot", "pipeline", r.Pipeline, "due", r.Slot.Due, "window", r.Slot.Window.String(), "state", after.String(), "given_up", givenUp)
	}
}

// whatFor says what a run waits for, as why says it.
func whatFor(pl *project.Pipeline, w ledger.Wait) string {
	zone := time.UTC
	if t, err := pl.Schedule.Timetable(); err == nil {
		zone = t.Zone()
	}
	if pipeline, task, ok := ledger.PreviousTask(w.Target); ok {
		return why.Previous(pipeline+"/"+task, w.Window, zone, time.Time{}).Text
	}
	return why.Window(w.Target, w.Window, zone, "", time.Time{}).Text
}
