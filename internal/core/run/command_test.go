package run_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/core/run"
)

// world is one run and what follows from its effects inside a ledger, driven by
// the command files in testdata:
//
//	run                   makes a run of the tasks below it: NAME after=(…) retries=N backoff=D; a second
//	                      line that begins with when: or retry_if: belongs to the task above it
//	claim TASK session=S  gives the task to a session under the next epoch; epoch=N: under that one
//	begin TASK            the worker acknowledges
//	succeed TASK writes=T, fail TASK kind=K exit=N (its message below it), defer TASK for=D (the reason below it)
//	lose TASK crashed     its session is gone; crashed: died of its own
//	return TASK           the claim was never acknowledged
//	close TASK committed  its publish key is closed; committed: a receipt was found
//	cancel TASK..., accept TASK, skip TASK
//	rerun TASK...         these, with what each then waits for
//	pass DURATION         moves the clock; what is in back-off by then is looked at
//
// Events of attempts come under the task's newest epoch, unless epoch=N says
// otherwise. Each command answers with the tasks that changed and what follows.
type world struct {
	header  run.Header
	names   []string
	tasks   map[string]run.Task
	next    map[string][]string
	now     time.Duration
	epoch   int64
	changed strings.Builder
}

var begin = time.Date(2013, 1, 1, 0, 0, 0, 0, time.UTC)

func TestCommandFilesSayTheLifeOfATask(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		t.Parallel()
		w := &world{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			t.Helper()
			return w.do(t, d)
		})
	})
}

func (w *world) do(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	w.changed.Reset()
	switch d.Cmd {
	case "run":
		w.make(t, d)
	case "pass":
		w.pass(t, d)
	case "rerun":
		w.rerun(t, words(d))
	case "cancel":
		for _, name := range words(d) {
			w.apply(t, name, run.CancelRequested{By: "ann"})
		}
	default:
		w.apply(t, words(d)[0], w.event(t, d))
	}
	if w.changed.Len() == 0 {
		return "nothing changes"
	}
	return w.changed.String()
}

// words returns the arguments without a value.
func words(d *datadriven.TestData) []string {
	var out []string
	for _, arg := range d.CmdArgs {
		if len(arg.Vals) == 0 {
			out = append(out, arg.Key)
		}
	}
	return out
}

func text(d *datadriven.TestData, name, otherwise string) string {
	for _, arg := range d.CmdArgs {
		if arg.Key == name && len(arg.Vals) > 0 {
			return arg.Vals[0]
		}
	}
	return otherwise
}

func whole(t *testing.T, d *datadriven.TestData, name string, otherwise int64) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text(d, name, strconv.FormatInt(otherwise, 10)), 10, 64)
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	return n
}

// event reads what happened to a task.
func (w *world) event(t *testing.T, d *datadriven.TestData) run.Event {
	t.Helper()
	args := words(d)
	is := func(word string) bool { return slices.Contains(args, word) }
	epoch := whole(t, d, "epoch", w.tasks[args[0]].Epoch)
	var tables []commit.TableCommit
	if table := text(d, "writes", ""); table != "" {
		parsed, err := project.ParseTable(table)
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		tables = append(tables, commit.TableCommit{Table: parsed})
	}
	switch d.Cmd {
	case "claim":
		if text(d, "epoch", "") == "" {
			w.epoch++
			epoch = w.epoch
		}
		return run.Claimed{Session: text(d, "session", "s1"), Epoch: epoch}
	case "begin":
		return run.Acknowledged{Epoch: epoch}
	case "return":
		return run.Returned{Epoch: epoch}
	case "succeed":
		return run.AttemptSucceeded{Epoch: epoch, Tables: tables}
	case "fail":
		e := run.AttemptFailed{Epoch: epoch, Kind: fault.Kind(text(d, "kind", "failed")), Reason: d.Input}
		if code := int(whole(t, d, "exit", -1)); code != -1 {
			e.ExitCode = &code
		}
		return e
	case "defer":
		wait, err := time.ParseDuration(text(d, "for", ""))
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		return run.Deferred{Epoch: epoch, Until: begin.Add(w.now + wait), Reason: d.Input}
	case "lose":
		return run.Lost{Epoch: epoch, Reason: "its process was ended", Crashed: is("crashed")}
	case "close":
		return run.Closed{Epoch: epoch, Committed: is("committed"), Tables: tables}
	case "accept":
		return run.Accepted{By: "ann", Note: d.Input}
	case "skip":
		return run.SkipRequested{By: "ann", Note: d.Input}
	}
	d.Fatalf(t, "unknown command %q", d.Cmd)
	return nil
}

func (w *world) make(t *testing.T, d *datadriven.TestData) {
	t.Helper()
	*w = world{tasks: map[string]run.Task{}, next: map[string][]string{}, epoch: w.epoch}
	w.header = run.Header{Environment: "base", ID: "r1", Pipeline: "land", State: run.Running}
	for line := range strings.Lines(d.Input) {
		line = strings.TrimSpace(line)
		newest := ""
		if len(w.names) > 0 {
			newest = w.names[len(w.names)-1]
		}
		one := w.tasks[newest]
		if condition, ok := strings.CutPrefix(line, "when: "); ok {
			one.When = condition
			w.tasks[newest] = one
			continue
		}
		if condition, ok := strings.CutPrefix(line, "retry_if: "); ok {
			one.RetryIf = condition
			w.tasks[newest] = one
			continue
		}
		w.add(t, line)
	}
	w.header.Open = len(w.names)
	for _, name := range w.names {
		if w.tasks[name].Waiting == 0 {
			w.apply(t, name, run.Started{})
		}
	}
}

