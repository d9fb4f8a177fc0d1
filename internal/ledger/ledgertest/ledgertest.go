// Package ledgertest is the meaning of a ledger: what SQLite and PostgreSQL must both do.
//
// Run is called once per engine with a function that opens an empty ledger. The
// package must not know which engine it tests.
package ledgertest

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/ledger"
)

const environment = "base"

// bundle is what a test needs: a ledger whose clock it moves, and an open session.
type bundle struct {
	*ledger.Ledger
	t   *testing.T
	now time.Time
}

func setup(t *testing.T, open func(*testing.T) *ledger.Ledger) *bundle {
	t.Helper()
	b := &bundle{Ledger: open(t), t: t, now: time.Date(2013, 1, 2, 11, 0, 0, 0, time.UTC)}
	b.Now = func() time.Time { return b.now }
	b.session("s1")
	return b
}

func (b *bundle) session(id string) {
	b.t.Helper()
	if err := b.OpenSession(b.t.Context(), ledger.Session{ID: id, Worker: "home", Version: "test", Slots: 4}); err != nil {
		b.t.Fatal(err)
	}
}

// create makes a run of tasks given as "name: upstream upstream".
func (b *bundle) create(id string, n ledger.NewRun, tasks ...ledger.NewTask) {
	b.t.Helper()
	n.Environment, n.ID, n.Bundle, n.Tasks = environment, id, "b1", tasks
	if n.Pipeline == "" {
		n.Pipeline = "land"
	}
	if n.Kind == "" {
		n.Kind = ledger.KindScheduled
	}
	if n.Window.IsZero() {
		n.Window = day(1)
	}
	if err := b.CreateRun(b.t.Context(), n); err != nil {
		b.t.Fatal(err)
	}
}

func day(n int) commit.Window {
	start := time.Date(2013, 1, n, 0, 0, 0, 0, time.UTC)
	return commit.Window{Start: start, End: start.AddDate(0, 0, 1)}
}

func (b *bundle) claim(session string, most int) []run.Grant {
	b.t.Helper()
	g, err := b.Claim(b.t.Context(), session, most, true)
	if err != nil {
		b.t.Fatal(err)
	}
	return g
}

// one claims exactly one task.
func (b *bundle) one(session string) run.Grant {
	b.t.Helper()
	g := b.claim(session, 1)
	if len(g) != 1 {
		b.t.Fatalf("%d grants, want 1", len(g))
	}
	return g[0]
}

func (b *bundle) step(ref run.Ref, ev run.Event) error {
	b.t.Helper()
	errs, err := b.Step(b.t.Context(), ledger.Command{Ref: ref, Event: ev, Actor: "test"})
	if err != nil {
		b.t.Fatal(err)
	}
	return errs[0]
}

func (b *bundle) must(ref run.Ref, events ...run.Event) {
	b.t.Helper()
	for _, ev := range events {
		if err := b.step(ref, ev); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bundle) succeed(g run.Grant, tables ...commit.TableCommit) {
	b.t.Helper()
	b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch}, run.AttemptSucceeded{Epoch: g.Epoch, Tables: tables})
}

// states returns the state of a run and of its tasks.
func (b *bundle) states(id string) map[string]string {
	b.t.Helper()
	r, err := b.Run(b.t.Context(), ledger.RunRef{Environment: environment, Run: id})
	if err != nil {
		b.t.Fatal(err)
	}
	out := map[string]string{"run": string(r.State)}
	for _, t := range r.Tasks {
		out[t.Name] = string(t.State)
	}
	return out
}

func (b *bundle) want(id string, want map[string]string) {
	b.t.Helper()
	if d := cmp.Diff(want, b.states(id)); d != "" {
		b.t.Fatalf("states of run %s (-want +got):\n%s", id, d)
	}
}

