package duckdb_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
	"github.com/tidemill/tidemill/internal/store/duckdb"
	"github.com/tidemill/tidemill/internal/store/storetest"
)

// clock is a running clock that tests set.
type clock struct{ micros, step atomic.Int64 }

func (c *clock) now() time.Time {
	return time.UnixMicro(c.micros.Add(c.step.Load())).UTC()
}

func (c *clock) set(t time.Time) { c.micros.Store(t.UnixMicro()) }

func hour(n int) time.Time { return time.Date(2013, 1, 1, n, 0, 0, 0, time.UTC) }

func hours(from, to int) commit.Window { return commit.Window{Start: hour(from), End: hour(to)} }

// hourly is a schedule that is due ten minutes after each hour.
func hourly(w commit.Window) store.Known {
	k := store.Known{AvailableAfter: 15 * time.Minute}
	for end := w.Start; ; end = end.Add(time.Hour) {
		k.Boundaries = append(k.Boundaries, store.Boundary{End: end, Due: end.Add(10 * time.Minute)})
		if !end.Before(w.End) {
			return k
		}
	}
}

func feature(w commit.Window) store.TableSpec {
	return store.TableSpec{
		Table: table, Mode: project.ModeFeature, Schema: schema("k", integer, "at", instant, "v", integer),
		Keys: []string{"k"}, EventTime: "at", Window: w, Known: hourly(w),
	}
}

// events are three rows an hour apart or less, of the hours of the window alone.
func events(w commit.Window) string {
	return fmt.Sprintf(`SELECT k::BIGINT AS k, "at", v::BIGINT AS v FROM (VALUES (1, TIMESTAMPTZ '2013-01-01 00:30:00Z', 10), (1, '2013-01-01 01:00:00Z', 11), (2, '2013-01-01 02:59:59.999999Z', 12)) e(k, "at", v)
		WHERE "at" >= '%s' AND "at" < '%s'`, w.Start.Format(time.RFC3339), w.End.Format(time.RFC3339))
}

const historySQL = `SELECT k, strftime("at", '%H:%M'), v, _deleted, strftime(_known_at, '%H:%M') FROM raw.t__history ORDER BY k, "at", _seq`

