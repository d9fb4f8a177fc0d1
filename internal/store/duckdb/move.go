package duckdb

import (
	"errors"
	"io"
	"os"
	"syscall"

	"github.com/tidemill/tidemill/internal/core/fault"
)

// move brings a finished file to its place, also on another file system. Nothing
// that is there is overwritten.
func move(from, to string) error {
	err := os.Link(from, to)
	if err == nil {
		return nil // the name that is left goes with the clean-up
	}
	if errors.Is(err, os.ErrExist) {
		return fault.New(fault.Conflict, "there is something at %s already", to)
	}
	if !errors.Is(err, syscall.EXDEV) && !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.ENOTSUP) {
		return fault.New(fault.Unavailable, "putting the snapshot in its place: %w", err)
	}
	if err := duplicate(from, to); err != nil {
		_ = os.Remove(to)
		return fault.New(fault.Unavailable, "putting the snapshot in its place: %w", err)
	}
	return nil
}

func duplicate(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return err
	}
	if err := out.Sync(); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}
