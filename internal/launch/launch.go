// Package launch runs the processes of attempts: limits, the kill ladder, and
// why a process ended.
//
// When Run returns, no process that the attempt started is left: its cgroup is
// killed where one is permitted, else its process group and every process that
// bears its marker in the environment. Sweep does the same for what a worker
// left behind that was itself killed.
package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
)

// MarkerVariable marks the processes of an attempt: INSTALLATION/SESSION/EPOCH.
const MarkerVariable = "TIDEMILL_ATTEMPT"

// DefaultGrace is how long a process has to end itself after SIGTERM.
const DefaultGrace = 10 * time.Second

// Spec is a process to run.
type Spec struct {
	Args   []string // program and arguments; never a shell's text
	Dir    string
	Env    []string // the whole environment, NAME=value
	Stdout io.Writer
	Stderr io.Writer
	Marker string        // value of MarkerVariable
	Memory int64         // limit in bytes, where the machine lets us set one; 0: none
	Grace  time.Duration // 0: DefaultGrace
}

// Exit is how a process ended.
type Exit struct {
	Code      int // -1 where a signal ended it
	Signal    syscall.Signal
	OOM       bool  // the kernel killed it for its memory limit
	Limit     int64 // the memory limit in bytes, where there was one
	Peak      int64 // the most memory it had, in bytes; 0: not known
	Stopped   error // why it was told to end; nil: it ended by itself
	Elapsed   time.Duration
	LeftAlone int // processes of the attempt that were still there and were killed
}

// Kind says who must act, in the words of core/fault; empty for success.
func (e Exit) Kind() fault.Kind {
	switch {
	case e.OOM:
		return fault.OutOfMemory
	case e.Stopped != nil:
		return fault.KindOf(e.Stopped)
	case e.Code == 0:
		return ""
	}
	return fault.Failed
}

// Reason says in plain words how the process ended.
func (e Exit) Reason() string {
	switch {
	case e.OOM:
		return fmt.Sprintf("out of memory: it needed more than its limit of %s (peak %s)", bytesText(e.Limit), bytesText(e.Peak))
	case e.Stopped != nil:
		return e.Stopped.Error()
	case e.Signal != 0:
		hint := ""
		if e.Signal == syscall.SIGKILL {
			hint = "; nobody here sent it: a person or the kernel did"
		}
		return fmt.Sprintf("killed by signal %d (%s)%s", e.Signal, e.Signal, hint)
	case e.Code == 0:
		return ""
	}
	return fmt.Sprintf("exit code %d", e.Code)
}

func bytesText(n int64) string {
	if n >= 1<<30 {
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// Run runs a process to its end. When ctx ends it gets SIGTERM, and SIGKILL
// after the grace time. The error is of kind invalid where the program cannot
// be started at all.
func Run(ctx context.Context, s Spec) (Exit, error) {
	if len(s.Args) == 0 {
		return Exit{}, fault.New(fault.Invalid, "a command needs a program")
	}
	if s.Grace == 0 {
		s.Grace = DefaultGrace
	}
	cmd := exec.Command(s.Args[0], s.Args[1:]...) //nolint:noctx // the user's program; ctx is the kill ladder's
	cmd.Dir, cmd.Env = s.Dir, append(s.Env, MarkerVariable+"="+s.Marker)
	cmd.Stdout, cmd.Stderr = s.Stdout, s.Stderr
	// A grandchild that keeps the pipes open must not keep the attempt open.
	cmd.WaitDelay = 2 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cage := newCage(s.Marker, s.Memory)
	defer cage.remove()
	cage.prepare(cmd.SysProcAttr)
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return Exit{}, startError(s, err)
	}
	cage.add(cmd.Process.Pid)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	e := Exit{}
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		e.Stopped = context.Cause(ctx)
		err = stop(cmd, s, cage, ended)
	}
	e.Elapsed = time.Since(begun)
	e.LeftAlone = sweep(cmd.Process.Pid, s.Marker, cage)
	e.read(cmd, err)
	e.OOM, e.Limit, e.Peak = cage.memory(e.Peak)
	if e.OOM && e.Signal == 0 && e.Code == 0 {
		e.OOM = false // a child was killed and the program coped
	}
	return e, nil
}

func startError(s Spec, err error) error {
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, syscall.ENOENT):
		return fault.New(fault.Invalid, "there is no program %q: %w", s.Args[0], err)
	case errors.Is(err, syscall.EACCES):
		return fault.New(fault.Invalid, "%q may not be run; is it executable? %w", s.Args[0], err)
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EMFILE):
		return fault.New(fault.Busy, "start %q: %w", s.Args[0], err)
	}
	return fault.New(fault.Invalid, "start %q: %w", s.Args[0], err)
}

// stop walks the kill ladder: TERM to the group, grace, KILL.
func stop(cmd *exec.Cmd, s Spec, cage *cage, ended <-chan error) error {
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
	timer := time.NewTimer(s.Grace)
	defer timer.Stop()
	select {
	case err := <-ended:
		return err
	case <-timer.C:
	}
	cage.kill()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	return <-ended
}

// read takes code, signal and peak memory from an ended process.
func (e *Exit) read(cmd *exec.Cmd, err error) {
	state := cmd.ProcessState
	if state == nil {
		e.Code = -1
		if e.Stopped == nil {
			e.Stopped = fault.New(fault.Internal, "wait for the process: %w", err)
		}
		return
	}
	e.Code = state.ExitCode()
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		e.Signal = status.Signal()
	}
	// Linux carries the peak of the process that forked over to the child, so that
	// a figure below our own says nothing about the child.
	var own syscall.Rusage
	usage, ok := state.SysUsage().(*syscall.Rusage)
	if ok && syscall.Getrusage(syscall.RUSAGE_SELF, &own) == nil && usage.Maxrss > own.Maxrss {
		e.Peak = usage.Maxrss << 10
	}
}

// sweep ends what is left of an attempt after its first process ended.
func sweep(pid int, marker string, c *cage) int {
	left := 0
	if c.caged() {
		if left = c.count(); left > 0 {
			c.kill()
		}
		return left
	}
	if syscall.Kill(-pid, 0) == nil {
		left++
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
	return left + killMarked(func(m string) bool { return m == marker })
}

// Sweep ends every process that bears the marker of another session of this
// installation, and removes its cgroups: what a worker that was killed left
// behind. It returns the number of processes.
func Sweep(installation, session string) int {
	killed := killMarked(func(m string) bool {
		return strings.HasPrefix(m, installation+"/") && !strings.HasPrefix(m, installation+"/"+session+"/")
	})
	removeCages(installation, session)
	return killed
}
