// Package folder takes the files of a project from disk: those that make a
// bundle, each read once for as long as nothing says that it changed.
//
// What it guarantees: nothing outside of the project folder is read, whatever
// links lie in it; every file has a limit; what cannot be taken is a problem with
// a place, and no error. It must not know what a file says.
package folder

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/problem"
)

// Limits of a project folder.
const (
	maxText   = 1 << 20   // of a file that is parsed
	maxOther  = 32 << 20  // of any other file of the bundle
	maxBundle = 512 << 20 // of all files together
	maxFiles  = 200_000
	maxDepth  = 16 // of folders
)

// racy is how old a change must be before its time alone proves that nothing
// else changed: clocks of file systems are coarse.
const racy = 2 * time.Second

// ProjectName is the file that makes a folder a project.
const ProjectName = "tidemill.yaml"

// folders are what a bundle holds beside tidemill.yaml and include:.
var folders = []string{"calendars", "contracts", "features", "lib", "pipelines", "tests"}

// File is one file of the project as it was read.
type File struct {
	Path    string
	Data    []byte
	Hash    [sha256.Size]byte
	size    int64
	changed time.Time
	read    time.Time
}

// Scan is what a look at a folder found.
type Scan struct {
	root  *os.Root
	known map[string]*File
	Files map[string]*File // by path
	bytes int64
	Found problem.List
}

func (s *Scan) add(code problem.Code, name, remedy, format string, args ...any) {
	s.Found = append(s.Found, problem.New(code, problem.Place{File: name}, remedy, format, args...))
}

