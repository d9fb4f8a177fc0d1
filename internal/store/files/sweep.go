package files

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
)

// grace is how long a data file stays that the table no longer needs: readers that
// began before may still be reading, and a file that no manifest names may belong
// to a load that runs.
const grace = 24 * time.Hour

// leftFile is a data file that no manifest will name any more: its rows were
// replaced, or whoever wrote it has died. From here on it must not be named, so
// that the one line of manifests settles who was first, the load or the sweep.
type leftFile struct {
	Name  string    `json:"name"`
	Since time.Time `json:"since"`
}

// ours are the names that uniqueName gives: what others lay into the folder is theirs.
var ours = regexp.MustCompile(`^(data|quarantine)-[0-9a-f]{16}\.parquet$`)

func (m manifest) names(file string) bool {
	is := func(f dataFile) bool { return f.Name == file }
	return slices.ContainsFunc(m.Files, is) || slices.ContainsFunc(m.Quarantine, is)
}

func (m manifest) left(file string) bool {
	return slices.ContainsFunc(m.Left, func(f leftFile) bool { return f.Name == file })
}

// leave notes which files of now the next manifest does without, and refuses to
// name one that was left before: nothing had been written to it for a day, or longer.
func (s *Store) leave(t project.Table, now manifest, next *manifest, at time.Time) error {
	next.Left = slices.Clone(now.Left)
	for _, list := range [][]dataFile{now.Files, now.Quarantine} {
		for _, f := range list {
			if !next.names(f.Name) {
				next.Left = append(next.Left, leftFile{f.Name, at})
			}
		}
	}
	for _, list := range [][]dataFile{next.Files, next.Quarantine} {
		for _, f := range list {
			if now.names(f.Name) {
				continue
			}
			if _, err := s.root.Stat(path.Join(tableFolder(t), f.Name)); now.left(f.Name) || err != nil {
				return fault.New(fault.Unavailable, "the load took so long that its rows were taken for those of a dead one: nothing was written to %s for %s", f.Name, grace)
			}
		}
	}
	return nil
}

// sweepDaily removes, once a day, what the table left a day ago and longer, and
// finds what the dead have left. A kill between its steps costs nothing: what is
// in the list stays there until it is seen to be gone. Manifests stay, they hold
// the receipts.
func (s *Store) sweepDaily(t project.Table) error {
	m, err := s.newest(t)
	if err != nil || time.Since(m.Swept) < grace {
		return err
	}
	before := time.Now().Add(-grace)
	err = s.change(t, func(now manifest) (manifest, bool, error) {
		if now.Swept.After(before) {
			return now, true, nil // another one sweeps
		}
		present, err := s.dataFiles(t)
		if err != nil {
			return now, true, err
		}
		next := now
		next.Swept, next.Receipt = time.Now().UTC(), nil
		next.Left = slices.DeleteFunc(slices.Clone(now.Left), func(f leftFile) bool {
			_, there := present[f.Name]
			return !there && f.Since.Before(before)
		})
		for name, written := range present {
			if written.Before(before) && !now.names(name) && !now.left(name) {
				next.Left = append(next.Left, leftFile{name, next.Swept})
			}
		}
		slices.SortFunc(next.Left, func(a, b leftFile) int { return strings.Compare(a.Name, b.Name) })
		m = next
		return next, false, nil
	})
	if err != nil {
		return err
	}
	for _, f := range m.Left {
		if f.Since.Before(before) {
			_ = s.root.Remove(path.Join(tableFolder(t), f.Name)) // what stays is tried again tomorrow
		}
	}
	return s.sweepPartial(t, before)
}

// dataFiles returns the data files in a table's folder with when they were written to.
func (s *Store) dataFiles(t project.Table) (map[string]time.Time, error) {
	entries, err := fs.ReadDir(s.root.FS(), tableFolder(t))
	if err != nil {
		return nil, fault.New(fault.Unavailable, "list the files of %s: %w", t, err)
	}
	out := map[string]time.Time{}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && ours.MatchString(e.Name()) {
			out[e.Name()] = info.ModTime()
		}
	}
	return out, nil
}

// sweepPartial removes manifests that were begun and never linked.
func (s *Store) sweepPartial(t project.Table, before time.Time) error {
	entries, err := fs.ReadDir(s.root.FS(), manifestFolder(t))
	if err != nil {
		return fault.New(fault.Unavailable, "list the manifests of %s: %w", t, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasSuffix(e.Name(), ".partial") && info.ModTime().Before(before) {
			_ = s.root.Remove(path.Join(manifestFolder(t), e.Name()))
		}
	}
	return nil
}
