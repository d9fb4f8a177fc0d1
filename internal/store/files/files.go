// Package files is the store of files in a folder: CSV, JSON lines and Parquet
// as sources, and tables of Parquet files under numbered manifests as targets.
//
// A table is a folder of uniquely named data files plus manifests 1, 2, 3 …,
// each created only if absent (PROTOCOLS §3.5). The newest manifest says which
// files are the table; its number is _seq. It also carries fences and receipts,
// so that one linear history of manifests decides every race: whoever loses a
// number reads again and tries the next. Readers that glob past the manifest are
// outside the promise. Files that the table no longer needs are listed in the
// manifest, and removed a day later: see sweep.go.
//
// Every path stays below the store's folder.
package files

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/format"
	"github.com/tidemill/tidemill/internal/store"
)

// Capabilities is what this kind can do whole.
func Capabilities() store.Capabilities {
	return store.Capabilities{
		Atomicity: store.Numbered, Source: true,
		Modes: []project.Mode{project.ModeReplace, project.ModeAppend, project.ModeReplaceWindow},
	}
}

// Store is an open folder.
type Store struct {
	root *os.Root
	dir  string
}

// Open opens the folder, which must be there.
func Open(dir string) (*Store, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "open the folder of the store: %w", err)
	}
	return &Store{root, dir}, nil
}

// Close closes the folder.
func (s *Store) Close() error { return s.root.Close() }

// Read reads the files that match the globs, those of each in the order of their
// names, as one stream; or the rows of a table that this store holds. Files of one
// read have the same columns, in any order.
func (s *Store) Read(ctx context.Context, r store.Request) (*store.Reading, error) {
	if len(r.Files) == 0 {
		return s.readTable(ctx, r)
	}
	var names []string
	seen := make(map[string]bool)
	for _, f := range r.Files {
		found, err := s.match(f.Glob)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 && !f.Optional {
			return nil, fault.New(fault.NotFound, "%s matches no file in %s: %w", f.Glob, s.dir, store.ErrAbsent)
		}
		for _, name := range found {
			if !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return nil, fault.New(fault.NotFound, "no file in %s matches any of %s: %w", s.dir, store.Words(r.Files), store.ErrAbsent)
	}
	return s.open(ctx, names, r)
}

// match lists the files below the folder that match a glob, without hidden ones.
// A link that leads out of the folder is refused: what lies there is not the store's.
func (s *Store) match(glob string) ([]string, error) {
	glob = path.Clean(strings.TrimPrefix(glob, "./"))
	if !fs.ValidPath(strings.NewReplacer("*", "x", "?", "x", "[", "x", "]", "x").Replace(glob)) {
		return nil, fault.New(fault.Invalid, "%q leaves the folder of the store", glob)
	}
	names, err := fs.Glob(s.root.FS(), glob)
	if err != nil {
		return nil, fault.New(fault.Invalid, "%q is no glob: %w", glob, err)
	}
	var out []string
	for _, n := range names {
		if strings.HasPrefix(path.Base(n), ".") || strings.HasSuffix(n, ".partial") {
			continue
		}
		info, err := s.root.Stat(n)
		switch {
		case errors.Is(err, fs.ErrNotExist): // it went away, or is a link to nothing
		case err != nil:
			return nil, fault.New(fault.Refused, "%s cannot be read from the folder of the store: %w", n, err)
		case !info.IsDir():
			out = append(out, n)
		}
	}
	if len(names) == 0 {
		return nil, s.reachable(glob)
	}
	slices.Sort(out)
	return out, nil
}

// reachable returns an error where what a glob names, or a folder on the way to it, lies outside of the store.
func (s *Store) reachable(glob string) error {
	for at := glob; at != "."; at = path.Dir(at) {
		if strings.ContainsAny(at, `*?[\`) {
			continue
		}
		if _, err := s.root.Stat(at); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			return fault.New(fault.Refused, "%s cannot be read from the folder of the store: %w", at, err)
		}
	}
	return nil
}

// open opens the first file, which decides the columns, and chains the others behind it.
func (s *Store) open(ctx context.Context, names []string, r store.Request) (*store.Reading, error) {
	out := &store.Reading{Stable: true, Sources: names}
	for _, n := range names {
		if info, err := s.root.Stat(n); err == nil {
			out.Bytes += info.Size()
		}
	}
	first, err := s.openOne(ctx, names[0], r)
	if err != nil {
		return nil, err
	}
	out.Schema, out.Text = first.schema, first.text
	if r.Infer && first.text {
		if out.Inferred, out.Sampled, err = s.infer(ctx, names, r.Format); err != nil {
			return nil, errors.Join(err, first.file.Close())
		}
	}
	out.Batches = func(yield func(recordBatch, error) bool) {
		current := first
		for i, name := range names {
			if i > 0 {
				var err error
				if current, err = s.openOne(ctx, name, r); err != nil {
					yield(nil, err)
					return
				}
			}
			if !current.copyTo(ctx, out.Schema, yield) {
				return
			}
		}
	}
	return out, nil
}

// opened is one file that is being read.
type opened struct {
	name    string
	file    io.Closer
	schema  datatype.Schema
	text    bool
	own     bool // a file of a table: it may have fewer and narrower columns than the table
	batches format.Batches
	bears   *arrow.Schema // with the name of the file
}

func (s *Store) openOne(ctx context.Context, name string, r store.Request) (*opened, error) {
	f, err := format.Guess(name, r.Format)
	if err != nil {
		return nil, err
	}
	file, err := s.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "%s went away: %w", name, store.ErrAbsent)
	}
	if err != nil {
		return nil, fault.New(fault.Unavailable, "open %s: %w", name, err)
	}
	o := &opened{name: name, file: file}
	switch f.Kind {
	case format.CSV:
		o.text = true
		o.schema, o.batches, err = format.ReadCSV(file, name, f, r.Columns)
	case format.JSON:
		o.text = true
		o.schema, o.batches, err = format.ReadJSON(file, name, f, r.Columns, r.Only)
	case format.Parquet:
		o.schema, o.batches, err = format.ReadParquet(ctx, file, name)
	default:
		err = fault.New(fault.Invalid, "no format %q; there are csv, json and parquet", f.Kind)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return o, nil
}

// copyTo yields the file's batches in the columns of a schema, and closes the
// file. It returns false where nothing more is wanted.
func (o *opened) copyTo(ctx context.Context, schema datatype.Schema, yield func(recordBatch, error) bool) bool {
	defer func() { _ = o.file.Close() }()
	fit := align
	if o.own {
		fit = widen
	}
	aligned, err := fit(o.name, o.schema, schema)
	if err != nil {
		yield(nil, err)
		return false
	}
	for batch, err := range o.batches {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err == nil && aligned != nil {
			batch, err = aligned.apply(batch)
		}
		if err != nil {
			yield(nil, err)
			return false
		}
		named := o.named(batch)
		if aligned != nil {
			batch.Release()
		}
		more := yield(named, nil)
		named.Release()
		if !more {
			return false
		}
	}
	return true
}

// named returns the batch with the name of its file where the rows do not bear
// it, for messages; the caller releases it.
func (o *opened) named(batch recordBatch) recordBatch {
	if o.text || o.own {
		batch.Retain()
		return batch
	}
	if o.bears == nil {
		metadata := arrow.NewMetadata([]string{datatype.Origin}, []string{o.name})
		o.bears = arrow.NewSchema(batch.Schema().Fields(), &metadata)
	}
	return array.NewRecordBatch(o.bears, batch.Columns(), batch.NumRows())
}
