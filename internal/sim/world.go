package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/failpoint"
)

// Faults switches rules off, to test the checks themselves.
type Faults struct {
	NoGuard bool // a ledger row is written though it changed since it was read
	NoFence bool // a publish does not ask whether it still holds its key
}

// world is everything there is in one simulation.
type world struct {
	random *rand.Rand
	faults Faults
	now    time.Time
	healed bool // no more faults from here on
	trace  []string

	// The ledger.
	header   run.Header
	tasks    map[string]run.Task
	next     map[string][]string // task → those that follow it
	epoch    int64
	sessions map[string]bool // open
	rows     int             // for unique ids
	slots    map[int64]int   // due → runs made of it: I1
	mark     int64
	waits    bool  // the first task waits for a table that has not come
	stuckErr error // a run was given up that could go on

	// The store: one row per publish key.
	keys map[string]*published

	// The workers: attempts under way. A session may be ended in the ledger while its worker goes on.
	attempts []*attempt
	mail     []message

	history map[string][]run.Task // per task, every state it had
	reruns  map[string]int
}

type published struct {
	fence     int64
	committed bool
	by        int64
	times     int
}

// attempt is a worker's work on one grant, as far as it has come.
type attempt struct {
	task    string
	key     string
	session string
	epoch   int64
	closing bool
	at      failpoint.Point
	fails   bool
}

// message is something under way between two parties.
type message struct {
	what    string
	deliver func()
}

func newWorld(seed uint64, f Faults) *world {
	w := &world{
		random: rand.New(rand.NewPCG(seed, 7)), faults: f,
		now:   time.Date(2013, 1, 1, 0, 0, 0, 0, time.UTC),
		tasks: map[string]run.Task{}, next: map[string][]string{}, sessions: map[string]bool{}, slots: map[int64]int{},
		keys: map[string]*published{}, history: map[string][]run.Task{}, reruns: map[string]int{},
	}
	names := []string{"a", "b", "c", "d", "e"}[:2+w.random.IntN(4)]
	w.header = run.Header{Environment: "base", ID: "r", Pipeline: "p", State: run.Running, Open: len(names)}
	for i, name := range names {
		t := run.Task{Name: name, State: run.TaskWaiting, Generation: 1, Retries: w.random.IntN(3), Backoff: time.Duration(w.random.IntN(60)) * time.Second}
		if i == 0 && seed%16 == 0 { // few: an expression takes longer than all the rest of a step
			t.RetryIf = "exit_code == 3"
		}
		for _, earlier := range names[:i] {
			if w.random.IntN(2) == 0 {
				w.next[earlier] = append(w.next[earlier], name)
				t.Waiting++
			}
		}
		if i == 0 && seed%8 == 3 {
			t.Waiting++
			w.waits = true
		}
		w.tasks[name] = t
	}
	for _, name := range names {
		if w.tasks[name].Waiting == 0 {
			w.apply(name, run.Started{})
		}
	}
	return w
}

// say keeps a line of the trace, for a seed that fails.
func (w *world) say(format string, args ...any) {
	w.trace = append(w.trace, w.now.Format("15:04:05 ")+fmt.Sprintf(format, args...))
}

// apply reads a task and writes what the core makes of an event, at once.
func (w *world) apply(name string, ev run.Event) {
	read := run.Snapshot{Run: w.header, Task: w.tasks[name]}
	w.write(name, read, ev)
}

// applyLate lets another server write between the read and the write: the write
// is a message of its own.
func (w *world) applyLate(name string, ev run.Event) {
	read := run.Snapshot{Run: w.header, Task: w.tasks[name]}
	w.send(fmt.Sprintf("write %s of %s", run.Name(ev), name), func() { w.write(name, read, ev) })
}

