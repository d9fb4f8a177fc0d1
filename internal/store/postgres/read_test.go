package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
	"github.com/tidemill/tidemill/internal/store/postgres"
	"github.com/tidemill/tidemill/internal/testserver"
)

// open opens a store on a database of its own, after statements of a test.
func open(t *testing.T, statements ...string) (*postgres.Store, *pgx.Conn) {
	t.Helper()
	address := testserver.Database(t)
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	run(t, conn, statements...)
	s, err := postgres.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, conn
}

func run(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// texts reads a stream as the texts of its rows.
func texts(batches store.Batches) (rows []string, err error) {
	for batch, err := range batches {
		if err != nil {
			return rows, err
		}
		for i := range int(batch.NumRows()) {
			values := make([]string, batch.NumCols())
			for c := range values {
				values[c] = batch.Column(c).ValueStr(i)
			}
			rows = append(rows, strings.Join(values, "|"))
		}
	}
	return rows, nil
}

func read(ctx context.Context, s *postgres.Store, query string, params ...dialect.Param) (schema string, rows []string, err error) {
	reading, err := s.Read(ctx, store.Request{Query: dialect.Statement{SQL: query, Params: params}})
	if err != nil {
		return "", nil, err
	}
	rows, err = texts(reading.Batches)
	return reading.Schema.String(), rows, err
}

func TestValuesAreReadAsTheyAre(t *testing.T) {
	t.Parallel()
	s, _ := open(t, "CREATE TYPE mood AS ENUM ('sad', 'ok')", "CREATE DOMAIN word AS varchar(7)")
	for _, c := range []struct{ expressions, schema, want string }{
		{"true a, (-32768)::int2 b, 2147483647 c, (-9223372036854775808)::int8 d", "a bool, b int16, c int32, d int64", "true|-32768|2147483647|-9223372036854775808"},
		{"0.1::real a, 'NaN'::real b, 5e-324::float8 c, '-Infinity'::float8 d", "a float32, b float32, c float64, d float64", "0.1|NaN|5e-324|-Inf"},
		{"'é 飛'::text a, 'x'::varchar(3) b, 'x'::char(3) c, 'n'::name d, 'w'::word e, 'ok'::mood f", "a string, b string(3), c string(3), d string, e string(7), f string", "é 飛|x|x  |n|w|ok"},
		{"'00112233-4455-6677-8899-AABBCCDDEEFF'::uuid a, '\\x00ff'::bytea b", "a uuid, b bytes", "00112233-4455-6677-8899-aabbccddeeff|AP8="},
		{"'0001-01-01'::date a, '9999-12-31'::date b, '23:59:59.999999'::time c", "a date, b date, c time", "0001-01-01|9999-12-31|23:59:59.999999"},
		{"'1969-12-31 23:59:59.999999'::timestamp a, '2013-03-10 02:30:00.000001-05'::timestamptz b", "a timestamp, b timestamptz", "1969-12-31T23:59:59.999999|2013-03-10T07:30:00.000001Z"},
		{`'{"b" : 1}'::json a, '{"b" : 1}'::jsonb b, 4000000000::oid c`, "a json, b json, c int64", `{"b" : 1}|{"b": 1}|4000000000`},
		{"12345.6700::numeric(12,4) a, (-0.0001)::numeric(4,4) b, 0::numeric(5,2) c, 100000000::numeric(38,0) d", "a decimal(12,4), b decimal(4,4), c decimal(5,2), d decimal(38,0)", "12345.67|-0.0001|0|100000000"},
		{"NULL::numeric(3,1) a, NULL::mood b, NULL::date c", "a decimal(3,1), b string, c date", "(null)|(null)|(null)"},
	} {
		schema, rows, err := read(t.Context(), s, "SELECT "+c.expressions)
		if err != nil {
			t.Errorf("%s: %v", c.expressions, err)
			continue
		}
		if diff := cmp.Diff([]string{c.schema, c.want}, append([]string{schema}, rows...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.expressions, diff)
		}
	}
}

func TestWhatNoColumnHoldsIsRefusedByItsName(t *testing.T) {
	t.Parallel()
	s, _ := open(t, "CREATE TYPE pair AS (a int, b int)")
	for expression, want := range map[string]string{
		"1.5::numeric":                       "without precision and scale",
		"sum(1::int8)":                       "CAST(\"odd\" AS numeric(38,10))",
		"'NaN'::numeric(5,2)":                "NaN",
		"'infinity'::date":                   "infinite",
		"'-infinity'::timestamp":             "infinite",
		"'infinity'::timestamptz":            "infinite",
		"'0044-03-15 BC'::date":              "years 1 to 9999",
		"'12000-01-01'::timestamp":           "years 1 to 9999",
		"'24:00:00'::time":                   "24:00:00",
		"ARRAY[1]":                           "integer[], which tables cannot hold; cast it in a query",
		"'1 day'::interval":                  "interval, which tables cannot hold",
		"'12:00+01'::timetz":                 "time with time zone, which",
		"(1, 2)::pair":                       "pair, which tables cannot hold",
		"'10.0.0.1'::inet":                   "inet, which tables cannot hold",
		"99::numeric(50,10)":                 "numeric(50,10), which tables cannot hold",
		"1200::numeric(3,-2)":                "numeric(3,-2), which tables cannot hold",
		"(SELECT ARRAY['a'])":                "text[]",
		"'(1,2)'::point":                     "point",
		"count(*) OVER () * 1.5":             "numeric without",
		"'-infinity'::timestamptz + '1 day'": "infinite",
	} {
		_, rows, err := read(t.Context(), s, "SELECT "+expression+" AS odd")
		if err == nil {
			t.Errorf("%s was read as %v", expression, rows)
			continue
		}
		if text := err.Error(); !strings.Contains(text, want) || !strings.Contains(text, "column odd") {
			t.Errorf("%s: %v; want %q and the column", expression, err, want)
		}
		if !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.Refused) {
			t.Errorf("%s is an error of kind %s", expression, fault.KindOf(err))
		}
	}
}