// Run runs the suite against the engine that open opens.
func Run(t *testing.T, open func(*testing.T) *ledger.Ledger) {
	tests := map[string]func(*testing.T, *bundle){
		"a chain runs in order, each task offered when its upstream is done":      chain,
		"a stale attempt can change nothing":                                      stale,
		"a lost worker costs no retry, and its task runs again under a new epoch": lost,
		"retries are spent on failures alone":                                     retries,
		"two sessions never hold one task":                                        rivals,
		"a failure ends what follows, and a rerun of the failed mends the run":    rerun,
		"a run waits until another pipeline's table covers its window":            waits,
		"queued runs start in window order":                                       queued,
		"cancelling a running task asks its worker to stop it":                    cancel,
		"an incident opens once and resolves when every window is covered":        incidents,
		"model versions count up and aliases move when their condition holds":     models,
		"a claim that nobody acknowledged is returned, and that is no loss":       returned,
		"a lost attempt of a cancelled task is closed before the task ends":       closing,
		"writers that wait share a transaction, and one's error undoes only it":   batches,
	}
	maps.Copy(tests, scheduled)
	maps.Copy(tests, workers)
	maps.Copy(tests, pruned)
	maps.Copy(tests, limited)
	maps.Copy(tests, filled)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, setup(t, open))
		})
	}
}

func chain(_ *testing.T, b *bundle) {
	b.create("r1", ledger.NewRun{}, ledger.NewTask{Name: "a"}, ledger.NewTask{Name: "b", Upstream: []string{"a"}}, ledger.NewTask{Name: "c", Upstream: []string{"a", "b"}})
	b.want("r1", map[string]string{"run": "running", "a": "ready", "b": "waiting", "c": "waiting"})
	for _, name := range []string{"a", "b", "c"} {
		g := b.one("s1")
		if g.Task != name || g.Attempt != 1 || g.Window != day(1) || !g.Live || !g.Newest {
			b.t.Fatalf("granted %+v, want %s", g, name)
		}
		b.succeed(g)
	}
	b.want("r1", map[string]string{"run": "succeeded", "a": "succeeded", "b": "succeeded", "c": "succeeded"})
}

func stale(_ *testing.T, b *bundle) {
	b.create("r1", ledger.NewRun{}, ledger.NewTask{Name: "a"})
	old := b.one("s1")
	b.must(old.Ref, run.Acknowledged{Epoch: old.Epoch})
	if n, err := b.EndSession(b.t.Context(), "s1", "connection closed", false); err != nil || n != 1 {
		b.t.Fatalf("%d lost, %v", n, err)
	}
	b.session("s2")
	next := b.one("s2")
	b.must(next.Ref, run.Acknowledged{Epoch: next.Epoch})
	for _, ev := range []run.Event{run.AttemptSucceeded{Epoch: old.Epoch}, run.AttemptFailed{Epoch: old.Epoch, Kind: fault.Failed}, run.Acknowledged{Epoch: old.Epoch}} {
		if err := b.step(old.Ref, ev); !errors.Is(err, run.ErrStale) {
			b.t.Errorf("%T under an old epoch: %v", ev, err)
		}
	}
	b.want("r1", map[string]string{"run": "running", "a": "running"})
	if _, err := b.Claim(b.t.Context(), "s1", 1, true); !errors.Is(err, run.ErrStale) {
		b.t.Errorf("an ended session may claim: %v", err)
	}
}

func lost(_ *testing.T, b *bundle) {
	b.create("r1", ledger.NewRun{}, ledger.NewTask{Name: "a", Retries: 0})
	for n := 1; n <= 2; n++ {
		id := fmt.Sprintf("w%d", n)
		b.session(id)
		g := b.one(id)
		if g.Attempt != n {
			b.t.Errorf("attempt %d, want %d", g.Attempt, n)
		}
		b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch})
		if _, err := b.EndSession(b.t.Context(), id, "killed", false); err != nil {
			b.t.Fatal(err)
		}
	}
	b.succeed(b.one("s1"))
	b.want("r1", map[string]string{"run": "succeeded", "a": "succeeded"})
}

func retries(_ *testing.T, b *bundle) {
	b.create("r1", ledger.NewRun{}, ledger.NewTask{Name: "a", Retries: 1, Backoff: time.Minute})
	g := b.one("s1")
	b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch}, run.AttemptFailed{Epoch: g.Epoch, Kind: fault.Failed, Reason: "exit 1"})
	b.want("r1", map[string]string{"run": "running", "a": "backoff"})
	if got := b.claim("s1", 1); len(got) != 0 {
		b.t.Fatalf("claimed %+v before its back-off was over", got)
	}
	b.now = b.now.Add(2 * time.Minute)
	g = b.one("s1")
	b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch}, run.AttemptFailed{Epoch: g.Epoch, Kind: fault.Failed, Reason: "exit 1"})
	b.want("r1", map[string]string{"run": "failed", "a": "failed"})
}

