package files

import (
	"context"
	"io"
	"path"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/format"
	"github.com/tidemill/tidemill/internal/kernel"
)

var serial atomic.Int64

// part is a data file that is being written, and that no manifest names yet.
type part struct {
	store  *Store
	name   string // of the file, with its folder
	rows   int64
	pipe   *io.PipeWriter
	writer format.Writer
	done   chan error // answers once
	over   bool
	err    error
}

// newPart begins a data file of a table.
func (s *Store) newPart(t project.Table, kind string, schema *arrow.Schema) (*part, error) {
	folder := tableFolder(t)
	if err := s.root.MkdirAll(folder, 0o755); err != nil {
		return nil, fault.New(fault.Unavailable, "stage into %s: %w", t, err)
	}
	read, write := io.Pipe()
	p := &part{store: s, name: path.Join(folder, uniqueName(kind)+".parquet"), pipe: write, done: make(chan error, 1)}
	go func() { // ends with the pipe, and finish waits for it
		err := s.writeFile(p.name, func(w io.Writer) error { _, err := io.Copy(w, read); return err })
		_ = read.CloseWithError(err)
		p.done <- err
	}()
	var err error
	if p.writer, err = format.NewParquetWriter(write, schema); err != nil {
		p.discard()
		return nil, err
	}
	return p, nil
}

func (p *part) write(batch recordBatch) error {
	p.rows += batch.NumRows()
	return fault.Wrap(fault.Unavailable, p.writer.Write(batch))
}

// finish brings the part to disk. It may be called again.
func (p *part) finish() error {
	if p == nil || p.over {
		return nil
	}
	p.over = true
	p.err = p.writer.Close()
	_ = p.pipe.CloseWithError(p.err)
	if err := <-p.done; p.err == nil {
		p.err = err
	}
	return fault.Wrap(fault.Unavailable, p.err)
}

// discard removes the part. It may be called at any time, and again.
func (p *part) discard() {
	if p == nil {
		return
	}
	if !p.over {
		p.over = true
		_ = p.pipe.CloseWithError(fault.New(fault.Cancelled, "the load was given up"))
		<-p.done //nolint:errcheck // given up: what the writer says no longer matters
	}
	_ = p.store.root.Remove(p.name)
}

// file describes a finished part.
func (p *part) file() dataFile {
	f := dataFile{Name: path.Base(p.name), Rows: p.rows}
	if info, err := p.store.root.Stat(p.name); err == nil {
		f.Bytes = info.Size()
	}
	return f
}

// cut is a file without the rows that drop names. Where it names none the file
// stays; where it names all there is none left. The caller owns the new part.
func (s *Store) cut(ctx context.Context, t project.Table, f dataFile, schema datatype.Schema, drop func(recordBatch) (*kernel.Bits, error)) (left *dataFile, made *part, err error) {
	defer func() {
		if err != nil {
			made.discard()
			left, made = nil, nil
		}
	}()
	dropped := int64(0)
	err = s.each(ctx, t, []dataFile{f}, schema, func(batch recordBatch) error {
		rows, err := drop(batch)
		if err != nil {
			return err
		}
		dropped += int64(rows.Count())
		if made == nil {
			if made, err = s.newPart(t, "data", schema.Arrow()); err != nil {
				return err
			}
		}
		rest, err := without(batch, rows)
		if err != nil {
			return err
		}
		defer rest.Release()
		return made.write(rest)
	})
	if err == nil {
		err = made.finish()
	}
	switch {
	case err != nil:
		return nil, made, err
	case dropped == 0:
		made.discard()
		return &f, nil, nil
	case made.rows == 0:
		made.discard()
		return nil, nil, nil
	}
	new := made.file()
	f.Name, f.Rows, f.Bytes = new.Name, new.Rows, new.Bytes
	return &f, made, nil
}

// each reads data files of a table, brought to a schema.
func (s *Store) each(ctx context.Context, t project.Table, list []dataFile, schema datatype.Schema, do func(recordBatch) error) error {
	for _, f := range list {
		o, err := s.openData(ctx, t, f)
		if err != nil {
			return err
		}
		failed := error(nil)
		o.copyTo(ctx, schema, func(b recordBatch, err error) bool {
			if failed = err; err == nil {
				failed = do(b)
			}
			return failed == nil
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}

// without returns a batch without rows; the caller releases it.
func without(batch recordBatch, rows *kernel.Bits) (recordBatch, error) {
	if !rows.Any() {
		batch.Retain()
		return batch, nil
	}
	columns := make([]arrow.Array, batch.NumCols())
	defer func() {
		for _, c := range columns {
			if c != nil {
				c.Release()
			}
		}
	}()
	for i := range columns {
		var err error
		if columns[i], err = kernel.Without(memory.DefaultAllocator, batch.Column(i), rows); err != nil {
			return nil, fault.New(fault.Internal, "leaving rows out: %w", err)
		}
	}
	return array.NewRecordBatch(batch.Schema(), columns, batch.NumRows()-int64(rows.Count())), nil
}