func TestNumbersOfAnyLengthArriveWithAllTheirDigits(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	rapid.Check(t, func(r *rapid.T) {
		precision := rapid.IntRange(1, 38).Draw(r, "precision")
		scale := rapid.IntRange(0, precision).Draw(r, "scale")
		whole := rapid.StringMatching(fmt.Sprintf("0{0,9}[0-9]{0,%d}", precision-scale)).Draw(r, "whole")
		if len(strings.TrimLeft(whole, "0")) > precision-scale {
			r.Skip()
		}
		text := rapid.SampledFrom([]string{"", "-"}).Draw(r, "sign") + whole + "0." + rapid.StringMatching(fmt.Sprintf("[0-9]{%d}", scale)).Draw(r, "fraction")
		text = strings.Replace(text, "0.", ".", 1)
		if strings.Trim(text, "-.") == "" {
			text = "0"
		}
		text = strings.TrimSuffix(text, ".")
		_, rows, err := read(context.Background(), s, fmt.Sprintf("SELECT v, v::text AS t FROM (SELECT CAST('%s' AS numeric(%d,%d)) AS v) AS q", text, precision, scale))
		if err != nil || len(rows) != 1 {
			r.Fatalf("%s as numeric(%d,%d): %v, %v", text, precision, scale, rows, err)
		}
		got, want, _ := strings.Cut(rows[0], "|")
		if strings.Contains(want, ".") {
			want = strings.TrimSuffix(strings.TrimRight(want, "0"), ".")
		}
		if got != want {
			r.Fatalf("%s as numeric(%d,%d) was read as %s, want %s", text, precision, scale, got, want)
		}
	})
}

func TestALongResultMayBeLeft(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	query := dialect.Statement{SQL: "SELECT n, repeat('x', 100) AS t FROM generate_series(1, 10000000) AS n"}
	reading, err := s.Read(t.Context(), store.Request{Query: query, Batch: 1000})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for batch, err := range reading.Batches {
		if err != nil || batch.NumRows() != 1000 {
			t.Fatalf("a batch of %d rows, %v", batch.NumRows(), err)
		}
		break
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("leaving took %s", took)
	}
	if _, err := texts(reading.Batches); err == nil {
		t.Error("the batches were consumed twice")
	}
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	_, batches, err := s.Query(ctx, query)
	if err != nil {
		t.Fatal(err)
	}
	for _, err = range batches {
		stop(errors.New("enough"))
	}
	if !fault.Is(err, fault.Cancelled) || !strings.Contains(err.Error(), "enough") {
		t.Errorf("a stopped query ended with %v", err)
	}
}

func TestATableIsReadOrAbsent(t *testing.T) {
	t.Parallel()
	s, _ := open(t, "CREATE SCHEMA raw", `CREATE TABLE raw."Odd name" (a int, "B c" text)`, `INSERT INTO raw."Odd name" VALUES (1, 'x')`)
	reading, err := s.Read(t.Context(), store.Request{Table: project.Table{Schema: "raw", Name: "Odd name"}})
	if err != nil {
		t.Fatal(err)
	}
	if rows, err := texts(reading.Batches); err != nil || len(rows) != 1 || rows[0] != "1|x" {
		t.Errorf("read %v, %v", rows, err)
	}
	for _, table := range []project.Table{{Schema: "raw", Name: "none"}, {Schema: "none", Name: "none"}} {
		if _, err := s.Read(t.Context(), store.Request{Table: table}); !errors.Is(err, store.ErrAbsent) || !fault.Is(err, fault.NotFound) {
			t.Errorf("%s was answered with %v", table, err)
		}
	}
}

