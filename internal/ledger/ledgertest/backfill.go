package ledgertest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/core/slot"
	"github.com/tidemill/tidemill/internal/ledger"
)

// filled are the statements about backfills.
var filled = map[string]func(*testing.T, *bundle){
	"a backfill ends when its last run does":                                         backfills,
	"a backfill starts its windows from the end that it was told to":                 directed,
	"a paused backfill lets what runs end and starts nothing":                        halted,
	"a cancelled backfill starts nothing more, and one that has ended is a conflict": stopped,
	"the failed runs of a backfill are one incident, which each success leaves":      rolled,
	"what is known of the runs of a range is how each ended, and its failed windows": pasts,
}

// backfill creates a backfill of days of January, and returns the ids of its runs: b1, b2 and so on.
func (b *bundle) backfill(id string, n int, settings ledger.NewBackfill) {
	b.t.Helper()
	settings.Environment, settings.ID, settings.Pipeline, settings.By = environment, id, "land", "ann"
	settings.Range = commit.Window{Start: day(1).Start, End: day(n).End}
	for i := 1; i <= n; i++ {
		settings.Runs = append(settings.Runs, ledger.NewRun{
			Environment: environment, ID: fmt.Sprintf("%s%d", id, i), Pipeline: "land", Bundle: "b1", Window: day(i), Tasks: []ledger.NewTask{{Name: "a"}},
		})
	}
	if err := b.CreateBackfill(b.t.Context(), settings); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) wantBackfill(id string, state run.State, runs map[run.State]int) ledger.BackfillInfo {
	b.t.Helper()
	got, err := b.Backfill(b.t.Context(), environment, id)
	if err != nil {
		b.t.Fatal(err)
	}
	if d := cmp.Diff(runs, got.Runs); d != "" || got.State != state {
		b.t.Fatalf("backfill %s is %s, want %s; runs (-want +got):\n%s", id, got.State, state, d)
	}
	return got
}

func (b *bundle) breaks(g run.Grant, reason string) {
	b.t.Helper()
	b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch}, run.AttemptFailed{Epoch: g.Epoch, Kind: fault.Failed, Reason: reason})
}

func backfills(_ *testing.T, b *bundle) {
	b.backfill("b", 5, ledger.NewBackfill{Concurrency: 2})
	for done := 0; done < 5; {
		grants := b.claim("s1", 10)
		if len(grants) == 0 || len(grants) > 2 {
			b.t.Fatalf("%d tasks at once, want 1 or 2", len(grants))
		}
		for _, g := range grants {
			if g.Live {
				b.t.Error("a backfill is live")
			}
			b.succeed(g)
			done++
		}
	}
	got := b.wantBackfill("b", run.Succeeded, map[run.State]int{run.Succeeded: 5})
	if got.Direction != slot.OldestFirst || got.Reprocess != slot.ReprocessAll || got.Ended.IsZero() {
		b.t.Errorf("the backfill is %+v", got)
	}
}

func directed(t *testing.T, b *bundle) {
	for direction, want := range map[slot.Direction]string{slot.OldestFirst: "1 2 3 4", slot.NewestFirst: "4 3 2 1"} {
		b.backfill(string(direction), 4, ledger.NewBackfill{Direction: direction})
		var got []string
		for range 4 {
			g := b.one("s1")
			got = append(got, g.Window.Start.Format("2"))
			b.succeed(g)
		}
		if order := strings.Join(got, " "); order != want {
			t.Errorf("%s first: %s", direction, order)
		}
	}
}

func halted(t *testing.T, b *bundle) {
	b.backfill("b", 4, ledger.NewBackfill{Concurrency: 2})
	pause := func(paused bool) {
		t.Helper()
		if err := b.PauseBackfill(t.Context(), environment, "b", paused, "ann", "the supplier is moving"); err != nil {
			t.Fatal(err)
		}
	}
	running := b.claim("s1", 10)
	pause(true)
	for _, g := range running {
		b.succeed(g)
	}
	if got := b.claim("s1", 10); len(running) != 2 || len(got) != 0 {
		t.Fatalf("%d ran; while paused %d more were given", len(running), len(got))
	}
	info := b.wantBackfill("b", run.Running, map[run.State]int{run.Succeeded: 2, run.Queued: 2})
	if !info.Paused || info.PausedBy != "ann" || info.PausedNote != "the supplier is moving" || !info.PausedAt.Equal(b.now) {
		t.Errorf("paused %+v", info)
	}
	pause(false)
	rest := b.claim("s1", 10)
	if len(rest) != 2 {
		t.Fatalf("after the pause %d were given, want the other 2", len(rest))
	}
	for _, g := range rest {
		b.succeed(g)
	}
	if info := b.wantBackfill("b", run.Succeeded, map[run.State]int{run.Succeeded: 4}); info.Paused {
		t.Errorf("still paused: %+v", info)
	}
	if err := b.PauseBackfill(t.Context(), environment, "b", true, "ann", ""); !fault.Is(err, fault.Conflict) {
		t.Errorf("a backfill that has ended was paused: %v", err)
	}
	if err := b.PauseBackfill(t.Context(), environment, "none", true, "ann", ""); !fault.Is(err, fault.NotFound) {
		t.Errorf("a backfill that is not there was paused: %v", err)
	}
	b.clean()
}