func rivals(_ *testing.T, b *bundle) {
	var tasks []ledger.NewTask
	for i := range 60 {
		tasks = append(tasks, ledger.NewTask{Name: fmt.Sprintf("t%02d", i)})
	}
	b.create("r1", ledger.NewRun{}, tasks...)
	b.session("s2")
	var mu sync.Mutex
	seen := map[string]int{}
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			for {
				g, err := b.Claim(b.t.Context(), []string{"s1", "s2"}[i%2], 3, true)
				if err != nil || len(g) == 0 {
					return
				}
				mu.Lock()
				for _, one := range g {
					seen[one.Task]++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(seen) != 60 {
		b.t.Errorf("%d tasks claimed, want 60", len(seen))
	}
	for name, n := range seen {
		if n != 1 {
			b.t.Errorf("%s claimed %d times", name, n)
		}
	}
}

func rerun(_ *testing.T, b *bundle) {
	b.create("r1", ledger.NewRun{}, ledger.NewTask{Name: "a"}, ledger.NewTask{Name: "b", Upstream: []string{"a"}}, ledger.NewTask{Name: "z"})
	for range 2 {
		g := b.one("s1")
		if g.Task == "z" {
			b.succeed(g)
			continue
		}
		b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch}, run.AttemptFailed{Epoch: g.Epoch, Kind: fault.Refused, Reason: "a contract"})
	}
	b.want("r1", map[string]string{"run": "failed", "a": "failed", "b": "upstream_failed", "z": "succeeded"})
	ref := ledger.RunRef{Environment: environment, Run: "r1"}
	names, err := b.Rerun(b.t.Context(), ref, ledger.RerunScope{}, "ann")
	if err != nil || !cmp.Equal(names, []string{"a", "b"}) {
		b.t.Fatalf("rerun %v, %v", names, err)
	}
	g := b.one("s1")
	if g.Generation != 2 {
		b.t.Errorf("generation %d, want 2", g.Generation)
	}
	b.succeed(g)
	b.succeed(b.one("s1"))
	b.want("r1", map[string]string{"run": "succeeded", "a": "succeeded", "b": "succeeded", "z": "succeeded"})
	if _, err := b.Rerun(b.t.Context(), ref, ledger.RerunScope{}, "ann"); !fault.Is(err, fault.Conflict) {
		b.t.Errorf("rerun of a good run: %v", err)
	}
}

var flights = project.Table{Store: "warehouse", Schema: "raw", Name: "flights"}

func waits(_ *testing.T, b *bundle) {
	b.create("f1", ledger.NewRun{Pipeline: "features"}, ledger.NewTask{Name: "delay", Waits: []ledger.Wait{{Target: "raw.flights", Window: day(1)}}})
	b.want("f1", map[string]string{"run": "running", "delay": "waiting"})
	b.create("l0", ledger.NewRun{Window: day(2)}, ledger.NewTask{Name: "flights"})
	b.succeed(b.one("s1"), commit.TableCommit{Table: flights, Window: day(2)})
	b.want("f1", map[string]string{"run": "running", "delay": "waiting"})
	b.create("l1", ledger.NewRun{}, ledger.NewTask{Name: "flights"})
	b.succeed(b.one("s1"), commit.TableCommit{Table: flights, Window: day(1)})
	b.want("f1", map[string]string{"run": "running", "delay": "ready"})
	covered, err := b.Published(b.t.Context(), environment, "raw.flights")
	if err != nil || len(covered) != 1 || covered[0] != (commit.Window{Start: day(1).Start, End: day(2).End}) {
		b.t.Errorf("raw.flights covers %v, %v", covered, err)
	}
	b.create("f2", ledger.NewRun{Pipeline: "other"}, ledger.NewTask{Name: "delay", Waits: []ledger.Wait{{Target: "raw.flights", Window: day(2)}}})
	b.want("f2", map[string]string{"run": "running", "delay": "ready"})
}

