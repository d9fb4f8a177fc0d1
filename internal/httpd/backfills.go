package httpd

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/core/slot"
	"github.com/tidemill/tidemill/internal/core/why"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/scheduler"
)

func (s *Server) backfillRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST /api/v1/backfills", take(s.backfill))
	mux.HandleFunc("GET /api/v1/backfills", handle(func(ctx context.Context, _ *http.Request) ([]api.Backfill, error) {
		list, err := s.Ledger.Backfills(ctx, s.Environment)
		out := make([]api.Backfill, 0, len(list))
		for _, b := range list {
			out = append(out, backfillOf(b))
		}
		return out, err
	}))
	mux.HandleFunc("GET /api/v1/backfills/{backfill}", handle(func(ctx context.Context, r *http.Request) (api.Backfill, error) {
		return s.showBackfill(ctx, r.PathValue("backfill"))
	}))
	mux.HandleFunc("POST /api/v1/backfills/{backfill}/pause", take(func(ctx context.Context, r *http.Request, in api.PauseRequest) (api.Backfill, error) {
		b, err := s.Ledger.Backfill(ctx, s.Environment, r.PathValue("backfill"))
		if err == nil {
			err = s.Ledger.PauseBackfill(ctx, s.Environment, b.ID, in.Paused, in.By, in.Note)
		}
		if err != nil {
			return api.Backfill{}, err
		}
		return s.showBackfill(ctx, b.ID)
	}))
	mux.HandleFunc("POST /api/v1/backfills/{backfill}/cancel", handle(func(ctx context.Context, r *http.Request) (int, error) {
		b, err := s.Ledger.Backfill(ctx, s.Environment, r.PathValue("backfill"))
		if err != nil {
			return 0, err
		}
		return s.Ledger.CancelBackfill(ctx, s.Environment, b.ID, r.URL.Query().Get("by"))
	}))
}

// backfill cuts a range into windows and creates runs of those that its rule wants,
// or says what it would do.
func (s *Server) backfill(ctx context.Context, _ *http.Request, in api.BackfillRequest) (api.Backfill, error) {
	p, pl, bundle, err := s.fresh(ctx, in.Pipeline)
	if err != nil {
		return api.Backfill{}, err
	}
	if err := settle(&in, pl); err != nil {
		return api.Backfill{}, err
	}
	timetable, err := pl.Schedule.Timetable()
	if err != nil {
		return api.Backfill{}, err
	}
	windows, within, err := s.backfillWindows(ctx, pl, timetable, in)
	if err != nil {
		return api.Backfill{}, err
	}
	choices, err := s.choose(ctx, pl, in.Reprocess, windows, within)
	if err != nil {
		return api.Backfill{}, err
	}
	out := planned(choices, in.DryRun)
	out.Pipeline, out.Range, out.Chunk, out.Concurrency, out.By = pl.Name, within, in.Chunk, max(1, in.Concurrency), in.By
	out.Direction, out.Reprocess = in.Direction, in.Reprocess
	if in.DryRun {
		err := s.foresee(ctx, pl, &out)
		return out, err
	}
	if len(out.Windows) == 0 {
		return out, nil
	}
	b := ledger.NewBackfill{
		Environment: s.Environment, ID: ledger.NewID(time.Now()), Pipeline: pl.Name, Range: within, Chunk: in.Chunk, Concurrency: in.Concurrency,
		Direction: in.Direction, Reprocess: in.Reprocess, By: in.By,
	}
	for _, w := range out.Windows {
		tasks, err := scheduler.Tasks(p, pl, w, time.Time{}, scheduler.Choice{})
		if err != nil {
			return out, err
		}
		b.Runs = append(b.Runs, ledger.NewRun{
			Environment: s.Environment, ID: ledger.NewID(time.Now()), Pipeline: pl.Name, Owner: pl.Owner, Bundle: bundle, Window: w, By: in.By, Tasks: tasks,
		})
	}
	if err := s.Ledger.CreateBackfill(ctx, b); err != nil {
		return out, err
	}
	created, err := s.showBackfill(ctx, b.ID)
	created.Chosen, created.LeftOut = out.Chosen, out.LeftOut
	return created, err
}

