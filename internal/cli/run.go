package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/cli/standstill"
	"github.com/tidemill/tidemill/internal/cli/table"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
)

type runCommand struct {
	Pipeline string            `arg:"" help:"The pipeline."`
	Window   string            `help:"A local date, or START/END. Without it: the newest complete window."`
	Task     []string          `help:"Run these tasks alone, without what they follow and without waiting."`
	From     string            `help:"Run this task and all that follow it."`
	Param    map[string]string `help:"Set a param: --param name=value." placeholder:"NAME=VALUE"`
	Detach   bool              `help:"Start it and return; needs a running server."`
}

// Run starts a run and follows it to its end.
func (c runCommand) Run(s *session) error {
	client, err := s.connect(needs{worker: true, running: c.Detach})
	if err != nil {
		return err
	}
	r, err := client.StartRun(s.ctx, api.RunRequest{Pipeline: c.Pipeline, Window: c.Window, Tasks: c.Task, From: c.From, Params: paramsOf(c.Param), By: me()})
	if err != nil {
		return err
	}
	if c.Detach {
		return s.give(table.Runs([]api.Run{r}, s.zone))
	}
	s.say("run %s of %s, window %s", r.ID, r.Pipeline, r.Window.Text(s.zone))
	return s.finish(r.ID)
}

// finish follows a run to its end, and gives and says how it ended.
func (s *session) finish(id string) error {
	r, err := s.followRun(id)
	if err != nil {
		return err
	}
	if err := s.give(table.Tasks(r)); err != nil {
		return err
	}
	return s.verdict(r)
}

// followRun shows progress until the run has ended.
func (s *session) followRun(id string) (r api.Run, err error) {
	bar := s.progress("running")
	defer bar.End()
	err = s.follow(bar, func() (bool, error) {
		if r, err = s.client.Run(s.ctx, id); err != nil {
			return false, err
		}
		over := 0
		var active []string
		for _, t := range r.Tasks {
			if t.State.Terminal() {
				over++
			} else if t.State.Held() {
				active = append(active, t.Name)
			}
		}
		bar.Show(over, len(r.Tasks), strings.Join(active, ", "))
		return r.State.Terminal(), nil
	}, func(ctx context.Context, by string) { _ = s.client.CancelRun(ctx, id, by) })
	return r, err
}

// follow looks until the work has ended. It cancels the work where the command is
// interrupted, and where nobody would bring what the work waits for.
func (s *session) follow(bar *output.Progress, look func() (ended bool, err error), cancel func(ctx context.Context, by string)) error {
	still := standstill.Watch{Client: s.client, Alone: s.alone, Say: s.say}
	for {
		asked := time.Now()
		if ended, err := look(); err != nil || ended {
			return err
		}
		rest := max(50*time.Millisecond, 10*time.Since(asked)) // work of thousands is not to be busy with telling
		if err := still.Look(s.ctx, bar); err != nil {
			return s.giveUp(err, "tidemill (nobody would bring what it waits for)", look, cancel)
		}
		select {
		case <-s.ctx.Done():
			return s.giveUp(context.Cause(s.ctx), me()+" (interrupted)", look, cancel)
		case <-time.After(rest):
		}
	}
}

