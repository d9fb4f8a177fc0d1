package task

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/format"
	"github.com/tidemill/tidemill/internal/protocol"
	"github.com/tidemill/tidemill/internal/session"
)

// Scratch is what is told of a script that a person started by hand: first where
// it finds its session, then lines of its log, then what it left.
type Scratch struct {
	Environment []string           `json:"environment,omitempty"` // NAME=value, for the process
	Log         string             `json:"log,omitempty"`
	Kept        []ScratchFile      `json:"kept,omitempty"`
	Broken      []string           `json:"broken,omitempty"` // checks that a run would fail for
	Metrics     map[string]float64 `json:"metrics,omitempty"`
	Error       string             `json:"error,omitempty"` // why nothing was kept
	Kind        fault.Kind         `json:"kind,omitempty"`
}

// ScratchFile is rows of a table, or an artifact, that were kept as a file.
type ScratchFile struct {
	Name string `json:"name"`
	Path string `json:"path"`
	Rows int64  `json:"rows,omitempty"`
}

// Scratch opens a session for a process that is not ours, until that says that it
// has closed or ctx ends. What the process writes is kept as files of a folder:
// no table, no pin, no model and no history comes of it.
func (r *Runner) Scratch(ctx context.Context, g run.Grant, folder string, tell func(Scratch)) error {
	dir, err := r.desks.take(r.Work)
	if err != nil {
		return err
	}
	defer r.desks.clear(dir)
	a := &attempt{Runner: r, grant: g, dir: dir}
	a.log = newLogbook(filepath.Join(dir, logFile), g.Ref, 0, func(_ context.Context, _ protocol.LogHeader, chunk []byte) error {
		tell(Scratch{Log: string(chunk)})
		return nil
	})
	defer a.log.close()
	if err := a.prepare(ctx); err != nil {
		return err
	}
	if a.task.Kind != project.KindPython {
		return fault.New(fault.Invalid, "%s/%s is no Python task", g.Pipeline, g.Task)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fault.New(fault.Unavailable, "make the scratch folder: %w", err)
	}
	s := &script{attempt: a, scratch: folder}
	closed := make(chan struct{})
	sinks := s.sinks()
	sinks.Closed = func() { close(closed) }
	door, err := s.open(sinks)
	if err != nil {
		return err
	}
	tell(Scratch{Environment: []string{session.SocketVariable + "=" + door.Socket, session.DirectoryVariable + "=" + door.Dir}})
	select {
	case <-closed:
		door.Drain(ctx)
	case <-ctx.Done():
	}
	if err := door.Close(); err != nil {
		return err
	}
	said := door.Outcome()
	if !said.Closed || said.Error != "" {
		return nil // it tells of its error itself
	}
	end := Scratch{Metrics: said.Completion.Metrics, Broken: broken(said.Completion.Checks)}
	if end.Kept, err = s.keep(); err != nil {
		return err
	}
	a.log.close() // what was said comes before what was left
	tell(end)
	return nil
}

// keep writes the spooled rows of each table as one Parquet file, beside the artifacts.
func (s *script) keep() ([]ScratchFile, error) {
	kept := s.artifacts
	for i, one := range s.spools {
		name := one.write.Table.String()
		path := filepath.Join(s.scratch, fmt.Sprintf("%s.%s.parquet", one.write.Table.Schema, one.write.Table.Name))
		if earlier := one.write.Table; i > 0 && s.spools[i-1].write.Table == earlier {
			path = filepath.Join(s.scratch, fmt.Sprintf("%s.%s.%d.parquet", earlier.Schema, earlier.Name, i))
		}
		if err := parquet(one.path, path); err != nil {
			return nil, fmt.Errorf("keep the rows of %s: %w", name, err)
		}
		kept = append(kept, ScratchFile{name, path, one.rows})
	}
	return kept, nil
}

// parquet copies a file of Arrow IPC.
func parquet(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err)
	}
	defer func() { _ = in.Close() }()
	schema, batches, err := format.ReadIPC(in)
	if err != nil {
		return err
	}
	file, err := os.Create(to)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err)
	}
	defer func() { _ = file.Close() }()
	return writeParquet(file, schema, batches)
}

// writeParquet writes batches as one file of Parquet.
func writeParquet(w io.Writer, schema *arrow.Schema, batches format.Batches) error {
	out, err := format.NewParquetWriter(w, schema)
	if err != nil {
		return err
	}
	for batch, err := range batches {
		if err == nil {
			err = out.Write(batch)
		}
		if err != nil {
			return err
		}
	}
	return fault.Wrap(fault.Unavailable, out.Close())
}

// keepArtifact keeps a model or another artifact as a file of the scratch folder.
func (s *script) keepArtifact(name string, content io.Reader) error {
	path := filepath.Join(s.scratch, filepath.Base(name))
	file, err := os.Create(path)
	if err != nil {
		return s.note(fault.Wrap(fault.Unavailable, err))
	}
	defer func() { _ = file.Close() }()
	if _, err := io.Copy(file, content); err != nil {
		return s.note(fault.Wrap(fault.Unavailable, err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.artifacts = append(s.artifacts, ScratchFile{Name: name, Path: path})
	return nil
}
