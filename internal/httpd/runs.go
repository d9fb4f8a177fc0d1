package httpd

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/core/slot"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/scheduler"
)

func (s *Server) runRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST /api/v1/runs", take(s.startRun))
	mux.HandleFunc("GET /api/v1/runs", handle(s.listRuns))
	mux.HandleFunc("GET /api/v1/runs/{run}", handle(func(ctx context.Context, r *http.Request) (api.Run, error) {
		return s.showRun(ctx, r.PathValue("run"))
	}))
	mux.HandleFunc("POST /api/v1/runs/{run}/cancel", handle(func(ctx context.Context, r *http.Request) (struct{}, error) {
		found, err := s.run(ctx, r.PathValue("run"))
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.Ledger.CancelRun(ctx, found.RunRef, r.URL.Query().Get("by"))
	}))
	mux.HandleFunc("POST /api/v1/runs/{run}/rerun", take(s.rerun))
	mux.HandleFunc("GET /api/v1/runs/{run}/logs/{task}", s.readLog)
	mux.HandleFunc("POST /api/v1/set-aside", take(func(ctx context.Context, _ *http.Request, in api.SetAsideRequest) (api.Run, error) {
		found, err := s.run(ctx, in.Run)
		if err == nil {
			err = hasTask(found, in.Task)
		}
		if err != nil {
			return api.Run{}, err
		}
		ref := run.Ref{Environment: s.Environment, Run: found.Run, Task: in.Task, Index: in.Index}
		if err := s.Ledger.SetAside(ctx, ref, in.Accepted, in.By, in.Note); err != nil {
			return api.Run{}, err
		}
		return s.showRun(ctx, found.Run)
	}))
	s.backfillRoutes(mux)
	mux.HandleFunc("GET /api/v1/why", handle(func(ctx context.Context, r *http.Request) (api.Why, error) {
		return s.why(ctx, r.URL.Query().Get("what"))
	}))
}

// live returns the live project with one of its pipelines.
func (s *Server) live(pipeline string) (*project.Project, *project.Pipeline, string, error) {
	p, bundle := s.Catalog.Live()
	if p == nil {
		return nil, nil, "", errNoVersion
	}
	if pl, ok := p.Pipeline(pipeline); ok {
		return p, pl, bundle, nil
	}
	if errors := s.broken(pipeline); len(errors) > 0 {
		return nil, nil, "", fault.New(fault.Invalid, "the pipeline %s has errors and cannot run: %s; see: tidemill check", pipeline, errors.Summary())
	}
	return nil, nil, "", noPipeline(p, pipeline)
}

// fresh is live, after the folder was looked at: who starts something has perhaps
// just saved a file. Where the folder cannot be read, the live version counts.
func (s *Server) fresh(ctx context.Context, pipeline string) (*project.Project, *project.Pipeline, string, error) {
	if err := s.Catalog.Refresh(ctx); err != nil {
		s.Log.Warn("read the project again", "cause", err)
	}
	return s.live(pipeline)
}

func (s *Server) startRun(ctx context.Context, _ *http.Request, in api.RunRequest) (api.Run, error) {
	p, pl, bundle, err := s.fresh(ctx, in.Pipeline)
	if err != nil {
		return api.Run{}, err
	}
	for _, name := range append(slices.Clone(in.Tasks), in.From) {
		if _, ok := pl.Task(name); !ok && name != "" {
			return api.Run{}, fault.New(fault.NotFound, "the pipeline %s has no task %q%s", pl.Name, name, problem.Suggest(name, pl.TaskNames()))
		}
	}
	params, err := pl.ReadParams(in.Params)
	if err != nil {
		return api.Run{}, err
	}
	timetable, err := pl.Schedule.Timetable()
	if err != nil {
		return api.Run{}, err
	}
	n := ledger.NewRun{
		Environment: s.Environment, ID: ledger.NewID(time.Now()), Pipeline: pl.Name, Owner: pl.Owner, Bundle: bundle,
		Kind: ledger.KindManual, Params: params, By: in.By, Overlap: pl.Overlap,
	}
	choice := scheduler.Choice{Tasks: in.Tasks, From: in.From}
	if in.Window != "" {
		n.Kind = ledger.KindWindow
		if n.Window, err = namedWindow(timetable, in.Window, time.Now()); err != nil {
			return api.Run{}, err
		}
		if n.Tasks, err = scheduler.Tasks(p, pl, n.Window, time.Time{}, choice); err != nil {
			return api.Run{}, err
		}
		err = s.Ledger.CreateRun(ctx, n)
	} else {
		_, err = s.Ledger.CreateManual(ctx, n, func(known slot.Pipeline, now time.Time) (calendar.Window, []ledger.NewTask, bool, error) {
			known.Timetable = timetable
			w, moves, err := slot.ManualWindow(known, now)
			if err != nil {
				return w, nil, false, fault.New(fault.Conflict, "%s: %w; name one with --window", pl.Name, err)
			}
			tasks, err := scheduler.Tasks(p, pl, w, time.Time{}, choice)
			return w, tasks, moves, err
		})
	}
	if err != nil {
		return api.Run{}, err
	}
	return s.showRun(ctx, n.ID)
}

