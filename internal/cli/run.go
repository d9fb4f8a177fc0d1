package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/cli/standstill"
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
		return s.give(s.runTable([]api.Run{r}))
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
	if err := s.give(taskTable(r)); err != nil {
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

func (s *session) runTable(runs []api.Run) output.Table {
	t := output.Table{Columns: []string{"run", "pipeline", "window", "kind", "state", "began", "took"}, Values: runs}
	for _, r := range runs {
		took := ""
		if !r.Began.IsZero() {
			end := r.Ended
			if end.IsZero() {
				end = time.Now()
			}
			took = output.Duration(end.Sub(r.Began))
		}
		t.Rows = append(t.Rows, []string{r.ID, r.Pipeline, r.Window.Text(s.zone), r.Kind, string(r.State), s.local(r.Began), took})
	}
	return t
}

func taskTable(r api.Run) output.Table {
	t := output.Table{Columns: []string{"task", "state", "attempt", "rows", "quarantined", "took", "reason"}, Values: r}
	for _, one := range r.Tasks {
		var rows, quarantined int64
		published := false
		for _, a := range one.Attempts {
			for _, receipt := range a.Receipts {
				for _, c := range receipt.Tables {
					rows, quarantined, published = rows+c.Evidence.Staged, quarantined+c.Evidence.Quarantined, true
				}
			}
		}
		took, counts, bad := "", "", ""
		if !one.Ended.IsZero() && !one.Began.IsZero() {
			took = output.Duration(one.Ended.Sub(one.Began))
		}
		if published {
			counts = output.Number(rows)
		}
		if quarantined > 0 {
			bad = output.Number(quarantined)
		}
		t.Rows = append(t.Rows, []string{one.Name, string(one.State), fmt.Sprint(one.Attempt), counts, bad, took, one.Reason})
	}
	return t
}

type runsCommand struct {
	Pipeline string `arg:"" optional:"" help:"Of this pipeline alone."`
	State    string `enum:",queued,running,succeeded,failed,cancelled" default:"" help:"In this state alone."`
	Most     int    `default:"20" help:"At most so many, the newest first."`
}

// Run lists runs.
func (c runsCommand) Run(s *session, client *api.Client) error {
	runs, err := client.Runs(s.ctx, c.Pipeline, c.State, "", c.Most)
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
	return s.give(s.runTable(runs))
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
	What string `arg:"" help:"A run, RUN/TASK, a pipeline, PIPELINE/TASK, or PIPELINE@DUE."`
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

type cancelCommand struct {
	What string `arg:"" help:"A run or a backfill."`
}

// Run cancels a run or a backfill.
func (c cancelCommand) Run(s *session, client *api.Client) error {
	err := client.CancelRun(s.ctx, c.What, me())
	if fault.Is(err, fault.NotFound) {
		n, e := client.CancelBackfill(s.ctx, c.What, me())
		if e == nil {
			return s.cancelledBackfill(client, c.What, n)
		}
	}
	if err != nil {
		return err
	}
	now, err := client.Run(s.ctx, c.What)
	if err != nil {
		return err
	}
	return s.done(now, "run %s is being cancelled", c.What)
}

func (s *session) cancelledBackfill(client *api.Client, id string, runs int) error {
	now, err := client.Backfill(s.ctx, id)
	if err != nil {
		return err
	}
	return s.done(now, "%d runs of the backfill are being cancelled", runs)
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

type backfillCommand struct {
	Pipeline    string `arg:"" help:"The pipeline, or list to list backfills."`
	From        string `help:"The first day (a local date) or instant."`
	To          string `help:"The day or instant behind the last."`
	Chunk       string `help:"Cut the range so: day, week, month, or a duration such as 30d. Without it: the schedule's own windows."`
	Concurrency int    `default:"1" help:"Runs at once."`
	Missing     bool   `help:"Only windows that the tables do not cover yet."`
	DryRun      bool   `help:"Say which windows would run."`
	Detach      bool   `help:"Start it and return; needs a running server."`
}

// Run creates a backfill and follows it to its end.
func (c backfillCommand) Run(s *session) error {
	client, err := s.connect(needs{worker: !c.DryRun, running: c.Detach})
	if err != nil {
		return err
	}
	if c.Pipeline == "list" && c.From == "" {
		list, err := client.Backfills(s.ctx)
		if err != nil {
			return err
		}
		return s.give(s.backfillTable(list))
	}
	if c.From == "" || c.To == "" {
		return fault.New(fault.Invalid, "a backfill needs --from and --to")
	}
	b, err := client.StartBackfill(s.ctx, api.BackfillRequest{
		Pipeline: c.Pipeline, From: c.From, To: c.To, Chunk: c.Chunk, Concurrency: c.Concurrency, Missing: c.Missing, DryRun: c.DryRun, By: me(),
	})
	if err != nil {
		return err
	}
	if c.DryRun {
		t := output.Table{Columns: []string{"start", "end"}, Values: b}
		for _, w := range b.Windows {
			t.Rows = append(t.Rows, []string{w.Start.Format(time.RFC3339), w.End.Format(time.RFC3339)})
		}
		return s.give(t)
	}
	if b.ID == "" {
		s.say("nothing is missing: every window from %s to %s is covered", c.From, c.To)
		if s.output == "table" {
			return nil
		}
		return s.give(s.backfillTable(nil))
	}
	if c.Detach {
		return s.give(s.backfillTable([]api.Backfill{b}))
	}
	return s.followBackfill(b)
}

func (s *session) backfillTable(list []api.Backfill) output.Table {
	t := output.Table{Columns: []string{"backfill", "pipeline", "range", "state", "succeeded", "failed", "open"}, Values: list}
	for _, b := range list {
		open := b.Runs[run.Queued] + b.Runs[run.Running]
		t.Rows = append(t.Rows, []string{
			b.ID, b.Pipeline, b.Range.Text(s.zone), string(b.State),
			fmt.Sprint(b.Runs[run.Succeeded]), fmt.Sprint(b.Runs[run.Failed]), fmt.Sprint(open),
		})
	}
	return t
}

func (s *session) followBackfill(b api.Backfill) error {
	bar := s.progress(b.Pipeline)
	defer bar.End()
	err := s.follow(bar, func() (bool, error) {
		list, err := s.client.Backfills(s.ctx)
		if err != nil {
			return false, err
		}
		total := 0
		for _, one := range list {
			if one.ID == b.ID {
				b = one
			}
		}
		for _, n := range b.Runs {
			total += n
		}
		note := ""
		if n := b.Runs[run.Failed]; n > 0 {
			note = fmt.Sprintf("%d failed", n)
		}
		bar.Show(total-b.Runs[run.Queued]-b.Runs[run.Running], total, note)
		return b.State.Terminal(), nil
	}, func(ctx context.Context, by string) { _, _ = s.client.CancelBackfill(ctx, b.ID, by) })
	if err != nil {
		return err
	}
	bar.End()
	if err := s.give(s.backfillTable([]api.Backfill{b})); err != nil {
		return err
	}
	if b.State == run.Succeeded {
		s.say("backfill %s of %s: %d runs succeeded in %s", b.ID, b.Pipeline, b.Runs[run.Succeeded], output.Duration(b.Ended.Sub(b.Created)))
		return nil
	}
	failed, err := s.client.Runs(s.ctx, b.Pipeline, string(run.Failed), b.ID, 3)
	if err != nil {
		return err
	}
	for _, r := range failed {
		w, err := s.client.Why(s.ctx, r.ID)
		if err == nil {
			s.say("%s: %s", r.Window.Text(s.zone), w.Summary)
		}
	}
	return silent{fault.Failed}
}
