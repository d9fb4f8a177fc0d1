package ledgertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/core/slot"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/ledger/history"
)

// pruned are the statements about history that leaves.
var pruned = map[string]func(*testing.T, *bundle){
	"old runs leave with all that belongs to them, and the history stays clean": pruneOld,
	"runs that something rests on stay":                                         pruneKeeps,
	"slots, marks and what tables cover outlive their runs":                     pruneSlots,
	"a pruned incident takes its messages with it":                              pruneIncidents,
}

func (b *bundle) runs() []string {
	b.t.Helper()
	list, err := b.Runs(b.t.Context(), ledger.RunFilter{Environment: environment, Most: 1000})
	if err != nil {
		b.t.Fatal(err)
	}
	var out []string
	for _, r := range list {
		out = append(out, r.Run)
	}
	slices.Sort(out)
	return out
}

// prune takes out what ended before now, which must be so much.
func (b *bundle) prune(want ledger.Pruned) {
	b.t.Helper()
	would, err := b.Prunable(b.t.Context(), environment, b.now)
	if err != nil || would != want {
		b.t.Errorf("would take out %+v, %v; want %+v", would, err, want)
	}
	if got, err := b.Prune(b.t.Context(), environment, b.now); err != nil || got != want {
		b.t.Fatalf("took out %+v, %v; want %+v", got, err, want)
	}
	b.clean()
}

func (b *bundle) fail(g run.Grant) {
	b.t.Helper()
	b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch}, run.AttemptFailed{Epoch: g.Epoch, Kind: fault.Cancelled, Reason: "because"})
}

func pruneOld(t *testing.T, b *bundle) {
	tasks := []ledger.NewTask{{Name: "a"}, {Name: "b", Upstream: []string{"a"}}}
	many := ledger.NewBackfill{Environment: environment, ID: "bf", Pipeline: "land", Range: commit.Window{Start: day(1).Start, End: day(210).End}, Concurrency: 210}
	for n := range 210 { // more than one transaction takes
		many.Runs = append(many.Runs, ledger.NewRun{Environment: environment, ID: fmt.Sprintf("r%03d", n), Pipeline: "land", Window: day(n + 1), Tasks: tasks})
	}
	if err := b.CreateBackfill(t.Context(), many); err != nil {
		t.Fatal(err)
	}
	for range tasks {
		var commands []ledger.Command
		for _, g := range b.claim("s1", 210) {
			value := run.Result{Completion: commit.Completion{Values: map[string]json.RawMessage{"n": []byte("1")}}}
			commands = append(commands, ledger.Command{Ref: g.Ref, Event: run.Acknowledged{Epoch: g.Epoch}},
				ledger.Command{Ref: g.Ref, Event: run.AttemptSucceeded{Epoch: g.Epoch}, Result: value})
		}
		if errs, err := b.Step(t.Context(), commands...); err != nil || errors.Join(errs...) != nil {
			t.Fatal(err, errs)
		}
	}
	b.prune(ledger.Pruned{}) // all of them ended just now, and not before
	b.now = b.now.Add(time.Hour)
	b.create("young", ledger.NewRun{Window: day(300)}, tasks...)
	for range tasks {
		b.succeed(b.one("s1"))
	}
	b.prune(ledger.Pruned{Runs: 210})
	if got := b.runs(); !cmp.Equal(got, []string{"young"}) {
		t.Errorf("left are %v", got)
	}
	for _, id := range []string{"r000", "r209"} {
		ref := ledger.RunRef{Environment: environment, Run: id}
		if _, err := b.Run(t.Context(), ref); !fault.Is(err, fault.NotFound) {
			t.Errorf("run %s: %v", id, err)
		}
		if attempts, err := b.Attempts(t.Context(), ref, ""); err != nil || len(attempts) > 0 {
			t.Errorf("attempts of %s: %v, %v", id, attempts, err)
		}
	}
	findings, err := history.Verify(t.Context(), b.Ledger, environment)
	if err != nil || findings[1].Checked != 8 {
		t.Errorf("%d events are left, %v; want the 8 of the young run", findings[1].Checked, err)
	}
}

