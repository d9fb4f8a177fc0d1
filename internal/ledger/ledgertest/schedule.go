package ledgertest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/core/slot"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/ledger/history"
)

// scheduled are the statements about slots (PROTOCOLS §1).
var scheduled = map[string]func(*testing.T, *bundle){
	"a slot becomes one run, however often it is decided":                             slots,
	"an incident of missed slots is of those that somebody could expect, and no more": missed,
	"an edited schedule begins at the mark":                                           edited,
	"a pause keeps slots, and a resume judges them":                                   paused,
	"a run with a named window leaves the mark alone, [mark, now) moves it":           named,
	"after_previous waits for the window before, where there is one":                  previous,
	"a backfill finds the windows that slots recorded":                                recorded,
	"a run is given up only while nothing of it can go on":                            stuck,
}

// daily is a pipeline that is due at six for the day before.
func daily(t *testing.T, start string, policy slot.Policy) func(slot.Pipeline, time.Time) (slot.Decision, error) {
	t.Helper()
	return every(t, "0 6 * * *", start, policy)
}

func every(t *testing.T, cron, start string, policy slot.Policy) func(slot.Pipeline, time.Time) (slot.Decision, error) {
	t.Helper()
	schedule, err := calendar.ParseCron(cron, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	timetable := calendar.Timetable{Schedule: schedule}
	if cron == "0 6 * * *" {
		timetable.Alignment = calendar.Alignment{Unit: calendar.UnitDay}
	}
	if start != "" {
		if timetable.Start, err = calendar.ParseMoment(start, time.UTC); err != nil {
			t.Fatal(err)
		}
	}
	return func(p slot.Pipeline, now time.Time) (slot.Decision, error) {
		p.Timetable, p.Policy = timetable, policy
		return slot.Plan(p, now), nil
	}
}

// decide activates the pipeline land if need be, and decides its slots.
func (b *bundle) decide(plan func(slot.Pipeline, time.Time) (slot.Decision, error)) slot.Decision {
	b.t.Helper()
	d, err := b.Decide(b.t.Context(), environment, "land", plan, func(slot.Slot) ledger.NewRun {
		return ledger.NewRun{Bundle: "b1", Tasks: []ledger.NewTask{{Name: "a"}}}
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return d
}

func (b *bundle) activate() {
	b.t.Helper()
	if err := b.Activate(b.t.Context(), environment, "b1", []string{"land"}, nil); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) mark() time.Time {
	b.t.Helper()
	list, err := b.Pipelines(b.t.Context(), environment)
	if err != nil || len(list) != 1 {
		b.t.Fatalf("pipelines %+v, %v", list, err)
	}
	return list[0].Mark
}

// states of slots, the oldest first: the day that each is for, and what became of it.
func (b *bundle) slots() string {
	b.t.Helper()
	list, err := b.Slots(b.t.Context(), environment, "land", 100)
	if err != nil {
		b.t.Fatal(err)
	}
	var out []string
	for _, l := range slices.Backward(list) {
		out = append(out, l.Window.Start.Format("2 ")+l.Slot.String())
	}
	return strings.Join(out, "\n")
}

func (b *bundle) wantSlots(want ...string) {
	b.t.Helper()
	if got := b.slots(); got != strings.Join(want, "\n") {
		b.t.Fatalf("slots are\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func slots(t *testing.T, b *bundle) {
	b.activate()
	plan := daily(t, "", slot.Policy{})
	b.decide(plan)
	b.wantSlots("2 expected")
	b.now = b.now.Add(19 * time.Hour) // 06:00 of the 3rd
	for range 3 {
		b.decide(plan)
	}
	b.wantSlots("2 ran", "3 expected")
	if got := b.claim("s1", 5); len(got) != 1 || got[0].Window != day(2) || !got[0].Live || got[0].Due.Hour() != 6 {
		t.Errorf("granted %+v, want one run of the 2nd", got)
	}
	if next, _, err := b.Due(t.Context(), environment); err != nil || len(next) != 0 {
		t.Errorf("due now: %v, %v", next, err)
	}
	if _, next, _ := b.Due(t.Context(), environment); !next.Equal(time.Date(2013, 1, 4, 6, 0, 0, 0, time.UTC)) {
		t.Errorf("due next at %s", next)
	}
}

func missed(t *testing.T, b *bundle) {
	b.activate()
	b.now = time.Date(2013, 1, 20, 5, 0, 0, 0, time.UTC)
	plan := daily(t, "2013-01-01", slot.Policy{Missed: slot.MissedNone})
	b.decide(plan) // first seen on the 20th
	if open, err := b.Incidents(t.Context(), environment, true); err != nil || len(open) != 0 {
		t.Fatalf("incidents %+v, %v; want none: nobody could expect what was due before the pipeline was seen", open, err)
	}
	b.now = b.now.AddDate(0, 0, 2).Add(30 * time.Minute) // nobody was there at six of the 20th and the 21st
	b.decide(plan)
	open, err := b.Incidents(t.Context(), environment, false)
	if err != nil || len(open) != 1 || open[0].Kind != "missed_slot" || len(open[0].Runs) != 2 || open[0].Runs[0].Run != "land@2013-01-20T06:00:00Z" {
		t.Fatalf("incidents %+v, %v; want one of two slots", open, err)
	}
	summary := func(want string) {
		t.Helper()
		open, err := b.Incidents(t.Context(), environment, false)
		if err != nil || len(open) != 1 || open[0].Summary != want {
			t.Errorf("incidents %+v, %v; want one that says: %s", open, err, want)
		}
	}
	summary("2 slots due from 2013-01-20T06:00:00Z to 2013-01-21T06:00:00Z were missed; the newest: the scheduler was not running; missed: none")
	b.now = b.now.AddDate(0, 0, 1)
	b.decide(plan)
	summary("3 slots due from 2013-01-20T06:00:00Z to 2013-01-22T06:00:00Z were missed; the newest: the scheduler was not running; missed: none")
	mend := func(id string, n int) {
		b.create(id, ledger.NewRun{Window: day(n), Kind: ledger.KindWindow}, ledger.NewTask{Name: "a"})
		b.succeed(b.one("s1"))
	}
	mend("m1", 19)
	summary("2 slots due from 2013-01-21T06:00:00Z to 2013-01-22T06:00:00Z were missed; the newest: the scheduler was not running; missed: none")
	mend("m2", 21)
	summary("the slot due 2013-01-21T06:00:00Z was missed: the scheduler was not running; missed: none")
	mend("m3", 20)
	if open, _ = b.Incidents(t.Context(), environment, false); len(open) != 0 {
		t.Errorf("still open: %+v", open)
	}
	b.clean()
}

// clean holds the history against the invariants.
func (b *bundle) clean() {
	b.t.Helper()
	findings, err := history.Verify(b.t.Context(), b.Ledger, environment)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range findings {
		if f.Count > 0 {
			b.t.Errorf("%s: %v", f.Statement, f.Violations)
		}
	}
}

func edited(t *testing.T, b *bundle) {
	b.activate()
	b.decide(daily(t, "", slot.Policy{}))
	b.decide(every(t, "0 */12 * * *", "", slot.Policy{}))
	b.wantSlots("2 expected", "2 skipped: schedule changed")
	b.now = b.now.Add(2 * time.Hour) // 13:00: the window begins where the old one did
	b.decide(every(t, "0 */12 * * *", "", slot.Policy{}))
	if got := b.claim("s1", 5); len(got) != 1 || !got[0].Window.Start.Equal(day(2).Start) {
		t.Errorf("granted %+v", got)
	}
}

func paused(t *testing.T, b *bundle) {
	b.activate()
	plan := daily(t, "", slot.Policy{})
	b.decide(plan)
	if err := b.SetPaused(t.Context(), environment, "land", true, "ann", ""); err != nil {
		t.Fatal(err)
	}
	b.now = b.now.AddDate(0, 0, 2) // 11:00 of the 4th
	b.decide(plan)
	b.wantSlots("2 skipped: paused", "3 skipped: paused", "4 expected")
	if got := b.claim("s1", 5); len(got) != 0 {
		t.Fatalf("granted %+v while paused", got)
	}
	if err := b.SetPaused(t.Context(), environment, "land", false, "ann", ""); err != nil {
		t.Fatal(err)
	}
	b.decide(plan)
	if got := b.one("s1"); got.Window != day(2) {
		t.Errorf("granted %s, want the 2nd", got.Window)
	}
}

func named(t *testing.T, b *bundle) {
	b.activate()
	manual := func(id string) (w calendar.Window) {
		t.Helper()
		w, err := b.CreateManual(t.Context(), ledger.NewRun{Environment: environment, ID: id, Pipeline: "land", Bundle: "b1", Kind: ledger.KindManual},
			func(p slot.Pipeline, now time.Time) (calendar.Window, []ledger.NewTask, bool, error) {
				p.Timetable.Schedule = calendar.NewNone(time.UTC)
				w, moves, err := slot.ManualWindow(p, now)
				return w, []ledger.NewTask{{Name: "a"}}, moves, err
			})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	first := manual("r1")
	if first.Start.Unix() != 0 || !first.End.Equal(b.now) || !b.mark().Equal(b.now) {
		t.Errorf("the first window is %s, the mark %s", first, b.mark())
	}
	b.create("r2", ledger.NewRun{Kind: ledger.KindWindow, Window: day(9)}, ledger.NewTask{Name: "a"})
	if !b.mark().Equal(b.now) {
		t.Errorf("a named window moved the mark to %s", b.mark())
	}
	b.now = b.now.Add(time.Hour)
	if second := manual("r3"); !second.Start.Equal(first.End) || !second.End.Equal(b.now) {
		t.Errorf("the second window is %s, after %s", second, first)
	}
}

func previous(t *testing.T, b *bundle) {
	task := func(n int) ledger.NewTask {
		return ledger.NewTask{Name: "a", Waits: []ledger.Wait{{Target: ledger.PreviousTarget("land", "a"), Window: day(n - 1)}}}
	}
	allow := func(n int) ledger.NewRun { return ledger.NewRun{Window: day(n), Overlap: project.OverlapAllow} }
	b.create("r1", allow(1), task(1))
	b.want("r1", map[string]string{"run": "running", "a": "ready"}) // nobody ever expected the window before
	b.create("r2", allow(2), task(2))
	b.create("r3", allow(3), task(3))
	b.want("r2", map[string]string{"run": "running", "a": "waiting"})
	g := b.one("s1")
	b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch}, run.AttemptFailed{Epoch: g.Epoch, Kind: fault.Failed, Reason: "exit code 1"})
	b.want("r2", map[string]string{"run": "running", "a": "waiting"})
	if _, err := b.Rerun(t.Context(), ledger.RunRef{Environment: environment, Run: "r1"}, ledger.RerunScope{}, "ann"); err != nil {
		t.Fatal(err)
	}
	b.succeed(b.one("s1"))
	b.want("r2", map[string]string{"run": "running", "a": "ready"})
	b.want("r3", map[string]string{"run": "running", "a": "waiting"})
	g = b.one("s1")
	b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch}, run.AttemptFailed{Epoch: g.Epoch, Kind: fault.Failed, Reason: "exit code 1"})
	if err := b.SetAside(t.Context(), g.Ref, true, "ann", "loaded by hand"); err != nil {
		t.Fatal(err)
	}
	b.succeed(b.one("s1")) // r3
	b.now = b.now.Add(time.Second)
	if _, err := b.Prune(t.Context(), environment, b.now); err != nil {
		t.Fatal(err)
	}
	kept, err := b.Published(t.Context(), environment, ledger.PreviousTarget("land", "a"))
	if err != nil || len(kept) != 1 || kept[0] != day(1) {
		t.Errorf("of what was pruned %v is kept, %v; want the 1st", kept, err)
	}
	b.create("again", allow(2), task(2))
	b.want("again", map[string]string{"run": "running", "a": "ready"})
}

func recorded(t *testing.T, b *bundle) {
	b.activate()
	plan := daily(t, "", slot.Policy{})
	b.decide(plan)
	for range 3 {
		b.now = b.now.AddDate(0, 0, 1)
		b.decide(plan)
	}
	got, err := b.RecordedWindows(t.Context(), environment, "land", calendar.Window{Start: day(3).Start.Add(time.Hour), End: day(9).End})
	if err != nil || len(got) != 2 || got[0] != day(3) || got[1] != day(4) {
		t.Errorf("recorded %v, %v; want the 3rd and the 4th: the 5th is only expected", got, err)
	}
}

func stuck(t *testing.T, b *bundle) {
	b.activate()
	plan := daily(t, "", slot.Policy{Overlap: slot.OverlapAllow})
	decide := func() {
		t.Helper()
		if _, err := b.Decide(t.Context(), environment, "land", plan, func(s slot.Slot) ledger.NewRun {
			return ledger.NewRun{Bundle: "b1", Overlap: project.OverlapAllow, Tasks: []ledger.NewTask{
				{Name: "a", Waits: []ledger.Wait{{Target: "raw.orders", Window: s.Window}}}, {Name: "b", Upstream: []string{"a"}},
			}}
		}); err != nil {
			t.Fatal(err)
		}
	}
	decide()
	b.now = b.now.AddDate(0, 0, 1)
	decide()
	b.now = b.now.AddDate(0, 0, 1)
	decide()
	list, err := b.Stuck(t.Context(), environment)
	if err != nil || len(list) != 2 || list[0].Slot.Window != day(2) || list[0].Wait.Target != "raw.orders" || list[0].Slot.State != slot.Ran {
		t.Fatalf("stuck are %+v, %v; want the 2nd and the 3rd", list, err)
	}
	block := func(s ledger.StuckRun, givenUp bool) {
		t.Helper()
		if err := b.Block(t.Context(), s, "finance", func(one slot.Slot, _ time.Time) (slot.Slot, bool) {
			one.State, one.Reason = slot.Blocked, "waits for raw.orders"
			return one, givenUp
		}); err != nil {
			t.Fatal(err)
		}
	}
	block(list[0], false)
	b.wantSlots("2 blocked: waits for raw.orders", "3 ran", "4 expected")
	b.decide(plan) // blocked slots with a run do not start again
	b.wantSlots("2 blocked: waits for raw.orders", "3 ran", "4 expected")

	// The table comes: the run goes on, and whoever looked before is too late to end it.
	b.create("bring", ledger.NewRun{Pipeline: "bring", Window: day(2)}, ledger.NewTask{Name: "x"})
	b.succeed(b.one("s1"), commit.TableCommit{Table: orders, Window: day(2)})
	b.wantSlots("2 ran", "3 ran", "4 expected")
	block(list[0], true)
	b.wantSlots("2 ran", "3 ran", "4 expected")
	b.want(list[0].Run, map[string]string{"run": "running", "a": "ready", "b": "waiting"})

	block(list[1], true)
	b.wantSlots("2 ran", "3 blocked: waits for raw.orders", "4 expected")
	b.want(list[1].Run, map[string]string{"run": "cancelled", "a": "cancelled", "b": "cancelled"})
	open, err := b.Incidents(t.Context(), environment, false)
	if err != nil || len(open) != 1 || open[0].Kind != "missed_slot" || open[0].Owner != "finance" ||
		open[0].Summary != "the slot due 2013-01-04T06:00:00Z was missed: waits for raw.orders" {
		t.Errorf("incidents %+v, %v", open, err)
	}
	if left, err := b.Stuck(t.Context(), environment); err != nil || len(left) != 0 {
		t.Errorf("still stuck: %+v, %v", left, err)
	}
	b.clean()
}

var orders = project.Table{Store: "warehouse", Schema: "raw", Name: "orders"}
