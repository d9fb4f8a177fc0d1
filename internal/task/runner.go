package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/expr"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/feature"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/protocol"
	"github.com/tidemill/tidemill/internal/publish"
	"github.com/tidemill/tidemill/internal/pyenv"
	"github.com/tidemill/tidemill/internal/secret"
	"github.com/tidemill/tidemill/internal/store"
	"github.com/tidemill/tidemill/internal/worker"
)

// Code is a bundle that is ready to run.
type Code struct {
	Hash      string
	Dir       string // the project's files
	Project   *project.Project
	Contracts []contract.Table
}

// Contract returns the contract of a table; nil where there is none.
func (c *Code) Contract(t project.Table) *contract.Table {
	for i := range c.Contracts {
		if named, err := project.ParseTable(c.Contracts[i].Name); err == nil && named == t {
			return &c.Contracts[i]
		}
	}
	return nil
}

// FeatureTables returns the key and event time of every feature table of the project.
func (c *Code) FeatureTables() map[project.Table]feature.Table {
	out := map[project.Table]feature.Table{}
	for _, pl := range c.Project.Pipelines {
		for _, t := range pl.Tasks {
			for _, w := range t.Writes {
				if w.Mode == project.ModeFeature {
					out[w.Table] = feature.Table{Keys: w.Keys, EventTime: w.EventTime}
				}
			}
		}
	}
	return out
}

// Stores opens the stores of a project. They stay open between attempts.
type Stores interface {
	Open(ctx context.Context, p *project.Project, name string) (store.Store, error)
}

// Runner runs attempts.
type Runner struct {
	Installation string
	Session      string
	Folder       string // of the project
	Server       *worker.Client
	Code         func(ctx context.Context, hash string) (*Code, error)
	Stores       Stores
	Python       *pyenv.Preparer
	Work         string // run directories
	Sockets      string // short folder for the sockets of sessions
	SDK          string // folder that holds tidemill.py
	Log          *slog.Logger

	desks desks
}

// attempt is one attempt on its way.
type attempt struct {
	*Runner
	grant    run.Grant
	code     *Code
	pipeline *project.Pipeline
	task     *project.Task
	zone     *time.Location
	times    calendar.Timetable
	params   map[string]any
	log      *logbook
	dir      string
	result   run.Result
}

// Run runs one attempt to its end and tells how it ended.
func (r *Runner) Run(ctx context.Context, g run.Grant) (end protocol.End) {
	a := &attempt{Runner: r, grant: g}
	dir, err := r.desks.take(r.Work)
	if err != nil {
		return a.end(err)
	}
	a.dir = dir
	defer func() {
		if p := recover(); p != nil { // a bug of ours harms this attempt alone (I11)
			end = a.end(fault.New(fault.Internal, "Tidemill failed: %v", p))
		}
		if a.log != nil {
			a.log.close()
		}
		r.desks.clear(a.dir)
	}()
	a.log = newLogbook(filepath.Join(a.dir, logFile), g.Ref, g.Attempt, r.Server.Log)
	if err := a.prepare(ctx); err != nil {
		return a.end(err)
	}
	if g.Closing {
		return a.close(ctx)
	}
	if a.task.Timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, a.task.Timeout, fault.New(fault.TimedOut, "ran longer than its timeout of %s", calendar.FormatDuration(a.task.Timeout)))
		defer stop()
	}
	return a.end(a.perform(ctx))
}

// prepare finds the code and the values that the attempt runs with.
func (a *attempt) prepare(ctx context.Context) error {
	code, err := a.Code(ctx, a.grant.Bundle)
	if err != nil {
		return err
	}
	a.code = code
	for i := range code.Project.Pipelines {
		if code.Project.Pipelines[i].Name == a.grant.Pipeline {
			a.pipeline = &code.Project.Pipelines[i]
		}
	}
	if a.pipeline == nil {
		return fault.New(fault.NotFound, "the bundle %s has no pipeline %s", short(code.Hash), a.grant.Pipeline)
	}
	var ok bool
	if a.task, ok = a.pipeline.Task(a.grant.Task); !ok {
		return fault.New(fault.NotFound, "the bundle %s has no task %s/%s", short(code.Hash), a.grant.Pipeline, a.grant.Task)
	}
	if a.times, err = a.pipeline.Schedule.Timetable(); err != nil {
		return fault.New(fault.Invalid, "schedule of %s: %w", a.pipeline.Name, err)
	}
	a.zone = a.times.Zone()
	a.params, err = params(slices.Concat(a.pipeline.Params, a.task.Params), a.grant.Params)
	return err
}

// params completes declared params with the run's.
func params(declared []project.Param, given json.RawMessage) (map[string]any, error) {
	values := map[string]any{}
	for _, p := range declared {
		values[p.Name] = feature.Plain(p.Default)
	}
	if len(given) == 0 {
		return values, nil
	}
	var more map[string]json.RawMessage
	if err := json.Unmarshal(given, &more); err != nil {
		return nil, fault.New(fault.Invalid, "params of the run: %w", err)
	}
	for name, raw := range more {
		if _, ok := values[name]; ok {
			values[name] = feature.Plain(raw)
		}
	}
	return values, nil
}

