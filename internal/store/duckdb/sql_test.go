package duckdb_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
	"github.com/tidemill/tidemill/internal/store/duckdb"
	"github.com/tidemill/tidemill/internal/store/storetest"
)

func open(t testing.TB, config duckdb.Config) *duckdb.Store {
	t.Helper()
	if config.Path == "" {
		config.Path = filepath.Join(t.TempDir(), "warehouse.duckdb")
	}
	s, err := duckdb.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func statement(text string, params ...dialect.Param) dialect.Statement {
	return dialect.Statement{SQL: text, Params: params}
}

// query returns the rows of a SELECT as texts.
func query(t testing.TB, s store.Queryer, text string, params ...dialect.Param) []string {
	t.Helper()
	_, batches, err := s.Query(t.Context(), statement(text, params...))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return collect(t, batches)
}

func collect(t testing.TB, batches store.Batches) []string {
	t.Helper()
	out := []string{}
	for batch, err := range batches {
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(batch.NumRows()) {
			values := make([]string, batch.NumCols())
			for c := range values {
				values[c] = batch.Column(c).ValueStr(i)
			}
			out = append(out, strings.Join(values, "|"))
		}
	}
	return out
}

// fill publishes a SELECT.
func fill(t testing.TB, s store.Target, run string, spec store.TableSpec, live bool, text string, params ...dialect.Param) (commit.TableCommit, error) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	load, err := s.Begin(ctx, store.Spec{
		Key: storetest.Key(run, 0), Fence: 1, Tables: []store.TableSpec{spec},
		Run: store.Run{Pipeline: "p", Window: spec.Window, Live: live, Newest: true},
	})
	if err != nil {
		return commit.TableCommit{}, err
	}
	defer func() {
		if err := load.Abort(ctx); err != nil {
			t.Error(err)
		}
	}()
	n, err := load.(store.SQLLoad).Fill(ctx, spec.Table, statement(text, params...))
	if err != nil {
		return commit.TableCommit{}, err
	}
	receipt, err := load.Commit(ctx, commit.Manifest{Tables: []commit.TableCommit{{
		Table: spec.Table, Evidence: commit.Evidence{Read: n, Staged: n},
	}}})
	if err != nil {
		return commit.TableCommit{}, err
	}
	return receipt.Tables[0], nil
}

func schema(fields ...any) datatype.Schema {
	var s datatype.Schema
	for i := 0; i < len(fields); i += 2 {
		s.Fields = append(s.Fields, datatype.Field{Name: fields[i].(string), Type: fields[i+1].(datatype.Type)})
	}
	return s
}

var (
	integer = datatype.Of(datatype.Int64)
	instant = datatype.Of(datatype.TimestampTZ)
	table   = project.Table{Store: project.Warehouse, Schema: "raw", Name: "t"}
)

func TestUsersSQLIsOneSelectOfTables(t *testing.T) {
	t.Parallel()
	s := open(t, duckdb.Config{})
	if _, err := fill(t, s, "r", store.TableSpec{Table: table, Mode: project.ModeReplace, Schema: schema("a", integer)}, true, "SELECT 1::BIGINT AS a"); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "secret.csv")
	if err := os.WriteFile(secret, []byte("a\n1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused := []string{
		"", "-- nothing", "SELECT 1; SELECT 2", "SELECT 1; DROP TABLE raw.t", "DROP TABLE raw.t", "INSERT INTO raw.t VALUES (2)", "DELETE FROM raw.t",
		"UPDATE raw.t SET a = 2", "CREATE TABLE raw.x AS SELECT 1", "COPY raw.t TO '" + secret + "'", "COPY (SELECT 1) TO '" + secret + "'",
		"SELECT * FROM read_csv('" + secret + "')", "SELECT * FROM '" + secret + "'", "SELECT * FROM read_text('" + secret + "')", "SELECT * FROM glob('/*')",
		"SELECT * FROM read_parquet('https://example.com/x.parquet')", "ATTACH '" + secret + ".db' AS x", "INSTALL httpfs", "LOAD httpfs", "SET threads = 1",
		"SET enable_external_access = true", "RESET lock_configuration", "PRAGMA threads = 1", "USE memory", "BEGIN", "COMMIT", "CALL checkpoint()",
		"EXPLAIN ANALYZE DELETE FROM raw.t", "EXPORT DATABASE 'x'", "WITH x AS (DELETE FROM raw.t RETURNING a) SELECT * FROM x", "SELECT", "SELECT $nowhere",
	}
	for _, bad := range refused {
		if _, batches, err := s.Query(t.Context(), statement(bad)); err == nil {
			for _, err := range batches {
				if err == nil {
					t.Errorf("%q was run", bad)
				}
				break
			}
		}
		if _, err := fill(t, s, "bad", store.TableSpec{Table: table, Mode: project.ModeAppend, Schema: schema("a", integer)}, true, bad); err == nil {
			t.Errorf("%q filled a table", bad)
		}
	}
	if got := query(t, s, "SELECT a FROM raw.t"); !slices.Equal(got, []string{"1"}) {
		t.Errorf("the table holds %v", got)
	}
}

