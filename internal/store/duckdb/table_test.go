package duckdb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
	"github.com/tidemill/tidemill/internal/store/duckdb"
	"github.com/tidemill/tidemill/internal/store/storetest"
)

func spec(m project.Mode) store.TableSpec {
	s := storetest.Spec(m, storetest.Day(0))
	s.Table, s.Schema = table, schema("id", integer, "at", instant)
	return s
}

const oneRow = `SELECT 1::BIGINT AS id, TIMESTAMPTZ '2013-01-01 01:00:00Z' AS "at"`

func TestATableMayBeKeptInAnotherWayWhereNoRowGetsLost(t *testing.T) {
	t.Parallel()
	view := spec(project.ModeView)
	tests := []struct {
		from, to project.Mode
		rows     []string // nil: refused
	}{
		{project.ModeMerge, project.ModeAppend, []string{"1", "2"}},
		{project.ModeAppend, project.ModeMerge, []string{"1", "2"}},
		{project.ModeAppend, project.ModeReplace, []string{"2"}},
		{project.ModeView, project.ModeReplace, []string{"2"}},
		{project.ModeView, project.ModeFeature, []string{"2"}},
		{project.ModeFeature, project.ModeMerge, nil},
		{project.ModeMerge, project.ModeFeature, nil},
		{project.ModeReplace, project.ModeView, nil},
		{project.ModeAppend, project.ModeView, nil},
	}
	for _, test := range tests {
		s := open(t, duckdb.Config{})
		make := func(run string, m project.Mode, text string) error {
			this := spec(m)
			if m == project.ModeView {
				this = view
			}
			this.Window = storetest.Day(0)
			if run == "b" && m == project.ModeAppend {
				this.AppendKeep = true
			}
			_, err := fill(t, s, run, this, true, text)
			return err
		}
		if err := make("a", test.from, oneRow); err != nil {
			t.Fatalf("%s: %v", test.from, err)
		}
		err := make("b", test.to, strings.Replace(oneRow, "1::", "2::", 1))
		if test.rows == nil {
			if !fault.Is(err, fault.Refused) {
				t.Errorf("from %s to %s: %v", test.from, test.to, err)
			}
			test.rows = []string{"1"}
		} else if err != nil {
			t.Errorf("from %s to %s: %v", test.from, test.to, err)
			continue
		}
		if got := query(t, s, "SELECT id FROM raw.t ORDER BY id"); !slices.Equal(got, test.rows) {
			t.Errorf("from %s to %s: rows %v, want %v", test.from, test.to, got, test.rows)
		}
		if got := query(t, s, "SELECT * FROM (DESCRIBE raw.t) WHERE column_name LIKE '\\_%' ESCAPE '\\'"); len(got) > 0 {
			t.Errorf("from %s to %s: hidden columns show: %v", test.from, test.to, got)
		}
	}
}