func TestSimulatedTimesDoNotDependOnHowARangeWasCut(t *testing.T) {
	t.Parallel()
	want := []string{"1|00:30|10|false|01:25", "1|01:00|11|false|02:25", "2|02:59|12|false|03:25"}
	for name, windows := range map[string][]commit.Window{
		"whole": {hours(0, 3)}, "by the hour": {hours(0, 1), hours(1, 2), hours(2, 3)}, "backwards": {hours(2, 3), hours(0, 2)},
	} {
		s := open(t, duckdb.Config{})
		for i, w := range windows {
			line, err := fill(t, s, fmt.Sprint("r", i), feature(w), false, events(w))
			if err != nil {
				t.Fatal(err)
			}
			if !line.Simulated {
				t.Errorf("%s: window %s is not simulated", name, w)
			}
		}
		if diff := cmp.Diff(want, query(t, s, historySQL)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if got := query(t, s, `SELECT DISTINCT kind FROM _tidemill.table_commit`); !slices.Equal(got, []string{"simulated"}) {
			t.Errorf("%s: kinds %v", name, got)
		}
	}
}

func TestOverLiveRowsABackfillHasItsCommitsTime(t *testing.T) {
	t.Parallel()
	s := open(t, duckdb.Config{})
	if _, err := fill(t, s, "live", feature(hours(1, 2)), true, events(hours(1, 2))); err != nil {
		t.Fatal(err)
	}
	all := hours(0, 3)
	line, err := fill(t, s, "wide", feature(all), false, events(all)+" AND k = 1 UNION ALL SELECT 3, TIMESTAMPTZ '2013-01-01 01:30:00Z', 5")
	if err != nil {
		t.Fatal(err)
	}
	if line.Simulated {
		t.Error("a range over live rows is simulated as a whole")
	}
	// The hour without a live commit is simulated, the live one is not; its equal row was not written again.
	if diff := cmp.Diff([]string{"1|00:30|10|false|01:25", "1|01:00|11|false|(null)", "3|01:30|5|false|(null)"}, query(t, s, historySQL)); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if got := query(t, s, `SELECT kind FROM _tidemill.table_commit ORDER BY seq`); !slices.Equal(got, []string{"live", "repair"}) {
		t.Errorf("kinds %v", got)
	}
	// Simulated again on each repeat, and so is a row that vanishes.
	s = open(t, duckdb.Config{})
	for i, more := range []string{"", " AND v = 10", " AND v = 10"} {
		line, err := fill(t, s, fmt.Sprint("again", i), feature(hours(0, 2)), false, events(hours(0, 2))+more)
		if err != nil || !line.Simulated {
			t.Fatalf("repeat %d: %+v, %v", i, line, err)
		}
	}
	if diff := cmp.Diff([]string{"1|00:30|10|false|01:25", "1|01:00|11|false|02:25", "1|01:00|(null)|true|02:25"}, query(t, s, historySQL)); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

func TestADeclaredKnownTimeIsTakenAsItIs(t *testing.T) {
	t.Parallel()
	s := open(t, duckdb.Config{})
	spec := feature(hours(0, 1))
	spec.Schema.Fields = append(spec.Schema.Fields, schema("told", instant).Fields...)
	spec.Known.Column = "told"
	if _, err := fill(t, s, "r", spec, false, `SELECT 1 AS k, TIMESTAMPTZ '2013-01-01 00:30:00Z' AS "at", 1 AS v, TIMESTAMPTZ '2013-01-01 00:40:00Z' AS told
		UNION ALL SELECT 2, TIMESTAMPTZ '2013-01-01 00:30:00Z', 2, NULL`); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1|00:30|1|false|00:40", "2|00:30|2|false|01:25"}, query(t, s, historySQL)); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

func TestCommitsAreNeverKnownBeforeTheOnesBefore(t *testing.T) {
	t.Parallel()
	var c clock
	c.step.Store(1)
	c.set(hour(10))
	s := open(t, duckdb.Config{Clock: c.now})
	publish := func(run string) {
		t.Helper()
		if _, err := fill(t, s, run, feature(hours(0, 1)), true, events(hours(0, 1))); err != nil {
			t.Fatal(err)
		}
	}
	publish("a")
	c.set(hour(9)) // the clock was set back
	publish("b")
	c.set(hour(11))
	c.step.Store(time.Minute.Microseconds()) // each look at the clock is a minute later: COMMIT is slow
	publish("c")
	c.step.Store(1)
	publish("d")
	known := `SELECT strftime(known_at, '%H'), known_at >= lag(known_at, 1, known_at) OVER (ORDER BY seq), known_at > committed_at, known_at = committed_at FROM _tidemill.table_commit ORDER BY seq`
	want := []string{"10|true|false|true", "10|true|false|true", "11|true|true|false", "11|true|false|true"}
	if diff := cmp.Diff(want, query(t, s, known)); diff != "" {
		t.Errorf("commits (-want +got):\n%s", diff)
	}
}

// A feature table as of each commit is what that commit left, whatever came later.
func TestHistoryIsEveryStateThatTheTableHad(t *testing.T) {
	t.Parallel()
	s := open(t, duckdb.Config{Threads: 2})
	for seed := range uint64(12) {
		remembers(t, s, seed)
	}
}

// remembers publishes random windows, and holds each state against a map.
func remembers(t *testing.T, s *duckdb.Store, seed uint64) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	spec := feature(hours(0, 6))
	spec.Table.Name = fmt.Sprint("t", seed)
	model := map[[2]int]int{} // (key, hour) → value
	var states []map[[2]int]int
	for step := range 4 {
		from := random.IntN(6)
		to := from + 1 + random.IntN(6-from)
		next := map[[2]int]int{}
		for at, v := range model {
			if at[1] < from || at[1] >= to {
				next[at] = v
			}
		}
		text := `SELECT 0::BIGINT AS k, TIMESTAMPTZ '2013-01-01' AS "at", 0::BIGINT AS v WHERE false`
		for k := range 2 {
			for h := from; h < to; h++ {
				if v := random.IntN(3); v > 0 {
					next[[2]int{k, h}] = v
					text += fmt.Sprintf(" UNION ALL SELECT %d, TIMESTAMPTZ '2013-01-01 %02d:00:00Z', %d", k, h, v)
				}
			}
		}
		spec.Window = hours(from, to)
		if _, err := fill(t, s, fmt.Sprint("r", seed, ".", step), spec, true, text); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		model = next
		states = append(states, next)
	}
	for i, state := range states {
		got := query(t, s, fmt.Sprintf(`SELECT k, hour("at"), v FROM (SELECT *, row_number() OVER (PARTITION BY k, "at" ORDER BY _seq DESC) AS n
			FROM raw.%s__history WHERE _seq <= %d) WHERE n = 1 AND NOT _deleted ORDER BY ALL`, spec.Table.Name, i+1))
		if diff := cmp.Diff(lines(state), got); diff != "" {
			t.Fatalf("seed %d, as of commit %d (-want +got):\n%s", seed, i+1, diff)
		}
	}
	if diff := cmp.Diff(lines(model), query(t, s, fmt.Sprintf(`SELECT k, hour("at"), v FROM raw.%s ORDER BY ALL`, spec.Table.Name))); diff != "" {
		t.Fatalf("seed %d, now (-want +got):\n%s", seed, diff)
	}
}

func lines(state map[[2]int]int) []string {
	out := []string{}
	for at, v := range state {
		out = append(out, fmt.Sprintf("%d|%d|%d", at[0], at[1], v))
	}
	slices.Sort(out)
	return out
}

func TestReplayedRowsHaveTheirCommitsTimeAndRemoveNothing(t *testing.T) {
	t.Parallel()
	s := open(t, duckdb.Config{})
	day := storetest.Day(0)
	first := storetest.Attempt{Run: "a", Fence: 1, Spec: storetest.Spec(project.ModeFeature, day), Rows: [][]any{storetest.Row(1, 1, "UA", 1)}, Refused: 1}
	first.Spec.Known = hourly(day)
	if _, err := first.Publish(t.Context(), t, s); err != nil {
		t.Fatal(err)
	}
	again := storetest.Attempt{Run: "b", Fence: 2, Spec: first.Spec, Rows: [][]any{storetest.Row(2, 2, "UA", 2)}}
	again.Spec.Replays = query(t, s, "SELECT _id FROM raw.flights__quarantine")
	receipt, err := again.Publish(t.Context(), t, s)
	if err != nil {
		t.Fatal(err)
	}
	if receipt.Tables[0].Simulated {
		t.Error("a replay is simulated")
	}
	if got := query(t, s, "SELECT id, _known_at IS NULL FROM raw.flights__history ORDER BY id"); !slices.Equal(got, []string{"1|false", "2|true"}) {
		t.Errorf("history %v", got)
	}
	if got := query(t, s, "SELECT id FROM raw.flights ORDER BY id"); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("rows %v", got)
	}
}
