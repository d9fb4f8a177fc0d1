// Package logs keeps the logs of attempts: append, tail, follow, retain.
//
// A log is one file per attempt. Chunks arrive with the offset of their first
// byte, so that a repeated chunk changes nothing. Reading is by range: memory
// does not grow with the log. Names are checked and every path stays below the
// root folder.
package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
)

// Store is a folder of logs.
type Store struct {
	root *os.Root
}

// Open opens or makes the folder.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.New(fault.Unavailable, "make the log folder: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "open the log folder: %w", err)
	}
	return &Store{root}, nil
}

// Close closes the folder.
func (s *Store) Close() error { return s.root.Close() }

var segment = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`)

func name(ref run.Ref, attempt int) (string, error) {
	for _, part := range []string{ref.Environment, ref.Run, ref.Task} {
		if !segment.MatchString(part) {
			return "", fault.New(fault.Invalid, "%q cannot be part of a log's name", part)
		}
	}
	return path.Join(ref.Environment, ref.Run, fmt.Sprintf("%s.%d.%d.log", ref.Task, ref.Index, attempt)), nil
}

// Append writes a chunk whose first byte stands at offset. What is there
// already is left; a chunk that would leave a hole is refused with Conflict.
func (s *Store) Append(ref run.Ref, attempt int, offset int64, chunk []byte) error {
	file, err := name(ref, attempt)
	if err != nil {
		return err
	}
	f, err := s.root.OpenFile(file, os.O_WRONLY|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrNotExist) { // the run's first log
		if err = s.root.MkdirAll(path.Dir(file), 0o700); err == nil {
			f, err = s.root.OpenFile(file, os.O_WRONLY|os.O_CREATE, 0o600)
		}
	}
	if err != nil {
		return fault.New(fault.Unavailable, "append to a log: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return fault.New(fault.Unavailable, "append to a log: %w", err)
	}
	size := info.Size()
	switch {
	case offset > size:
		return fault.New(fault.Conflict, "the log has %d bytes, the chunk begins at %d", size, offset)
	case offset+int64(len(chunk)) <= size:
		return nil
	}
	if _, err := f.WriteAt(chunk[size-offset:], size); err != nil {
		return fault.New(fault.Unavailable, "append to a log: %w", err)
	}
	return nil
}

// Size is the length of a log in bytes; 0 where there is none.
func (s *Store) Size(ref run.Ref, attempt int) (int64, error) {
	file, err := name(ref, attempt)
	if err != nil {
		return 0, err
	}
	info, err := s.root.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fault.New(fault.Unavailable, "look at a log: %w", err)
	}
	return info.Size(), nil
}

// Copy writes the log from offset on to w and returns the offset behind it.
func (s *Store) Copy(w io.Writer, ref run.Ref, attempt int, offset int64) (int64, error) {
	file, err := name(ref, attempt)
	if err != nil {
		return offset, err
	}
	f, err := s.root.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return offset, nil
	}
	if err != nil {
		return offset, fault.New(fault.Unavailable, "read a log: %w", err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return offset, fault.New(fault.Unavailable, "read a log: %w", err)
	}
	n, err := io.Copy(w, f)
	return offset + n, err
}

// followEvery is how often a followed log is looked at for more.
const followEvery = 200 * time.Millisecond

// Follow copies the log to w as it grows, until ended reports that the attempt
// is over and everything is copied, or ctx ends.
func (s *Store) Follow(ctx context.Context, w io.Writer, ref run.Ref, attempt int, offset int64, ended func() (bool, error)) error {
	for {
		over, err := ended()
		if err != nil {
			return err
		}
		if offset, err = s.Copy(w, ref, attempt, offset); err != nil {
			return err
		}
		if over {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(followEvery):
		}
	}
}