// giveUp cancels the work and waits for its end, so that the history does not say
// that it goes on. It returns why.
func (s *session) giveUp(why error, by string, look func() (bool, error), cancel func(ctx context.Context, by string)) error {
	const patience = 15 * time.Second // the kill ladder of a task takes ten
	bounded, stop := context.WithTimeout(context.WithoutCancel(s.ctx), patience)
	defer stop()
	s.ctx = bounded
	cancel(bounded, by)
	for {
		if ended, err := look(); err != nil || ended {
			return why
		}
		select {
		case <-bounded.Done():
			return why
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// verdict says in words how a run ended, and with what exit code. A run that
// failed failed, whatever kept its tasks from going on: what could not be found or
// reached there is nothing that the command line named. Refused data alone have a
// code of their own, because somebody else has to act.
func (s *session) verdict(r api.Run) error {
	if r.State == run.Succeeded {
		s.say("run %s succeeded in %s", r.ID, output.Duration(r.Ended.Sub(r.Began)))
		return nil
	}
	kind := fault.Failed
	for _, t := range r.Tasks {
		if t.State == run.TaskFailed {
			s.say("%s failed: %s", t.Name, t.Reason)
			s.say("  log: tidemill logs %s %s   again: tidemill rerun %s", r.ID, t.Name, r.ID)
			if t.Kind.ExitCode() == fault.ExitCheck {
				kind = t.Kind
			}
		}
	}
	if r.State == run.Cancelled {
		s.say("run %s was cancelled by %s", r.ID, r.CancelBy)
		kind = fault.Cancelled
	}
	return silent{kind}
}

type runsCommand struct {
	Pipeline string `arg:"" optional:"" help:"Of this pipeline alone."`
	State    string `enum:",queued,running,succeeded,failed,cancelled" default:"" help:"In this state alone."`
	Backfill string `help:"The runs of this backfill, one by one. Without it a backfill is one line." placeholder:"ID"`
	Most     int    `default:"20" help:"At most so many, the newest first."`
}

// Run lists runs.
func (c runsCommand) Run(s *session, client *api.Client) error {
	if c.Backfill != "" {
		runs, err := client.Runs(s.ctx, c.Pipeline, c.State, c.Backfill, c.Most)
		if err != nil {
			return err
		}
		return s.give(table.Runs(runs, s.zone))
	}
	runs, err := client.RolledRuns(s.ctx, c.Pipeline, c.State, c.Most)
	if err != nil {
		return err
	}
	if len(runs) == 0 && s.output == "table" {
		if c.Pipeline+c.State != "" {
			s.say("no such runs")
			return nil
		}
		s.say("no runs yet; start one with: tidemill run PIPELINE")
		return nil
	}
	if err := s.give(table.RolledRuns(runs, s.zone)); err != nil {
		return err
	}
	if i := slices.IndexFunc(runs, func(r api.Run) bool { return r.Runs != nil }); i >= 0 && s.output == "table" {
		s.say("the runs of a backfill, one by one: tidemill runs --backfill %s", runs[i].ID)
	}
	return nil
}

type logsCommand struct {
	Run_    string `arg:"" name:"run" help:"The run; the last characters of its id are enough."`
	Task    string `arg:"" optional:"" help:"The task. Without it: the first that failed, else the one that runs."`
	Attempt int    `help:"The attempt; the newest without it."`
	Index   int    `hidden:""`
	Follow  bool   `short:"f" help:"Go on until the attempt has ended."`
}

// Run writes a log to stdout.
func (c logsCommand) Run(s *session, client *api.Client) error {
	r, err := client.Run(s.ctx, c.Run_)
	if err != nil {
		return err
	}
	if c.Task == "" {
		c.Task = interesting(r)
		s.say("log of %s/%s", r.ID, c.Task)
	}
	log, err := client.Log(s.ctx, r.ID, c.Task, c.Index, c.Attempt, c.Follow)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	_, err = io.Copy(s.Out, log)
	return err
}

// interesting is the task whose log a person most likely wants.
func interesting(r api.Run) string {
	best, rank := "", -1
	for _, t := range r.Tasks {
		score := 0
		switch t.State {
		case run.TaskFailed:
			score = 3
		case run.TaskRunning, run.TaskBackoff:
			score = 2
		case run.TaskSucceeded:
			score = 1
		default: // its log is empty, or of no interest
		}
		if t.Attempt > 0 && score > rank {
			best, rank = t.Name, score
		}
	}
	return best
}

type whyCommand struct {
	What string `arg:"" help:"A run, RUN/TASK, a backfill, a pipeline, PIPELINE/TASK, or PIPELINE@DUE."`
}

// Run says why.
func (c whyCommand) Run(s *session, client *api.Client) error {
	w, err := client.Why(s.ctx, c.What)
	if err != nil {
		return err
	}
	if s.output == "json" {
		return s.give(output.Table{Values: w})
	}
	if _, err := fmt.Fprintln(s.Out, w.Summary+"."); err != nil {
		return err
	}
	for _, r := range w.Reasons {
		line := "- " + r.Text
		if !r.Since.IsZero() {
			line += " (since " + s.local(r.Since) + ")"
		}
		if r.Next != "" {
			line += "\n  " + r.Next
		}
		if _, err := fmt.Fprintln(s.Out, line); err != nil {
			return err
		}
	}
	return nil
}

type rerunCommand struct {
	Run_      string   `arg:"" name:"run" help:"The run."`
	Task      []string `help:"These tasks; without it all that did not end well."`
	Following bool     `help:"And all that follows from them."`
	Code      string   `enum:"now,then" default:"now" help:"The code of now, or of the run's own time."`
}

// Run runs tasks again and follows the run to its end.
func (c rerunCommand) Run(s *session, client warehouse) error {
	names, err := client.Rerun(s.ctx, c.Run_, api.RerunRequest{Tasks: c.Task, Following: c.Following, Code: c.Code, By: me()})
	if err != nil {
		return err
	}
	s.say("run again: %s", strings.Join(names, ", "))
	return s.finish(c.Run_)
}
