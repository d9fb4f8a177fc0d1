// Package blob keeps named bytes: artifacts of attempts, pinned spines.
//
// A name is one or more path segments. A blob is written whole or not at all
// and never changed. The folder implementation is the only one yet.
package blob

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"

	"github.com/tidemill/tidemill/internal/core/fault"
)

// Folder keeps blobs as files below one folder.
type Folder struct{ root *os.Root }

// OpenFolder opens or makes a folder of blobs.
func OpenFolder(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.New(fault.Unavailable, "make a blob folder: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "open a blob folder: %w", err)
	}
	return &Folder{root}, nil
}

// Close closes the folder.
func (f *Folder) Close() error { return f.root.Close() }

var segment = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@=+-]{0,127}$`)

// Name joins segments to a name, refusing what could leave the folder.
func Name(segments ...string) (string, error) {
	for _, s := range segments {
		if !segment.MatchString(s) {
			return "", fault.New(fault.Invalid, "%q cannot be part of a name: use letters, digits and _ . @ = + -", s)
		}
	}
	return strings.Join(segments, "/"), nil
}

// Put writes a blob; one that is there is replaced as a whole.
func (f *Folder) Put(name string, content io.Reader) (size int64, err error) {
	if err := f.root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return 0, fault.New(fault.Unavailable, "write %s: %w", name, err)
	}
	var random [6]byte
	_, _ = rand.Read(random[:])
	temporary := path.Join(path.Dir(name), ".partial-"+hex.EncodeToString(random[:]))
	file, err := f.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, fault.New(fault.Unavailable, "write %s: %w", name, err)
	}
	defer func() { _ = f.root.Remove(temporary) }() // gone already when all went well
	size, err = io.Copy(file, content)
	if err == nil {
		err = file.Sync()
	}
	if e := file.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = f.root.Rename(temporary, name)
	}
	if err != nil {
		return size, fault.New(fault.Unavailable, "write %s: %w", name, err)
	}
	return size, nil
}

// Get opens a blob; the caller closes it.
func (f *Folder) Get(name string) (io.ReadCloser, error) {
	file, err := f.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "no %s", name)
	}
	if err != nil {
		return nil, fault.New(fault.Unavailable, "read %s: %w", name, err)
	}
	return file, nil
}
