package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/protocol"
)

// supervisor keeps one home worker running beside the server. It finds the
// worker of a server that died again, and replaces one that dies.
type supervisor struct {
	layout  Layout
	command func(session string) *exec.Cmd
	end     func(ctx context.Context, session, reason string, crashed bool) error
	heard   func(session string) bool // the session has spoken since this server started
	open    func(ctx context.Context) ([]ledger.Session, error)
	log     *slog.Logger

	mu      sync.Mutex
	pid     int
	session string
	leaving bool // the worker was asked to go and shall not be replaced
}

// current returns the worker's process and session; 0 where none runs.
func (s *supervisor) current() (pid int, session string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pid, s.session
}

// leave says that the worker will go, and is not to be replaced.
func (s *supervisor) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving = true
}

func (s *supervisor) set(pid int, session string) (leaving bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pid, s.session = pid, session
	return s.leaving
}

// run adopts or starts workers until ctx ends or the last one has left. On the
// end of ctx it ends the worker that it has.
func (s *supervisor) run(ctx context.Context) error {
	if err := s.adopt(ctx); err != nil {
		return err
	}
	wait := 100 * time.Millisecond
	for ctx.Err() == nil {
		begun := time.Now()
		left, err := s.once(ctx)
		if left {
			return nil
		}
		if err != nil {
			s.log.Error("the home worker does not start", "cause", err)
		}
		if time.Since(begun) > 10*time.Second {
			wait = 100 * time.Millisecond
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(wait*2, 5*time.Second)
	}
	return nil
}

// adopt finds the worker that an earlier server of this folder left behind
// (PROTOCOLS §2.5), and ends the sessions of those that are no more.
func (s *supervisor) adopt(ctx context.Context) error {
	holder, alive := HolderOf(s.layout.WorkerLock())
	open, err := s.open(ctx)
	if err != nil {
		return err
	}
	for _, one := range open {
		if !alive || one.ID != holder.Session {
			if err := s.end(ctx, one.ID, "its process was gone when the server started", false); err != nil {
				return err
			}
		}
	}
	if !alive {
		return nil
	}
	begun := time.Now()
	for !s.heard(holder.Session) {
		if time.Since(begun) > protocol.SilentWorker {
			s.log.Warn("the earlier worker is silent and is killed", "pid", holder.PID)
			_ = syscall.Kill(holder.PID, syscall.SIGKILL)
			return s.end(ctx, holder.Session, "it was silent and was killed", false)
		}
		if !sleep(ctx, 50*time.Millisecond) {
			return nil
		}
	}
	s.log.Info("the earlier worker is adopted", "pid", holder.PID, "session", holder.Session)
	return s.follow(ctx, holder)
}

// follow waits for the end of a worker that is not our child. Its lock tells: where
// nobody reaps it, or its number went to another process, the number still answers.
func (s *supervisor) follow(ctx context.Context, h Holder) error {
	s.set(h.PID, h.Session)
	defer s.set(0, "")
	gone := func() bool {
		return errors.Is(syscall.Kill(h.PID, 0), syscall.ESRCH) || released(s.layout.WorkerLock())
	}
	for {
		if gone() {
			return s.end(context.WithoutCancel(ctx), h.Session, "its process ended", false)
		}
		if !sleep(ctx, 100*time.Millisecond) {
			_ = syscall.Kill(h.PID, syscall.SIGTERM)
			for range 100 {
				if gone() {
					return s.end(context.WithoutCancel(ctx), h.Session, "the server was stopped", false)
				}
				time.Sleep(50 * time.Millisecond) //nolint:forbidigo // bounded, while the process ends
			}
			_ = syscall.Kill(h.PID, syscall.SIGKILL)
			return s.end(context.WithoutCancel(ctx), h.Session, "the server was stopped", false)
		}
	}
}

// once runs one worker to its end. It reports true when the worker left as asked.
func (s *supervisor) once(ctx context.Context) (left bool, err error) {
	session := ledger.NewID(time.Now())
	cmd := s.command(session)
	out, err := os.OpenFile(s.layout.WorkerLog(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return false, fault.New(fault.Unavailable, "open the worker's log: %w", err)
	}
	defer func() { _ = out.Close() }()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C in the terminal is the server's to handle
	if err := cmd.Start(); err != nil {
		return false, fault.New(fault.Unavailable, "start the home worker: %w", err)
	}
	s.set(cmd.Process.Pid, session)
	s.log.Info("the home worker started", "pid", cmd.Process.Pid, "session", session)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err = <-ended:
		case <-time.After(15 * time.Second):
			_ = cmd.Process.Kill()
			err = <-ended
		}
	}
	leaving := s.set(0, "")
	reason, crashed := obituary(err)
	if e := s.end(context.WithoutCancel(ctx), session, reason, crashed); e != nil {
		return false, e
	}
	return leaving && err == nil, nil
}

// obituary says how a worker ended, and whether by a fault of its own: a kill
// from outside is no fault.
func obituary(err error) (reason string, crashed bool) {
	if err == nil {
		return "its process ended", false
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return err.Error(), false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		// 2 is how the Go runtime ends a panic.
		return fmt.Sprintf("its process ended with exit code %d", exit.ExitCode()), exit.ExitCode() == 2
	}
	switch status.Signal() {
	case syscall.SIGSEGV, syscall.SIGABRT, syscall.SIGBUS, syscall.SIGILL, syscall.SIGFPE, syscall.SIGTRAP:
		crashed = true
	default: // a kill from outside
	}
	return fmt.Sprintf("its process was ended by signal %d (%s)", status.Signal(), status.Signal()), crashed
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
