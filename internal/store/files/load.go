package files

import (
	"context"
	"io"
	"maps"
	"path"
	"slices"
	"sync/atomic"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/failpoint"
	"github.com/tidemill/tidemill/internal/format"
	"github.com/tidemill/tidemill/internal/store"
)

var serial atomic.Int64

// Begin raises the fence of the key in a manifest of its own. One load writes one table.
func (s *Store) Begin(_ context.Context, spec store.Spec) (store.Load, error) {
	if len(spec.Tables) != 1 {
		return nil, fault.New(fault.Invalid, "a store of files makes one table visible at once, not %d", len(spec.Tables))
	}
	t := spec.Tables[0]
	if !slices.Contains(Capabilities().Modes, t.Mode) {
		return nil, fault.New(fault.Invalid, "a store of files cannot do the mode %s whole", t.Mode)
	}
	if err := s.raise(t.Table, spec.Key, spec.Fence); err != nil {
		return nil, err
	}
	failpoint.Hit(failpoint.FenceRaised)
	return &load{store: s, spec: spec, table: t}, nil
}

func (s *Store) raise(t project.Table, key commit.Key, fence int64) error {
	_, err := s.change(t, func(m manifest) (manifest, bool, error) {
		id := key.String()
		if r := m.Receipts[id]; r != nil {
			return m, true, &store.PublishedError{Receipts: []commit.Receipt{*r}}
		}
		if m.Fences[id] > fence {
			return m, true, store.ErrFenced
		}
		if m.Fences[id] == fence {
			return m, true, nil
		}
		m.Fences = maps.Clone(m.Fences)
		m.Fences[id] = fence
		return m, false, nil
	})
	return err
}

// Receipts looks through the tables of the store.
func (s *Store) Receipts(_ context.Context, keys ...commit.Key) ([]commit.Receipt, error) {
	tables, err := s.tables()
	if err != nil {
		return nil, err
	}
	var out []commit.Receipt
	for _, t := range tables {
		m, err := s.newest(t)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			if r := m.Receipts[k.String()]; r != nil {
				out = append(out, *r)
			}
		}
	}
	return out, nil
}

