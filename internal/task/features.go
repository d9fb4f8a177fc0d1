package task

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/feature"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/protocol"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/store"
	"github.com/tidemill/tidemill/internal/training"
)

// SetMeta is what a script is told about a set's rows.
type SetMeta struct {
	feature.Columns
	Set  string `json:"set"`
	Pin  string `json:"pin,omitempty"`
	Rows int64  `json:"rows"`
}

// Trial runs a script under another knowledge than the honest one, and keeps
// nothing but its metrics: what a leaking join would have claimed.
type Trial struct {
	Mode    feature.Mode
	KnownAt string
}

// query answers SQL of a script, on the warehouse.
func (s *script) query(ctx context.Context, q session.Query, accept string) (*session.Rows, error) {
	opened, err := s.Stores.Open(ctx, s.code.Project, warehouse)
	if err != nil {
		return nil, s.note(err)
	}
	engine, ok := opened.(store.Queryer)
	if !ok {
		return nil, s.note(fault.New(fault.Invalid, "the warehouse answers no query"))
	}
	statement := dialect.Statement{SQL: q.SQL, Params: s.bound()}
	for name, raw := range q.Params {
		statement.Params = append(statement.Params, dialect.Param{Name: "param_" + name, Value: feature.Plain(raw)})
	}
	if statement.Params, err = statement.Used(); err != nil {
		return nil, s.note(err)
	}
	schema, batches, err := engine.Query(ctx, statement)
	if err != nil {
		return nil, s.note(err)
	}
	return encode(schema, batches, accept, nil, func() {}), nil
}

// request is a set as the script asks for it.
func (s *script) request(r session.SetRequest) (training.Request, error) {
	if !s.readsSet(r.Set) {
		return training.Request{}, s.note(fault.New(fault.Denied, "the script does not say that it reads the feature set %s; add it: reads = [%q]", r.Set, "features:"+r.Set))
	}
	set, err := s.set(r.Set)
	if err != nil {
		return training.Request{}, s.note(err)
	}
	given := map[string]any{}
	for name, raw := range r.Params {
		given[name] = feature.Plain(raw)
	}
	out := training.Request{Set: set, Tables: s.code.FeatureTables(), Params: given, Until: r.Until, Strict: r.Strict}
	if s.trial != nil {
		out.Mode, out.KnownAt = s.trial.Mode, s.trial.KnownAt
	}
	return out, nil
}

func (s *script) readsSet(name string) bool {
	for _, r := range s.task.Reads {
		if r.Set == name {
			return true
		}
	}
	return false
}

func (s *script) viewer(ctx context.Context) (store.Viewer, error) {
	opened, err := s.Stores.Open(ctx, s.code.Project, warehouse)
	if err != nil {
		return nil, err
	}
	v, ok := opened.(store.Viewer)
	if !ok {
		return nil, fault.New(fault.Invalid, "the warehouse keeps no feature tables")
	}
	return v, nil
}

// trainingSet joins a set to its labels, freezes it under a pin, and streams it.
func (s *script) trainingSet(ctx context.Context, in session.SetRequest, accept string) (*session.Rows, error) {
	r, err := s.request(in)
	if err != nil {
		return nil, err
	}
	v, err := s.viewer(ctx)
	if err != nil {
		return nil, s.note(err)
	}
	a, err := training.Join(ctx, v, r, true)
	if err != nil {
		return nil, s.note(err)
	}
	rows, err := s.frozen(ctx, a, r, accept)
	if err != nil {
		_ = a.View.Close()
		return nil, s.note(err)
	}
	return rows, nil
}

func (s *script) frozen(ctx context.Context, a *training.Answer, r training.Request, accept string) (*session.Rows, error) {
	meta := SetMeta{Columns: a.Columns, Set: r.Set.Name, Rows: a.Rows}
	if s.trial == nil {
		pin, err := a.Freeze(ctx, r)
		if err != nil {
			return nil, err
		}
		pin.Run, pin.Task, pin.Attempt, pin.Made = s.grant.Run, s.grant.Task, s.grant.Attempt, time.Now().UTC()
		pin.Spine = "spine-" + pin.ID + ".parquet"
		schema, spine, err := a.SpineBatches(ctx)
		if err != nil {
			return nil, err
		}
		if err := s.artifactOf(ctx, pin.Spine, schema, spine); err != nil {
			return nil, err
		}
		body, err := json.Marshal(pin)
		if err != nil {
			return nil, fault.New(fault.Internal, "pin of %s: %w", r.Set.Name, err)
		}
		meta.Pin = pin.ID
		s.mu.Lock()
		s.result.Pins = append(s.result.Pins, run.Pin{ID: pin.ID, Set: r.Set.Name, Body: body})
		s.reads(a.Vector)
		s.mu.Unlock()
	}
	schema, batches, err := a.Batches(ctx)
	if err != nil {
		return nil, err
	}
	return encode(schema, batches, accept, meta, func() { _ = a.View.Close() }), nil
}

// reads records the vector of commits that the attempt saw; the caller holds mu.
func (s *script) reads(vector map[project.Table]feature.Table) {
	if s.result.Completion.Read == nil {
		s.result.Completion.Read = map[project.Table]int64{}
	}
	for t, one := range vector {
		s.result.Completion.Read[t] = one.Seq
	}
}

// features joins the spine rows whose instant lies in the run's window to what
// is known for each: for a live run never more than is known now.
func (s *script) features(ctx context.Context, in session.SetRequest, accept string) (*session.Rows, error) {
	r, err := s.request(in)
	if err != nil {
		return nil, err
	}
	r.From, r.To, r.Now = s.grant.Window.Start, s.grant.Window.End, time.Now().UTC()
	v, err := s.viewer(ctx)
	if err != nil {
		return nil, s.note(err)
	}
	a, err := training.Join(ctx, v, r, false)
	if err != nil {
		return nil, s.note(err)
	}
	schema, batches, err := a.Batches(ctx)
	if err != nil {
		_ = a.View.Close()
		return nil, s.note(err)
	}
	s.mu.Lock()
	s.reads(a.Vector)
	s.mu.Unlock()
	meta := SetMeta{Columns: a.Columns, Set: r.Set.Name, Rows: a.Rows}
	return encode(schema, batches, accept, meta, func() { _ = a.View.Close() }), nil
}

// Try runs a training script under another knowledge and returns its metrics.
// Nothing of it is kept: no rows, no pin, no model.
func (r *Runner) Try(ctx context.Context, g run.Grant, t Trial) (map[string]float64, error) {
	a := &attempt{Runner: r, grant: g}
	var err error
	if a.dir, err = os.MkdirTemp(r.Work, "trial-"); err != nil {
		return nil, fault.New(fault.Unavailable, "make the run directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(a.dir) }()
	a.log = newLogbook(filepath.Join(a.dir, logFile), g.Ref, 0, func(context.Context, protocol.LogHeader, []byte) error { return nil })
	defer a.log.close()
	if err := a.prepare(ctx); err != nil {
		return nil, err
	}
	if a.task.Kind != project.KindPython {
		return nil, fault.New(fault.Invalid, "%s/%s is no Python task", g.Pipeline, g.Task)
	}
	s := &script{attempt: a, trial: &t}
	if err := s.process(ctx); err != nil {
		return nil, err
	}
	return a.result.Completion.Metrics, nil
}
