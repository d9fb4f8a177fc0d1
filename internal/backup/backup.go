// Package backup copies an installation to a folder, looks whether such a copy is
// whole, and puts one back.
//
// A backup is taken while everything runs. The ledger is copied first, the
// warehouses after it: what a warehouse has more than the ledger knows of is
// found again by its receipts, as after a crash. Logs, artifacts and bundles are
// never changed once they are written, so they come last and lack nothing that
// the ledger names. A folder without a manifest is no backup: the manifest is
// written last, and the folder gets its name after it.
//
// The package knows no engine: how a ledger or a warehouse is copied it is told.
package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
)

// Manifest says what a backup holds.
type Manifest struct {
	Format       int       `json:"format"`
	Created      time.Time `json:"created"`
	Version      string    `json:"version"` // of Tidemill
	Project      string    `json:"project"`
	Environment  string    `json:"environment"`
	Installation string    `json:"installation"`
	Warehouses   []Store   `json:"warehouses"`
	Files        []File    `json:"files"`
}

// Store is a copied warehouse.
type Store struct {
	Name string `json:"name"` // of the store in the project
	Path string `json:"path"` // where it lies, as the project says it
	File string `json:"file"` // in the backup
}

// File is one file of a backup.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Bytes is the size of all files.
func (m Manifest) Bytes() (n int64) {
	for _, f := range m.Files {
		n += f.Bytes
	}
	return n
}

// Format is the newest form of backups, which is written.
const Format = 1

// Names in a backup.
const (
	ManifestName = "manifest.json"
	LedgerName   = "ledger.db"
)

// Part is a folder that is copied file by file.
type Part struct {
	Name string // in the backup
	Path string
}

// Warehouse is a store that is one file.
type Warehouse struct {
	Store
	Copy func(ctx context.Context, to string) error
}

// Source is what is backed up.
type Source struct {
	Manifest   Manifest // what is known before: version, project, environment, installation
	Ledger     func(ctx context.Context, to string) error
	Warehouses []Warehouse
	Parts      []Part
}

// Progress says what is being done; Total is 0 where nobody knows how much it is.
type Progress struct {
	Step  string `json:"step"`
	Done  int64  `json:"done,omitempty"`
	Total int64  `json:"total,omitempty"` // bytes
}

