package httpd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/core/slot"
	"github.com/tidemill/tidemill/internal/core/why"
	"github.com/tidemill/tidemill/internal/ledger"
)

var errNoSuchThing = errors.New("name a run, RUN/TASK, a backfill, a pipeline, PIPELINE/TASK, or PIPELINE@DUE")

// why answers for a run, RUN/TASK, a backfill, a pipeline, PIPELINE/TASK or a slot PIPELINE@DUE.
func (s *Server) why(ctx context.Context, what string) (api.Why, error) {
	p, _ := s.Catalog.Live()
	head, task, _ := strings.Cut(what, "/")
	pipeline, due, isSlot := strings.Cut(head, "@")
	switch {
	case what == "":
		return api.Why{}, fault.New(fault.Invalid, "why what? %w", errNoSuchThing)
	case isSlot:
		return s.whySlot(ctx, p, pipeline, due)
	case hasPipeline(p, head) || len(s.broken(head)) > 0:
		if task == "" || !hasPipeline(p, head) {
			return s.whyPipeline(ctx, p, head)
		}
		if pl, _ := p.Pipeline(head); !slices.Contains(pl.TaskNames(), task) {
			if len(s.broken(head)) > 0 { // the task may be new in the version that is broken
				return s.whyPipeline(ctx, p, head)
			}
			return api.Why{}, fault.New(fault.NotFound, "the pipeline %s has no task %q%s", head, task, problem.Suggest(task, pl.TaskNames()))
		}
		newest, err := s.Ledger.Runs(ctx, ledger.RunFilter{Environment: s.Environment, Pipeline: head, Most: 1})
		if err != nil {
			return api.Why{}, err
		}
		if len(newest) == 0 {
			return s.whyPipeline(ctx, p, head)
		}
		head = newest[0].Run
	}
	info, err := s.run(ctx, head)
	if fault.Is(err, fault.NotFound) && task == "" {
		if b, e := s.Ledger.Backfill(ctx, s.Environment, head); e == nil {
			return s.whyBackfill(ctx, p, b)
		}
	}
	if fault.Is(err, fault.NotFound) && p != nil {
		if near := problem.Nearest(head, p.PipelineNames()); near != "" {
			return api.Why{}, noPipeline(p, head)
		}
		return api.Why{}, fault.New(fault.NotFound, "%w, nor a pipeline of that name; %w", err, errNoSuchThing)
	}
	if err != nil {
		return api.Why{}, err
	}
	if task == "" {
		return s.whyRun(ctx, p, info)
	}
	if err := hasTask(info, task); err != nil {
		return api.Why{}, err
	}
	i := slices.IndexFunc(info.Tasks, func(t ledger.TaskInfo) bool { return t.Name == task })
	reasons := s.whyTask(ctx, p, info, info.Tasks[i])
	if errors := s.broken(info.Pipeline); len(errors) > 0 {
		reasons = append(reasons, why.Broken(errors.Summary(), hasPipeline(p, info.Pipeline)))
	}
	return s.toWhy(info.Run+"/"+task, reasons), nil
}

func hasPipeline(p *project.Project, name string) bool {
	if p == nil {
		return false
	}
	_, ok := p.Pipeline(name)
	return ok
}

// spread is how long after due the slots of a pipeline start.
func spread(p *project.Project, name string) time.Duration {
	if !hasPipeline(p, name) {
		return 0
	}
	pl, _ := p.Pipeline(name)
	return slot.Spread(name, pl.Schedule.Spread)
}

// zone is the project's: moments and windows are said in it.
func zone(p *project.Project) *time.Location {
	if p != nil {
		if z, err := time.LoadLocation(p.Timezone); err == nil {
			return z
		}
	}
	return time.UTC
}

// toWhy makes the first reason the sentence.
func (s *Server) toWhy(what string, reasons []why.Reason) api.Why {
	w := api.Why{What: what, Summary: what + " has nothing that holds it back"}
	for n, r := range reasons {
		if n == 0 {
			w.Summary = what + " " + r.Text
			if r.Next != "" {
				w.Summary += "; " + r.Next
			}
		}
		w.Reasons = append(w.Reasons, api.Reason{Text: r.Text, Since: r.Since, Next: r.Next})
	}
	return w
}