// settle fills in what a request leaves open, and refuses what cannot be done.
func settle(in *api.BackfillRequest, pl *project.Pipeline) error {
	if in.Missing && in.Reprocess != "" && in.Reprocess != slot.ReprocessMissing {
		return fault.New(fault.Invalid, "--missing is short for --reprocess missing; leave out one of them")
	}
	if in.Missing {
		in.Reprocess = slot.ReprocessMissing
	}
	in.Reprocess, in.Direction = cmp.Or(in.Reprocess, slot.ReprocessAll), cmp.Or(in.Direction, slot.OldestFirst)
	if !slices.Contains([]slot.Reprocess{slot.ReprocessAll, slot.ReprocessMissing, slot.ReprocessFailed}, in.Reprocess) {
		return fault.New(fault.Invalid, "reprocess %q: write missing, failed or all", in.Reprocess)
	}
	switch in.Direction {
	case slot.OldestFirst:
		return nil
	case slot.NewestFirst:
	default:
		return fault.New(fault.Invalid, "direction %q: write oldest or newest", in.Direction)
	}
	for _, t := range pl.Tasks {
		if t.Previous {
			return fault.New(fault.Invalid, "%s/%s waits for the window before its own (after_previous): the newest cannot start first", pl.Name, t.Name)
		}
	}
	return nil
}

func (s *Server) backfillWindows(ctx context.Context, pl *project.Pipeline, t calendar.Timetable, in api.BackfillRequest) ([]calendar.Window, calendar.Window, error) {
	var within calendar.Window
	var err error
	if within.Start, err = calendar.ParseMoment(in.From, t.Zone()); err != nil {
		return nil, within, fault.New(fault.Invalid, "from: %s", calendar.Explain(err))
	}
	if within.End, err = calendar.ParseMoment(in.To, t.Zone()); err != nil {
		return nil, within, fault.New(fault.Invalid, "to: %s", calendar.Explain(err))
	}
	if within.Empty() {
		return nil, within, fault.New(fault.Invalid, "the range from %s to %s is empty", in.From, in.To)
	}
	if reached := t.Reached(time.Now()); within.End.After(reached) { // what is to come would count as covered
		if within.End = reached; within.Empty() {
			return nil, within, fault.New(fault.Invalid, "nothing from %s on has come due: the newest window ends at %s", in.From, reached.UTC().Format(time.RFC3339))
		}
	}
	var windows []calendar.Window
	if in.Chunk != "" {
		chunk, err := slot.ParseChunk(in.Chunk)
		if err != nil {
			return nil, within, fault.New(fault.Invalid, "chunk: %s", calendar.Explain(err))
		}
		windows, err = slot.Cut(within, chunk, t.Zone())
		if err != nil {
			return nil, within, fault.New(fault.Invalid, "%w", err)
		}
		return windows, within, nil
	}
	recorded, err := s.Ledger.RecordedWindows(ctx, s.Environment, pl.Name, within)
	if err != nil {
		return nil, within, err
	}
	if windows, err = slot.Chunks(t, within, recorded); err != nil {
		return nil, within, fault.New(fault.Invalid, "%w", err)
	}
	return windows, within, nil
}

// choose asks the rule of a backfill about each window.
func (s *Server) choose(ctx context.Context, pl *project.Pipeline, rule slot.Reprocess, windows []calendar.Window, within calendar.Window) ([]slot.Choice, error) {
	var tables [][]calendar.Window
	for _, t := range pl.Tasks {
		for _, w := range t.Writes {
			if w.Mode == project.ModeView {
				continue
			}
			intervals, err := s.Ledger.Published(ctx, s.Environment, w.Table.String())
			if err != nil {
				return nil, err
			}
			tables = append(tables, intervals)
		}
	}
	past, err := s.Ledger.PastRuns(ctx, s.Environment, pl.Name, within)
	if err != nil {
		return nil, err
	}
	return slot.Choose(windows, rule, tables, past), nil
}

// planned counts what the rule said, and lists it where somebody wants to see it.
func planned(choices []slot.Choice, whole bool) api.Backfill {
	out := api.Backfill{Chosen: map[string]int{}, LeftOut: map[string]int{}}
	for _, c := range choices {
		if c.Runs {
			out.Windows = append(out.Windows, c.Window)
			out.Chosen[c.Reason]++
		} else {
			out.LeftOut[c.Reason]++
		}
		if whole {
			out.Plan = append(out.Plan, api.PlannedWindow{Window: c.Window, Runs: c.Runs, Reason: c.Reason, Run: c.Run})
		}
	}
	return out
}

// foresee says of which windows it is known before that their runs will fail: of
// those that are older than what a table holds that is replaced as a whole.
func (s *Server) foresee(ctx context.Context, pl *project.Pipeline, out *api.Backfill) error {
	for _, t := range pl.Tasks {
		for _, w := range t.Writes {
			if w.Mode != project.ModeReplace {
				continue
			}
			intervals, err := s.Ledger.Published(ctx, s.Environment, w.Table.String())
			if err != nil {
				return err
			}
			if len(out.Windows) > 0 && out.Direction == slot.NewestFirst { // it will hold the newest of them
				intervals = append(intervals, out.Windows[len(out.Windows)-1])
			}
			for i := range out.Plan {
				one := &out.Plan[i]
				if one.Runs && slices.ContainsFunc(intervals, func(held calendar.Window) bool { return held.End.After(one.Window.End) }) {
					one.Refused = w.Table.String() + " is replaced as a whole and holds a newer window"
				}
			}
		}
	}
	return nil
}