// replayRun is the kind of run that sends quarantined rows again.
const replayRun = "replay"

// perform does what the task's kind says.
func (a *attempt) perform(ctx context.Context) error {
	a.log.note("%s %s/%s, attempt %d of run %s, window %s", a.task.Kind, a.grant.Pipeline, a.grant.Task, a.grant.Attempt, a.grant.Run, a.grant.Window.Text(a.zone))
	if a.grant.Kind == replayRun {
		return a.replay(ctx)
	}
	switch a.task.Kind {
	case project.KindMove:
		return a.move(ctx)
	case project.KindSQL:
		return a.sql(ctx)
	case project.KindPython:
		return a.python(ctx)
	case project.KindCommand:
		return a.command(ctx)
	case project.KindCheck:
		return a.check(ctx)
	}
	return fault.New(fault.Internal, "no kind of task %q", a.task.Kind)
}

// deferred is what a task returns when what it needs is not there yet.
type deferred struct {
	until  time.Time
	reason string
}

func (d *deferred) Error() string { return d.reason }

// end makes an end of an error.
func (a *attempt) end(err error) protocol.End {
	e := protocol.End{Outcome: protocol.Succeeded, Result: a.result}
	if err == nil {
		return e
	}
	if later, ok := errors.AsType[*deferred](err); ok {
		e.Outcome, e.Until, e.Reason = protocol.Deferred, later.until, later.reason
		return e
	}
	reason := err.Error()
	if a.log != nil {
		reason = a.log.masked(reason) // it goes where the log does not: into incidents and their messages
	}
	e.Outcome, e.Kind, e.Reason = protocol.Failed, fault.KindOf(err), firstLines(reason)
	if errors.Is(err, store.ErrFenced) {
		e.Kind, e.Reason = fault.Lost, "a newer attempt has taken over"
	}
	if a.log != nil {
		a.log.note("failed (%s): %s", e.Kind, err)
	}
	return e
}

// firstLines bounds a reason to what a person reads at once.
func firstLines(text string) string {
	const most = 2000
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + " …"
	}
	return text
}

// key is the attempt's publish key.
func (a *attempt) key() commit.Key {
	return commit.Key{
		Installation: a.Installation, Environment: a.grant.Environment, Run: a.grant.Run,
		Task: a.grant.Pipeline + "/" + a.grant.Task, Index: a.grant.Index, Generation: a.grant.Generation,
	}
}

// close closes the attempt's publish key in every store that it writes
// (PROTOCOLS §3.4), so that nothing of it can appear any more.
func (a *attempt) close(ctx context.Context) protocol.End {
	e := protocol.End{Outcome: protocol.Closed}
	var names []string
	for _, w := range a.task.Writes {
		if !slices.Contains(names, w.Table.Store) {
			names = append(names, w.Table.Store)
		}
	}
	for _, name := range names {
		target, err := a.target(ctx, name)
		if err == nil {
			var receipt *commit.Receipt
			if receipt, err = target.CloseKey(ctx, a.key(), a.grant.Epoch); receipt != nil {
				e.Result.Receipts = append(e.Result.Receipts, *receipt)
			}
		}
		if err != nil {
			return a.end(err) // the server offers the closing again
		}
	}
	return e
}

func (a *attempt) target(ctx context.Context, name string) (store.Target, error) {
	s, err := a.Stores.Open(ctx, a.code.Project, name)
	if err != nil {
		return nil, err
	}
	target, ok := s.(store.Target)
	if !ok {
		return nil, fault.New(fault.Invalid, "nothing can be written to the store %s", name)
	}
	return target, nil
}

// publish publishes tables of one store and notes what came of it.
func (a *attempt) publish(ctx context.Context, tables []publish.Table) error {
	target, err := a.target(ctx, tables[0].Write.Table.Store)
	if err != nil {
		return err
	}
	for i := range tables {
		w := tables[i].Write
		if w.Table.Store != tables[0].Write.Table.Store {
			return fault.New(fault.Invalid, "a task writes to one store, not to %s and %s", tables[0].Write.Table.Store, w.Table.Store)
		}
		tables[i].Zone = a.zone
		if tables[i].Contract == nil {
			tables[i].Contract = a.code.Contract(w.Table)
		}
		tables[i].Known = a.known(w)
	}
	outcome, err := publish.Run(ctx, publish.Request{
		Target: target, Key: a.key(), Fence: a.grant.Epoch,
		Run: store.Run{
			Pipeline: a.grant.Pipeline, Window: a.grant.Window, Live: a.grant.Live, Newest: a.grant.Newest,
		},
		Tables: tables, Params: a.bound(), Completion: a.result.Completion,
	})
	a.tell(outcome)
	if err != nil {
		a.keepRefused(ctx, outcome)
		return err
	}
	a.result.Receipts = append(a.result.Receipts, outcome.Receipt)
	return nil
}