func pruneKeeps(t *testing.T, b *bundle) {
	one := ledger.NewTask{Name: "a"}
	b.create("newest", ledger.NewRun{Window: day(20)}, one)
	b.succeed(b.one("s1"))
	b.create("old", ledger.NewRun{Window: day(1)}, one)
	b.succeed(b.one("s1"))
	b.create("trained", ledger.NewRun{Window: day(2)}, one)
	g := b.one("s1")
	errs, err := b.Step(t.Context(),
		ledger.Command{Ref: g.Ref, Event: run.Acknowledged{Epoch: g.Epoch}},
		ledger.Command{Ref: g.Ref, Event: run.AttemptSucceeded{Epoch: g.Epoch}, Result: run.Result{Completion: commit.Completion{Models: []commit.Model{{Name: "m"}}}}})
	if err != nil || errs[1] != nil {
		t.Fatal(err, errs)
	}
	b.create("pinned", ledger.NewRun{Window: day(3)}, one)
	b.succeed(b.one("s1"))
	if err := b.SavePin(t.Context(), environment, "pinned", run.Pin{ID: "p", Body: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	b.create("broken", ledger.NewRun{Window: day(4)}, one)
	g = b.one("s1")
	b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch}, run.AttemptFailed{Epoch: g.Epoch, Kind: fault.Failed, Reason: "exit code 1"})
	b.create("cancelled", ledger.NewRun{Window: day(5)}, one)
	b.fail(b.one("s1")) // nobody is told of it
	backfill := ledger.NewBackfill{Environment: environment, ID: "bf", Pipeline: "land", Range: commit.Window{Start: day(6).Start, End: day(7).End}}
	for n, id := range []string{"b6", "b7"} {
		backfill.Runs = append(backfill.Runs, ledger.NewRun{Environment: environment, ID: id, Pipeline: "land", Window: day(6 + n), Tasks: []ledger.NewTask{one}})
	}
	if err := b.CreateBackfill(t.Context(), backfill); err != nil {
		t.Fatal(err)
	}
	b.succeed(b.one("s1")) // b6; b7 goes on
	b.create("open", ledger.NewRun{Pipeline: "other"}, one)
	b.now = b.now.AddDate(1, 0, 0)
	b.prune(ledger.Pruned{Runs: 2})
	if got, want := b.runs(), []string{"b6", "b7", "broken", "newest", "open", "pinned", "trained"}; !cmp.Equal(got, want) {
		t.Errorf("left are %v, want %v", got, want)
	}
	b.create("again", ledger.NewRun{Window: day(1), Kind: ledger.KindWindow}, one)
	for _, g := range b.claim("s1", 9) {
		if g.Run == "again" && g.Newest {
			t.Error("an older window takes itself for the newest")
		}
		b.succeed(g)
	}
	b.now = b.now.Add(time.Second)
	b.prune(ledger.Pruned{Runs: 3}) // b6 and b7 with their backfill, and again; open is the newest of its own
	if list, err := b.Backfills(t.Context(), environment); err != nil || len(list) > 0 {
		t.Errorf("backfills left: %+v, %v", list, err)
	}
}

func pruneSlots(t *testing.T, b *bundle) {
	b.activate()
	plan := daily(t, "", slot.Policy{})
	b.decide(plan)
	for range 3 {
		b.now = b.now.AddDate(0, 0, 1)
		b.decide(plan)
		g := b.one("s1")
		b.succeed(g, commit.TableCommit{Table: project.Table{Store: "warehouse", Schema: "raw", Name: "flights"}, Window: g.Window})
	}
	before, mark := b.slots(), b.mark()
	b.now = b.now.Add(time.Second)
	b.prune(ledger.Pruned{Runs: 2})
	if after := b.slots(); after != before || !b.mark().Equal(mark) {
		t.Errorf("slots are\n%s\nand the mark %s; were\n%s\nand %s", after, b.mark(), before, mark)
	}
	covered, err := b.Published(t.Context(), environment, "raw.flights")
	if err != nil || len(covered) != 1 || covered[0] != (commit.Window{Start: day(2).Start, End: day(4).End}) {
		t.Errorf("covered %v, %v", covered, err)
	}
	if windows, err := b.RecordedWindows(t.Context(), environment, "land", commit.Window{Start: day(2).Start, End: day(4).End}); err != nil || len(windows) != 3 {
		t.Errorf("recorded %v, %v", windows, err)
	}
	b.now = b.now.AddDate(0, 0, 1)
	b.decide(plan)
	if g := b.one("s1"); g.Window != day(5) {
		t.Errorf("the next window is %s, want the 5th", g.Window)
	}
}

func pruneIncidents(t *testing.T, b *bundle) {
	fails := func(id string, n int) {
		b.create(id, ledger.NewRun{Window: day(n), Pipeline: "p" + id}, ledger.NewTask{Name: "a"})
		g := b.one("s1")
		b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch}, run.AttemptFailed{Epoch: g.Epoch, Kind: fault.Failed, Reason: "exit code 1"})
	}
	fails("r1", 1)
	fails("r2", 1)
	if _, err := b.Rerun(t.Context(), ledger.RunRef{Environment: environment, Run: "r1"}, ledger.RerunScope{}, "ann"); err != nil {
		t.Fatal(err)
	}
	b.succeed(b.one("s1"))
	b.now = b.now.AddDate(0, 1, 0)
	b.prune(ledger.Pruned{}) // its messages still wait
	due, err := b.DueNotifications(t.Context(), 10)
	if err != nil || len(due) != 3 {
		t.Fatalf("%d messages wait, %v", len(due), err)
	}
	for _, n := range due {
		if err := b.RouteNotification(t.Context(), n, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	b.prune(ledger.Pruned{Incidents: 1})
	left, err := b.Incidents(t.Context(), environment, true)
	if err != nil || len(left) != 1 || left[0].Pipeline != "pr2" {
		t.Errorf("left are %+v, %v; want the open one", left, err)
	}
}