// Read reads what changed since known was read.
func Read(ctx context.Context, root *os.Root, known map[string]*File) (*Scan, error) {
	s := &Scan{root: root, known: known, Files: make(map[string]*File, len(known))}
	if err := s.one(ProjectName, nil); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, folder := range folders {
		var err error
		if folder == "pipelines" {
			err = s.wide(ctx, folder)
		} else {
			err = s.folder(ctx, folder, 1)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return s, ctx.Err()
}

// wide reads the folders in a folder side by side: a project has hundreds of
// pipelines and few of anything else.
func (s *Scan) wide(ctx context.Context, name string) error {
	entries, err := s.entries(name)
	if err != nil {
		return err
	}
	parts := make([]*Scan, min(runtime.GOMAXPROCS(0), len(entries)))
	group, ctx := errgroup.WithContext(ctx)
	for w := range parts {
		part := &Scan{root: s.root, known: s.known, Files: map[string]*File{}}
		parts[w] = part
		group.Go(func() error {
			for i := w; i < len(entries); i += len(parts) {
				if err := part.entry(ctx, name, entries[i], 1); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, part := range parts {
		maps.Copy(s.Files, part.Files)
		s.Found = append(s.Found, part.Found...)
		s.bytes += part.bytes
	}
	return s.bounds()
}

func (s *Scan) bounds() error {
	if len(s.Files) > maxFiles || s.bytes > maxBundle {
		return fault.New(fault.Invalid, "the project has more than %d files or %d MiB; landing folders and data do not belong into it", maxFiles, maxBundle>>20)
	}
	return nil
}

// skipped reports names that never belong to a project.
func skipped(name string) bool {
	return strings.HasPrefix(name, ".") || name == "__pycache__" || strings.HasSuffix(name, ".pyc") ||
		strings.HasSuffix(name, "~") || strings.HasPrefix(name, "#")
}

func (s *Scan) folder(ctx context.Context, name string, depth int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if depth > maxDepth {
		s.add(problem.BadPath, name, "", "folders nest deeper than %d", maxDepth)
		return nil
	}
	entries, err := s.entries(name)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := s.entry(ctx, name, e, depth); err != nil {
			return err
		}
	}
	return nil
}

// entries returns what lies in a folder, sorted.
func (s *Scan) entries(name string) ([]fs.DirEntry, error) {
	f, err := s.root.Open(name)
	if err != nil {
		return nil, s.unreadable(name, err)
	}
	entries, err := f.ReadDir(-1)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, s.unreadable(name, err)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

func (s *Scan) entry(ctx context.Context, folder string, e fs.DirEntry, depth int) error {
	if skipped(e.Name()) {
		return nil
	}
	below := path.Join(folder, e.Name())
	var err error
	switch {
	case e.IsDir():
		err = s.folder(ctx, below, depth+1)
	case e.Type()&fs.ModeSymlink != 0:
		err = s.link(below)
	case e.Type().IsRegular():
		err = s.one(below, e)
	default:
		s.add(problem.BadPath, below, "remove it", "%s is neither a file nor a folder", below)
	}
	if errors.Is(err, fs.ErrNotExist) { // it has gone meanwhile
		return nil
	}
	return err
}

// unreadable reports a folder or file that is there but cannot be read.
func (s *Scan) unreadable(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.add(problem.BadPath, name, "", "%s cannot be read: %s", name, reason(err))
	return nil
}

// reason is an error without the operation and path that os puts before it.
func reason(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}

// link follows a symbolic link to a file inside the project.
func (s *Scan) link(name string) error {
	info, err := s.root.Stat(name)
	switch {
	case err != nil:
		s.add(problem.BadPath, name, "put the file itself here", "%s is a link that leads out of the project or to nothing", name)
		return nil //nolint:nilerr // it is a problem of the project
	case !info.Mode().IsRegular():
		s.add(problem.BadPath, name, "put the folder itself here", "%s is a link to something that is no file", name)
		return nil
	}
	return s.one(name, fs.FileInfoToDirEntry(info))
}

// parsedName reports files that are parsed and not merely carried along.
func parsedName(name string) bool {
	switch path.Ext(name) {
	case ".yaml", ".yml", ".sql", ".py":
		return true
	}
	return false
}

// one takes a file in, from memory if nothing says that it changed.
func (s *Scan) one(name string, entry fs.DirEntry) error {
	var info fs.FileInfo
	var err error
	if entry != nil {
		info, err = entry.Info()
	} else {
		info, err = s.root.Stat(name)
	}
	if err != nil {
		return s.unreadable(name, err)
	}
	limit := int64(maxOther)
	if parsedName(name) {
		limit = maxText
	}
	if info.Size() > limit {
		s.add(problem.TooLarge, name, "", "%s has %d bytes; at most %d are read", name, info.Size(), limit)
		return nil
	}
	f := s.known[name]
	if f == nil || f.size != info.Size() || !f.changed.Equal(info.ModTime()) || f.read.Sub(f.changed) < racy {
		if f, err = s.load(name, info, limit); f == nil || err != nil {
			return err
		}
	}
	s.bytes += f.size
	s.Files[name] = f
	return s.bounds()
}

func (s *Scan) load(name string, info fs.FileInfo, limit int64) (*File, error) {
	now := time.Now()
	r, err := s.root.Open(name)
	if err != nil {
		return nil, s.unreadable(name, err)
	}
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, s.unreadable(name, err)
	}
	if int64(len(data)) > limit {
		s.add(problem.TooLarge, name, "", "%s has more than %d bytes", name, limit)
		return nil, nil
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // some editors write it, and no parser here reads it
	f := &File{Path: name, Data: data, Hash: sha256.Sum256(data), size: info.Size(), changed: info.ModTime(), read: now}
	return f, nil
}

// Include takes in what include: names.
func (s *Scan) Include(patterns []string, at func(i int) problem.Place) {
	for i, p := range patterns {
		bad := func(remedy, format string, args ...any) {
			s.Found = append(s.Found, problem.New(problem.BadPath, at(i), remedy, format, args...))
		}
		if !fs.ValidPath(p) || p == "." {
			bad("write a path below the project folder, with /", "%q is no path inside the project", p)
			continue
		}
		names, err := fs.Glob(s.root.FS(), p)
		if err != nil || len(names) == 0 {
			bad("", "%q matches no file", p)
			continue
		}
		for _, name := range names {
			if slices.ContainsFunc(strings.Split(name, "/"), skipped) {
				bad("", "%s is a hidden file", name)
				continue
			}
			info, err := s.root.Stat(name)
			switch {
			case err != nil:
				bad("", "%s cannot be read: %s", name, reason(err))
			case info.IsDir():
				bad("write "+name+"/*", "%s is a folder", name)
			default:
				if err := s.one(name, nil); err != nil {
					bad("", "%s: %s", name, err)
				}
			}
		}
	}
}
