package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
)

// Holder says who holds a lock file.
type Holder struct {
	PID     int       `json:"pid"`
	Session string    `json:"session,omitempty"`
	Version string    `json:"version"`
	Since   time.Time `json:"since"`
}

// Lock is a lock file that this process holds until it ends.
type Lock struct{ file *os.File }

// Acquire takes a lock file and writes who holds it. It waits for up to patience
// for another holder to end, then reports a conflict that names it.
func Acquire(ctx context.Context, path string, me Holder, patience time.Duration) (*Lock, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "lock %s: %w", path, err)
	}
	begun := time.Now()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			_ = file.Close()
			return nil, fault.New(fault.Unavailable, "lock %s: %w", path, err)
		}
		if time.Since(begun) >= patience || ctx.Err() != nil {
			held, err := readHolder(file)
			_ = file.Close()
			if err != nil {
				return nil, fault.New(fault.Conflict, "%s is held by a process that is about to write its name there; try again", path)
			}
			return nil, fault.New(fault.Conflict, "%s is held by process %d since %s; end that with: tidemill down", path, held.PID, held.Since.Format(time.RFC3339))
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	b, err := json.Marshal(me)
	if err == nil {
		err = file.Truncate(0)
	}
	if err == nil {
		_, err = file.WriteAt(b, 0)
	}
	if err != nil {
		_ = file.Close()
		return nil, fault.New(fault.Unavailable, "lock %s: %w", path, err)
	}
	return &Lock{file}, nil
}

// Release gives the lock back.
func (l *Lock) Release() error { return l.file.Close() }

// HolderOf returns who holds a lock file, and whether anybody does.
func HolderOf(path string) (Holder, bool) {
	file, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if err != nil {
		return Holder{}, false
	}
	defer func() { _ = file.Close() }()
	if syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil {
		return Holder{}, false // the lock goes with the file
	}
	h, err := readHolder(file)
	for begun := time.Now(); err != nil && time.Since(begun) < glance; h, err = readHolder(file) {
		time.Sleep(time.Millisecond) //nolint:forbidigo // bounded: who takes the lock writes its name at once
	}
	return h, err == nil
}

// released reports whether nobody holds a lock file. A lock goes with its process
// even where nobody reaps it, and another process with its number has no part in it.
func released(path string) bool {
	file, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	defer func() { _ = file.Close() }()
	return syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil
}

// glance is longer than it takes to look whether a lock is held, or to write
// one's name after taking it.
const glance = 200 * time.Millisecond

func readHolder(file *os.File) (Holder, error) {
	var h Holder
	b, err := io.ReadAll(io.NewSectionReader(file, 0, 4096))
	if err != nil {
		return h, err
	}
	return h, json.Unmarshal(b, &h)
}
