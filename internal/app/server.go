package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/blob"
	"github.com/tidemill/tidemill/internal/bundle"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/dispatch"
	"github.com/tidemill/tidemill/internal/httpd"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/logs"
	"github.com/tidemill/tidemill/internal/notify"
	"github.com/tidemill/tidemill/internal/notify/heartbeat"
	"github.com/tidemill/tidemill/internal/scheduler"
)

// Options say how a server is to run.
type Options struct {
	Layout      Layout
	Environment string
	Version     string
	Ledger      string // location; empty: the SQLite file of the project
	Executable  string // this program, to start the home worker with
	Slots       int    // of the home worker; 0: as many as suit the machine
	Watch       bool   // read the project again whenever its files change
	Schedule    bool   // make runs of what becomes due; else only what is asked for runs
	Worker      bool   // start the home worker
	Alone       bool   // one command needs it, and it ends after that
	Log         *slog.Logger
}

// Server is the one server of a project folder.
type Server struct {
	options    Options
	since      time.Time
	lock       *Lock
	ledger     *ledger.Ledger
	logs       *logs.Store
	artifacts  *blob.Folder
	bundles    *bundle.Store
	catalog    *catalog.Catalog
	dispatcher *dispatch.Dispatcher
	supervisor *supervisor
	listener   net.Listener
	closers    []io.Closer

	slots   chan struct{} // something about slots changed
	outbox  chan struct{} // a notification waits
	stop    context.CancelFunc
	mu      sync.Mutex
	leaving bool
	guests  guests
	heardOf map[string]bool // sessions that spoke since the server started
}

// New takes the folder's lock, opens the ledger and reads the project. What it
// took it gives back when it fails.
func New(ctx context.Context, o Options) (s *Server, err error) {
	s = &Server{options: o, since: time.Now().UTC(), slots: make(chan struct{}, 1), outbox: make(chan struct{}, 1), heardOf: map[string]bool{}, stop: func() {}}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	lock, err := Acquire(ctx, o.Layout.ServerLock(), Holder{PID: os.Getpid(), Version: o.Version, Since: s.since}, glance)
	if err != nil {
		return s, err
	}
	s.lock = lock
	s.closers = append(s.closers, closer(lock.Release))
	if err := o.Layout.whole(); err != nil {
		return s, err
	}
	if o.Ledger == "" {
		o.Ledger = o.Layout.Ledger()
	}
	if s.ledger, err = ledger.Open(ctx, o.Ledger); err != nil {
		return s, err
	}
	s.closers = append(s.closers, s.ledger)
	if s.logs, err = logs.Open(o.Layout.Logs()); err != nil {
		return s, err
	}
	s.closers = append(s.closers, s.logs)
	if s.artifacts, err = blob.OpenFolder(o.Layout.Artifacts()); err != nil {
		return s, err
	}
	s.closers = append(s.closers, s.artifacts)
	s.dispatcher = dispatch.New(s.ledger, o.Log)
	s.ledger.Notify = s.notified
	if err := s.openCatalog(ctx); err != nil {
		return s, err
	}
	s.supervisor = &supervisor{
		layout: o.Layout, command: s.workerCommand, end: s.dispatcher.End, heard: s.heard, open: s.ledger.OpenSessions, log: o.Log,
	}
	return s, s.listen()
}

type closer func() error

// Close calls the function.
func (c closer) Close() error { return c() }

// Close gives back what the server took, in reverse.
func (s *Server) Close() error {
	var first error
	for _, c := range slices.Backward(s.closers) {
		if err := c.Close(); err != nil && first == nil && !errors.Is(err, net.ErrClosed) {
			first = err
		}
	}
	s.closers = nil
	return first
}

// listen opens the socket; only this user can open it.
func (s *Server) listen() error {
	path := s.options.Layout.ServerSocket()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	_ = os.Remove(path)                // of a server that was killed: the lock is ours
	l, err := net.Listen("unix", path) //nolint:noctx // at once
	if err != nil {
		return err
	}
	s.listener = l
	s.closers = append(s.closers, l)
	return os.Chmod(path, 0o600)
}