func (w *world) add(t *testing.T, line string) {
	t.Helper()
	name, args, err := datadriven.ParseLine(line)
	if err != nil {
		t.Fatal(err)
	}
	one := run.Task{Name: name, State: run.TaskWaiting, Generation: 1, Backoff: 30 * time.Second}
	for _, arg := range args {
		switch arg.Key {
		case "after":
			one.Waiting = len(arg.Vals)
			for _, up := range arg.Vals {
				w.next[up] = append(w.next[up], name)
			}
		case "retries":
			one.Retries, err = strconv.Atoi(arg.Vals[0])
		case "backoff":
			one.Backoff, err = time.ParseDuration(arg.Vals[0])
		default:
			err = fmt.Errorf("unknown setting %q", arg.Key)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w.names, w.tasks[name] = append(w.names, name), one
}

func (w *world) pass(t *testing.T, d *datadriven.TestData) {
	t.Helper()
	by, err := time.ParseDuration(words(d)[0])
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	w.now += by
	for _, name := range w.names {
		if one := w.tasks[name]; one.State == run.TaskBackoff && !one.ReadyAt.After(begin.Add(w.now)) {
			w.apply(t, name, run.Elapsed{})
		}
	}
}

// rerun starts tasks again as the ledger does: each waits for those before it
// that start again as well, or that have not ended.
func (w *world) rerun(t *testing.T, chosen []string) {
	t.Helper()
	for _, name := range w.names {
		if !slices.Contains(chosen, name) {
			continue
		}
		ev := run.Rerun{By: "ann", Upstream: map[string]run.TaskState{}}
		for _, up := range w.names {
			switch state := w.tasks[up].State; {
			case !slices.Contains(w.next[up], name):
			case slices.Contains(chosen, up) || !state.Terminal():
				ev.Waiting++
			default:
				ev.Upstream[up] = state
			}
		}
		w.apply(t, name, ev)
	}
}

// apply applies an event and what follows from it, and writes down what changed.
func (w *world) apply(t *testing.T, name string, ev run.Event) {
	t.Helper()
	before := run.Snapshot{Run: w.header, Task: w.tasks[name]}
	after, effects, err := run.Apply(before, ev, begin.Add(w.now))
	if err != nil {
		if fmt.Sprint(after) != fmt.Sprint(before) || len(effects) > 0 {
			t.Errorf("%s of %s is an error and changes something", run.Name(ev), name)
		}
		if !errors.Is(err, run.ErrStale) && !errors.Is(err, run.ErrIllegal) {
			t.Errorf("%s of %s: an error of no known kind: %v", run.Name(ev), name, err)
		}
		fmt.Fprintf(&w.changed, "error: %v\n", err)
		return
	}
	w.header, w.tasks[name] = after.Run, after.Task
	w.changed.WriteString(w.line(after.Task))
	for _, effect := range effects {
		w.follow(t, name, effect)
	}
}

func (w *world) follow(t *testing.T, name string, effect run.Effect) {
	t.Helper()
	switch e := effect.(type) {
	case run.Ended:
		for _, next := range w.next[name] {
			if w.tasks[next].State == run.TaskWaiting {
				w.apply(t, next, run.UpstreamEnded{Task: name, State: e.State})
			}
		}
	case run.Offer: // the state says so
	case run.Stop:
		fmt.Fprintf(&w.changed, "  session %s shall stop epoch %d\n", e.Session, e.Epoch)
	case run.Published:
		for _, table := range e.Tables {
			fmt.Fprintf(&w.changed, "  published %s\n", table.Table)
		}
	case run.RunEnded:
		fmt.Fprintf(&w.changed, "  the run has ended: %s\n", e.State)
	case run.Tell:
		fmt.Fprintf(&w.changed, "  incident %s (%s): %s\n", e.Kind, e.Fault, e.Reason)
	}
}

// line says a task's state in one line: only what is not as it was made.
func (w *world) line(t run.Task) string {
	out := t.Name + " " + string(t.State)
	add := func(say bool, format string, args ...any) {
		if say {
			out += " " + fmt.Sprintf(format, args...)
		}
	}
	add(t.Generation > 1, "generation=%d", t.Generation)
	add(t.Attempt > 0, "attempt=%d", t.Attempt)
	add(t.Failures > 0, "failures=%d", t.Failures)
	add(t.Losses > 0, "losses=%d", t.Losses)
	add(t.Session != "", "session=%s epoch=%d", t.Session, t.Epoch)
	add(t.Suspect, "suspect")
	add(t.State == run.TaskWaiting, "for=%d", t.Waiting)
	add(t.State == run.TaskBackoff, "until=%s", t.ReadyAt.Sub(begin))
	add(t.Ending != "", "ending=%s", t.Ending)
	add(t.Kind != "" && t.State.Terminal(), "kind=%s", t.Kind)
	if t.Reason != "" {
		out += ": " + t.Reason
	}
	return out + "\n"
}