// mostFailed bounds how many failed windows are shown with their errors.
const mostFailed = 10

func (s *Server) showBackfill(ctx context.Context, id string) (api.Backfill, error) {
	b, err := s.Ledger.Backfill(ctx, s.Environment, id)
	if err != nil {
		return api.Backfill{}, err
	}
	out := backfillOf(b)
	if b.Runs[run.Failed] == 0 {
		return out, nil
	}
	failed, err := s.Ledger.FailedRuns(ctx, s.Environment, b.ID, mostFailed)
	for _, f := range failed {
		out.Failed = append(out.Failed, api.FailedWindow{Run: f.Run, Window: f.Window, Task: f.Task, Reason: f.Reason})
	}
	return out, err
}

func backfillOf(b ledger.BackfillInfo) api.Backfill {
	out := api.Backfill{
		ID: b.ID, Pipeline: b.Pipeline, Range: b.Range, Chunk: b.Chunk, Concurrency: b.Concurrency, Direction: b.Direction, Reprocess: b.Reprocess,
		State: b.State, Paused: b.Paused, Created: b.Created, Ended: b.Ended, By: b.CreatedBy, Runs: b.Runs,
	}
	if b.Paused {
		out.PausedBy, out.Note = b.PausedBy, b.PausedNote
	}
	return out
}

// rolledRuns lists runs with one entry for each backfill in the place of its runs.
func (s *Server) rolledRuns(ctx context.Context, f ledger.RunFilter) ([]api.Run, error) {
	f.NoBackfills = true
	list, err := s.Ledger.Runs(ctx, f)
	if err != nil {
		return nil, err
	}
	out := make([]api.Run, 0, len(list))
	for _, i := range list {
		out = append(out, runOf(i))
	}
	backfills, err := s.Ledger.Backfills(ctx, s.Environment)
	for _, b := range backfills {
		if (f.Pipeline == "" || b.Pipeline == f.Pipeline) && (f.State == "" || b.Runs[f.State] > 0) {
			out = append(out, api.Run{
				ID: b.ID, Backfill: b.ID, Pipeline: b.Pipeline, Kind: ledger.KindBackfill, State: b.State, Window: b.Range,
				Created: b.Created, Began: b.Created, Ended: b.Ended, By: b.CreatedBy, Runs: b.Runs,
			})
		}
	}
	slices.SortStableFunc(out, func(a, b api.Run) int { return b.Created.Compare(a.Created) })
	return out[:min(len(out), f.Most)], err
}

// whyBackfill says how a backfill ended, or what it waits for.
func (s *Server) whyBackfill(ctx context.Context, p *project.Project, b ledger.BackfillInfo) (api.Why, error) {
	what := "backfill " + b.ID + " of " + b.Pipeline
	facts := why.Fill{
		ID: b.ID, Pipeline: b.Pipeline, Chunk: b.Chunk, Zone: zone(p), State: string(b.State), Newest: b.Direction == slot.NewestFirst, Concurrency: b.Concurrency,
		Queued: b.Runs[run.Queued], Running: b.Runs[run.Running], Failed: b.Runs[run.Failed], Cancelled: b.Runs[run.Cancelled], Succeeded: b.Runs[run.Succeeded],
	}
	if b.State.Terminal() {
		reasons := []why.Reason{why.FillEnded(facts, b.Range, b.Ended)}
		failed, err := s.Ledger.FailedRuns(ctx, s.Environment, b.ID, 3)
		for _, f := range failed {
			reasons = append(reasons, why.FailedWindow(f.Window, zone(p), f.Run, f.Task, f.Reason))
		}
		return s.toWhy(what, reasons), err
	}
	var reasons []why.Reason
	if b.Paused {
		reasons = append(reasons, why.Paused("", "backfill resume "+b.ID, b.PausedBy, b.PausedNote, b.PausedAt))
	}
	reasons = append(reasons, why.FillGoesOn(facts, b.Paused, b.Created))
	open, err := s.Ledger.Runs(ctx, ledger.RunFilter{Environment: s.Environment, Backfill: b.ID, State: run.Running, Most: 5})
	if err != nil {
		return api.Why{}, err
	}
	for _, r := range open {
		w, err := s.why(ctx, r.Run)
		if err != nil {
			return api.Why{}, err
		}
		reasons = append(reasons, why.Reason{Text: "has window " + r.Window.Text(zone(p)) + " going on: " + w.Summary, Since: r.Began})
	}
	return s.toWhy(what, reasons), nil
}
