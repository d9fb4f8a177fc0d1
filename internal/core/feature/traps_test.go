package feature_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/feature"
)

// The traps of point-in-time joins, each by its name. Times are minutes; what is
// right was found by hand. Sampling (trap 12) is the SDK's: TrainingSet.split.

// one is a spine that asks about key 1 at each of the minutes; row n is the nth.
func one(minutes ...int) []asked {
	out := make([]asked, len(minutes))
	for i, m := range minutes {
		out[i] = asked{i, new(1), m}
	}
	return out
}

// holds asks a world and compares the answers in the order of its spine.
func holds(t *testing.T, w world, want ...string) {
	t.Helper()
	if w.mode == "" {
		w.mode = feature.Known
	}
	if w.pin == 0 {
		w.pin = 99
	}
	for i := range want {
		want[i] = fmt.Sprintf("%d=%s", w.spine[i].id, want[i])
	}
	slices.Sort(want)
	if got := w.ask(t, open(t, 2)); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestTrap01OfEqualEventsTheLaterCommitCounts(t *testing.T) {
	t.Parallel()
	w := world{
		rows:    []row{{key: new(1), event: 10, seq: 1, value: new(1)}, {key: new(1), event: 10, seq: 2, value: new(2)}},
		commits: map[int]int{1: 20, 2: 20}, spine: one(20, 30),
	}
	holds(t, w, "2", "2")
	w.mode, w.pin = feature.Known, 99
	first := w.ask(t, open(t, 1))
	for range 20 {
		if got := w.ask(t, open(t, 4)); !slices.Equal(got, first) {
			t.Fatalf("with four threads %v, with one %v", got, first)
		}
	}
}

func TestTrap02ALateRowNeverWinsAndACorrectionDoes(t *testing.T) {
	t.Parallel()
	holds(t, world{
		rows: []row{
			{key: new(1), event: 20, seq: 1, value: new(2)},
			{key: new(1), event: 10, seq: 2, value: new(1)}, // late
			{key: new(1), event: 20, seq: 3, value: new(3)}, // a correction
		},
		commits: map[int]int{1: 30, 2: 40, 3: 60}, spine: one(35, 50, 60),
	}, "2", "2", "3")
}

func TestTrap03StrictLeavesOutWhatIsOnlySimulated(t *testing.T) {
	t.Parallel()
	w := world{
		rows: []row{
			{key: new(1), event: 10, seq: 2, known: new(15), value: new(1)}, // backfilled: as if loaded then
			{key: new(1), event: 5, seq: 1, value: new(2)},
		},
		commits: map[int]int{1: 8, 2: 500}, spine: one(20),
	}
	holds(t, w, "1")
	w.strict = true
	holds(t, w, "2")
}

func TestTrap04AnExpiredNewestValueIsNullAndNoOlderOne(t *testing.T) {
	t.Parallel()
	holds(t, world{
		rows:    []row{{key: new(1), event: 10, seq: 1, value: new(1)}, {key: new(1), event: 20, seq: 2, value: new(2)}},
		commits: map[int]int{1: 10, 2: 20}, ttl: 15, spine: one(25, 35, 36),
	}, "2", "2", "NULL")
}

func TestTrap05TheSessionsZoneChangesNothing(t *testing.T) {
	t.Parallel()
	w := world{
		rows:    []row{{key: new(1), event: 240, seq: 1, value: new(1)}},
		commits: map[int]int{1: 300}, spine: one(299, 300), mode: feature.Known, pin: 9,
	}
	for _, zone := range []string{"UTC", "America/New_York", "Pacific/Kiritimati"} {
		db := open(t, 1)
		if _, err := db.ExecContext(t.Context(), "SET TimeZone = '"+zone+"'"); err != nil {
			t.Fatal(err)
		}
		if got := w.ask(t, db); !slices.Equal(got, []string{"0=NULL", "1=1"}) {
			t.Errorf("in %s %v", zone, got)
		}
	}
}

func TestTrap06AWindowsValueIsNotThereBeforeItsEnd(t *testing.T) {
	t.Parallel()
	// A mean over [0, 60) is stamped with 60, and is known no earlier.
	holds(t, world{
		rows:    []row{{key: new(1), event: 60, seq: 1, known: new(0), value: new(7)}},
		commits: map[int]int{1: 0}, spine: one(0, 59, 60),
	}, "NULL", "NULL", "7")
}

func TestTrap07TheEdgeIsInclusiveAndAvailableAfterMovesIt(t *testing.T) {
	t.Parallel()
	holds(t, world{
		rows:    []row{{key: new(1), event: 10, seq: 1, value: new(1)}, {key: new(1), event: 30, seq: 2, known: new(40), value: new(2)}},
		commits: map[int]int{1: 10, 2: 500}, spine: one(9, 10, 30, 39, 40),
	}, "NULL", "1", "1", "1", "2")
}

func TestTrap08EqualSpineRowsKeepTheirCount(t *testing.T) {
	t.Parallel()
	same := asked{0, new(1), 20}
	holds(t, world{
		rows:    []row{{key: new(1), event: 10, seq: 1, value: new(1)}},
		commits: map[int]int{1: 10}, spine: []asked{same, same, same},
	}, "1", "1", "1")
}

func TestTrap09ANullKeyHasNullFeaturesAndStays(t *testing.T) {
	t.Parallel()
	holds(t, world{
		rows:    []row{{key: nil, event: 10, seq: 1, value: new(1)}, {key: new(1), event: 10, seq: 1, value: new(2)}},
		commits: map[int]int{1: 10}, spine: []asked{{0, nil, 20}, {1, new(1), 20}},
	}, "NULL", "2")
}

func TestTrap10ANewestValueThatIsNullStaysNull(t *testing.T) {
	t.Parallel()
	holds(t, world{
		rows:    []row{{key: new(1), event: 10, seq: 1, value: new(1)}, {key: new(1), event: 20, seq: 2, value: nil}},
		commits: map[int]int{1: 10, 2: 20}, spine: one(15, 25),
	}, "1", "NULL")
}

func TestTrap11ADigestDependsOnNoOrder(t *testing.T) {
	t.Parallel()
	numbers := []string{"0.1", "0.2", "0.30000000000000004", "1e300", "-1e300", "1e-300"}
	var sums []string
	for _, threads := range []int{1, 4} {
		db := open(t, threads)
		for _, order := range []string{"n", "-n", "hash(n)"} {
			relation := "(SELECT n AS id, v FROM (SELECT unnest([" + strings.Join(numbers, ", ") + "]::DOUBLE[]) AS v, unnest(range(6)) AS n) ORDER BY " + order + ")"
			var rows, nulls int
			var sum string
			if err := db.QueryRowContext(t.Context(), feature.Digest(dialect.DuckDB, relation, []string{"id"}, []string{"v"}).SQL).Scan(&rows, &sum, &nulls); err != nil {
				t.Fatal(err)
			}
			sums = append(sums, fmt.Sprint(rows, sum, nulls))
		}
	}
	if slices.Sort(sums); sums[0] != sums[len(sums)-1] {
		t.Errorf("the digests differ: %v", sums)
	}
}

func TestTrap13ADaysValueIsKnownOnceTheLocalDayHasClosed(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	day, err := calendar.ParseWindow("2013-03-10/2013-03-11", zone) // 23 hours
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Date(2013, 3, 9, 22, 0, 0, 0, time.UTC)
	closes := int(day.End.Sub(begin) / time.Minute)
	holds(t, world{
		rows:    []row{{key: new(1), event: closes, seq: 1, known: new(0), value: new(1)}},
		commits: map[int]int{1: 0}, spine: one(closes-1, closes),
	}, "NULL", "1")
	if hours := day.End.Sub(day.Start).Hours(); hours != 23 {
		t.Errorf("the day has %v hours", hours)
	}
}

func TestTrap14NanosecondsDoNotBecomeMicrosecondsInSilence(t *testing.T) {
	t.Parallel()
	fine, kept := datatype.Type{Kind: datatype.TimestampTZ, Precision: 9}, datatype.Type{Kind: datatype.TimestampTZ}
	if fit, reason := datatype.Compare(fine, kept); fit != datatype.Narrowed {
		t.Errorf("nanoseconds into a column of microseconds: %v (%s), want narrowed", fit, reason)
	}
}

func TestTrap15TheLabelsOwnTableShowsNoOutcomeBeforeItWasKnown(t *testing.T) {
	t.Parallel()
	// The flight leaves at 10 and is asked about then; what became of it is known at 90.
	holds(t, world{
		rows:    []row{{key: new(1), event: 10, seq: 1, known: new(90), value: new(1)}},
		commits: map[int]int{1: 500}, spine: one(10, 89, 90),
	}, "NULL", "NULL", "1")
}

func TestTrap16ACommitInFlightIsNotSeen(t *testing.T) {
	t.Parallel()
	w := world{
		rows: []row{
			{key: new(1), event: 10, seq: 1, value: new(1)},
			{key: new(1), event: 20, seq: 2, value: new(2)}, // written, and no commit of that number yet
			{key: new(1), event: 30, seq: 3, value: new(3)}, // above the pin
		},
		commits: map[int]int{1: 10, 3: 30}, spine: one(50), pin: 2,
	}
	holds(t, w, "1")
}
