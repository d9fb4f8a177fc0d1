package cli

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/app"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/source"
)

// needs is what a command needs of the server that it speaks to.
type needs struct {
	worker  bool // attempts are to run, or the warehouse is to be asked
	running bool // a server that goes on after the command
}

// layout names the places of the project. In a folder without one it makes nothing.
func (s *session) layout() (app.Layout, error) {
	l, err := app.LayoutOf(s.dir)
	if err != nil {
		return l, err
	}
	_, err = os.Stat(filepath.Join(l.Project, source.ProjectFile))
	if _, served := app.HolderOf(l.ServerLock()); errors.Is(err, fs.ErrNotExist) && !served {
		return l, fault.New(fault.NotFound, "there is no project in %s: it holds no %s; go to the project's folder, name it with -C, or make a project with: tidemill init", l.Project, source.ProjectFile)
	}
	return app.NewLayout(s.dir)
}

// serverPatience is how long a server that holds the project may be silent.
const serverPatience = 5 * time.Second

// connect returns a client of the project's running server, or of one that runs
// for the duration of this command.
func (s *session) connect(n needs) (*api.Client, error) {
	layout, err := s.layout()
	if err != nil {
		return nil, err
	}
	const tries = 20 // another command may be quicker each time
	for try := range tries {
		s.client, err = s.running(layout, n)
		switch {
		case err != nil:
			return nil, err
		case s.client == nil && n.running:
			return nil, fault.New(fault.Unavailable, "no server runs for this project; start one with: tidemill up")
		case s.client == nil:
			s.client, err = s.ownServer(layout, n)
		}
		if !fault.Is(err, fault.Conflict) || try == tries-1 {
			break
		}
	}
	return s.client, err
}