// tell writes to the log what was staged.
func (a *attempt) tell(o publish.Outcome) {
	if o.Found {
		a.log.note("published already by an earlier attempt")
		return
	}
	for _, t := range o.Tables {
		for _, c := range t.Report {
			if c.Fit != datatype.Exact && c.Reason != "" {
				a.log.note("%s: column %s: %s", t.Table, c.Column, c.Reason)
			}
		}
		e := t.Evidence
		a.log.note("%s: read %d, staged %d, quarantined %d, dropped %d", t.Table, e.Read, e.Staged, e.Quarantined, e.Dropped)
		for _, h := range e.Rules {
			where := ""
			if h.File != "" {
				where = fmt.Sprintf(", first at %s:%d", h.File, h.Line)
			}
			a.log.note("  %s %s: %d rows%s", h.Verdict, h.Rule, h.Rows, where)
		}
		for _, c := range t.Checks {
			word := "passed"
			if !c.Passed {
				word = "failed (" + c.Severity + ")"
			}
			a.log.note("  check %s %s: %s, wanted %s", c.Name, word, c.Observed, c.Expected)
		}
	}
	for _, t := range o.Receipt.Tables {
		a.log.note("%s: commit %d: inserted %d, updated %d, unchanged %d, superseded %d, deleted %d",
			t.Table, t.Seq, t.Evidence.Inserted, t.Evidence.Updated, t.Evidence.Unchanged, t.Evidence.Superseded, t.Evidence.Deleted)
	}
}

// keepRefused keeps the refused rows of a failed attempt as its artifact: they
// are all that is left of them.
func (a *attempt) keepRefused(ctx context.Context, o publish.Outcome) {
	for _, t := range o.Tables {
		if len(t.Refused) == 0 {
			continue
		}
		b, err := json.MarshalIndent(t.Refused, "", " ")
		if err == nil {
			name := fmt.Sprintf("refused-%s.%s.json", t.Table.Schema, t.Table.Name)
			err = a.Server.PutArtifact(context.WithoutCancel(ctx), a.grant.Ref, a.grant.Attempt, name, strings.NewReader(string(b)))
		}
		if err != nil {
			a.log.note("the refused rows of %s could not be kept: %v", t.Table, err)
		}
	}
}

// bound are the values that SQL can name.
func (a *attempt) bound() []dialect.Param {
	out := []dialect.Param{{Name: "window_start", Value: a.grant.Window.Start.UTC()}, {Name: "window_end", Value: a.grant.Window.End.UTC()}}
	for name, v := range a.params {
		out = append(out, dialect.Param{Name: "param_" + name, Value: v})
	}
	return out
}

// known says when simulated rows of a feature table came to be known: at the due
// time of the slot whose window holds the event.
func (a *attempt) known(w project.Write) store.Known {
	k := store.Known{Column: w.KnownAt, AvailableAfter: w.AvailableAfter}
	if w.Mode != project.ModeFeature || !a.times.Scheduled() {
		return k
	}
	const most = 100_000
	unbounded := a.times // slots that the bounds leave out were due all the same
	unbounded.Start, unbounded.End = time.Time{}, time.Time{}
	for o := range unbounded.All(a.grant.Window.Start.Add(-45 * 24 * time.Hour)) {
		if !o.Window.End.After(a.grant.Window.Start) {
			continue
		}
		k.Boundaries = append(k.Boundaries, store.Boundary{End: o.Window.End, Due: o.Due})
		if !o.Window.End.Before(a.grant.Window.End) || len(k.Boundaries) == most {
			break
		}
	}
	return k
}

// values are what interpolations of the task can name.
func (a *attempt) values() expr.Values {
	return expr.Values{
		Start: a.grant.Window.Start, End: a.grant.Window.End, Zone: a.zone, Params: a.params,
		Secret: a.secret, Run: a.grant.Run, Task: a.grant.Task,
	}
}

// secret resolves a declared secret, and has it masked from now on.
func (a *attempt) secret(name string) (string, error) {
	for _, s := range a.code.Project.Secrets {
		if s.Name == name {
			v, err := secret.Resolve(a.Folder, s.Ref)
			if err != nil {
				return "", fmt.Errorf("secret %s: %w", name, err)
			}
			a.log.mask(v)
			return v.Reveal(), nil
		}
	}
	return "", fault.New(fault.Invalid, "the project declares no secret %s", name)
}

func (a *attempt) expand(text string) (string, error) {
	t, err := expr.ParseTemplate(text)
	if err != nil {
		return "", fault.New(fault.Invalid, "%q: %w", text, err)
	}
	return t.Expand(a.values().Resolve)
}

func short(hash string) string {
	if len(hash) > 12 {
		return hash[:12]
	}
	return hash
}
