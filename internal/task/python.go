package task

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/format"
	"github.com/tidemill/tidemill/internal/publish"
	"github.com/tidemill/tidemill/internal/pyenv"
	"github.com/tidemill/tidemill/internal/session"
)

// script is a Python task while its process runs: what the process sends is
// spooled in the run directory, and published when the process has ended well.
type script struct {
	*attempt
	digest  string // of the environment
	trial   *Trial // set where nothing of it is to be kept
	scratch string // folder of a script that was started by hand; else empty

	mu        sync.Mutex
	spools    []*spool
	artifacts []ScratchFile // of scratch
	last      error         // the newest refusal, which is why the process will fail
}

// spool is rows of one table on their way.
type spool struct {
	write  project.Write
	schema *arrow.Schema
	path   string
	rows   int64
}

// context is what the process is told about itself.
func (a *attempt) context() session.Context {
	c := session.Context{
		Project: a.code.Project.Name, Environment: a.grant.Environment, Pipeline: a.grant.Pipeline, Task: a.grant.Task,
		Run: a.grant.Run, Attempt: a.grant.Attempt, Window: a.grant.Window, Timezone: a.pipeline.Schedule.Timezone, Live: a.grant.Live,
		Params: map[string]json.RawMessage{}, Values: map[string]map[string]any{},
	}
	for name, v := range a.params {
		if b, err := json.Marshal(v); err == nil && v != nil {
			c.Params[name] = b
		}
	}
	for _, v := range a.grant.Values {
		if c.Values[v.Task] == nil {
			c.Values[v.Task] = map[string]any{}
		}
		c.Values[v.Task][v.Name] = v.Value
	}
	for _, r := range a.task.Reads {
		if !r.Table.IsZero() {
			c.Reads = append(c.Reads, r.Table.String())
		}
	}
	for _, w := range a.task.Writes {
		c.Writes = append(c.Writes, w.Table.String())
	}
	return c
}

// python runs the task's script in its environment and publishes what it wrote.
func (a *attempt) python(ctx context.Context) error {
	s := &script{attempt: a}
	if err := s.process(ctx); err != nil {
		return err
	}
	return s.publishSpools(ctx)
}