// running returns a client of the server that runs for the project; nil where
// none does. A server that starts answers in a moment, and one that was killed
// lets go of the project in a moment: neither is an error. It may be there for
// another command alone: then it ends after this one, or, where it lacks the
// worker that is needed, before.
func (s *session) running(layout app.Layout, n needs) (*api.Client, error) {
	for silent := time.Now(); ; {
		holder, ok := app.HolderOf(layout.ServerLock())
		if !ok {
			return nil, nil
		}
		client := api.NewClient(layout.ServerSocket())
		status, visit, err := s.visit(client)
		switch {
		case err != nil && time.Since(silent) > serverPatience:
			client.Close()
			return nil, fault.New(fault.Unavailable, "process %d serves this project since %s and does not answer; if that lasts, end it with: kill %d", holder.PID, s.local(holder.Since), holder.PID)
		case err == nil && status.Environment != s.env:
			s.ends = append(s.ends, client.Close, func() { _ = visit.Close() })
			return nil, fault.New(fault.Conflict, "the running server is for the environment %s, not %s", status.Environment, s.env)
		case err == nil && status.Alone && n.running:
			s.ends = append(s.ends, client.Close, func() { _ = visit.Close() })
			return nil, nil
		case err == nil && (status.Worker || !n.worker):
			s.ends = append(s.ends, client.Close, func() { _ = visit.Close() })
			s.settle(status)
			return client, s.awaitServer(client, n, nil)
		case err == nil:
			silent = time.Now()
			_ = visit.Close()
		}
		client.Close()
		select {
		case <-s.ctx.Done():
			return nil, context.Cause(s.ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// visit asks a server about itself and becomes its guest.
func (s *session) visit(client *api.Client) (api.Status, io.Closer, error) {
	bounded, stop := context.WithTimeout(s.ctx, serverPatience)
	defer stop()
	status, err := client.Status(bounded)
	if err != nil {
		return status, nil, err
	}
	visit, err := client.Visit(context.WithoutCancel(s.ctx)) // an interrupted guest still cancels what it began
	return status, visit, err
}

// ownServer runs a server for the duration of the command. It makes no runs of
// its own: only what the command asks for happens.
func (s *session) ownServer(layout app.Layout, n needs) (*api.Client, error) {
	log, closeLog, err := fileLog(layout.ServerLog())
	if err != nil {
		return nil, err
	}
	s.ends = append(s.ends, closeLog)
	executable, err := executable()
	if err != nil {
		return nil, err
	}
	server, err := app.New(s.ctx, app.Options{
		Layout: layout, Environment: s.env, Version: Version, Executable: executable, Worker: n.worker, Alone: true, Log: log,
	})
	if err != nil {
		return nil, err
	}
	// An interrupt is the command's to handle: it cancels its run first.
	ctx, stop := context.WithCancel(context.WithoutCancel(s.ctx))
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	client, asked := server.Client(), s.ctx
	s.alone = true
	s.ends = append(s.ends, func() {
		server.AwaitGuests(asked, func() { s.say("done; another command still uses the server of this one, which ends after it") })
		if n.worker {
			server.AwaitOutbox(asked)
		}
		client.Close()
		stop()
		if err := <-ended; err != nil {
			s.say("the server ended with: %v", err)
		}
		if err := server.Close(); err != nil {
			s.say("%v", err)
		}
	})
	return client, s.awaitServer(client, n, ended)
}

// executable is this program, which starts its own helpers.
func executable() (string, error) {
	name, err := os.Executable()
	if err != nil {
		return "", fault.New(fault.Internal, "find this program: %w", err)
	}
	return name, nil
}

// awaitServer waits until the server answers, and its worker where one is needed.
func (s *session) awaitServer(client *api.Client, n needs, ended chan error) error {
	const patience = 30 * time.Second // a cold machine opens the warehouse slowly
	begun := time.Now()
	for {
		status, err := client.Status(s.ctx)
		if err == nil && (!n.worker || status.WorkerReady) {
			s.settle(status)
			return nil
		}
		if time.Since(begun) > patience {
			return fault.New(fault.Unavailable, "the home worker is not ready after %s; see %s", patience, "worker.log and server.log in .tidemill")
		}
		select {
		case e := <-ended:
			ended <- e
			return fault.New(fault.KindOf(e), "the server ended: %w", e)
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// settle shows windows in the project's zone from here on, where it has one.
func (s *session) settle(status api.Status) {
	s.status = status
	if zone, err := time.LoadLocation(status.Timezone); err == nil && status.Timezone != "" {
		s.zone = zone
	}
}

// fileLog logs to a file, so that a terminal shows data and talk alone.
func fileLog(path string) (*slog.Logger, func(), error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, fault.New(fault.Unavailable, "open the log: %w", err)
	}
	return slog.New(slog.NewJSONHandler(file, nil)), func() { _ = file.Close() }, nil
}

type upCommand struct {
	Slots  int    `help:"Attempts at once; without it twice the processors."`
	Manual bool   `help:"Make no runs of what becomes due: only what is asked for runs."`
	Ledger string `help:"Where the ledger lies: a SQLite file, or postgres://…"`
}

// Run starts the server and keeps it running until it is interrupted.
func (c upCommand) Run(s *session) error {
	layout, err := s.layout()
	if err != nil {
		return err
	}
	executable, err := executable()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(s.Err, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			a.Value = slog.StringValue(a.Value.Time().Format("15:04:05.000"))
		}
		return a
	}}))
	server, err := app.New(s.ctx, app.Options{
		Layout: layout, Environment: s.env, Version: Version, Ledger: c.Ledger, Executable: executable, Slots: c.Slots,
		Watch: true, Schedule: !c.Manual, Worker: true, Log: log,
	})
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }()
	s.say("tidemill %s serves %s (environment %s); stop it with Ctrl-C, or from elsewhere with: tidemill down", Version, layout.Project, s.env)
	return server.Run(s.ctx)
}

type readyCommand struct{}

// Run says whether the running server and its worker are ready.
func (readyCommand) Run(s *session) error {
	if _, err := s.connect(needs{running: true}); err != nil {
		return err
	}
	status := s.status
	if !status.WorkerReady {
		return fault.New(fault.Unavailable, "the home worker is not ready yet")
	}
	return s.done(status, "the server (process %d) and its worker (process %d) are ready", status.PID, status.WorkerPID)
}

type downCommand struct {
	Drain bool `help:"Let what runs end first."`
}

// stopped is the server that a command ended; without a process there was none.
type stopped struct {
	PID   int  `json:"pid,omitempty"`
	Ended bool `json:"ended"`
}

// Run stops the running server and waits for its end.
func (c downCommand) Run(s *session) error {
	layout, err := s.layout()
	if err != nil {
		return err
	}
	holder, ok := app.HolderOf(layout.ServerLock())
	if !ok {
		return s.done(stopped{}, "no server runs for this project")
	}
	client := api.NewClient(layout.ServerSocket())
	defer client.Close()
	if err := client.Stop(s.ctx, c.Drain); err != nil {
		return err
	}
	for {
		if _, ok := app.HolderOf(layout.ServerLock()); !ok {
			return s.done(stopped{holder.PID, true}, "the server (process %d) has ended", holder.PID)
		}
		select {
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

type workerCommand struct {
	Session string `required:""`
	Slots   int
}

// Run is the home worker's process.
func (c workerCommand) Run(s *session) error {
	layout, err := app.NewLayout(s.dir)
	if err != nil {
		return err
	}
	return app.RunWorker(s.ctx, app.WorkerOptions{
		Layout: layout, Version: Version, Session: c.Session, Slots: c.Slots, Log: slog.New(slog.NewJSONHandler(s.Err, nil)),
	})
}
