package task

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/failpoint"
	"github.com/tidemill/tidemill/internal/launch"
	"github.com/tidemill/tidemill/internal/session"
)

// command runs a program. What it writes is its own business; the tables that it
// declares count as covered once it has ended well.
func (a *attempt) command(ctx context.Context) error {
	c := a.task.Command
	args := make([]string, len(c.Args))
	for i, text := range c.Args {
		var err error
		if args[i], err = a.expand(text); err != nil {
			return err
		}
	}
	env := environment()
	for name, text := range c.Env {
		v, err := a.expand(text)
		if err != nil {
			return err
		}
		env = append(env, name+"="+v)
	}
	s, err := a.open(session.Sinks{})
	if err != nil {
		return err
	}
	if err := a.launch(ctx, s, args, env); err != nil {
		return err
	}
	if len(a.task.Writes) == 0 {
		return nil
	}
	receipt := commit.Receipt{Key: a.key(), Fence: a.grant.Epoch, CommittedAt: time.Now().UTC(), Completion: a.result.Completion}
	for _, w := range a.task.Writes {
		receipt.Tables = append(receipt.Tables, commit.TableCommit{Table: w.Table, Mode: w.Mode, Window: a.grant.Window})
	}
	a.result.Receipts = append(a.result.Receipts, receipt)
	return nil
}

// environment is what every task process inherits: enough to find programs, and
// nothing of the worker's own settings.
func environment() []string {
	var out []string
	for _, name := range []string{"PATH", "HOME", "LANG", "LC_ALL", "USER", "TMPDIR", "SSL_CERT_FILE"} {
		if v, ok := os.LookupEnv(name); ok { //nolint:forbidigo // inherited on purpose
			out = append(out, name+"="+v)
		}
	}
	return out
}

// open opens the attempt's door.
func (a *attempt) open(sinks session.Sinks) (*session.Session, error) {
	return session.Open(a.dir, a.Sockets, a.context(), sinks)
}

// launch runs a process beside an open session, and closes the session. The
// process has succeeded if it ended with 0, closed the session it opened, and no
// check of severity error failed.
func (a *attempt) launch(ctx context.Context, s *session.Session, args, env []string) error {
	failpoint.Hit(failpoint.Launched)
	exit, err := launch.Run(ctx, launch.Spec{
		Args: args, Dir: a.code.Dir, Env: append(env, s.Environment()...),
		Stdout: a.log.stream("stdout"), Stderr: a.log.stream("stderr"),
		Marker: fmt.Sprintf("%s/%s/%d", a.Installation, a.Session, a.grant.Epoch),
	})
	closed := s.Close()
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil && exit.Stopped == nil {
		return context.Cause(ctx)
	}
	code := exit.Code
	a.result.ExitCode, a.result.PeakBytes = &code, exit.Peak
	said := s.Outcome()
	a.result.Frame = a.log.masked(said.Frame)
	if exit.LeftAlone > 0 {
		a.log.note("%d processes that the task left behind were ended", exit.LeftAlone)
	}
	if kind := exit.Kind(); kind != "" {
		reason := exit.Reason()
		if kind == fault.Failed && said.Error != "" {
			reason = said.Error
			if said.Frame != "" {
				reason += " (" + said.Frame + ")"
			}
		} else if line := a.log.saying("stderr"); line != "" && exit.Code > 0 && kind == fault.Failed {
			reason += ": " + line
		}
		return fault.New(kind, "%s", reason)
	}
	if closed != nil {
		return closed
	}
	if said.Opened && !said.Closed {
		return fault.New(fault.Failed, "the process ended with 0 but never closed its session: did its main function end?")
	}
	models := a.result.Completion.Models
	read := a.result.Completion.Read
	a.result.Completion = said.Completion
	a.result.Completion.Models, a.result.Completion.Read = models, read
	if failed := broken(said.Completion.Checks); len(failed) > 0 {
		return fault.New(fault.CheckFailed, "check failed: %s", strings.Join(failed, "; "))
	}
	return nil
}

// broken lists the checks that fail a task.
func broken(checks []commit.CheckResult) []string {
	var out []string
	for _, c := range checks {
		if !c.Passed && c.Severity == "error" {
			said := strings.TrimSpace(c.Name + " " + c.Observed)
			if c.Expected != "" {
				said += ", wanted " + c.Expected
			}
			out = append(out, said)
		}
	}
	return out
}