func (s *Server) whyRun(ctx context.Context, p *project.Project, info ledger.RunInfo) (api.Why, error) {
	var reasons []why.Reason
	switch {
	case info.State == run.Succeeded:
		reasons = append(reasons, why.Ended("well", "", info.Ended, ""))
	case info.State.Terminal():
		for _, t := range info.Tasks {
			if t.State == run.TaskFailed || t.State == run.TaskCancelled {
				reasons = append(reasons, why.Ended(string(info.State), t.Name+": "+t.Reason, t.Ended, "run it again: tidemill rerun "+info.Run))
			}
		}
	case info.State == run.Queued:
		running, err := s.Ledger.Runs(ctx, ledger.RunFilter{
			Environment: s.Environment, Pipeline: info.Pipeline, State: run.Running, Backfill: info.Backfill, NoBackfills: info.Backfill == "",
		})
		if err != nil {
			return api.Why{}, err
		}
		if b, err := s.Ledger.Backfill(ctx, s.Environment, info.Backfill); err == nil && b.Paused {
			reasons = append(reasons, why.Paused("waits, because backfill "+b.ID, "backfill resume "+b.ID, b.PausedBy, b.PausedNote, b.PausedAt))
			break
		}
		var names []string
		for _, r := range running {
			names = append(names, "run "+r.Run)
		}
		reasons = append(reasons, why.Turn(names, info.Created))
	default:
		for _, t := range info.Tasks {
			if !t.State.Terminal() {
				for _, r := range s.whyTask(ctx, p, info, t) {
					r.Text = t.Name + " " + r.Text
					reasons = append(reasons, r)
				}
			}
		}
	}
	return s.toWhy("run "+info.Run, reasons), nil
}

func (s *Server) whyTask(ctx context.Context, p *project.Project, info ledger.RunInfo, t ledger.TaskInfo) []why.Reason {
	switch t.State {
	case run.TaskWaiting:
		return s.whyWaiting(p, info, t)
	case run.TaskReady:
		return []why.Reason{s.whyReady(ctx, p, run.Ref{Environment: s.Environment, Run: info.Run, Task: t.Name, Index: t.Index}, t)}
	case run.TaskClaimed, run.TaskRunning:
		return []why.Reason{why.Running(max(t.Attempt, 1), t.Began)}
	case run.TaskBackoff:
		return []why.Reason{why.Backoff(t.Reason, t.ReadyAt, zone(p))}
	case run.TaskCancelling, run.TaskClosing:
		return []why.Reason{why.Closing()}
	case run.TaskSucceeded:
		return []why.Reason{why.Ended("well", "", t.Ended, "")}
	default: // an end, below
	}
	return []why.Reason{why.Ended(string(t.State), t.Reason, t.Ended, "run it again: tidemill rerun "+info.Run+" --task "+t.Name)}
}

func (s *Server) whyWaiting(p *project.Project, info ledger.RunInfo, t ledger.TaskInfo) []why.Reason {
	var reasons []why.Reason
	if info.State == run.Queued {
		reasons = append(reasons, why.Turn([]string{"earlier runs of " + info.Pipeline}, info.Created))
	}
	states := map[string]run.TaskState{}
	for _, other := range info.Tasks {
		states[other.Name] = other.State
	}
	var open []string
	for _, up := range t.Upstream {
		if !states[up].Terminal() {
			open = append(open, up)
		}
	}
	if len(open) > 0 {
		reasons = append(reasons, why.Upstream(open, info.Began))
	}
	for _, w := range t.Waits {
		if pipeline, task, ok := ledger.PreviousTask(w.Target); ok {
			reasons = append(reasons, why.Previous(pipeline+"/"+task, w.Window, zone(p), info.Began))
			continue
		}
		reasons = append(reasons, why.Window(w.Target, w.Window, zone(p), producer(p, w.Target), info.Began))
	}
	return reasons
}

// producer names the pipeline that writes a table.
func producer(p *project.Project, table string) string {
	if p == nil {
		return ""
	}
	for _, pl := range p.Pipelines {
		for _, t := range pl.Tasks {
			for _, w := range t.Writes {
				if w.Table.String() == table {
					return pl.Name
				}
			}
		}
	}
	return ""
}

func (s *Server) whyReady(ctx context.Context, p *project.Project, ref run.Ref, t ledger.TaskInfo) why.Reason {
	if limit, holders, err := s.Ledger.HeldBack(ctx, ref); err == nil && limit != "" && p != nil {
		var names []string
		for _, h := range holders {
			names = append(names, h.Run+"/"+h.Task)
		}
		return why.Limit(project.LimitWords(limit), p.Limits()[limit], names, t.ReadyAt)
	}
	sessions, err := s.Ledger.OpenSessions(ctx)
	if err != nil {
		return why.Worker(0, 0, 0, t.ReadyAt)
	}
	slots, busy := 0, 0
	for _, w := range sessions {
		slots += w.Slots
		held, _ := s.Ledger.Held(ctx, w.ID)
		busy += len(held)
	}
	return why.Worker(len(sessions), slots, busy, t.ReadyAt)
}

