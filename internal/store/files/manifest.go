package files

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/failpoint"
)

// manifest is one state of a table.
type manifest struct {
	Number     int64               `json:"number"`
	At         time.Time           `json:"at"`
	Seq        int64               `json:"seq"`          // of the newest commit; raising a fence is no commit
	End        time.Time           `json:"end,omitzero"` // of the newest window that was committed
	Schema     datatype.Schema     `json:"schema"`
	Files      []dataFile          `json:"files"`
	Quarantine []dataFile          `json:"quarantine,omitempty"`
	Left       []leftFile          `json:"left,omitempty"` // files that no manifest may name any more
	Swept      time.Time           `json:"swept,omitzero"` // when such files were removed last
	Keys       map[string]keyState `json:"keys"`
	Receipt    *commit.Receipt     `json:"receipt,omitempty"` // of the commit that made this manifest
}

// dataFile is one Parquet file of a table, with the commit that brought its rows.
type dataFile struct {
	Name    string        `json:"name"`
	Rows    int64         `json:"rows"`
	Bytes   int64         `json:"bytes"`
	Seq     int64         `json:"seq"`
	Origin  string        `json:"origin"` // the publish key without its generation
	Window  commit.Window `json:"window,omitzero"`
	Accepts commit.Window `json:"accepts,omitzero"` // every event time lies in here; zero: not known
}

func tableFolder(t project.Table) string { return path.Join(t.Schema, t.Name) }

func manifestFolder(t project.Table) string { return path.Join(tableFolder(t), "_manifest") }

// newest reads a table's newest manifest; the zero manifest where there is none.
func (s *Store) newest(t project.Table) (manifest, error) {
	none := manifest{Keys: map[string]keyState{}}
	entries, err := fs.ReadDir(s.root.FS(), manifestFolder(t))
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	if err != nil {
		return none, fault.New(fault.Unavailable, "read the manifests of %s: %w", t, err)
	}
	number := int64(0)
	for _, e := range entries {
		n, err := strconv.ParseInt(strings.TrimSuffix(e.Name(), ".json"), 10, 64)
		if err == nil && strings.HasSuffix(e.Name(), ".json") {
			number = max(number, n)
		}
	}
	if number == 0 {
		return none, nil
	}
	return s.manifest(t, number)
}

// manifest reads the manifest of a number.
func (s *Store) manifest(t project.Table, number int64) (manifest, error) {
	m := manifest{Keys: map[string]keyState{}}
	file, err := s.root.Open(manifestName(t, number))
	if err != nil {
		return m, fault.New(fault.Unavailable, "read manifest %d of %s: %w", number, t, err)
	}
	defer func() { _ = file.Close() }()
	if err := json.NewDecoder(file).Decode(&m); err != nil {
		return m, fault.New(fault.Unavailable, "manifest %d of %s cannot be read: %w", number, t, err)
	}
	return m, nil
}

func manifestName(t project.Table, number int64) string {
	return path.Join(manifestFolder(t), fmt.Sprintf("%010d.json", number))
}

// errNumberTaken means that another writer made the manifest of this number first.
var errNumberTaken = errors.New("another writer made this manifest first")

// link makes the manifest that follows, only if nobody else has. It is on disk
// when link returns.
func (s *Store) link(t project.Table, m manifest) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fault.New(fault.Internal, "manifest of %s: %w", t, err)
	}
	folder := manifestFolder(t)
	if err := s.root.MkdirAll(folder, 0o755); err != nil {
		return fault.New(fault.Unavailable, "write a manifest of %s: %w", t, err)
	}
	temporary := path.Join(folder, uniqueName("manifest")+".partial")
	if err := s.writeFile(temporary, func(w io.Writer) error { _, err := w.Write(b); return err }); err != nil {
		return err
	}
	defer func() { _ = s.root.Remove(temporary) }()
	// A hard link is created whole or not at all, and never over another file.
	err = s.root.Link(temporary, manifestName(t, m.Number))
	if errors.Is(err, fs.ErrExist) {
		return errNumberTaken
	}
	if err != nil {
		return fault.New(fault.Unavailable, "write manifest %d of %s: %w", m.Number, t, err)
	}
	failpoint.Hit(failpoint.ManifestLinked)
	return s.syncFolder(folder)
}

// writeFile writes a new file to disk, whole.
func (s *Store) writeFile(name string, write func(io.Writer) error) error {
	file, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fault.New(fault.Unavailable, "write %s: %w", name, err)
	}
	err = write(file)
	if err == nil {
		err = file.Sync()
	}
	if e := file.Close(); err == nil {
		err = e
	}
	if err != nil {
		_ = s.root.Remove(name)
		return fault.Wrap(fault.Unavailable, fmt.Errorf("write %s: %w", name, err))
	}
	return nil
}

func (s *Store) syncFolder(name string) error {
	dir, err := s.root.Open(name)
	if err != nil {
		return fault.New(fault.Unavailable, "sync %s: %w", name, err)
	}
	defer func() { _ = dir.Close() }()
	if err := dir.Sync(); err != nil {
		return fault.New(fault.Unavailable, "sync %s: %w", name, err)
	}
	return nil
}

// change makes the manifest that follows the newest one, again where another
// writer was faster. make sees the newest state and returns the next; it returns
// done where nothing is to be written.
func (s *Store) change(t project.Table, make func(m manifest) (next manifest, done bool, err error)) error {
	for range 1000 {
		m, err := s.newest(t)
		if err != nil {
			return err
		}
		next, done, err := make(m)
		if err != nil || done {
			return err
		}
		next.Number, next.At = m.Number+1, time.Now().UTC()
		if err = s.link(t, next); !errors.Is(err, errNumberTaken) {
			return err
		}
	}
	return fault.New(fault.Busy, "%s has too many writers at once", t)
}

func uniqueName(prefix string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d/%d/%d", os.Getpid(), time.Now().UnixNano(), serial.Add(1)))
	return prefix + "-" + hex.EncodeToString(sum[:8])
}
