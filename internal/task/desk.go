package task

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/tidemill/tidemill/internal/core/fault"
)

// desks are the run directories of a worker. An attempt has one for itself; the
// next one finds it swept. Thousands of short attempts would otherwise spend
// most of their time on making and deleting inodes: ext4 avoids the recently
// deleted ones by looking at each of them.
type desks struct {
	mu   sync.Mutex
	free []string
	made int
}

// What stays on a desk between two attempts: folders, without their content, and
// plain files that are written anew before anybody reads them.
var (
	keptFolders = map[string]bool{"in": true, "out": true, "artifacts": true}
	keptFiles   = map[string]bool{"context.json": true, logFile: true}
)

// logFile is the file of an attempt's log in its run directory.
const logFile = "log"

// take returns an empty run directory below root.
func (d *desks) take(root string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.free); n > 0 {
		dir := d.free[n-1]
		d.free = d.free[:n-1]
		return dir, nil
	}
	d.made++
	dir := filepath.Join(root, fmt.Sprintf("desk-%d", d.made))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fault.New(fault.Unavailable, "make the run directory: %w", err)
	}
	return dir, nil
}

// clear sweeps a run directory for the next attempt. One that cannot be swept is
// given up.
func (d *desks) clear(dir string) {
	if err := sweep(dir); err != nil {
		_ = os.RemoveAll(dir)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free = append(d.free, dir)
}

func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		switch {
		case e.IsDir() && keptFolders[e.Name()]:
			err = empty(name)
		case e.Type().IsRegular() && keptFiles[e.Name()]:
		default: // a link in place of a kept file included: the next attempt would write through it
			err = os.RemoveAll(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