func (s *Server) whyPipeline(ctx context.Context, p *project.Project, name string) (api.Why, error) {
	what := "pipeline " + name
	var reasons []why.Reason
	if errors := s.broken(name); len(errors) > 0 {
		reasons = append(reasons, why.Broken(errors.Summary(), hasPipeline(p, name)))
	}
	known, err := s.Ledger.Pipelines(ctx, s.Environment)
	if err != nil {
		return api.Why{}, err
	}
	for _, k := range known {
		if k.Pipeline == name && k.Paused {
			reasons = append(reasons, why.Paused("", "resume "+name, k.PausedBy, k.PausedNote, k.PausedAt))
		}
	}
	incidents, err := s.Ledger.Incidents(ctx, s.Environment, false)
	if err != nil {
		return api.Why{}, err
	}
	for _, i := range incidents {
		if i.Pipeline == name && i.Kind != "definition_error" { // those are said above, by what is wrong
			reasons = append(reasons, why.Incident(i.ID, i.Kind, i.Task, i.Summary, i.Opened))
		}
	}
	open, err := s.Ledger.Runs(ctx, ledger.RunFilter{Environment: s.Environment, Pipeline: name, State: run.Running, Most: 5, NoBackfills: true})
	if err != nil {
		return api.Why{}, err
	}
	for _, r := range open {
		w, err := s.why(ctx, r.Run)
		if err != nil {
			return api.Why{}, err
		}
		reasons = append(reasons, why.Reason{Text: "has a run going on: " + w.Summary, Since: r.Began})
	}
	backfills, err := s.Ledger.Backfills(ctx, s.Environment)
	if err != nil {
		return api.Why{}, err
	}
	for _, b := range backfills {
		if b.Pipeline == name && !b.State.Terminal() {
			w, err := s.whyBackfill(ctx, p, b)
			if err != nil {
				return api.Why{}, err
			}
			reasons = append(reasons, why.Reason{Text: "has a backfill going on: " + w.Summary, Since: b.Created})
		}
	}
	slots, err := s.Ledger.Slots(ctx, s.Environment, name, 1)
	if err != nil {
		return api.Why{}, err
	}
	if len(slots) == 1 && slots[0].State == slot.Expected {
		reasons = append(reasons, why.NotDue(slots[0].Due, slots[0].Window, spread(p, name), zone(p)))
	}
	if hasPipeline(p, name) {
		if pl, _ := p.Pipeline(name); !pl.Schedule.Scheduled() {
			reasons = append(reasons, why.NoSchedule(name))
		}
	}
	return s.toWhy(what, reasons), nil
}

func (s *Server) whySlot(ctx context.Context, p *project.Project, pipeline, due string) (api.Why, error) {
	if err := s.pipeline(ctx, pipeline); err != nil {
		return api.Why{}, err
	}
	at, err := time.Parse(time.RFC3339, due)
	if err != nil {
		return api.Why{}, fault.New(fault.Invalid, "%q is no due time in RFC 3339", due)
	}
	slots, err := s.Ledger.Slots(ctx, s.Environment, pipeline, 10_000)
	if err != nil {
		return api.Why{}, err
	}
	for _, i := range slots {
		covers := !i.First.IsZero() && !at.Before(i.First) && !at.After(i.Due)
		if i.Due.Equal(at) || covers {
			what := fmt.Sprintf("slot %s@%s", pipeline, due)
			r := why.Reason{Text: i.String()}
			switch by := spread(p, pipeline); {
			case i.State == slot.Ran:
				r.Text = "became run " + i.Run
				r.Next = "see: tidemill why " + i.Run
			case i.State == slot.Blocked && i.Run != "":
				r.Next = "its run: tidemill why " + i.Run
			case i.State == slot.Expected && by > 0:
				r.Next = why.Starts(i.Due, by, zone(p))
			}
			return s.toWhy(what, []why.Reason{r}), nil
		}
	}
	return api.Why{}, fault.New(fault.NotFound, "pipeline %s has no slot due at %s", pipeline, due)
}