func TestAViewFollowsItsTables(t *testing.T) {
	t.Parallel()
	s := open(t, duckdb.Config{})
	base := spec(project.ModeMerge)
	base.Table.Name = "base"
	if _, err := fill(t, s, "a", base, true, oneRow); err != nil {
		t.Fatal(err)
	}
	line, err := fill(t, s, "v", spec(project.ModeView), true, "SELECT id FROM raw.base; -- all")
	if err != nil || line.Seq != 1 {
		t.Fatal(line, err)
	}
	if _, err := fill(t, s, "b", base, true, strings.Replace(oneRow, "1::", "2::", 1)); err != nil {
		t.Fatal(err)
	}
	if got := query(t, s, "SELECT id FROM raw.t ORDER BY 1"); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("the view shows %v", got)
	}
	for _, bad := range []string{"SELECT $x AS a", "SELECT 1 AS a; SELECT 2", "DROP TABLE raw.base"} {
		if _, err := fill(t, s, "bad", spec(project.ModeView), true, bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestSpecsThatCannotBeWrittenAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	s := open(t, duckdb.Config{})
	for name, change := range map[string]func(*store.TableSpec){
		"a schema of the engine's": func(s *store.TableSpec) { s.Table.Schema = "temp" },
		"a hidden column":          func(s *store.TableSpec) { s.Schema = schema("id", integer, "at", instant, "_seq", integer) },
		"no column":                func(s *store.TableSpec) { s.Schema = datatype.Schema{} },
		"a key that is none":       func(s *store.TableSpec) { s.Keys = []string{"other"} },
		"no keys":                  func(s *store.TableSpec) { s.Keys = nil },
		"no known mode":            func(s *store.TableSpec) { s.Mode = "upsert" },
		"an event without time":    func(s *store.TableSpec) { s.EventTime = "id" },
		"a number without bounds":  func(s *store.TableSpec) { s.Schema = schema("id", datatype.Of(datatype.Decimal), "at", instant) },
	} {
		bad := spec(project.ModeMerge)
		change(&bad)
		_, err := s.Begin(t.Context(), store.Spec{Key: storetest.Key("r", 0), Fence: 1, Tables: []store.TableSpec{bad}})
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestARequiredColumnMayNotBeEmpty(t *testing.T) {
	t.Parallel()
	s := open(t, duckdb.Config{})
	strict := spec(project.ModeReplace)
	strict.Schema.Fields[0].Required = true
	if _, err := fill(t, s, "a", strict, true, `SELECT NULL::BIGINT AS id, TIMESTAMPTZ '2013-01-01' AS "at"`); !fault.Is(err, fault.Refused) {
		t.Errorf("a load without a required value: %v", err)
	}
}

func TestDaysAndWallClocksAreReadInTheTablesZone(t *testing.T) {
	t.Parallel()
	s := open(t, duckdb.Config{})
	local := spec(project.ModeReplaceWindow)
	local.Schema, local.Zone = schema("id", integer, "at", datatype.Of(datatype.Date)), "America/New_York"
	local.Window = storetest.Day(0)
	local.Window.Start, local.Window.End = local.Window.Start.Add(5*3600e9), local.Window.End.Add(5*3600e9)
	if _, err := fill(t, s, "a", local, true, `SELECT 1::BIGINT AS id, DATE '2013-01-01' AS "at"`); err != nil {
		t.Error(err)
	}
	if _, err := fill(t, s, "b", local, true, `SELECT 1::BIGINT AS id, DATE '2013-01-02' AS "at"`); !fault.Is(err, fault.Refused) {
		t.Errorf("the next day: %v", err)
	}
}

func TestManyPublishTheirTablesAtOnce(t *testing.T) {
	t.Parallel()
	s := open(t, duckdb.Config{})
	var all sync.WaitGroup
	for worker := range 4 {
		for _, shared := range []bool{true, false} {
			all.Go(func() {
				for i := range 5 {
					this := spec(project.ModeMerge)
					if !shared {
						this.Table.Name = fmt.Sprint("own", worker)
					}
					if _, err := fill(t, s, fmt.Sprint(worker, shared, i), this, true, strings.Replace(oneRow, "1::", fmt.Sprint(worker*10+i, "::"), 1)); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	all.Wait()
	if got := query(t, s, "SELECT count(*) FROM raw.t"); got[0] != "20" {
		t.Errorf("the shared table has %v rows, want 20", got)
	}
	numbers := `SELECT count(*), max(seq), count(DISTINCT seq), bool_and(known_at IS NOT NULL) FROM _tidemill.table_commit WHERE "table" = 'raw.t'`
	if got := query(t, s, numbers); got[0] != "20|20|20|true" {
		t.Errorf("commits %v: numbers have holes", got)
	}
}

func TestAnOverlappingAppendIsSettledByTheEventTimeOrRefused(t *testing.T) {
	t.Parallel()
	s := open(t, duckdb.Config{})
	wide := spec(project.ModeAppend)
	wide.Window.End = storetest.Day(1).End
	two := oneRow + ` UNION ALL SELECT 2, TIMESTAMPTZ '2013-01-02 01:00:00Z'`
	if _, err := fill(t, s, "wide", wide, true, two); err != nil {
		t.Fatal(err)
	}
	blind := spec(project.ModeAppend)
	blind.EventTime = ""
	if _, err := fill(t, s, "blind", blind, true, oneRow); !fault.Is(err, fault.Conflict) {
		t.Errorf("an overlap without an event time: %v", err)
	}
	if _, err := fill(t, s, "narrow", spec(project.ModeAppend), true, oneRow); err != nil {
		t.Fatal(err)
	}
	if got := query(t, s, "SELECT id FROM raw.t ORDER BY id"); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("rows %v", got)
	}
}

func TestTheDigestIsOfWhatUsersSee(t *testing.T) {
	t.Parallel()
	digest := func(threads int, m project.Mode, text string) string {
		t.Helper()
		s := open(t, duckdb.Config{Threads: threads})
		this := spec(m)
		this.Schema = schema("id", integer, "at", instant, "v", datatype.Of(datatype.Float64))
		if _, err := fill(t, s, "a", this, true, text); err != nil {
			t.Fatal(err)
		}
		d, n, err := s.Digest(t.Context(), table)
		if err != nil || n == 0 {
			t.Fatal(d, n, err)
		}
		return d
	}
	const many, few = 130_000, 10 // the engine shares work out by row groups of 122,880
	rows := `SELECT i AS id, TIMESTAMPTZ '2013-01-01 01:00:00Z' AS "at", CASE WHEN i = 5 THEN %s ELSE i / 7 END AS v FROM range(%d) r(i) ORDER BY %s`
	want := digest(1, project.ModeReplace, fmt.Sprintf(rows, "0.0", many, "i"))
	for _, m := range []project.Mode{project.ModeReplace, project.ModeAppend, project.ModeFeature} {
		if got := digest(4, m, fmt.Sprintf(rows, "-0.0", many, "hash(i)")); got != want {
			t.Errorf("mode %s, four threads and another order: %s, want %s", m, got, want)
		}
	}
	want = digest(1, project.ModeReplace, fmt.Sprintf(rows, "0.0", few, "i"))
	for _, other := range []string{"'nan'::DOUBLE", "NULL", "1e-300"} {
		if digest(1, project.ModeReplace, fmt.Sprintf(rows, other, few, "i")) == want {
			t.Errorf("%s instead of 0 does not change the digest", other)
		}
	}
	s := open(t, duckdb.Config{})
	if _, _, err := s.Digest(t.Context(), table); !errors.Is(err, store.ErrAbsent) {
		t.Errorf("no table: %v", err)
	}
}

func TestASnapshotIsAWarehouseThatPlainDuckDBOpens(t *testing.T) {
	t.Parallel()
	s := open(t, duckdb.Config{})
	for i, m := range []project.Mode{project.ModeReplace, project.ModeAppend, project.ModeFeature} {
		this := spec(m)
		this.Table.Name = string(m)
		if _, err := fill(t, s, fmt.Sprint("r", i), this, true, oneRow); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "it's a copy.duckdb")
	if err := s.Snapshot(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if err := s.Snapshot(t.Context(), path); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second snapshot at the same place: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o444 {
		t.Errorf("the snapshot: %v, %v", info, err)
	}
	plain, err := sql.Open("duckdb", path+"?access_mode=read_only")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	var n int
	if err := plain.QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM raw."replace") + (SELECT count(*) FROM raw.append) + (SELECT count(*) FROM raw.feature)`).Scan(&n); err != nil || n != 3 {
		t.Errorf("the snapshot has %d rows, %v", n, err)
	}
}

func TestAWarehouseThatIsHeldCannotBeOpenedAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "warehouse.duckdb")
	s := open(t, duckdb.Config{Path: path})
	if _, err := fill(t, s, "a", spec(project.ModeReplace), true, oneRow); err != nil {
		t.Fatal(err)
	}
	if second, err := duckdb.Open(t.Context(), duckdb.Config{Path: path}); !fault.Is(err, fault.Unavailable) {
		if err == nil {
			_ = second.Close()
		}
		t.Errorf("a second instance: %v", err)
	}
}

func TestALoadThatIsStoppedLeavesNothing(t *testing.T) {
	t.Parallel()
	s := open(t, duckdb.Config{})
	load, err := s.Begin(t.Context(), store.Spec{Key: storetest.Key("a", 0), Fence: 1, Tables: []store.TableSpec{spec(project.ModeReplace)}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := load.(store.SQLLoad).Fill(ctx, table, statement(oneRow)); !fault.Is(err, fault.Cancelled) {
		t.Errorf("a fill that was stopped: %v (%s)", err, fault.KindOf(err))
	}
	if err := load.Abort(ctx); err != nil {
		t.Error(err)
	}
	if got := query(t, s, "SELECT count(*) FROM duckdb_tables() WHERE database_name = '__warehouse' AND schema_name <> '_tidemill'"); got[0] != "0" {
		t.Errorf("%s tables are left", got[0])
	}
}
