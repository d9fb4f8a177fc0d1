package app

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/tidemill/tidemill/internal/bundle"
	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/door"
	"github.com/tidemill/tidemill/internal/ledger"
)

// How often tables are held against the freshness that their contracts promise;
// and how soon again while the worker, which alone can look, is not there.
const (
	freshEvery = time.Minute
	freshAgain = time.Second
)

// watchFreshness judges by the clock, whether or not anything runs.
func (s *Server) watchFreshness(ctx context.Context) error {
	for {
		wait := freshEvery
		if err := s.judgeFreshness(ctx, time.Now()); fault.Is(err, fault.Unavailable) {
			wait = freshAgain
		} else if err != nil && ctx.Err() == nil {
			s.options.Log.Error("judge the freshness of tables", "cause", err)
		}
		if !sleep(ctx, wait) {
			return nil
		}
	}
}

// judgeFreshness opens an incident for each table that is older than promised,
// and resolves those of tables that are fresh again, or that nobody is to load any more.
func (s *Server) judgeFreshness(ctx context.Context, now time.Time) error {
	live := s.catalog.Live()
	if live == nil {
		return nil
	}
	open, err := s.ledger.Incidents(ctx, s.options.Environment, false)
	if err != nil {
		return err
	}
	stale := map[string]bool{} // pipeline/task
	var errs []error
	for _, table := range live.Plan.Contracts {
		for _, c := range table.ChecksOf(contract.ScopeWatch) {
			r, err := s.staleness(ctx, live, table.Name, c, now)
			if err != nil {
				errs = append(errs, err)
			}
			if r.Kind == "" {
				continue
			}
			stale[r.Pipeline+"/"+r.Task] = true
			if r.Summary != "" {
				errs = append(errs, s.ledger.Report(ctx, r))
			}
		}
	}
	for _, i := range open {
		if i.Kind == staleKind && !stale[i.Pipeline+"/"+i.Task] {
			r := ledger.Report{Environment: i.Environment, Kind: i.Kind, Pipeline: i.Pipeline, Task: i.Task}
			errs = append(errs, s.ledger.Resolve(ctx, r, "the table is as fresh as promised, or nobody is to load it any more"))
		}
	}
	return errors.Join(errs...)
}

const staleKind = "stale"

// staleness returns the incident of a table that is too old. Without a kind there
// is none; without a summary it could not be judged, and stays as it is.
func (s *Server) staleness(ctx context.Context, live *bundle.Bundle, name string, c contract.Check, now time.Time) (ledger.Report, error) {
	t, err := project.ParseTable(name)
	if err != nil {
		return ledger.Report{}, err
	}
	pl, task := writer(&live.Plan.Project, t)
	if pl == nil || ended(pl, now) {
		return ledger.Report{}, nil
	}
	r := ledger.Report{Environment: s.options.Environment, Kind: staleKind, Severity: "warning", Pipeline: pl.Name, Task: task, Owner: pl.Owner}
	var newest door.Newest
	if err := s.ask(ctx, "/v1/newest", door.Column{Bundle: live.Hash, Table: t, Column: c.Field, Zone: pl.Schedule.Timezone}, &newest); err != nil {
		return r, err
	}
	if newest.At.IsZero() {
		return ledger.Report{}, nil // there is nothing yet: a run that is missing has incidents of its own
	}
	if r.Summary = c.Stale(newest.At, now); r.Summary == "" {
		return ledger.Report{}, nil
	}
	r.Summary = "table " + name + ": " + r.Summary
	return r, nil
}

// ask asks the home worker through the server's own door.
func (s *Server) ask(ctx context.Context, path string, in, out any) error {
	client := s.Client()
	defer client.Close()
	answer, err := client.Door(ctx, path, in)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Close() }()
	if err := json.NewDecoder(answer).Decode(out); err != nil {
		return fault.New(fault.Unavailable, "answer to %s: %w", path, err)
	}
	return nil
}

// writer finds who writes a table.
func writer(p *project.Project, table project.Table) (*project.Pipeline, string) {
	for i := range p.Pipelines {
		for _, t := range p.Pipelines[i].Tasks {
			for _, w := range t.Writes {
				if w.Table == table {
					return &p.Pipelines[i], t.Name
				}
			}
		}
	}
	return nil, ""
}

// ended reports whether a schedule has come to its end.
func ended(pl *project.Pipeline, now time.Time) bool {
	t, err := pl.Schedule.Timetable()
	if err != nil || !t.Scheduled() {
		return false
	}
	_, more := t.Next(now)
	return !more
}
