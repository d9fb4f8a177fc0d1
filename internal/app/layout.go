// Package app puts the parts together: the server with its loops, the home
// worker as a child process, and the stores that a project names.
//
// New binds and takes locks, and undoes what it did when it fails; Run works
// until its context ends and stops the parts in reverse. Nothing else starts a
// part. Two servers cannot share a project folder.
package app

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tidemill/tidemill/internal/core/fault"
)

// Layout names the places that Tidemill keeps below a project's folder.
type Layout struct {
	Project string // the project folder, absolute
	Home    string // Project/.tidemill, 0700
}

// maxSocketPath is the longest path that a unix socket may have, with room for the final zero.
const maxSocketPath = 103

// LayoutOf names the places of a project's folder, and makes nothing.
func LayoutOf(project string) (Layout, error) {
	abs, err := filepath.Abs(project)
	if err != nil {
		return Layout{}, fault.New(fault.Invalid, "project folder: %w", err)
	}
	if abs, err = filepath.EvalSymlinks(abs); err != nil {
		return Layout{}, fault.New(fault.NotFound, "project folder: %w", err)
	}
	return Layout{Project: abs, Home: filepath.Join(abs, ".tidemill")}, nil
}

// NewLayout makes the folders of a project's home.
func NewLayout(project string) (Layout, error) {
	l, err := LayoutOf(project)
	if err != nil {
		return Layout{}, err
	}
	for _, dir := range []string{l.Home, l.RunFolder(), l.Work()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return Layout{}, fault.New(fault.Unavailable, "make %s: %w", dir, err)
		}
	}
	return l, nil
}

// Ledger is the SQLite file of the ledger.
func (l Layout) Ledger() string { return filepath.Join(l.Home, "ledger.db") }

// Logs holds the attempts' logs.
func (l Layout) Logs() string { return filepath.Join(l.Home, "logs") }

// Artifacts holds what attempts keep.
func (l Layout) Artifacts() string { return filepath.Join(l.Home, "artifacts") }

// Bundles holds the server's bundles.
func (l Layout) Bundles() string { return filepath.Join(l.Home, "bundles") }

// Cache holds what can be made again: environments, parsed SQL, a worker's bundles.
func (l Layout) Cache() string { return filepath.Join(l.Home, "cache") }

// Work holds the run directories of attempts.
func (l Layout) Work() string { return filepath.Join(l.Home, "work") }

// RunFolder holds locks and sockets.
func (l Layout) RunFolder() string { return filepath.Join(l.Home, "run") }

// ServerLog and WorkerLog are where background processes write.
func (l Layout) ServerLog() string { return filepath.Join(l.Home, "server.log") }

// WorkerLog is where the home worker writes.
func (l Layout) WorkerLog() string { return filepath.Join(l.Home, "worker.log") }

// ServerLock is held by the one server of the folder.
func (l Layout) ServerLock() string { return filepath.Join(l.RunFolder(), "server.lock") }

// WorkerLock is held by the one home worker of the folder.
func (l Layout) WorkerLock() string { return filepath.Join(l.RunFolder(), "worker.lock") }

// ServerSocket is where the server answers.
func (l Layout) ServerSocket() string { return l.socket("server.sock") }

// WorkerSocket is where the home worker answers: the door to the warehouse.
func (l Layout) WorkerSocket() string { return l.socket("worker.sock") }

// SessionFolder is a short place for the sockets of attempts.
func (l Layout) SessionFolder() string { return filepath.Dir(l.socket("s/0123456789abcdef.sock")) }

// socket is a path in the run folder, or, where that is too long for a socket,
// in a folder of the system's temporary one that belongs to this project alone.
func (l Layout) socket(name string) string {
	path := filepath.Join(l.RunFolder(), name)
	if len(path) <= maxSocketPath {
		return path
	}
	sum := sha256.Sum256([]byte(l.Home))
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("tidemill-%d-%s", os.Getuid(), hex.EncodeToString(sum[:6])))
	return filepath.Join(dir, name)
}