func TestQueriesAnswerInTypesThatTablesHold(t *testing.T) {
	t.Parallel()
	s := open(t, duckdb.Config{})
	tests := []struct{ sql, types, rows string }{
		{"SELECT 1::TINYINT AS a, 2::HUGEINT AS b, 3::UINTEGER AS c", "a int16, b decimal(38,0), c int64", "1|2|3"},
		{"SELECT 'x'::ENUM('x', 'y') AS a, uuid '00112233-4455-6677-8899-aabbccddeeff' AS b, '[1]'::JSON AS c", "a string, b uuid, c json", "x|00112233-4455-6677-8899-aabbccddeeff|[1]"},
		{"SELECT TIMESTAMP_S '2013-01-01 00:00:01' AS a, TIMESTAMP_MS '2013-01-01 00:00:01' AS b", "a timestamp, b timestamp", "2013-01-01T00:00:01|2013-01-01T00:00:01"},
		{"SELECT [{'a': 1::TINYINT}] AS a", "a list<struct<a int16>>", `[{"a":1}]`},
		{"SELECT NULL AS a, 1.50 AS b; -- done", "a int32, b decimal(3,2)", "(null)|1.5"},
		{"SELECT count(*), count(*) FROM range(3)", "count_star() int64, count_star() int64", "3|3"},
	}
	for _, test := range tests {
		got, batches, err := s.Query(t.Context(), statement(test.sql))
		if err != nil {
			t.Errorf("%s: %v", test.sql, err)
			continue
		}
		if got.String() != test.types {
			t.Errorf("%s has %s, want %s", test.sql, got, test.types)
		}
		if rows := collect(t, batches); len(rows) != 1 || rows[0] != test.rows {
			t.Errorf("%s answers %v, want %s", test.sql, rows, test.rows)
		}
	}
	for _, sql := range []string{"SELECT INTERVAL 1 DAY AS a", "SELECT MAP {'a': 1} AS a", "SELECT 1::BIT AS a"} {
		if _, _, err := s.Query(t.Context(), statement(sql)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "column a") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

func TestParametersAreBoundByName(t *testing.T) {
	t.Parallel()
	s := open(t, duckdb.Config{})
	start := dialect.Param{Name: "window_start", Value: time.Date(2013, 1, 2, 5, 0, 0, 0, time.UTC)}
	x := dialect.Param{Name: "param_x", Value: "it's $window_start; --"}
	unused := dialect.Param{Name: "unused", Value: 7}
	got := query(t, s, "SELECT $param_x, $window_start - INTERVAL 24 HOUR, $param_x = $param_x, '$no', typeof($window_start) -- $neither", x, start, unused)
	if want := "it's $window_start; --|2013-01-01T05:00:00Z|true|$no|TIMESTAMP WITH TIME ZONE"; len(got) != 1 || got[0] != want {
		t.Errorf("answer %q, want %q", got, want)
	}
}

func TestLargeAnswersComeInLargeBatches(t *testing.T) {
	t.Parallel()
	s := open(t, duckdb.Config{})
	read := func() (store.Batches, error) {
		r, err := s.Read(t.Context(), store.Request{Query: statement("SELECT i, i::VARCHAR AS s FROM range(400000) r(i)")})
		if err != nil {
			return nil, err
		}
		return r.Batches, nil
	}
	direct := func() (store.Batches, error) {
		_, b, err := s.Query(t.Context(), statement("SELECT i, i::VARCHAR AS s FROM range(400000) r(i)"))
		return b, err
	}
	for name, run := range map[string]func() (store.Batches, error){"read": read, "query": direct} {
		batches, err := run()
		if err != nil {
			t.Fatal(err)
		}
		next, count := int64(0), 0
		for batch, err := range batches {
			if err != nil {
				t.Fatal(err)
			}
			count++
			for i := range int(batch.NumRows()) {
				if got := batch.Column(0).ValueStr(i); got != fmt.Sprint(next) {
					t.Fatalf("%s: row %d is %s", name, next, got)
				}
				next++
			}
		}
		if next != 400000 || count > 10 {
			t.Errorf("%s: %d rows in %d batches", name, next, count)
		}
	}
	// Whoever stops early holds nothing any more.
	for range 50 {
		batches, err := direct()
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range batches {
			if err != nil {
				t.Error(err)
			}
			break
		}
	}
}

func TestFillCastsOnlyWhatKeepsEachValue(t *testing.T) {
	t.Parallel()
	s := open(t, duckdb.Config{})
	wanted := schema("n", integer, "d", datatype.DecimalOf(5, 2), "s", datatype.Type{Kind: datatype.String, Length: 3})
	spec := store.TableSpec{Table: table, Mode: project.ModeReplace, Schema: wanted}
	good := "SELECT 'abc' AS s, sum(i) AS n, 1.5 AS d FROM range(4) r(i); -- other order, other types"
	if _, err := fill(t, s, "good", spec, true, good); err != nil {
		t.Fatal(err)
	}
	if got := query(t, s, "SELECT * FROM raw.t"); !slices.Equal(got, []string{"6|1.5|abc"}) {
		t.Errorf("the table holds %v", got)
	}
	if _, err := fill(t, s, "fewer", spec, true, "SELECT 7::SMALLINT AS n"); err != nil {
		t.Fatal(err)
	}
	for sql, kind := range map[string]fault.Kind{
		"SELECT 1.5::DOUBLE AS n":                           fault.Failed,
		"SELECT 9223372036854775808::HUGEINT AS n":          fault.Failed,
		"SELECT 1.005 AS d":                                 fault.Failed,
		"SELECT 'abcd' AS s":                                fault.Failed,
		"SELECT '1' AS n":                                   fault.Invalid,
		"SELECT TIMESTAMP '2013-01-01 00:00:00' AS n":       fault.Invalid,
		"SELECT 1 AS n, 2 AS other":                         fault.Invalid,
		"SELECT 1 AS n, 2 AS n":                             fault.Invalid,
		"SELECT error('the user''s own') AS d":              fault.Failed,
		"SELECT CASE WHEN true THEN error('no') ELSE 1 END": fault.Invalid,
	} {
		if _, err := fill(t, s, "bad", spec, true, sql); !fault.Is(err, kind) {
			t.Errorf("%s: %v (%s), want %s", sql, err, fault.KindOf(err), kind)
		}
	}
	if got := query(t, s, "SELECT * FROM raw.t"); !slices.Equal(got, []string{"7|(null)|(null)"}) {
		t.Errorf("the table holds %v", got)
	}
}

func TestAStageCanBeAskedAndFilledFromItsOwnAnswer(t *testing.T) {
	t.Parallel()
	s := open(t, duckdb.Config{})
	spec := store.TableSpec{Table: table, Mode: project.ModeReplace, Schema: schema("a", integer)}
	begun, err := s.Begin(t.Context(), store.Spec{Key: storetest.Key("r", 0), Fence: 1, Tables: []store.TableSpec{spec}})
	if err != nil {
		t.Fatal(err)
	}
	load := begun.(store.SQLLoad)
	batches, err := load.Query(t.Context(), statement("SELECT i AS a FROM range(200000) r(i)"))
	if err != nil {
		t.Fatal(err)
	}
	for batch, err := range batches {
		if err != nil {
			t.Fatal(err)
		}
		if err := load.Stage(t.Context(), table, batch); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := load.Discard(t.Context(), table, "a % 2 = 0"); err != nil || n != 100000 {
		t.Fatalf("%d rows were discarded, %v", n, err)
	}
	got, err := load.Query(t.Context(), statement("SELECT count(*), min(a), max(a) FROM "+load.Staged(table)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"100000|1|199999"}, collect(t, got)); diff != "" {
		t.Errorf("the stage:\n%s", diff)
	}
	if err := load.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := load.Fill(t.Context(), table, statement("SELECT 1 AS a")); err == nil {
		t.Error("a load that has ended was filled")
	}
}