// write is ledger.Step: Apply on what was read, guarded by what is there.
func (w *world) write(name string, read run.Snapshot, ev run.Event) {
	there := w.tasks[name]
	changed := there.State != read.Task.State || there.Attempt != read.Task.Attempt || there.Epoch != read.Task.Epoch || there.Generation != read.Task.Generation || there.Waiting != read.Task.Waiting
	if changed && !w.faults.NoGuard {
		// The real ledger locks the row and reads it again: a lost race costs a retry.
		read = run.Snapshot{Run: w.header, Task: there}
	}
	if !w.faults.NoGuard {
		read.Run = w.header
	}
	after, effects, err := run.Apply(read, ev, w.now)
	if err != nil {
		return
	}
	w.say("%s: %s, %s → %s (attempt %d, epoch %d)", name, run.Name(ev), read.Task.State, after.Task.State, after.Task.Attempt, after.Task.Epoch)
	w.tasks[name], w.header = after.Task, after.Run
	w.history[name] = append(w.history[name], after.Task)
	if _, ok := ev.(run.Rerun); ok {
		w.reruns[name]++
	}
	for _, e := range effects {
		switch e := e.(type) {
		case run.Ended:
			for _, next := range w.next[name] {
				w.apply(next, run.UpstreamEnded{Task: name, State: e.State})
			}
		case run.Stop:
			w.send("stop "+name, func() { w.stopAttempt(e) })
		default: // the world looks for ready tasks itself, and tells nobody
		}
	}
}

// send puts a message under way; the world may lose, double, delay or reorder it.
func (w *world) send(what string, deliver func()) {
	w.mail = append(w.mail, message{what, deliver})
}

// deliverOne delivers one message in flight, in any order; before the world is
// healed it may be lost or delivered twice.
func (w *world) deliverOne() {
	if len(w.mail) == 0 {
		return
	}
	i := w.random.IntN(len(w.mail))
	m := w.mail[i]
	lost := !w.healed && w.random.IntN(8) == 0
	twice := !w.healed && w.random.IntN(8) == 0
	if !twice {
		w.mail = slices.Delete(w.mail, i, i+1)
	}
	if lost {
		w.say("lost: %s", m.what)
		return
	}
	m.deliver()
}

// claim gives one ready task to an open session.
func (w *world) claim() {
	session := w.anySession()
	if session == "" {
		return
	}
	names := w.names()
	w.random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names {
		t := w.tasks[name]
		if t.State == run.TaskBackoff && !t.ReadyAt.After(w.now) {
			w.apply(name, run.Elapsed{})
			t = w.tasks[name]
		}
		if t.State != run.TaskReady && (t.State != run.TaskClosing || t.Session != "") {
			continue
		}
		w.epoch++
		epoch := w.epoch
		w.apply(name, run.Claimed{Session: session, Epoch: epoch})
		if w.tasks[name].Epoch != epoch {
			return
		}
		a := &attempt{
			task: name, session: session, epoch: epoch, closing: t.State == run.TaskClosing,
			key: fmt.Sprintf("%s/%d", name, t.Generation), fails: w.random.IntN(5) == 0,
		}
		w.send("grant of "+name, func() { w.granted(a) })
		return
	}
}

// granted: the grant reached the worker, which asks whether it may begin.
func (w *world) granted(a *attempt) {
	w.send("ack of "+a.task, func() {
		w.apply(a.task, run.Acknowledged{Epoch: a.epoch})
		t := w.tasks[a.task]
		if t.Epoch == a.epoch && (t.State == run.TaskRunning || t.State == run.TaskClosing) && !w.has(a.epoch) {
			a.at = failpoint.Acknowledged
			w.attempts = append(w.attempts, a)
		}
	})
}

func (w *world) has(epoch int64) bool {
	return slices.ContainsFunc(w.attempts, func(a *attempt) bool { return a.epoch == epoch })
}

// workOne moves one attempt one failpoint further.
func (w *world) workOne() {
	if len(w.attempts) == 0 {
		return
	}
	i := w.random.IntN(len(w.attempts))
	a := w.attempts[i]
	k := w.keys[a.key]
	if k == nil {
		k = &published{}
		w.keys[a.key] = k
	}
	over := false
	switch a.at {
	case failpoint.Acknowledged: // raise the fence, then look for the receipt
		if k.committed {
			over = w.report(a, w.success(a))
			break
		}
		if a.epoch < k.fence && !w.faults.NoFence {
			over = true // fenced: drop the work
			break
		}
		k.fence = max(k.fence, a.epoch)
		a.at = failpoint.FenceRaised
		if a.closing {
			over = w.report(a, run.Closed{Epoch: a.epoch})
		}
	case failpoint.FenceRaised:
		a.at = failpoint.Staged
		if a.fails {
			code := 3 + w.random.IntN(2)
			over = w.report(a, run.AttemptFailed{Epoch: a.epoch, Kind: fault.Failed, Reason: fmt.Sprintf("exit code %d", code), ExitCode: &code})
		}
	case failpoint.Staged:
		stale := k.fence != a.epoch || k.committed
		if stale && !w.faults.NoFence {
			over = true
			break
		}
		k.committed, k.by = true, a.epoch
		k.times++
		w.say("%s: published under epoch %d", a.key, a.epoch)
		a.at = failpoint.AfterCommit
	case failpoint.AfterCommit:
		over = w.report(a, w.success(a))
	default: // a passage without effect
	}
	if over {
		w.attempts = slices.Delete(w.attempts, i, i+1)
	}
}