func TestColumnsThatChangeBetweenPlanAndReadAreRefused(t *testing.T) {
	t.Parallel()
	s, conn := open(t, "CREATE TABLE public.t (a int)", "INSERT INTO public.t VALUES (1)")
	reading, err := s.Read(t.Context(), store.Request{Table: project.Table{Schema: "public", Name: "t"}})
	if err != nil {
		t.Fatal(err)
	}
	run(t, conn, "ALTER TABLE public.t ALTER COLUMN a TYPE date USING DATE '2013-01-01'") // four bytes as well
	if rows, err := texts(reading.Batches); !fault.Is(err, fault.Conflict) {
		t.Errorf("read %v, %v", rows, err)
	}
}

func TestParametersAreBound(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	at := time.Date(2013, 1, 2, 0, 0, 0, 0, time.FixedZone("", 3600))
	_, rows, err := read(t.Context(), s, "SELECT v FROM (VALUES ('it''s', timestamptz '2013-01-01 23:00Z', 7)) AS t (v, at, n) WHERE v = $text AND at >= $start AND n = $number AND v = $text AND '$none' <> ''",
		dialect.Param{Name: "text", Value: "it's"}, dialect.Param{Name: "start", Value: at}, dialect.Param{Name: "number", Value: int64(7)}, dialect.Param{Name: "unused", Value: true})
	if err != nil || len(rows) != 1 || rows[0] != "it's" {
		t.Errorf("read %v, %v", rows, err)
	}
	if _, _, err := read(t.Context(), s, "SELECT $missing"); !fault.Is(err, fault.Invalid) {
		t.Errorf("a missing parameter was answered with %v", err)
	}
}

// writes are texts that would change something, or are no single SELECT.
var writes = []string{
	"DELETE FROM public.t", "DELETE FROM public.t RETURNING a", "WITH gone AS (DELETE FROM public.t RETURNING a) SELECT a FROM gone",
	"SELECT 1 AS a; DELETE FROM public.t", "SELECT 1 AS a; COMMIT; DELETE FROM public.t", "/* SELECT */ DROP TABLE public.t", "-- SELECT\nTRUNCATE public.t",
	"SELECT nextval('public.s')::int AS a", "EXPLAIN ANALYZE DELETE FROM public.t", "COPY public.t TO STDOUT", "SELECT a INTO public.u FROM public.t", "", "SHOW timezone",
	"SELECT set_config('transaction_read_only', 'off', true) AS a", "DO $$ BEGIN DELETE FROM public.t; END $$", "SELECT a FROM public.t FOR UPDATE",
}

func TestSQLThatChangesSomethingIsRefused(t *testing.T) {
	t.Parallel()
	s, conn := open(t, "CREATE TABLE public.t (a int)", "INSERT INTO public.t VALUES (1)", "CREATE SEQUENCE public.s")
	for _, text := range writes {
		_, batches, err := s.Query(t.Context(), dialect.Statement{SQL: text})
		if err == nil {
			_, err = texts(batches)
		}
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("%q was answered with %v", text, err)
		}
	}
	for _, text := range []string{"(SELECT 1 AS a)", "VALUES (1)", "/* a /* b */ */ SELECT 1 AS a -- end", "WITH x AS (SELECT 1 AS a) SELECT a FROM x;", "TABLE public.t;"} {
		if _, rows, err := read(t.Context(), s, text); err != nil || len(rows) != 1 || rows[0] != "1" {
			t.Errorf("%q: %v, %v", text, rows, err)
		}
	}
	unchanged(t, conn)
}

func unchanged(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	var rows, others, number int
	if err := conn.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM public.t), (SELECT count(*) FROM pg_class WHERE relname = 'u'), (SELECT last_value FROM public.s)").Scan(&rows, &others, &number); err != nil {
		t.Fatal(err)
	}
	if rows != 1 || others != 0 || number != 1 {
		t.Errorf("something has changed: %d rows, %d new tables, sequence at %d", rows, others, number)
	}
}

func TestAPasswordIsInNoError(t *testing.T) {
	t.Parallel()
	const canary = "s3cret-canary"
	address := testserver.Database(t)
	for _, dsn := range []string{
		"postgres://u:" + canary + "@127.0.0.1:1/x?connect_timeout=2", "postgres://u:" + canary + "%zz@h/x", "postgres://u:" + canary + "@h:port/x",
		"host=127.0.0.1 port=1 user=u password=" + canary, "host=127.0.0.1 port=1 password='" + canary, canary, "postgres://u:" + canary + " x@h/x",
		strings.Replace(address, "tidemill@", "nobody_of_that_name:"+canary+"@", 1), address + "x?password=" + canary, "password=" + canary + " sslmode=odd",
	} {
		s, err := postgres.Open(t.Context(), dsn)
		if err == nil {
			_ = s.Close()
			t.Errorf("%q was opened", dsn)
			continue
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			if strings.Contains(fmt.Sprintf("%v %+v %#v", e, e, e), canary) {
				t.Errorf("the error holds the password: %v", e)
			}
		}
	}
}