// process prepares the environment and runs the script to its end.
func (s *script) process(ctx context.Context) error {
	py := s.task.Python
	spec := pyenv.Spec{Driver: py.Driver, Requires: py.Requires, Dependencies: py.Dependencies}
	if py.Lock != "" {
		lock, err := os.ReadFile(filepath.Join(s.code.Dir, filepath.FromSlash(py.Lock)))
		if err != nil {
			return fault.New(fault.Invalid, "read the lock of the script: %w", err)
		}
		spec.Lock = lock
	}
	env, err := s.Python.Prepare(ctx, spec, s.log.stream("install"))
	if err != nil {
		return err
	}
	s.digest = env.Digest
	door, err := s.open(s.sinks())
	if err != nil {
		return err
	}
	path := "PYTHONPATH=" + s.SDK + string(os.PathListSeparator) + filepath.Join(s.code.Dir, "lib")
	err = s.launch(ctx, door, []string{env.Python, filepath.Join(s.code.Dir, filepath.FromSlash(s.task.File))}, append(environment(), path))
	if err == nil && !door.Outcome().Opened {
		err = fault.New(fault.Failed, "the script ended with 0 and never opened its session: call tidemill.main at its end")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && s.last != nil && fault.Is(err, fault.Failed) {
		// The script fell over a refusal: the refusal is the cause.
		return fault.New(fault.KindOf(s.last), "%s", err)
	}
	return err
}

// sinks are what the process may ask for.
func (s *script) sinks() session.Sinks {
	return session.Sinks{
		SQL: s.query, Write: s.write, TrainingSet: s.trainingSet, Features: s.features, Predictions: s.predictions,
		PutArtifact: s.putArtifact, SaveModel: s.saveModel, Secret: s.giveSecret,
		Model: func(ctx context.Context, name, which string) (any, error) {
			m, err := s.Server.Model(ctx, s.grant.Environment, name, which)
			return m, s.note(err)
		},
		ModelContent: func(ctx context.Context, name, which string) (io.ReadCloser, error) {
			m, err := s.Server.Model(ctx, s.grant.Environment, name, which)
			if err != nil {
				return nil, s.note(err)
			}
			maker := s.grant.Ref
			maker.Run, maker.Task, maker.Index = m.Run, m.Task, 0
			return s.Server.Artifact(ctx, maker, m.Attempt, m.Artifact)
		},
		Log: func(e session.Event) { _, _ = fmt.Fprintf(s.log.stream("task"), "%s: %s\n", e.Level, e.Message) },
		Progress: func(e session.Event) {
			_, _ = fmt.Fprintf(s.log.stream("task"), "progress: %g of %g %s\n", e.Done, e.Total, e.Message)
		},
	}
}

// note remembers a refusal: it is why the process will most likely fail.
func (s *script) note(err error) error {
	if err != nil {
		s.mu.Lock()
		s.last = err
		s.mu.Unlock()
	}
	return err
}

func (s *script) giveSecret(_ context.Context, name string) (string, error) {
	if !slices.Contains(s.task.Secrets, name) {
		return "", s.note(fault.New(fault.Denied, "the script does not list the secret %s; add it: secrets = [%q]", name, name))
	}
	return s.secret(name)
}

func (s *script) putArtifact(ctx context.Context, name string, content io.Reader) error {
	switch {
	case s.trial != nil:
		_, err := io.Copy(io.Discard, content)
		return err
	case s.scratch != "":
		return s.keepArtifact(name, content)
	}
	return s.note(s.Server.PutArtifact(ctx, s.grant.Ref, s.grant.Attempt, name, content))
}

func (s *script) saveModel(_ context.Context, m commit.Model) error {
	if !slices.Contains(s.task.Models, m.Name) {
		return s.note(fault.New(fault.Denied, "the script does not say that it writes the model %s; add it: writes = [%q]", m.Name, "model:"+m.Name))
	}
	m.CodeDigest, m.EnvDigest, m.Promote = s.task.Digest, s.digest, s.task.Python.Promote
	s.mu.Lock()
	defer s.mu.Unlock()
	s.result.Completion.Models = append(s.result.Completion.Models, m)
	return nil
}

// write spools rows that the process sends for a table.
func (s *script) write(_ context.Context, table string, rows session.Rows) (int64, error) {
	t, err := project.ParseTable(table)
	if err != nil {
		return 0, s.note(err)
	}
	for _, w := range s.task.Writes {
		if w.Table == t {
			return s.spool(w, rows)
		}
	}
	return 0, s.note(fault.New(fault.Denied, "the script does not say that it writes %s; add it: writes = [%q]", t, t.String()))
}

// predictions spools predictions, or their contributions, as feature tables:
// their history stays, so that every prediction can tell its story.
func (s *script) predictions(_ context.Context, table, part string, rows session.Rows) (int64, error) {
	t, err := project.ParseTable(table)
	if err != nil {
		return 0, s.note(err)
	}
	i := slices.IndexFunc(s.task.Writes, func(w project.Write) bool { return w.Table == t })
	if i < 0 {
		return 0, s.note(fault.New(fault.Denied, "the script does not say that it writes %s; add it: writes = [%q]", t, t.String()))
	}
	set, err := s.predictedSet()
	if err != nil {
		return 0, s.note(err)
	}
	w := s.task.Writes[i]
	w.Mode, w.EventTime, w.Keys = project.ModeFeature, set.At, set.Key
	if part == "contributions" {
		w.Table.Name += "__contributions"
		w.Keys = []string{"prediction_id", "feature"}
	}
	return s.spool(w, rows)
}

// predictedSet is the one feature set that the task reads.
func (s *script) predictedSet() (project.FeatureSet, error) {
	for _, r := range s.task.Reads {
		if r.Set != "" {
			return s.set(r.Set)
		}
	}
	return project.FeatureSet{}, fault.New(fault.Invalid, "predictions need a feature set; add it: reads = [\"features:NAME\"]")
}

func (s *script) set(name string) (project.FeatureSet, error) {
	for _, set := range s.code.Project.Sets {
		if set.Name == name {
			return set, nil
		}
	}
	return project.FeatureSet{}, fault.New(fault.NotFound, "the project has no feature set %q", name)
}

// spool writes a stream of rows to a file of the run directory.
func (s *script) spool(w project.Write, rows session.Rows) (int64, error) {
	defer func() { _ = rows.Body.Close() }()
	schema, batches, err := decode(rows)
	if err != nil {
		return 0, s.note(err)
	}
	s.mu.Lock()
	n := len(s.spools)
	one := &spool{write: w, schema: schema, path: filepath.Join(s.dir, "out", fmt.Sprintf("%d.arrows", n))}
	s.spools = append(s.spools, one)
	s.mu.Unlock()
	file, err := os.OpenFile(one.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, fault.New(fault.Unavailable, "spool rows of %s: %w", w.Table, err)
	}
	defer func() { _ = file.Close() }()
	out := format.NewIPCWriter(file, schema)
	for batch, err := range batches {
		if err == nil {
			err = out.Write(batch)
		}
		if err != nil {
			return 0, s.note(fault.Wrap(fault.Unavailable, err))
		}
		one.rows += batch.NumRows()
	}
	if err := out.Close(); err != nil {
		return 0, fault.New(fault.Unavailable, "spool rows of %s: %w", w.Table, err)
	}
	return one.rows, nil
}

func decode(rows session.Rows) (*arrow.Schema, format.Batches, error) {
	if rows.Content == session.CSVType {
		return format.ReadTypedCSV(rows.Body)
	}
	return format.ReadIPC(rows.Body)
}

// publishSpools publishes what was spooled, table by table, in one commit.
func (s *script) publishSpools(ctx context.Context) error {
	var tables []publish.Table
	grouped := map[project.Table][]*spool{}
	var order []project.Table
	for _, one := range s.spools {
		if grouped[one.write.Table] == nil {
			order = append(order, one.write.Table)
		}
		grouped[one.write.Table] = append(grouped[one.write.Table], one)
	}
	for _, t := range order {
		parts := grouped[t]
		schema, err := common(parts)
		if err != nil {
			return fmt.Errorf("rows of %s: %w", t, err)
		}
		tables = append(tables, publish.Table{Write: parts[0].write, Source: &publish.Source{
			Schema: schema, Stable: true,
			Feed: func(ctx context.Context, sink func(context.Context, arrow.RecordBatch) error) error {
				return feed(ctx, parts, sink)
			},
		}})
	}
	for _, w := range s.task.Writes {
		if grouped[w.Table] == nil {
			return fault.New(fault.Failed, "the script declares that it writes %s, and wrote nothing to it", w.Table)
		}
	}
	if len(tables) == 0 {
		return nil
	}
	return s.publish(ctx, tables)
}

// common returns the columns of the writes to one table. They must not differ, but
// in how many digits their decimals have: those follow from the values of each.
func common(parts []*spool) (datatype.Schema, error) {
	all, err := datatype.FromArrow(parts[0].schema)
	if err != nil {
		return all, err
	}
	for _, one := range parts[1:] {
		next, err := datatype.FromArrow(one.schema)
		if err != nil {
			return all, err
		}
		different := len(next.Fields) != len(all.Fields)
		for i := 0; i < len(all.Fields) && !different; i++ {
			a, b := &all.Fields[i], next.Fields[i]
			if a.Type.Kind == datatype.Decimal && b.Type.Kind == datatype.Decimal && a.Type.Precision > 0 && b.Type.Precision > 0 {
				scale := max(a.Type.Scale, b.Type.Scale)
				whole := max(a.Type.Precision-a.Type.Scale, b.Type.Precision-b.Type.Scale)
				a.Type = datatype.DecimalOf(min(whole+scale, datatype.MaxPrecision), scale)
				b.Type = a.Type
			}
			different = !a.Equal(b)
		}
		if different {
			return all, fault.New(fault.Failed, "two writes have different columns: %s, and %s", all, next)
		}
	}
	return all, nil
}

// feed reads spools back, one after the other.
func feed(ctx context.Context, parts []*spool, sink func(context.Context, arrow.RecordBatch) error) error {
	for _, one := range parts {
		err := func() error {
			file, err := os.Open(one.path)
			if err != nil {
				return fault.New(fault.Unavailable, "read spooled rows: %w", err)
			}
			defer func() { _ = file.Close() }()
			_, batches, err := format.ReadIPC(file)
			if err != nil {
				return err
			}
			for batch, err := range batches {
				if err == nil {
					err = sink(ctx, batch)
				}
				if err != nil {
					return err
				}
			}
			return nil
		}()
		if err != nil {
			return err
		}
	}
	return nil
}

// encode streams batches to the process as it wants them. The body must be
// closed; closing it calls done.
func encode(schema datatype.Schema, batches format.Batches, accept string, meta any, done func()) *session.Rows {
	read, write := io.Pipe()
	go func() {
		var err error
		if accept == session.CSVType {
			err = format.WriteTypedCSV(write, schema.Arrow(), batches)
		} else {
			out := format.NewIPCWriter(write, schema.Arrow())
			for batch, e := range batches {
				if e == nil {
					e = out.Write(batch)
				}
				if err = e; err != nil {
					break
				}
			}
			err = errors.Join(err, out.Close())
		}
		_ = write.CloseWithError(err)
		done()
	}()
	return &session.Rows{Content: accept, Meta: meta, Body: read}
}

// artifactOf writes batches as Parquet to an artifact of the attempt.
func (s *script) artifactOf(ctx context.Context, name string, schema datatype.Schema, batches format.Batches) error {
	var b bytes.Buffer
	if err := writeParquet(&b, schema.Arrow(), batches); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return s.putArtifact(ctx, name, &b)
}

// warehouse is the store that SQL and feature sets of a script are about.
const warehouse = project.Warehouse