// CloseKey raises the fence in every table that knows the key.
func (s *Store) CloseKey(_ context.Context, key commit.Key, fence int64) (*commit.Receipt, error) {
	tables, err := s.tables()
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		m, err := s.newest(t)
		if err != nil {
			return nil, err
		}
		if _, known := m.Fences[key.String()]; !known {
			continue
		}
		err = s.raise(t, key, fence)
		if published, ok := err.(*store.PublishedError); ok { //nolint:errorlint // raise returns it as it is
			return &published.Receipts[0], nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil //nolint:nilnil // nothing was committed
}

// tables lists the tables of the store: folders that have manifests.
func (s *Store) tables() ([]project.Table, error) {
	found, err := s.match("*/*/_manifest/*.json")
	if err != nil {
		return nil, err
	}
	var out []project.Table
	for _, name := range found {
		folder := path.Dir(path.Dir(name))
		t := project.Table{Schema: path.Dir(folder), Name: path.Base(folder)}
		if len(out) == 0 || out[len(out)-1] != t {
			out = append(out, t)
		}
	}
	return out, nil
}

// load is one attempt's rows: Parquet files that no manifest names yet.
type load struct {
	store      *Store
	spec       store.Spec
	table      store.TableSpec
	rows       *part
	quarantine *part
	over       bool
}

// part is a data file that is being written.
type part struct {
	name   string
	rows   int64
	pipe   *io.PipeWriter
	writer format.Writer
	done   chan error
}

// Stage writes rows to the load's own file.
func (l *load) Stage(_ context.Context, t project.Table, batch arrow.RecordBatch) error {
	if t != l.table.Table {
		return fault.New(fault.Internal, "the load writes %s, not %s", l.table.Table, t)
	}
	return l.write(&l.rows, "data", batch)
}

// Quarantine writes refused rows to a file beside.
func (l *load) Quarantine(_ context.Context, _ project.Table, batch arrow.RecordBatch) error {
	return l.write(&l.quarantine, "quarantine", batch)
}

func (l *load) write(at **part, kind string, batch arrow.RecordBatch) error {
	visible := without(batch, datatype.Hidden)
	defer visible.Release()
	if *at == nil {
		folder := tableFolder(l.table.Table)
		if err := l.store.root.MkdirAll(folder, 0o755); err != nil {
			return fault.New(fault.Unavailable, "stage into %s: %w", l.table.Table, err)
		}
		read, write := io.Pipe()
		p := &part{name: path.Join(folder, uniqueName(kind)+".parquet"), pipe: write, done: make(chan error, 1)}
		go func() {
			err := l.store.writeFile(p.name, func(w io.Writer) error { _, err := io.Copy(w, read); return err })
			_ = read.CloseWithError(err)
			p.done <- err
		}()
		w, err := format.NewParquetWriter(write, visible.Schema())
		if err != nil {
			_ = write.CloseWithError(err)
			<-p.done //nolint:errcheck // the first error is the one that matters
			return err
		}
		p.writer = w
		*at = p
	}
	(*at).rows += visible.NumRows()
	if err := (*at).writer.Write(visible); err != nil {
		return fault.Wrap(fault.Unavailable, err)
	}
	return nil
}

// finish brings a part to disk.
func (p *part) finish() error {
	if p == nil {
		return nil
	}
	err := p.writer.Close()
	_ = p.pipe.CloseWithError(err)
	if e := <-p.done; err == nil {
		err = e
	}
	p.done <- err
	return fault.Wrap(fault.Unavailable, err)
}

// Commit links the manifest that names the load's files.
func (l *load) Commit(_ context.Context, m commit.Manifest) (commit.Receipt, error) {
	l.over = true
	for _, p := range []*part{l.rows, l.quarantine} {
		if err := p.finish(); err != nil {
			l.remove()
			return commit.Receipt{}, err
		}
	}
	failpoint.Hit(failpoint.Staged)
	var receipt commit.Receipt
	_, err := l.store.change(l.table.Table, func(now manifest) (manifest, bool, error) {
		next, r, err := l.next(now, m)
		receipt = r
		failpoint.Hit(failpoint.BeforeCommit)
		return next, false, err
	})
	if err != nil {
		l.remove()
		return commit.Receipt{}, err
	}
	failpoint.Hit(failpoint.AfterCommit)
	return receipt, nil
}

// next is the manifest that follows now once the load is in it.
func (l *load) next(now manifest, m commit.Manifest) (manifest, commit.Receipt, error) {
	id, t := l.spec.Key.String(), l.table
	if now.Receipts[id] != nil || now.Fences[id] != l.spec.Fence {
		return now, commit.Receipt{}, store.ErrFenced
	}
	if t.Mode == project.ModeReplace && !l.spec.Run.Newest {
		for _, f := range now.Files {
			if f.Window.End.After(t.Window.End) {
				return now, commit.Receipt{}, fault.New(fault.Conflict, "%s holds the newer window %s: an older one cannot replace it", t.Table, f.Window)
			}
		}
	}
	kept, deleted, err := l.keep(now)
	if err != nil {
		return now, commit.Receipt{}, err
	}
	next := now
	next.Seq++
	next.Schema = t.Schema
	next.Files = l.add(kept, l.rows, next.Seq)
	next.Quarantine = l.add(slices.DeleteFunc(slices.Clone(now.Quarantine), l.superseded), l.quarantine, next.Seq)
	done := m.Tables[0]
	done.Seq = next.Seq
	done.Evidence.Inserted, done.Evidence.Deleted = done.Evidence.Staged, deleted
	receipt := commit.Receipt{
		Key: l.spec.Key, Fence: l.spec.Fence, CommittedAt: time.Now().UTC(), Tables: []commit.TableCommit{done}, Completion: m.Completion,
	}
	next.Receipts = maps.Clone(now.Receipts)
	next.Receipts[id] = &receipt
	return next, receipt, done.Evidence.Check()
}

// keep returns the files that stay, and how many rows go.
func (l *load) keep(now manifest) (kept []dataFile, deleted int64, err error) {
	for _, f := range now.Files {
		gone := l.superseded(f)
		if l.table.Mode == project.ModeReplaceWindow && !gone && f.Window.Start.Before(l.table.Window.End) && l.table.Window.Start.Before(f.Window.End) {
			return nil, 0, fault.New(fault.Conflict, "%s holds rows of %s in one file; the window %s would cut it: load the whole of it", l.table.Table, f.Window, l.table.Window)
		}
		if gone {
			deleted += f.Rows
		} else {
			kept = append(kept, f)
		}
	}
	return kept, deleted, nil
}

// superseded reports whether this load takes the place of a file.
func (l *load) superseded(f dataFile) bool {
	t := l.table
	switch t.Mode {
	case project.ModeReplace:
		return true
	case project.ModeAppend: // a rerun removes what earlier generations of its window appended
		return !t.AppendKeep && !t.Window.IsZero() && f.Window.Equal(t.Window)
	}
	return !f.Window.Start.Before(t.Window.Start.Add(-t.Lookback)) && !f.Window.End.After(t.Window.End)
}

func (l *load) add(list []dataFile, p *part, seq int64) []dataFile {
	if p == nil {
		return list
	}
	f := dataFile{Name: path.Base(p.name), Rows: p.rows, Seq: seq, Window: l.table.Window}
	if info, err := l.store.root.Stat(p.name); err == nil {
		f.Bytes = info.Size()
	}
	return append(slices.Clone(list), f)
}

// Abort removes the load's files.
func (l *load) Abort(context.Context) error {
	if l.over {
		return nil
	}
	l.over = true
	for _, p := range []*part{l.rows, l.quarantine} {
		if p != nil {
			_ = p.pipe.CloseWithError(fault.New(fault.Cancelled, "the load was given up"))
			<-p.done //nolint:errcheck // the first error is the one that matters
		}
	}
	l.remove()
	return nil
}

func (l *load) remove() {
	for _, p := range []*part{l.rows, l.quarantine} {
		if p != nil {
			_ = l.store.root.Remove(p.name)
		}
	}
}

// readTable reads the files that a table's newest manifest names.
func (s *Store) readTable(ctx context.Context, r store.Request) (*store.Reading, error) {
	if r.Table.IsZero() {
		return nil, fault.New(fault.Invalid, "a store of files answers no query")
	}
	m, err := s.newest(r.Table)
	if err != nil {
		return nil, err
	}
	if m.Seq == 0 {
		return nil, fault.New(fault.NotFound, "there is no table %s: %w", r.Table, store.ErrAbsent)
	}
	if len(m.Files) == 0 {
		return &store.Reading{Schema: m.Schema, Stable: true, Batches: func(func(recordBatch, error) bool) {}}, nil
	}
	var names []string
	for _, f := range m.Files {
		names = append(names, path.Join(tableFolder(r.Table), f.Name))
	}
	return s.open(ctx, names, store.Request{Format: project.Format{Kind: format.Parquet}})
}