func stopped(t *testing.T, b *bundle) {
	for _, paused := range []bool{false, true} {
		id := map[bool]string{false: "goes", true: "waits"}[paused]
		b.backfill(id, 4, ledger.NewBackfill{Concurrency: 2, Direction: slot.NewestFirst})
		running := b.claim("s1", 10)
		for _, g := range running {
			b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch})
		}
		if paused {
			if err := b.PauseBackfill(t.Context(), environment, id, true, "ann", ""); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := b.CancelBackfill(t.Context(), environment, id, "ann"); err != nil || n != 4 {
			t.Fatalf("%d runs are cancelled, %v", n, err)
		}
		if got := b.claim("s1", 10); len(got) != 0 {
			t.Fatalf("given after the end: %+v", got)
		}
		b.wantBackfill(id, run.Running, map[run.State]int{run.Cancelled: 2, run.Running: 2})
		for _, g := range running { // their worker was told to stop them
			b.must(g.Ref, run.AttemptFailed{Epoch: g.Epoch, Kind: fault.Cancelled, Reason: "cancelled"})
		}
		b.wantBackfill(id, run.Cancelled, map[run.State]int{run.Cancelled: 4})
		if _, err := b.CancelBackfill(t.Context(), environment, id, "ann"); !fault.Is(err, fault.Conflict) {
			t.Errorf("cancelled twice: %v", err)
		}
	}
}

func rolled(t *testing.T, b *bundle) {
	b.backfill("b", 4, ledger.NewBackfill{})
	for n := range 4 {
		g := b.one("s1")
		if n == 3 {
			b.succeed(g)
			continue
		}
		b.breaks(g, fmt.Sprintf("exit %d", n+1))
	}
	b.wantBackfill("b", run.Failed, map[run.State]int{run.Failed: 3, run.Succeeded: 1})
	want := func(summary string, open int) {
		t.Helper()
		list, err := b.Incidents(t.Context(), environment, false)
		if err != nil || len(list) != 1 {
			t.Fatalf("incidents %+v, %v; want one", list, err)
		}
		left := slices.DeleteFunc(list[0].Runs, func(r ledger.IncidentRun) bool { return !r.Left.IsZero() })
		if i := list[0]; i.Fingerprint != "base/land/backfill:b" || i.Kind != "backfill_failed" || i.Backfill != "b" || i.Summary != summary || len(left) != open {
			t.Errorf("%+v\nwant %d runs and: %s", i, open, summary)
		}
	}
	want("3 windows failed, the first 2013-01-01T00:00:00Z/2013-01-02T00:00:00Z: a: exit 1", 3)
	mend := func(id string, w commit.Window) {
		t.Helper()
		b.create(id, ledger.NewRun{Window: w, Kind: ledger.KindWindow}, ledger.NewTask{Name: "a"})
		b.succeed(b.one("s1"))
	}
	mend("m1", day(1))
	want("2 windows failed, the first 2013-01-02T00:00:00Z/2013-01-03T00:00:00Z: a: exit 2", 2)
	mend("m2", day(3))
	want("window 2013-01-02T00:00:00Z/2013-01-03T00:00:00Z failed: a: exit 2", 1)
	// A run of another kind that fails is an incident of its own; a success takes the window out of both.
	b.create("other", ledger.NewRun{Window: day(2), Kind: ledger.KindWindow}, ledger.NewTask{Name: "a"})
	b.breaks(b.one("s1"), "exit 9")
	if list, err := b.Incidents(t.Context(), environment, false); err != nil || len(list) != 2 {
		t.Errorf("incidents %+v, %v; want two", list, err)
	}
	mend("m3", day(2))
	if list, err := b.Incidents(t.Context(), environment, false); err != nil || len(list) != 0 {
		t.Errorf("still open: %+v, %v", list, err)
	}
	due, err := b.DueNotifications(t.Context(), 10)
	var actions []string
	for _, n := range due {
		actions = append(actions, n.Action)
	}
	if err != nil || strings.Join(actions, " ") != "firing firing resolved resolved" {
		t.Errorf("outbox %v, %v", actions, err)
	}
	b.clean()
}

func pasts(t *testing.T, b *bundle) {
	b.backfill("b", 3, ledger.NewBackfill{Concurrency: 3})
	grants := b.claim("s1", 3)
	b.now = b.now.Add(time.Minute)
	b.succeed(grants[0])
	b.breaks(grants[1], "exit 2")
	got, err := b.PastRuns(t.Context(), environment, "land", commit.Window{Start: day(1).Start, End: day(3).End})
	want := []slot.Past{
		{Run: "b1", Window: day(1), Outcome: slot.OutcomeSucceeded, Ended: b.now},
		{Run: "b2", Window: day(2), Outcome: slot.OutcomeFailed, Ended: b.now},
		{Run: "b3", Window: day(3), Outcome: slot.OutcomeOpen},
	}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("past runs (-want +got):\n%s\n%v", d, err)
	}
	if got, err := b.PastRuns(t.Context(), environment, "land", day(4)); err != nil || len(got) != 0 {
		t.Errorf("of the 4th there are %v, %v", got, err)
	}
	failed, err := b.FailedRuns(t.Context(), environment, "b", 10)
	if d := cmp.Diff([]ledger.FailedRun{{Run: "b2", Window: day(2), Task: "a", Reason: "exit 2"}}, failed); d != "" || err != nil {
		t.Errorf("failed runs (-want +got):\n%s\n%v", d, err)
	}
	// One line for the backfill and not three, where runs are listed without those of backfills.
	b.create("alone", ledger.NewRun{Pipeline: "other"}, ledger.NewTask{Name: "a"})
	list, err := b.Runs(t.Context(), ledger.RunFilter{Environment: environment, NoBackfills: true})
	if err != nil || len(list) != 1 || list[0].Run != "alone" {
		t.Errorf("runs of no backfill: %+v, %v", list, err)
	}
}