// namedWindow reads a window as a person writes it: a local date stands for the
// schedule's own window that starts on it. One that has not come due is refused:
// a run of it would count as covering what is still to come.
func namedWindow(t calendar.Timetable, text string, now time.Time) (calendar.Window, error) {
	w, err := t.NamedWindow(text)
	if err != nil {
		return w, fault.New(fault.Invalid, "window: %s", calendar.Explain(err))
	}
	if reached := t.Reached(now); w.End.After(reached) {
		return w, fault.New(fault.Invalid, "window: %s is not over: a run of it would count as having all its data, and the newest that has come due ends at %s", w, reached.UTC().Format(time.RFC3339))
	}
	return w, nil
}

func (s *Server) listRuns(ctx context.Context, r *http.Request) ([]api.Run, error) {
	q := r.URL.Query()
	if name := q.Get("pipeline"); name != "" {
		if err := s.pipeline(ctx, name); err != nil {
			return nil, err
		}
	}
	filter := ledger.RunFilter{Environment: s.Environment, Pipeline: q.Get("pipeline"), State: run.State(q.Get("state")), Most: number(r, "most", 50)}
	if q.Get("rolled") == "true" {
		return s.rolledRuns(ctx, filter)
	}
	if id := q.Get("backfill"); id != "" {
		b, err := s.Ledger.Backfill(ctx, s.Environment, id)
		if err != nil {
			return nil, err
		}
		filter.Backfill = b.ID
	}
	list, err := s.Ledger.Runs(ctx, filter)
	out := make([]api.Run, 0, len(list))
	for _, i := range list {
		out = append(out, runOf(i))
	}
	return out, err
}

func (s *Server) showRun(ctx context.Context, id string) (api.Run, error) {
	info, err := s.run(ctx, id)
	if err != nil {
		return api.Run{}, err
	}
	out := runOf(info)
	attempts, err := s.Ledger.Attempts(ctx, info.RunRef, "")
	if err != nil {
		return api.Run{}, err
	}
	type instance struct {
		task  string
		index int
	}
	of := map[instance][]api.Attempt{}
	for _, a := range attempts {
		key := instance{a.Task, a.Index}
		of[key] = append(of[key], attemptInfo(a))
	}
	for _, t := range info.Tasks {
		one := taskOf(t)
		one.Attempts = of[instance{t.Name, t.Index}]
		out.Tasks = append(out.Tasks, one)
	}
	return out, nil
}

func runOf(i ledger.RunInfo) api.Run {
	return api.Run{
		ID: i.Run, Pipeline: i.Pipeline, Kind: i.Kind, State: i.State, Window: i.Window, Due: i.Due, Created: i.Created, Began: i.Began, Ended: i.Ended,
		By: i.CreatedBy, CancelBy: i.CancelBy, Backfill: i.Backfill, Bundle: i.Bundle, Params: i.Params, OpenTasks: i.Open, BadTasks: i.Bad,
	}
}

func taskOf(t ledger.TaskInfo) api.Task {
	out := api.Task{
		Name: t.Name, Index: t.Index, State: t.State, Generation: t.Generation, Attempt: t.Attempt, Failures: t.Failures, Losses: t.Losses,
		Retries: t.Retries, Upstream: t.Upstream, ReadyAt: t.ReadyAt, Kind: t.Kind, Reason: t.Reason, Began: t.Began, Ended: t.Ended,
	}
	for _, w := range t.Waits {
		out.Waits = append(out.Waits, api.Wait{Table: w.Target, Window: w.Window})
	}
	return out
}