// Create writes a backup to a folder that is not there yet. What it wrote of a
// backup that did not come to its end goes away.
func Create(ctx context.Context, s Source, to string, tell func(Progress)) (m Manifest, err error) {
	if _, err := os.Lstat(to); err == nil {
		return m, fault.New(fault.Conflict, "there is something at %s already; name another folder", to)
	}
	unfinished := to + ".partial"
	if err := os.RemoveAll(unfinished); err != nil {
		return m, fault.New(fault.Unavailable, "remove an unfinished backup: %w", err)
	}
	if err := os.MkdirAll(unfinished, 0o700); err != nil {
		return m, fault.New(fault.Unavailable, "make the folder of the backup: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(unfinished))
		}
	}()
	m = s.Manifest
	m.Format, m.Created = Format, time.Now().UTC().Truncate(time.Second)
	w := &writer{dir: unfinished, manifest: &m}
	tell(Progress{Step: "ledger"})
	if err := w.engine(ctx, LedgerName, s.Ledger); err != nil {
		return m, fmt.Errorf("the ledger: %w", err)
	}
	m.Warehouses = []Store{}
	for i, one := range s.Warehouses {
		tell(Progress{Step: "warehouse " + one.Name})
		one.File = fmt.Sprintf("warehouses/%d-%s.duckdb", i+1, one.Name)
		if err := w.engine(ctx, one.File, one.Copy); err != nil {
			return m, fmt.Errorf("the warehouse %s: %w", one.Name, err)
		}
		m.Warehouses = append(m.Warehouses, one.Store)
	}
	for _, p := range s.Parts {
		if err := w.part(ctx, p, tell); err != nil {
			return m, fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	return m, w.finish(ctx, unfinished, to)
}

type writer struct {
	dir      string
	manifest *Manifest
}

// engine lets an engine write a file, and takes it in.
func (w *writer) engine(ctx context.Context, name string, write func(context.Context, string) error) error {
	to := filepath.Join(w.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fault.New(fault.Unavailable, "make room: %w", err)
	}
	if err := write(ctx, to); err != nil {
		return err
	}
	f, err := digest(ctx, to)
	f.Name = name
	w.manifest.Files = append(w.manifest.Files, f)
	return err
}

// part copies the files of a folder as they are now. Unfinished ones, whose names
// begin with a point, are left out.
func (w *writer) part(ctx context.Context, p Part, tell func(Progress)) error {
	root, err := os.OpenRoot(p.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fault.New(fault.Unavailable, "open %s: %w", p.Path, err)
	}
	defer func() { _ = root.Close() }()
	var names []string
	progress := Progress{Step: p.Name}
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // it was pruned meanwhile
		case err != nil:
			return err
		case name != "." && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.Type().IsRegular():
			names = append(names, name)
			if info, err := d.Info(); err == nil {
				progress.Total += info.Size()
			}
		}
		return nil
	})
	if err != nil {
		return fault.New(fault.Unavailable, "list %s: %w", p.Path, err)
	}
	for _, name := range names {
		tell(progress)
		n, err := w.copy(ctx, root, name, path.Join(p.Name, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		progress.Done += n
	}
	return nil
}

// copy copies a file as far as it reaches now: a log may grow meanwhile.
func (w *writer) copy(ctx context.Context, root *os.Root, name, as string) (int64, error) {
	from, err := root.Open(name)
	if err != nil {
		return 0, fault.New(fault.Unavailable, "read %s: %w", name, err)
	}
	defer func() { _ = from.Close() }()
	info, err := from.Stat()
	if err != nil {
		return 0, fault.New(fault.Unavailable, "read %s: %w", name, err)
	}
	f, err := save(ctx, io.LimitReader(from, info.Size()), filepath.Join(w.dir, filepath.FromSlash(as)))
	f.Name = as
	w.manifest.Files = append(w.manifest.Files, f)
	return f.Bytes, err
}

// finish writes the manifest, and gives the folder its name.
func (w *writer) finish(ctx context.Context, unfinished, to string) error {
	text, err := json.MarshalIndent(w.manifest, "", " ")
	if err != nil {
		return fault.New(fault.Internal, "the manifest: %w", err)
	}
	if _, err := save(ctx, strings.NewReader(string(text)+"\n"), filepath.Join(w.dir, ManifestName)); err != nil {
		return err
	}
	if err := os.Rename(unfinished, to); err != nil {
		return fault.New(fault.Unavailable, "name the backup: %w", err)
	}
	return settle(filepath.Dir(to))
}

// save writes a file that survives a crash of the machine, and digests what it writes.
func save(ctx context.Context, from io.Reader, to string) (f File, err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return f, fault.New(fault.Unavailable, "write %s: %w", to, err)
	}
	file, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return f, fault.New(fault.Unavailable, "write %s: %w", to, err)
	}
	sum := sha256.New()
	f.Bytes, err = io.Copy(io.MultiWriter(file, sum), interruptible{ctx, from})
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return f, fault.New(fault.Unavailable, "write %s: %w", to, err)
	}
	f.SHA256 = text(sum)
	return f, nil
}

// digest reads a file that is there.
func digest(ctx context.Context, name string) (f File, err error) {
	file, err := os.Open(name)
	if err != nil {
		return f, fault.New(fault.Unavailable, "read %s: %w", name, err)
	}
	defer func() { _ = file.Close() }()
	sum := sha256.New()
	if f.Bytes, err = io.Copy(sum, interruptible{ctx, file}); err != nil {
		return f, fault.New(fault.Unavailable, "read %s: %w", name, err)
	}
	f.SHA256 = text(sum)
	return f, nil
}

