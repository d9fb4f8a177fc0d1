package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/bundle"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/door"
	"github.com/tidemill/tidemill/internal/launch"
	"github.com/tidemill/tidemill/internal/pyenv"
	"github.com/tidemill/tidemill/internal/task"
	"github.com/tidemill/tidemill/internal/worker"
	"github.com/tidemill/tidemill/python"
)

// WorkerOptions say how the home worker is to run.
type WorkerOptions struct {
	Layout  Layout
	Version string
	Session string
	Slots   int
	Log     *slog.Logger
}

// predecessorPatience is how long a new worker waits for the lock of one that is dying.
const predecessorPatience = 20 * time.Second

// RunWorker is the home worker: it holds the worker's lock, ends what a
// predecessor left behind, answers at the door, and works until ctx ends or its
// server lets it go.
func RunWorker(ctx context.Context, o WorkerOptions) error {
	lock, err := Acquire(ctx, o.Layout.WorkerLock(), Holder{PID: os.Getpid(), Session: o.Session, Version: o.Version, Since: time.Now().UTC()}, predecessorPatience)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Release() }()
	if o.Slots == 0 {
		o.Slots = 2 * runtime.NumCPU()
	}
	server := worker.NewClient(o.Layout.ServerSocket(), http.Header{sessionHeader: {o.Session}})
	defer server.Close()
	installation, err := server.Installation(ctx)
	if err != nil {
		return err
	}
	if n := launch.Sweep(installation, o.Session); n > 0 {
		o.Log.Warn("processes of an earlier worker were ended", "count", n)
	}
	clearWork(o.Layout.Work())
	sdk := filepath.Join(o.Layout.Cache(), "sdk-"+python.Digest())
	if err := python.Install(sdk); err != nil {
		return err
	}
	code, err := bundle.OpenStore(filepath.Join(o.Layout.Cache(), "bundles"))
	if err != nil {
		return err
	}
	opened := newStores(o.Layout)
	defer func() { _ = opened.Close() }()
	runner := &task.Runner{
		Installation: installation, Session: o.Session, Folder: o.Layout.Project, Server: server, Code: (&codes{store: code, server: server}).get, Stores: opened,
		Python: &pyenv.Preparer{Dir: filepath.Join(o.Layout.Cache(), "python")}, Work: o.Layout.Work(), Sockets: o.Layout.SessionFolder(),
		SDK: sdk, Log: o.Log,
	}
	end, err := answerAtDoor(ctx, o.Layout.WorkerSocket(), &door.Door{Runner: runner, Server: server, Log: o.Log})
	if err != nil {
		return err
	}
	defer end()
	w := &worker.Worker{
		Server: server, Runner: runner, Log: o.Log, Session: o.Session, Name: "home", Version: o.Version, Slots: o.Slots, Door: o.Layout.WorkerSocket(),
	}
	return w.Run(ctx)
}

// clearWork removes the run directories of attempts that are no more.
func clearWork(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		_ = os.RemoveAll(filepath.Join(dir, e.Name()))
	}
}

// answerAtDoor begins to answer on the worker's socket.
func answerAtDoor(ctx context.Context, path string, d *door.Door) (end func(), err error) {
	_ = os.Remove(path)                // of a worker that was killed: the lock is ours
	l, err := net.Listen("unix", path) //nolint:noctx // at once
	if err != nil {
		return nil, fault.New(fault.Unavailable, "listen at the door: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, fault.New(fault.Unavailable, "listen at the door: %w", err)
	}
	server := &http.Server{Handler: d.Handler(), ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			d.Log.Error("the door is closed", "cause", err)
		}
	}()
	return func() { _ = server.Close(); <-done }, nil
}

// codes gives bundles by hash: fetched from the server once, then kept.
type codes struct {
	store  *bundle.Store
	server *worker.Client

	mu    sync.Mutex
	known map[string]*task.Code
}

func (c *codes) get(ctx context.Context, hash string) (*task.Code, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if code, ok := c.known[hash]; ok {
		return code, nil
	}
	b, err := c.store.Open(hash)
	if fault.Is(err, fault.NotFound) {
		archive, e := c.server.Bundle(ctx, hash)
		if e != nil {
			return nil, e
		}
		defer func() { _ = archive.Close() }()
		if b, err = c.store.Extract(archive, hash); err != nil {
			return nil, fmt.Errorf("fetch bundle %s: %w", hash, err)
		}
	}
	if err != nil {
		return nil, err
	}
	code := &task.Code{Hash: hash, Dir: b.Dir, Project: &b.Plan.Project, Contracts: b.Plan.Contracts}
	if c.known == nil || len(c.known) > 64 {
		c.known = map[string]*task.Code{}
	}
	c.known[hash] = code
	return code, nil
}