// notified spreads what the ledger committed.
func (s *Server) notified(n ledger.Note) {
	s.dispatcher.Notify(n)
	if n.Slots {
		wake(s.slots)
	}
	if n.Outbox {
		wake(s.outbox)
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run works until ctx ends, Stop was asked for, or a part fails.
func (s *Server) Run(ctx context.Context) error {
	ctx, s.stop = context.WithCancel(ctx)
	defer s.stop()
	var parts errgroup.Group
	part := func(name string, run func(context.Context) error) {
		parts.Go(func() error {
			defer s.stop() // one part's end is the end of all
			if err := run(ctx); err != nil && !(ctx.Err() != nil && errors.Is(err, context.Canceled)) {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	part("api", s.serve)
	part("dispatch", s.dispatcher.Run)
	part("notify", (&notify.Notifier{Ledger: s.ledger, Environment: s.options.Environment, Plan: s.alertPlan, Log: s.options.Log, Wake: s.outbox}).Run)
	if s.options.Watch {
		part("catalog", s.watch)
	}
	if s.options.Schedule {
		part("scheduler", (&scheduler.Scheduler{
			Ledger: s.ledger, Environment: s.options.Environment, Live: s.Live, Broken: s.brokenFiles, Log: s.options.Log, Wake: s.slots,
		}).Run)
		part("heartbeat", (&heartbeat.Heartbeat{
			Environment: s.options.Environment, Target: s.heartbeat, Trouble: s.ledger.Trouble, Incidents: s.ledger, Log: s.options.Log,
		}).Run)
	}
	if s.options.Schedule && s.options.Worker {
		part("freshness", s.watchFreshness)
	}
	if s.options.Worker {
		part("home worker", s.supervisor.run)
	}
	return parts.Wait()
}

func (s *Server) serve(ctx context.Context) error {
	h := &httpd.Server{
		Environment: s.options.Environment, Ledger: s.ledger, Dispatcher: s.dispatcher, Logs: s.logs, Artifacts: s.artifacts,
		Catalog: s, Bundles: s.bundles, Plan: s.alertPlan, Status: s.status, Door: s.door, Backup: s.backup, Stop: s.Stop, Guest: s.guests.come, Log: s.options.Log,
	}
	server := &http.Server{Handler: s.listening(h.Handler()), ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	return httpd.Serve(ctx, server, func() error {
		if err := server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
}

// listening remembers which sessions have spoken: how a starting server knows
// that the worker it found is alive.
func (s *Server) listening(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id := r.Header.Get(sessionHeader); id != "" {
			s.mu.Lock()
			s.heardOf[id] = true
			s.mu.Unlock()
		}
		h.ServeHTTP(w, r)
	})
}

const sessionHeader = "Tidemill-Session"

func (s *Server) heard(session string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heardOf[session]
}

// Stop ends the server: at once, or when what runs has ended.
func (s *Server) Stop(drain bool) {
	s.mu.Lock()
	s.leaving = true
	s.mu.Unlock()
	if drain && s.options.Worker {
		s.supervisor.leave()
		s.dispatcher.Drain()
		return // the worker leaves, and its part's end ends the others
	}
	s.stop()
}

// workerCommand is how the home worker is started.
func (s *Server) workerCommand(session string) *exec.Cmd {
	args := []string{"--dir", s.options.Layout.Project, "internal-worker", "--session", session}
	if s.options.Slots > 0 {
		args = append(args, "--slots", fmt.Sprint(s.options.Slots))
	}
	return exec.Command(s.options.Executable, args...) //nolint:noctx // the supervisor ends it in steps
}

// door is the way to the home worker's socket.
func (s *Server) door() http.RoundTripper {
	if pid, _ := s.supervisor.current(); pid == 0 {
		return nil
	}
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", s.options.Layout.WorkerSocket())
		},
		DisableKeepAlives: true,
	}
}

func (s *Server) status() api.Status {
	p, hash := s.Live()
	out := api.Status{
		Environment: s.options.Environment, Folder: s.options.Layout.Project, Bundle: hash, Installation: s.ledger.Installation(),
		Version: s.options.Version, PID: os.Getpid(), Since: s.since, Problems: len(s.Problems().Errors()), Stale: s.Stale(),
		Trouble: s.ledger.Trouble(), Worker: s.options.Worker, Alone: s.options.Alone,
	}
	if p != nil {
		out.Project, out.Timezone = p.Name, p.Timezone
	}
	pid, session := s.supervisor.current()
	out.WorkerPID, out.WorkerReady = pid, pid != 0 && s.dispatcher.Knows(session)
	if open, err := s.ledger.Incidents(context.Background(), s.options.Environment, false); err == nil {
		out.Incidents = len(open)
	}
	s.mu.Lock()
	out.Stopping = s.leaving
	s.mu.Unlock()
	return out
}

// Client returns a client of this server.
func (s *Server) Client() *api.Client { return api.NewClient(s.options.Layout.ServerSocket()) }