func text(sum hash.Hash) string { return hex.EncodeToString(sum.Sum(nil)) }

// settle makes names that were given in a folder survive a crash of the machine.
func settle(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fault.New(fault.Unavailable, "settle %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fault.New(fault.Unavailable, "settle %s: %w", dir, err)
	}
	return nil
}

// interruptible ends a long read when nobody wants it any more.
type interruptible struct {
	ctx  context.Context //nolint:containedctx // it lives as long as one copy
	from io.Reader
}

// Read reads on.
func (r interruptible) Read(b []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.from.Read(b)
}

// Open reads the manifest of a backup. Files are not looked at.
func Open(dir string) (m Manifest, err error) {
	b, err := os.ReadFile(filepath.Join(dir, ManifestName))
	if errors.Is(err, fs.ErrNotExist) {
		if strings.HasSuffix(dir, ".partial") {
			return m, fault.New(fault.Refused, "%s is a backup that did not come to its end", dir)
		}
		return m, fault.New(fault.NotFound, "%s is no backup: it holds no %s", dir, ManifestName)
	}
	if err != nil {
		return m, fault.New(fault.Unavailable, "read the manifest: %w", err)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fault.New(fault.Refused, "%s: the manifest cannot be read: %w", dir, err)
	}
	if m.Format < 1 || m.Format > Format {
		return m, fault.New(fault.Refused, "%s is of the form %d, and this version knows %d; use the version that made it, %s", dir, m.Format, Format, m.Version)
	}
	for _, f := range m.Files {
		if !fs.ValidPath(f.Name) {
			return m, fault.New(fault.Refused, "%s: the manifest names %q", dir, f.Name)
		}
	}
	if !slices.ContainsFunc(m.Files, func(f File) bool { return f.Name == LedgerName }) {
		return m, fault.New(fault.Refused, "%s: the manifest names no ledger", dir)
	}
	return m, nil
}

// Check reads every file of a backup, and lists what is not as it was written.
func Check(ctx context.Context, dir string, m Manifest, tell func(Progress)) (wrong []string, err error) {
	progress := Progress{Step: "files", Total: m.Bytes()}
	for _, f := range m.Files {
		tell(progress)
		there, err := digest(ctx, filepath.Join(dir, filepath.FromSlash(f.Name)))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			wrong = append(wrong, f.Name+" is missing")
		case err != nil:
			return wrong, err
		case there.Bytes != f.Bytes:
			wrong = append(wrong, fmt.Sprintf("%s has %d bytes and had %d", f.Name, there.Bytes, f.Bytes))
		case there.SHA256 != f.SHA256:
			wrong = append(wrong, f.Name+" has another content than when it was written")
		}
		progress.Done += f.Bytes
	}
	return wrong, nil
}

// Place copies files of a backup to where they belong, and makes sure on the way
// that they are as they were written. To says the place; false leaves a file out.
func Place(ctx context.Context, dir string, m Manifest, to func(name string) (string, bool), tell func(Progress)) error {
	progress := Progress{Step: "files", Total: m.Bytes()}
	for _, f := range m.Files {
		tell(progress)
		progress.Done += f.Bytes
		place, wanted := to(f.Name)
		if !wanted {
			continue
		}
		from, err := os.Open(filepath.Join(dir, filepath.FromSlash(f.Name)))
		if err != nil {
			return fault.New(fault.Refused, "the backup lacks %s: %w", f.Name, err)
		}
		there, err := save(ctx, from, place)
		if err = errors.Join(err, from.Close()); err != nil {
			return err
		}
		if there.SHA256 != f.SHA256 {
			return fault.New(fault.Refused, "%s has another content than when the backup was made; nothing was restored", f.Name)
		}
	}
	return nil
}