func attemptInfo(a ledger.AttemptInfo) api.Attempt {
	return api.Attempt{
		Attempt: a.Attempt, Generation: a.Generation, State: a.State, Kind: a.Kind, Reason: a.Reason, Began: a.Began, Ended: a.Ended,
		ExitCode: a.Result.ExitCode, PeakBytes: a.Result.PeakBytes, Receipts: a.Result.Receipts,
	}
}

func (s *Server) rerun(ctx context.Context, r *http.Request, in api.RerunRequest) ([]string, error) {
	info, err := s.run(ctx, r.PathValue("run"))
	if err != nil {
		return nil, err
	}
	for _, name := range in.Tasks {
		if err := hasTask(info, name); err != nil {
			return nil, err
		}
	}
	scope := ledger.RerunScope{Tasks: in.Tasks, Following: in.Following}
	switch in.Code {
	case "", "now":
		_, pl, bundle, err := s.fresh(ctx, info.Pipeline)
		if err != nil {
			return nil, err
		}
		for _, t := range info.Tasks {
			if _, ok := pl.Task(t.Name); !ok {
				return nil, fault.New(fault.Conflict, "the live project no longer has the task %s; rerun with --code then, or start a new run of the window", t.Name)
			}
		}
		scope.Bundle = bundle
	case "then":
		scope.Bundle = info.FirstBundle
	default:
		return nil, fault.New(fault.Invalid, "code %q: write now or then", in.Code)
	}
	return s.Ledger.Rerun(ctx, info.RunRef, scope, in.By)
}

// readLog streams an attempt's log; with follow, until the attempt has ended.
func (s *Server) readLog(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	info, err := s.run(ctx, r.PathValue("run"))
	if err != nil {
		refuse(w, err)
		return
	}
	ref := run.Ref{Environment: s.Environment, Run: info.Run, Task: r.PathValue("task"), Index: number(r, "index", 0)}
	attempt := number(r, "attempt", 0)
	ended := func() (bool, error) { return s.attemptEnded(ctx, ref, attempt) }
	if attempt == 0 {
		if attempt, err = s.newestAttempt(ctx, info, ref); err != nil {
			refuse(w, err)
			return
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out := flushing{w, http.NewResponseController(w)}
	if r.URL.Query().Get("follow") == "true" {
		err = s.Logs.Follow(ctx, out, ref, attempt, 0, ended)
	} else {
		_, err = s.Logs.Copy(out, ref, attempt, 0)
	}
	if err == nil {
		err = s.tellPromotions(ctx, out, ref, attempt)
	}
	if err != nil && ctx.Err() == nil {
		s.Log.Error("read a log", "task", ref.String(), "cause", err)
	}
}

// tellPromotions ends a log with what became of the models that the attempt made:
// that is decided with its success, when its own log has ended.
func (s *Server) tellPromotions(ctx context.Context, out io.Writer, ref run.Ref, attempt int) error {
	made, err := s.Ledger.ModelsMade(ctx, ref, attempt)
	for _, m := range made {
		for _, p := range m.Promotions {
			if _, err := fmt.Fprintf(out, "%s tidemill model %s:%d was %s\n", m.Created.UTC().Format("2006-01-02T15:04:05.000Z"), m.Name, m.Version, p); err != nil {
				return err
			}
		}
	}
	return err
}

func (s *Server) newestAttempt(ctx context.Context, info ledger.RunInfo, ref run.Ref) (int, error) {
	for _, t := range info.Tasks {
		if t.Name == ref.Task && t.Index == ref.Index {
			if t.Attempt == 0 {
				return 0, fault.New(fault.NotFound, "task %s has not started: it is %s", ref.Task, t.State)
			}
			return t.Attempt, nil
		}
	}
	return 0, hasTask(info, ref.Task)
}

func (s *Server) attemptEnded(ctx context.Context, ref run.Ref, attempt int) (bool, error) {
	attempts, err := s.Ledger.Attempts(ctx, ledger.RunRef{Environment: ref.Environment, Run: ref.Run}, ref.Task)
	for _, a := range attempts {
		if a.Index == ref.Index && a.Attempt == attempt {
			return a.State != "running", err
		}
	}
	return true, err
}

// flushing sends each piece at once.
type flushing struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (f flushing) Write(b []byte) (int, error) {
	n, err := f.ResponseWriter.Write(b)
	if err == nil {
		err = f.control.Flush()
	}
	return n, err
}
