package gate_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	_ "time/tzdata"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	_ "github.com/duckdb/duckdb-go/v2"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/pattern"
	"github.com/tidemill/tidemill/internal/core/value"
	"github.com/tidemill/tidemill/internal/gate"
	"github.com/tidemill/tidemill/internal/kernel"
	"github.com/tidemill/tidemill/internal/testserver"
)

// nasty are texts at which readers of values like to differ.
var nasty = []string{
	"", " ", "0", "-0", "+0", "00", "1", "+5", "-5", "5.", ".5", "-.5", ".", "+", "-", "--1", "+-1", " 12", "12 ", "12\n", "1e3", "1E3", "1e", "e3", "1.0", "1.10", "1.100000000000000000000000000000000000000000000000",
	"517.0", "517.00000000001", "2359", "2400", "127", "128", "32767", "32768", "-32768", "-32769", "2147483647", "2147483648", "-2147483648", "-2147483649",
	"9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "18446744073709551615", "18446744073709551616", "-1",
	"00000000000000000000000000000000000000000000000000000000012", "99999999999999999999999999999999999999", "999999999999999999999999999999999999999", "123456789012345678901234567890123456789012345678901234567890",
	"0.1", "0.005", "0.004999999999999999999", "2.675", "99.99", "99.995", "999.99", "1000.00", "-999.99", "0.30000000000000004", "1e-5", "1e308", "1e309", "-1e309", "1e-400", "5e-324", "3.4028235e38", "3.4028236e38", "1e39",
	"NaN", "nan", "-nan", "NAN", "inf", "-inf", "+Infinity", "INFINITY", "infinit", "0x10", "1_000", "1,000", "１２", "١٢", "½", "1'000",
	"true", "TRUE", "t", "yes", "Y", "on", "off", "no", "F", "ﬀ", "Kyes", "ſ",
	"2013-02-28", "2013-02-29", "2012-02-29", "2013-02-30", "2013-13-01", "2013-00-10", "2013-1-1", "13-01-01", "0000-01-01", "0001-01-01", "9999-12-31", "10000-01-01", "-001-01-01", "2013-01-01 BC", "2013/01/01", "1900-02-29", "2000-02-29", "infinity", "epoch", "today",
	"00:00", "23:59", "24:00", "24:00:00", "12:60", "12:00:60", "12:00:59.999999", "12:00:59.9999990", "12:00:59.9999999", "12:00:59.", "1:00", "12:00:00.5",
	"2013-01-01T00:00", "2013-01-01 00:00:00", "2013-01-01T23:59:59.999999", "2013-01-01T00:00:00.0000001", "2013-01-01T24:00:00", "2013-01-01t00:00:00", "2013-01-01  00:00:00",
	"2013-01-01T00:00:00Z", "2013-01-01T00:00:00z", "2013-01-01 00:00:00+00", "2013-01-01T00:00:00+05:30", "2013-01-01T00:00:00-0530", "2013-01-01T00:00:00+15:59", "2013-01-01T00:00:00+16:00", "2013-01-01T00:00:00+5", "2013-01-01T00:00:00 UTC", "2013-01-01T00:00:00.25-03",
	"2013-01-01T00:00+01", "0001-01-01T00:00:00+01:00", "0001-01-01T01:00:00+01:00", "9999-12-31T23:59:59-01:00", "9999-12-31T22:59:59-01:00", "2013-02-30T00:00:00Z", "2013-06-01T12:00:00+01:60", "2013-01-01T00:00:00+",
	"N14228", "D942DN", "N1\n", "n14228", "EWR", "JFK", "ewr", "ÄÖÜ", "äöüß", "😀", "e\u0301", "a b", "'", "''", `"`, `\`, "a\tb", "\u00a0", "\u2028", "%", "_", "$x", "--", ";",
	"0f0e0d0c-0b0a-0908-0706-050403020100", "0F0E0D0C-0B0A-0908-0706-050403020100", "0f0e0d0c0b0a09080706050403020100", "{0f0e0d0c-0b0a-0908-0706-050403020100}", "0f0e0d0c-0b0a-0908-0706-05040302010g",
	"null", "{}", `{"a": 1}`, "[]", " {} ", "\n[{}]", "[{}, []]", "[null]", `"{}"`, "{", "[1, 2.0, null]", "[1.5]", "[", `"\ud800"`, `\x00ff`, `\x0`, "2013-03-10T02:30:00", "2013-11-03T01:30:00", "2013-11-03T05:30:00",
}

// texts draws a text that looks like something, or a nasty one.
func texts() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom(nasty),
		rapid.StringMatching(`[+-]?[0-9]{0,12}(\.[0-9]{0,6})?([eE][+-]?[0-9]{1,3})?`),
		rapid.StringMatching(`[12][0-9]{3}-[01][0-9]-[0-3][0-9]([T ][0-2][0-9]:[0-5][0-9](:[0-5][0-9](\.[0-9]{1,7})?)?(Z|[+-][01][0-9](:?[0-5][0-9])?)?)?`),
		rapid.StringMatching(`[ND][0-9A-Z]{0,6}`),
		rapid.Map(rapid.String(), func(s string) string { return strings.ReplaceAll(s, "\x00", "0") }),
	)
}

func mustPattern(text string) *pattern.Pattern {
	p, err := pattern.New(text)
	if err != nil {
		panic(err)
	}
	return &p
}

// numberTypes and the like are what rules are drawn for.
var (
	anObject     = datatype.Type{Kind: datatype.JSON, Shape: datatype.ObjectShape}
	anArray      = datatype.Type{Kind: datatype.JSON, Shape: datatype.ArrayShape}
	integerTypes = []datatype.Type{datatype.Of(datatype.Int16), datatype.Of(datatype.Int32), datatype.Of(datatype.Int64), datatype.Of(datatype.Uint64)}
	decimalTypes = []datatype.Type{datatype.DecimalOf(5, 2), datatype.DecimalOf(9, 0), datatype.DecimalOf(38, 0), datatype.DecimalOf(38, 38), datatype.DecimalOf(18, 6)}
	floatTypes   = []datatype.Type{datatype.Of(datatype.Float32), datatype.Of(datatype.Float64)}
	timeTypes    = []datatype.Type{datatype.Of(datatype.Date), datatype.Of(datatype.Time), datatype.Of(datatype.Timestamp), datatype.Of(datatype.TimestampTZ)}
	wordTypes    = []datatype.Type{datatype.Of(datatype.String), {Kind: datatype.String, Length: 3}, datatype.Of(datatype.UUID), datatype.Of(datatype.Bool)}
	gateTypes    = []datatype.Type{datatype.Of(datatype.JSON), datatype.Of(datatype.Bytes), datatype.ListOf(datatype.Of(datatype.Int32)), {Kind: datatype.TimestampTZ, Precision: 9}, anObject, anArray, datatype.ListOf(anObject)} // SQL cannot say them
)

func allTypes() []datatype.Type {
	var all []datatype.Type
	for _, list := range [][]datatype.Type{integerTypes, decimalTypes, floatTypes, timeTypes, wordTypes, gateTypes} {
		all = append(all, list...)
	}
	return all
}

// bounds are texts that the types read.
var bounds = map[datatype.Kind][]string{
	datatype.Int16: {"0", "2359", "-5.5", "40000"}, datatype.Int32: {"0", "2359", "0.5"}, datatype.Int64: {"0", "2147483648", "-9223372036854775808"}, datatype.Uint64: {"0", "1", "9223372036854775808"},
	datatype.Decimal: {"0", "99.995", "-0.5", "1", "100000000000000000000"}, datatype.Float32: {"0", "0.1", "1000"}, datatype.Float64: {"0", "0.1", "1e308", "-1"},
	datatype.Date: {"2013-01-01", "2012-02-29"}, datatype.Time: {"12:00", "12:00:59.999999"}, datatype.Timestamp: {"2013-01-01T00:00"}, datatype.TimestampTZ: {"2013-01-01T00:00:00Z", "2013-01-01T00:00:00+05:30"},
}

func checks() *rapid.Generator[contract.Check] {
	return rapid.Custom(func(t *rapid.T) contract.Check {
		c := contract.Check{Rule: "x.rule", Field: "x", OnFail: contract.Quarantine, Type: rapid.SampledFrom(allTypes()).Draw(t, "type")}
		if c.Type.Kind == datatype.TimestampTZ {
			c.Zone = rapid.SampledFrom([]string{"", "UTC", "America/New_York"}).Draw(t, "zone")
		}
		kinds := []contract.Kind{contract.KindType, contract.KindRequired, contract.KindEnum, contract.KindForbidden}
		switch c.Type.Kind {
		case datatype.JSON, datatype.Bytes, datatype.List:
			kinds = kinds[:2]
		case datatype.String, datatype.UUID:
			kinds = append(kinds, contract.KindPattern)
			if c.Type.Kind == datatype.String {
				kinds = append(kinds, contract.KindLength)
			}
		case datatype.Bool:
		default:
			kinds = append(kinds, contract.KindRange, contract.KindRange)
			if c.Type.IsInteger() {
				kinds = append(kinds, contract.KindMultiple)
			}
		}
		c.Kind = rapid.SampledFrom(kinds).Draw(t, "kind")
		switch c.Kind {
		case contract.KindRange:
			list := bounds[c.Type.Kind]
			bound := rapid.Custom(func(t *rapid.T) *contract.Bound {
				return &contract.Bound{Value: rapid.SampledFrom(list).Draw(t, "bound"), Exclusive: rapid.Bool().Draw(t, "exclusive")}
			})
			which := rapid.IntRange(1, 3).Draw(t, "ends")
			if which&1 != 0 {
				c.Min = bound.Draw(t, "min")
			}
			if which&2 != 0 {
				c.Max = bound.Draw(t, "max")
			}
		case contract.KindMultiple:
			c.MultipleOf = rapid.SampledFrom([]string{"2", "0.5", "2.5", "100000000000000000000"}).Draw(t, "step")
		case contract.KindLength:
			low, high := int64(rapid.IntRange(0, 3).Draw(t, "least")), int64(rapid.IntRange(3, 6).Draw(t, "most"))
			c.MinLength, c.MaxLength = &low, &high
		case contract.KindPattern:
			c.Pattern = mustPattern(rapid.SampledFrom([]string{
				"^N[0-9A-Z]{1,5}$", `^\d+$`, "^.$", "^.*$", `^\w+$`, `^\s*$`, "[aeiou]", `\bN`, "^[^]$", "^(EWR|JFK|LGA)$", `^[^0-9]+$`, "^$", "ä|😀", "(?:a|b)*c?$", "x{0,3}", `^\S+$`, "^a|5$", "^(?!D)", `(.)\1`,
			}).Draw(t, "pattern"))
		case contract.KindEnum, contract.KindForbidden:
			c.Nulls = c.Kind == contract.KindForbidden && rapid.Bool().Draw(t, "nulls")
			for _, text := range rapid.SliceOfN(rapid.OneOf(texts(), rapid.SampledFrom(nasty)), 0, 30).Draw(t, "values") {
				probe := c
				probe.Kind, probe.Nulls = contract.KindType, false
				if !probe.Judge(text).Failed() {
					c.Values = append(c.Values, text)
				}
			}
		default:
		}
		return c
	})
}

// tester is what tests and rapid's trials share.
type tester interface {
	Context() context.Context
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// throughGate returns which of the texts (nil: null) the gate sets aside for the rule.
func throughGate(t tester, c contract.Check, values []*string) []bool {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	table := contract.Table{ContractID: "x", Version: "1", Fields: []contract.Field{{Field: datatype.Field{Name: "x", Type: c.Type}, Zone: c.Zone}}}
	if c.Kind != contract.KindType {
		// What is no value shall not stop the rule from being asked, nor count against it.
		typed := c
		typed.Kind, typed.Rule = contract.KindType, "x.type"
		table.Checks = append(table.Checks, typed)
	}
	table.Checks = append(table.Checks, c)
	g, err := gate.New(gate.Config{Contract: &table, Source: datatype.Text("x"), Memory: mem})
	if err != nil {
		t.Fatalf("%+v: %v", c, err)
	}
	batch := textBatch(mem, values)
	defer batch.Release()
	r, err := g.Check(batch)
	if err != nil {
		t.Fatalf("%+v: %v", c, err)
	}
	defer r.Release()
	failed := make([]bool, len(values))
	if r.Quarantine == nil {
		return failed
	}
	for i := range int(r.Quarantine.NumRows()) {
		rule := r.Quarantine.Column(0).(*array.String).Value(i)
		line := r.Quarantine.Column(5).(*array.Int64).Value(i)
		failed[line-1] = rule == c.Rule
	}
	return failed
}

func textBatch(mem memory.Allocator, values []*string) arrow.RecordBatch {
	b := array.NewRecordBuilder(mem, datatype.Text("x").Arrow())
	defer b.Release()
	for i, v := range values {
		if v == nil {
			b.Field(0).AppendNull()
		} else {
			b.Field(0).(*array.StringBuilder).Append(*v)
		}
		b.Field(1).(*array.StringBuilder).Append("x.csv")
		b.Field(2).(*array.Int64Builder).Append(int64(i + 1))
	}
	return b.NewRecordBatch()
}

// engine is a database that says which rows a condition is true for.
type engine struct {
	dialect dialect.Dialect
	rows    func(ctx context.Context, query string) ([]int, error)
}

// failing returns which of the values, SQL expressions of type from, the engine
// says that they fail; false where the rule cannot be said in its SQL.
func (e engine) failing(t tester, c contract.Check, values []string, from datatype.Type) ([]bool, bool) {
	predicate, ok := c.SQL(e.dialect, `"x"`, from)
	if !ok {
		return nil, false
	}
	rows := make([]string, len(values))
	for i, v := range values {
		rows[i] = fmt.Sprintf("(%d, %s)", i, v)
	}
	query := fmt.Sprintf(`SELECT i FROM (VALUES %s) AS v(i, "x") WHERE %s`, strings.Join(rows, ", "), predicate)
	found, err := e.rows(t.Context(), query)
	if err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	failed := make([]bool, len(values))
	for _, i := range found {
		failed[i] = true
	}
	return failed, true
}

// literals writes texts as the engine's SQL.
func (e engine) literals(t tester, values []*string, null string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		if out[i] = null; v != nil {
			var err error
			if out[i], err = e.dialect.Literal(*v); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

func openDuckDB(t *testing.T) engine {
	t.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return engine{dialect.DuckDB, func(ctx context.Context, query string) ([]int, error) {
		found, err := db.QueryContext(ctx, query)
		if err != nil {
			return nil, err
		}
		defer found.Close()
		var rows []int
		for found.Next() {
			var i int
			if err := found.Scan(&i); err != nil {
				return nil, err
			}
			rows = append(rows, i)
		}
		return rows, found.Err()
	}}
}

func openPostgreSQL(t *testing.T) engine {
	t.Helper()
	db, err := pgx.Connect(t.Context(), testserver.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return engine{dialect.PostgreSQL, func(ctx context.Context, query string) ([]int, error) {
		found, err := db.Query(ctx, query)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(found, pgx.RowTo[int])
	}}
}

// TestMain stops the PostgreSQL server that the tests share.
func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

func TestJudgeGateAndSQLAgree(t *testing.T) {
	t.Parallel()
	engines := []engine{openDuckDB(t), openPostgreSQL(t)}
	pairs, said := 0, make([]int, len(engines))
	agree := func(t tester, c contract.Check, values []*string) {
		judge, err := contract.NewJudge(c, kernel.Outside())
		if err != nil {
			t.Fatal(err)
		}
		want := make([]bool, len(values))
		for i, v := range values {
			want[i] = judge.Judge(given(v)).Failed()
		}
		pairs += len(values)
		differ := func(who string, got []bool) {
			for i, v := range values {
				if got[i] != want[i] {
					t.Fatalf("%q of %s: judge %v, %s %v\nrule %+v", given(v), c.Type, want[i], who, got[i], c)
				}
			}
		}
		differ("gate", throughGate(t, c, values))
		for i, e := range engines {
			if got, ok := e.failing(t, c, e.literals(t, values, "CAST(NULL AS text)"), datatype.Of(datatype.String)); ok {
				differ(e.dialect.Name(), got)
				said[i] += len(values)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		values := []*string{nil}
		for _, text := range rapid.SliceOfN(texts(), 30, 60).Draw(t, "texts") {
			values = append(values, &text)
		}
		agree(t, checks().Draw(t, "check"), values)
	})
	// And every nasty text as every type, whatever the dice say.
	all := []*string{nil}
	for i := range nasty {
		all = append(all, &nasty[i])
	}
	for _, typ := range allTypes() {
		agree(t, contract.Check{Kind: contract.KindType, Rule: "x.type", Field: "x", OnFail: contract.Quarantine, Type: typ}, all)
	}
	if pairs < 2000 || said[0] < pairs/2 || said[1] < pairs/4 {
		t.Errorf("only %d pairs, %v of them in SQL", pairs, said)
	}
	t.Logf("%d pairs, %v of them in SQL", pairs, said)
}

func given(v *string) any {
	if v == nil {
		return nil
	}
	return *v
}

func TestJudgeAndSQLAgreeOnTypedColumns(t *testing.T) {
	t.Parallel()
	engines := []engine{openDuckDB(t), openPostgreSQL(t)}
	said := make([]int, len(engines))
	rapid.Check(t, func(t *rapid.T) {
		c := checks().Draw(t, "check")
		from := rapid.SampledFrom(append(allTypes(), c.Type, c.Type, c.Type)).Draw(t, "from")
		source, err := value.NewCaster(from, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		judge, err := contract.NewJudge(c, kernel.Outside())
		if err != nil {
			t.Fatal(err)
		}
		values := []any{nil}
		for _, text := range rapid.SliceOfN(texts(), 30, 60).Draw(t, "texts") {
			if v, flaw := source.Text(text); flaw == value.Sound && text != "" {
				values = append(values, v)
			}
		}
		for i, e := range engines {
			name, err := e.dialect.TypeName(from)
			if err != nil || from.IsNested() || from.Kind == datatype.Bytes {
				continue
			}
			literals := make([]string, len(values))
			for j, v := range values {
				literals[j] = "CAST(NULL AS " + name + ")"
				if v != nil {
					quoted, err := e.dialect.Literal(value.Text(v))
					if err != nil {
						t.Fatal(err)
					}
					literals[j] = "CAST(" + quoted + " AS " + name + ")"
				}
			}
			got, ok := e.failing(t, c, literals, from)
			if !ok {
				continue
			}
			said[i]++
			for j, v := range values {
				if want := judge.Judge(v).Failed(); got[j] != want {
					t.Fatalf("%q of %s to %s: judge %v, %s %v\nrule %+v", value.Text(v), from, c.Type, want, e.dialect.Name(), got[j], c)
				}
			}
		}
	})
	if said[0] < 10 || said[1] < 10 {
		t.Errorf("only %v rules were said in SQL", said)
	}
}

// Whatever the dice say: documents of a column of JSON against the shapes that a contract asks.
func TestShapesOfDocumentsAgreeOnTypedColumns(t *testing.T) {
	t.Parallel()
	engines := []engine{openDuckDB(t), openPostgreSQL(t)}
	texts := []string{"{}", "[]", ` {"a": [1]}`, "[{}]", "null", "1", `"{}"`, "true"}
	for _, typ := range []datatype.Type{anObject, anArray} {
		c := contract.Check{Kind: contract.KindType, Rule: "x.type", Field: "x", OnFail: contract.Reject, Type: typ}
		want, refused := make([]bool, len(texts)), 0
		for i, text := range texts {
			if want[i] = c.Judge(text).Failed(); want[i] {
				refused++
			}
		}
		if kept := map[datatype.Shape]string{datatype.ObjectShape: "{}", datatype.ArrayShape: "[]"}[typ.Shape]; refused != 6 || c.Judge(kept).Failed() {
			t.Errorf("%s refuses %d of %q", typ, refused, texts)
		}
		for _, e := range engines {
			for _, name := range map[string][]string{dialect.DuckDB.Name(): {"JSON"}, dialect.PostgreSQL.Name(): {"json", "jsonb"}}[e.dialect.Name()] {
				literals := make([]string, len(texts))
				for i, text := range texts {
					literals[i] = "CAST('" + text + "' AS " + name + ")"
				}
				got, ok := e.failing(t, c, literals, datatype.Of(datatype.JSON))
				if !ok || !slices.Equal(got, want) {
					t.Errorf("%s of %s: %v, %v; want %v", typ, name, got, ok, want)
				}
			}
		}
	}
}