func (w *world) success(a *attempt) run.Event {
	tables := []commit.TableCommit{{Table: project.Table{Store: "warehouse", Schema: "p", Name: a.task}}}
	if a.closing {
		return run.Closed{Epoch: a.epoch, Committed: true, Tables: tables}
	}
	return run.AttemptSucceeded{Epoch: a.epoch, Tables: tables}
}

// report tells the end until the ledger has heard it; the worker forgets the attempt.
func (w *world) report(a *attempt, ev run.Event) bool {
	w.send("end of "+a.task, func() {
		// The server that takes the report may have read the row a while ago.
		if w.random.IntN(3) == 0 && !w.healed {
			w.applyLate(a.task, ev)
			return
		}
		w.apply(a.task, ev)
	})
	return true
}

// stopAttempt: the worker ends the attempt, unless it is past the point of no return.
func (w *world) stopAttempt(e run.Stop) {
	for i, a := range w.attempts {
		if a.epoch != e.Epoch {
			continue
		}
		if k := w.keys[a.key]; k != nil && k.committed && k.by == a.epoch {
			return // it will report what it published
		}
		w.attempts = slices.Delete(w.attempts, i, i+1)
		w.report(a, run.AttemptFailed{Epoch: a.epoch, Kind: fault.Cancelled, Reason: "cancelled"})
		return
	}
}

func (w *world) names() []string {
	names := make([]string, 0, len(w.tasks))
	for name := range w.tasks {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (w *world) anySession() string {
	open := make([]string, 0, len(w.sessions))
	for id, isOpen := range w.sessions {
		if isOpen {
			open = append(open, id)
		}
	}
	if len(open) == 0 {
		return ""
	}
	slices.Sort(open)
	return open[w.random.IntN(len(open))]
}

// connect opens a session.
func (w *world) connect() {
	w.rows++
	w.sessions[fmt.Sprintf("s%d", w.rows)] = true
}

// endSession ends a session in the ledger. Its worker may be dead, or cut off
// and still working: then its attempts go on as stale ones.
func (w *world) endSession(id string, dead bool) {
	w.sessions[id] = false
	w.say("session %s ended, dead=%v", id, dead)
	if dead {
		w.attempts = slices.DeleteFunc(w.attempts, func(a *attempt) bool { return a.session == id })
	}
	for _, name := range w.names() {
		if t := w.tasks[name]; t.Session == id {
			w.apply(name, run.Lost{Epoch: t.Epoch, Reason: "worker gone", Crashed: dead && w.random.IntN(20) == 0})
		}
	}
}

// schedule makes a run of the next slot, as two servers would at once: the slot's
// row is the guard.
func (w *world) schedule() {
	due := w.mark + 1
	for range 1 + w.random.IntN(2) {
		w.send("slot", func() {
			if _, made := w.slots[due]; made && !w.faults.NoGuard {
				return
			}
			w.slots[due]++
			w.mark = max(w.mark, due)
		})
	}
}

// stuck says whether nothing of the run can go on, because a table has not come.
func (w *world) stuck() bool {
	if !w.waits || w.header.State.Terminal() {
		return false
	}
	for _, t := range w.tasks {
		if !t.State.Terminal() && t.State != run.TaskWaiting {
			return false
		}
	}
	return true
}

// cover brings the table that the first task waits for.
func (w *world) cover() {
	if w.waits {
		w.waits = false
		w.apply("a", run.Covered{Table: project.Table{Store: "warehouse", Schema: "raw", Name: "orders"}})
	}
}

// giveUp cancels a run that cannot go on, at the end of its look-back. Whoever
// looked may be late: what the run waits for may have come, so that the ledger asks
// again in the transaction that cancels.
func (w *world) giveUp() {
	if !w.stuck() {
		return
	}
	w.send("give up", func() {
		if !w.stuck() && !w.faults.NoGuard {
			return
		}
		if !w.stuck() && !w.header.State.Terminal() {
			w.stuckErr = errors.New("I10: a run is given up for a table that has come")
		}
		w.cancelAll()
	})
}