func queued(_ *testing.T, b *bundle) {
	b.create("r2", ledger.NewRun{Window: day(2)}, ledger.NewTask{Name: "a"})
	b.create("r4", ledger.NewRun{Window: day(4)}, ledger.NewTask{Name: "a"})
	b.create("r3", ledger.NewRun{Window: day(3)}, ledger.NewTask{Name: "a"})
	for _, id := range []string{"r2", "r3", "r4"} {
		g := b.one("s1")
		if g.Run != id {
			b.t.Fatalf("run %s has its turn, want %s", g.Run, id)
		}
		if more := b.claim("s1", 1); len(more) != 0 {
			b.t.Fatalf("%s overlaps", more[0].Run)
		}
		b.succeed(g)
	}
}

func cancel(_ *testing.T, b *bundle) {
	var notes []ledger.Note
	b.Notify = func(n ledger.Note) { notes = append(notes, n) }
	b.create("r1", ledger.NewRun{}, ledger.NewTask{Name: "a"}, ledger.NewTask{Name: "b", Upstream: []string{"a"}})
	g := b.one("s1")
	b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch})
	if err := b.CancelRun(b.t.Context(), ledger.RunRef{Environment: environment, Run: "r1"}, "ann"); err != nil {
		b.t.Fatal(err)
	}
	b.want("r1", map[string]string{"run": "running", "a": "cancelling", "b": "cancelled"})
	stops := notes[len(notes)-1].Stops
	if len(stops) != 1 || stops[0] != (ledger.StopOrder{Session: "s1", Epoch: g.Epoch}) {
		b.t.Errorf("stop orders %v", stops)
	}
	b.must(g.Ref, run.AttemptFailed{Epoch: g.Epoch, Kind: fault.Cancelled})
	b.want("r1", map[string]string{"run": "cancelled", "a": "cancelled", "b": "cancelled"})
}

func incidents(_ *testing.T, b *bundle) {
	fail := func(id string, w commit.Window) {
		b.create(id, ledger.NewRun{Window: w, Owner: "finance"}, ledger.NewTask{Name: "a"})
		g := b.one("s1")
		b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch}, run.AttemptFailed{Epoch: g.Epoch, Kind: fault.Failed, Reason: "exit 1"})
	}
	fail("r1", day(1))
	fail("r2", day(2))
	open, err := b.Incidents(b.t.Context(), environment, false)
	if err != nil || len(open) != 1 || len(open[0].Runs) != 2 || open[0].Owner != "finance" {
		b.t.Fatalf("incidents %+v, %v; want one of finance with two runs", open, err)
	}
	mend := func(id string, w commit.Window) {
		b.create(id, ledger.NewRun{Window: w, Kind: ledger.KindWindow}, ledger.NewTask{Name: "a"})
		b.succeed(b.one("s1"))
	}
	mend("r3", day(3)) // another window resolves nothing
	mend("r4", day(1))
	if open, _ = b.Incidents(b.t.Context(), environment, false); len(open) != 1 {
		b.t.Fatalf("%d open, want 1: window 2 is not covered yet", len(open))
	}
	mend("r5", day(2))
	if open, _ = b.Incidents(b.t.Context(), environment, false); len(open) != 0 {
		b.t.Fatalf("still open: %+v", open)
	}
	due, err := b.DueNotifications(b.t.Context(), 10)
	if err != nil || len(due) != 2 || due[0].Action != "firing" || due[1].Action != "resolved" {
		b.t.Errorf("outbox %+v, %v; want one firing and one resolved", due, err)
	}
}

