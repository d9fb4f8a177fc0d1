package postgres_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/pattern"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/publish"
	"github.com/tidemill/tidemill/internal/store"
	"github.com/tidemill/tidemill/internal/store/duckdb"
	"github.com/tidemill/tidemill/internal/store/storetest"
)

func warehouse(t *testing.T) *duckdb.Store {
	t.Helper()
	s, err := duckdb.Open(t.Context(), duckdb.Config{Path: filepath.Join(t.TempDir(), "warehouse.duckdb"), Threads: 2})
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

// move reads one store and publishes into another.
func move(t *testing.T, from store.Source, request store.Request, to store.Target, table project.Table) publish.Outcome {
	t.Helper()
	reading, err := from.Read(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	outcome, err := publish.Run(t.Context(), publish.Request{
		Target: to, Key: storetest.Key("move "+table.Name, 0), Fence: 1, Run: store.Run{Pipeline: "land", Newest: true, Live: true},
		Tables: []publish.Table{{Write: project.Write{Table: table, Mode: project.ModeReplace}, Source: publish.From(reading)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return outcome
}

func rowsOf(t *testing.T, s store.Source, table project.Table) (string, []string) {
	t.Helper()
	reading, err := s.Read(t.Context(), store.Request{Table: table})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := texts(reading.Batches)
	if err != nil {
		t.Fatal(err)
	}
	return reading.Schema.String(), rows
}

// everything is a table of every common type, with its limits.
const everything = `CREATE TABLE public.everything AS SELECT n AS id, n % 2 = 0 AS truth, (n - 32768)::int2 AS small, n * 1000 AS medium, n::int8 * 9000000000000 AS large,
	(n * 0.1)::real AS single, n * 0.1::float8 AS double, (n * 12345.678901)::numeric(20,6) AS exact, (n * 1e30)::numeric(38,0) AS huge, 'é 飛 ' || n AS words, repeat('x', n % 7)::varchar(9) AS short,
	decode(lpad(to_hex(n), 8, '0'), 'hex') AS bytes, ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid AS uuid, DATE '0001-01-01' + n AS day, TIME '00:00' + n * INTERVAL '1.000001 second' AS clock,
	TIMESTAMP '1969-12-31 23:59:59' + n * INTERVAL '1.000001 second' AS wall, TIMESTAMPTZ '2013-03-10 06:59:59Z' + n * INTERVAL '1.000001 second' AS instant,
	jsonb_build_object('n', n, 'list', jsonb_build_array(1, NULL)) AS document, CASE WHEN n % 3 = 0 THEN n END AS gaps
	FROM generate_series(0, 49999) AS n`

func TestATableMovesToTheWarehouseAndBackWithEveryValue(t *testing.T) {
	t.Parallel()
	s, conn := open(t, everything)
	duck := warehouse(t)
	there := project.Table{Store: project.Warehouse, Schema: "raw", Name: "everything"}
	outcome := move(t, s, store.Request{Table: project.Table{Schema: "public", Name: "everything"}}, duck, there)
	if e := outcome.Receipt.Tables[0].Evidence; e.Read != 50_000 || e.Inserted != 50_000 {
		t.Errorf("evidence %+v", e)
	}
	back := project.Table{Store: "shop", Schema: "back", Name: "everything"}
	move(t, duck, store.Request{Table: there}, s, back)

	columns := "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) FROM pg_attribute WHERE attnum > 0 AND attrelid = $1::regclass"
	var was, is string
	if err := conn.QueryRow(t.Context(), columns, "public.everything").Scan(&was); err != nil {
		t.Fatal(err)
	}
	if err := conn.QueryRow(t.Context(), columns, "back.everything").Scan(&is); err != nil {
		t.Fatal(err)
	}
	// DuckDB has one type of text.
	if diff := cmp.Diff(strings.Replace(was, "character varying(9)", "text", 1), is); diff != "" {
		t.Errorf("columns (-was +is):\n%s", diff)
	}
	var lost, added int
	if err := conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM (TABLE public.everything EXCEPT ALL TABLE back.everything) AS l),
		(SELECT count(*) FROM (TABLE back.everything EXCEPT ALL TABLE public.everything) AS a)`).Scan(&lost, &added); err != nil || lost+added > 0 {
		t.Errorf("%d rows were lost and %d added, %v", lost, added, err)
	}
}

func TestAWarehouseTableMovesToPostgreSQLAndBackWithEveryValue(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	duck := warehouse(t)
	from := project.Table{Store: project.Warehouse, Schema: "mart", Name: "odd"}
	schema := schemaOf(
		field("n", datatype.Of(datatype.Int64)), field("u", datatype.Of(datatype.Uint64)), field("d", datatype.DecimalOf(38, 10)), field("f", datatype.Of(datatype.Float32)),
		field("at", datatype.Of(datatype.TimestampTZ)), field("t", datatype.Of(datatype.String)), field("b", datatype.Of(datatype.Bytes)),
	)
	rows := [][]any{
		{"1", "18446744073709551615", "-9999999999999999999999999999.9999999999", "NaN", "0001-01-01T00:00:00Z", "", "\x00"},
		{"2", "0", "0.0000000001", "-Inf", "9999-12-31T23:59:59.999999Z", "\\N\t\r\n'\"", ""},
		{"3", nil, nil, nil, nil, nil, nil},
	}
	a := storetest.Attempt{Run: "seed", Fence: 1, Spec: store.TableSpec{Table: from, Schema: schema, Mode: project.ModeReplace, Stable: true}, Rows: rows}
	if _, err := a.Publish(t.Context(), t, duck); err != nil {
		t.Fatal(err)
	}
	there, back := project.Table{Store: "shop", Schema: "mart", Name: "odd"}, project.Table{Store: project.Warehouse, Schema: "back", Name: "odd"}
	move(t, duck, store.Request{Table: from}, s, there)
	move(t, s, store.Request{Query: dialect.Statement{SQL: "SELECT * FROM mart.odd ORDER BY n"}}, duck, back)
	wasSchema, was := rowsOf(t, duck, from)
	isSchema, is := rowsOf(t, duck, back)
	// PostgreSQL has no type of its own for the greatest whole numbers.
	if diff := cmp.Diff(strings.Replace(wasSchema, "u uint64", "u decimal(20,0)", 1), isSchema); diff != "" {
		t.Errorf("columns (-was +is):\n%s", diff)
	}
	if diff := cmp.Diff(was, is); diff != "" {
		t.Errorf("rows (-was +is):\n%s", diff)
	}
}

func TestASelectInPostgreSQLIsHeldToItsContract(t *testing.T) {
	t.Parallel()
	s, _ := open(t, `CREATE TABLE public.feed AS SELECT * FROM (VALUES
		(1::int8, timestamptz '2013-01-01 01:00Z', 'N1', 5::int8), (2, '2013-01-01 02:00Z', 'D942DN', 5), (3, '2013-01-01 03:00Z', NULL, 2000),
		(4, '2013-01-01 04:00Z', 'N4', 1), (4, '2013-01-01 05:00Z', 'N5', 1), (6, '2013-01-02 00:00Z', 'N6', 1)) AS v (id, at, tail, delay)`)
	text, number, instant := datatype.Of(datatype.String), datatype.Of(datatype.Int64), datatype.Of(datatype.TimestampTZ)
	most := contract.Bound{Value: "1000"}
	c := &contract.Table{
		Name: "raw.flights", ContractID: "flights", Version: "1.0.0", Key: []string{"id"}, EventTime: "at", ExtraColumns: contract.ExtraRefuse, OnFail: contract.Quarantine,
		Fields: []contract.Field{
			{Field: datatype.Field{Name: "id", Type: number, Required: true}},
			{Field: datatype.Field{Name: "at", Type: instant, Required: true}},
			{Field: field("tail", text)},
			{Field: field("delay", number)},
		},
		Checks: []contract.Check{
			{Kind: contract.KindPattern, Rule: "tail.pattern", Field: "tail", Type: text, OnFail: contract.Quarantine, Pattern: &pattern.Pattern{Text: "^N[0-9]+$", RE2: "^N[0-9]+$"}},
			{Kind: contract.KindRange, Rule: "delay.range", Field: "delay", Type: number, OnFail: contract.Warn, Max: &most},
			{Kind: contract.KindRowCount, Rule: "rows", OnFail: contract.Reject, Operator: contract.MustBeGreaterThan, Operands: []string{"2"}},
			{Kind: contract.KindUnique, Rule: "tail.unique", Fields: []string{"tail"}, OnFail: contract.Warn},
		},
	}
	for _, f := range c.Fields {
		c.Checks = append(c.Checks, contract.Check{Kind: contract.KindType, Rule: f.Name + ".type", Field: f.Name, Type: f.Type, OnFail: contract.Quarantine})
	}
	c.Checks = append(c.Checks, contract.Check{Kind: contract.KindKey, Rule: "key", Fields: []string{"id"}, OnFail: contract.Quarantine})
	request := publish.Request{
		Target: s, Key: storetest.Key("sql", 0), Fence: 1, Run: store.Run{Pipeline: "land", Window: storetest.Day(0), Newest: true, Live: true},
		Params: []dialect.Param{{Name: "most", Value: int64(5)}},
		Tables: []publish.Table{{
			Contract: c, Select: "SELECT id, at, tail, delay FROM public.feed WHERE id <= $most",
			Write: project.Write{Table: storetest.Table, Mode: project.ModeReplaceWindow, EventTime: "at"},
		}},
	}
	outcome, err := publish.Run(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	e := outcome.Receipt.Tables[0].Evidence
	if e.Read != 5 || e.Quarantined != 3 || e.Inserted != 2 || e.Warned != 1 {
		t.Errorf("evidence %+v", e)
	}
	_, rows, err := read(t.Context(), s, "SELECT id, tail FROM raw.flights ORDER BY id")
	if diff := cmp.Diff([]string{"1|N1", "3|(null)"}, rows); diff != "" || err != nil {
		t.Errorf("rows, %v (-want +got):\n%s", err, diff)
	}
	_, refused, err := read(t.Context(), s, "SELECT rule, value FROM raw.flights__quarantine ORDER BY _id")
	if diff := cmp.Diff([]string{"tail.pattern|D942DN", "flights.key|4", "flights.key|4"}, refused); diff != "" || err != nil {
		t.Errorf("quarantine, %v (-want +got):\n%s", err, diff)
	}
	request.Key = storetest.Key("late", 0)
	request.Params = []dialect.Param{{Name: "most", Value: int64(6)}}
	outcome, err = publish.Run(t.Context(), request)
	if err != nil || outcome.Receipt.Tables[0].Evidence.Quarantined != 4 {
		t.Errorf("with a row outside of the window the outcome is %+v, %v", outcome, err)
	}
}
