package httpd

import (
	"context"
	"net/http"
	"time"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/core/slot"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/scheduler"
)

// backfill cuts a range into windows and creates its runs, or says what it would do.
func (s *Server) backfill(ctx context.Context, _ *http.Request, in api.BackfillRequest) (api.Backfill, error) {
	p, pl, bundle, err := s.fresh(ctx, in.Pipeline)
	if err != nil {
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
	out := api.Backfill{Pipeline: pl.Name, Range: within, Chunk: in.Chunk, Concurrency: max(1, in.Concurrency), By: in.By}
	if in.DryRun || len(windows) == 0 {
		out.Windows = windows
		return out, nil
	}
	b := ledger.NewBackfill{
		Environment: s.Environment, ID: ledger.NewID(time.Now()), Pipeline: pl.Name, Range: within, Chunk: in.Chunk, Concurrency: in.Concurrency, By: in.By,
	}
	for _, w := range windows {
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
	return s.showBackfill(ctx, b.ID)
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
	} else {
		recorded, err := s.Ledger.RecordedWindows(ctx, s.Environment, pl.Name, within)
		if err != nil {
			return nil, within, err
		}
		if windows, err = slot.Chunks(t, within, recorded); err != nil {
			return nil, within, fault.New(fault.Invalid, "%w", err)
		}
	}
	if !in.Missing {
		return windows, within, nil
	}
	missing, err := s.onlyMissing(ctx, pl, windows)
	return missing, within, err
}

// onlyMissing keeps the windows that some table of the pipeline does not cover.
func (s *Server) onlyMissing(ctx context.Context, pl *project.Pipeline, windows []calendar.Window) ([]calendar.Window, error) {
	var covered [][]commit.Window
	for _, t := range pl.Tasks {
		for _, w := range t.Writes {
			if w.Mode == project.ModeView {
				continue
			}
			intervals, err := s.Ledger.Published(ctx, s.Environment, w.Table.String())
			if err != nil {
				return nil, err
			}
			covered = append(covered, intervals)
		}
	}
	var out []calendar.Window
	for _, w := range windows {
		for _, intervals := range covered {
			if !slot.Covers(intervals, w) {
				out = append(out, w)
				break
			}
		}
	}
	return out, nil
}

func (s *Server) showBackfill(ctx context.Context, id string) (api.Backfill, error) {
	list, err := s.Ledger.Backfills(ctx, s.Environment)
	if err != nil {
		return api.Backfill{}, err
	}
	for _, b := range list {
		if b.ID == id {
			return backfillOf(b), nil
		}
	}
	return api.Backfill{}, fault.New(fault.NotFound, "no backfill %q", id)
}

func backfillOf(b ledger.BackfillInfo) api.Backfill {
	return api.Backfill{
		ID: b.ID, Pipeline: b.Pipeline, Range: b.Range, Chunk: b.Chunk, Concurrency: b.Concurrency, State: b.State,
		Created: b.Created, Ended: b.Ended, By: b.CreatedBy, Runs: b.Runs,
	}
}

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
	mux.HandleFunc("POST /api/v1/backfills/{backfill}/cancel", handle(func(ctx context.Context, r *http.Request) (int, error) {
		if _, err := s.showBackfill(ctx, r.PathValue("backfill")); err != nil {
			return 0, err
		}
		n, err := s.Ledger.CancelBackfill(ctx, s.Environment, r.PathValue("backfill"), r.URL.Query().Get("by"))
		return n, err
	}))
}