func models(_ *testing.T, b *bundle) {
	const condition = "auc >= 0.6 && (champion == null || auc >= champion.auc - 0.01)"
	train := func(id string, auc float64) {
		b.create(id, ledger.NewRun{}, ledger.NewTask{Name: "train"})
		g := b.one("s1")
		b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch})
		errs, err := b.Step(b.t.Context(), ledger.Command{
			Ref: g.Ref, Actor: "s1", Event: run.AttemptSucceeded{Epoch: g.Epoch},
			Result: run.Result{Completion: commit.Completion{Models: []commit.Model{{
				Name: "delay", Metrics: map[string]float64{"auc": auc},
				Promote: map[string]string{"champion": condition},
			}}}},
		})
		if err != nil || errs[0] != nil {
			b.t.Fatal(err, errs)
		}
	}
	for i, auc := range []float64{0.55, 0.70, 0.65, 0.695} {
		train(fmt.Sprintf("r%d", i), auc)
	}
	m, err := b.ModelVersion(b.t.Context(), environment, "delay", "champion")
	if err != nil || m.Version != 4 {
		b.t.Errorf("champion is %d, %v; want 4: 1 is too bad, 3 worse than 2 by more than 0.01", m.Version, err)
	}
	all, err := b.ModelVersions(b.t.Context(), environment, "delay")
	if err != nil || len(all) != 4 {
		b.t.Fatalf("%d versions, %v", len(all), err)
	}
	for i, want := range []run.Promotion{
		{Alias: "champion", Promoted: true, Reason: condition + " is true with auc = 0.695, champion.auc = 0.7"},
		{Alias: "champion", Reason: condition + " is false with auc = 0.65, champion.auc = 0.7"},
		{Alias: "champion", Promoted: true, Reason: condition + " is true with auc = 0.7, no champion yet"},
		{Alias: "champion", Reason: condition + " is false with auc = 0.55, no champion yet"},
	} {
		if p := all[i].Promotions; len(p) != 1 || p[0] != want {
			b.t.Errorf("version %d: %+v; want %+v", all[i].Version, p, want)
		}
	}
	made, err := b.ModelsMade(b.t.Context(), run.Ref{Environment: environment, Run: "r2", Task: "train"}, 1)
	if err != nil || len(made) != 1 || made[0].Version != 3 || len(made[0].Aliases) != 0 {
		b.t.Errorf("r2 made %+v, %v; want version 3", made, err)
	}
}

func returned(_ *testing.T, b *bundle) {
	b.create("r1", ledger.NewRun{}, ledger.NewTask{Name: "a"})
	g := b.one("s1")
	b.must(g.Ref, run.Returned{Epoch: g.Epoch})
	again := b.one("s1")
	if again.Epoch <= g.Epoch || again.Attempt != 1 {
		b.t.Errorf("granted %+v after %+v", again, g)
	}
	if err := b.step(g.Ref, run.Acknowledged{Epoch: g.Epoch}); !errors.Is(err, run.ErrStale) {
		b.t.Errorf("the old grant may start: %v", err)
	}
}

func closing(_ *testing.T, b *bundle) {
	b.create("r1", ledger.NewRun{}, ledger.NewTask{Name: "a"})
	g := b.one("s1")
	b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch})
	ref := ledger.RunRef{Environment: environment, Run: "r1"}
	if err := b.CancelRun(b.t.Context(), ref, "ann"); err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.EndSession(b.t.Context(), "s1", "killed", false); err != nil {
		b.t.Fatal(err)
	}
	b.want("r1", map[string]string{"run": "running", "a": "closing"})
	b.session("s2")
	job := b.one("s2")
	if !job.Closing {
		b.t.Fatalf("granted %+v, want the closing of the key", job)
	}
	b.must(job.Ref, run.Acknowledged{Epoch: job.Epoch}, run.Closed{Epoch: job.Epoch})
	b.want("r1", map[string]string{"run": "cancelled", "a": "cancelled"})
}

func batches(_ *testing.T, b *bundle) {
	b.create("r1", ledger.NewRun{}, ledger.NewTask{Name: "a"})
	var all sync.WaitGroup
	errs := make([]error, 40)
	for i := range errs {
		all.Go(func() {
			if i%2 == 0 {
				errs[i] = b.CreateRun(b.t.Context(), ledger.NewRun{Environment: environment, ID: "r1", Pipeline: "land", Kind: "manual", Window: day(1), Tasks: []ledger.NewTask{{Name: "x"}}})
			} else {
				errs[i] = b.CreateRun(b.t.Context(), ledger.NewRun{Environment: environment, ID: fmt.Sprintf("n%d", i), Pipeline: fmt.Sprintf("p%d", i), Kind: "manual", Window: day(1), Tasks: []ledger.NewTask{{Name: "x"}}})
			}
		})
	}
	all.Wait()
	for i, err := range errs {
		if (err == nil) != (i%2 == 1) {
			b.t.Errorf("writer %d: %v", i, err)
		}
	}
	if got := b.claim("s1", 100); len(got) != 21 {
		b.t.Errorf("%d tasks ready, want 21", len(got))
	}
}
