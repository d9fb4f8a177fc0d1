package gate_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	_ "time/tzdata"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	_ "github.com/duckdb/duckdb-go/v2"
	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/pattern"
	"github.com/tidemill/tidemill/internal/gate"
	"github.com/tidemill/tidemill/internal/kernel"
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
	"null", "{}", `{"a": 1}`, "[1, 2.0, null]", "[1.5]", "[", `"\ud800"`, `\x00ff`, `\x0`, "2013-03-10T02:30:00", "2013-11-03T01:30:00", "2013-11-03T05:30:00",
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
	integerTypes = []datatype.Type{datatype.Of(datatype.Int16), datatype.Of(datatype.Int32), datatype.Of(datatype.Int64), datatype.Of(datatype.Uint64)}
	decimalTypes = []datatype.Type{datatype.DecimalOf(5, 2), datatype.DecimalOf(9, 0), datatype.DecimalOf(38, 0), datatype.DecimalOf(38, 38), datatype.DecimalOf(18, 6)}
	floatTypes   = []datatype.Type{datatype.Of(datatype.Float32), datatype.Of(datatype.Float64)}
	timeTypes    = []datatype.Type{datatype.Of(datatype.Date), datatype.Of(datatype.Time), datatype.Of(datatype.Timestamp), datatype.Of(datatype.TimestampTZ)}
	wordTypes    = []datatype.Type{datatype.Of(datatype.String), {Kind: datatype.String, Length: 3}, datatype.Of(datatype.UUID), datatype.Of(datatype.Bool)}
	gateTypes    = []datatype.Type{datatype.Of(datatype.JSON), datatype.Of(datatype.Bytes), datatype.ListOf(datatype.Of(datatype.Int32)), {Kind: datatype.TimestampTZ, Precision: 9}} // SQL cannot say them
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
			for _, text := range rapid.SliceOfN(texts(), 0, 10).Draw(t, "values") {
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

// throughSQL returns which of the texts DuckDB says that they fail; false where
// the rule cannot be said in its SQL.
func throughSQL(t tester, db *sql.DB, c contract.Check, values []*string) ([]bool, bool) {
	predicate, ok := c.SQL(dialect.DuckDB, `"x"`, datatype.Of(datatype.String))
	if !ok {
		return nil, false
	}
	rows := make([]string, len(values))
	for i, v := range values {
		literal := "CAST(NULL AS VARCHAR)"
		if v != nil {
			var err error
			if literal, err = dialect.DuckDB.Literal(*v); err != nil {
				t.Fatal(err)
			}
		}
		rows[i] = fmt.Sprintf("(%d, %s)", i, literal)
	}
	query := fmt.Sprintf(`SELECT i FROM (VALUES %s) AS v(i, "x") WHERE %s`, strings.Join(rows, ", "), predicate)
	found, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	defer found.Close()
	failed := make([]bool, len(values))
	for found.Next() {
		var i int
		if err := found.Scan(&i); err != nil {
			t.Fatal(err)
		}
		failed[i] = true
	}
	if err := found.Err(); err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	return failed, true
}

func openDuckDB(t *testing.T) *sql.DB {
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
	return db
}

func TestJudgeGateAndSQLAgree(t *testing.T) {
	t.Parallel()
	db := openDuckDB(t)
	pairs, said := 0, 0
	agree := func(t tester, c contract.Check, values []*string) {
		judge, err := contract.NewJudge(c, kernel.Outside())
		if err != nil {
			t.Fatal(err)
		}
		inGate := throughGate(t, c, values)
		inSQL, ok := throughSQL(t, db, c, values)
		for i, v := range values {
			var given any
			shown := "null"
			if v != nil {
				given, shown = *v, fmt.Sprintf("%q", *v)
			}
			want := judge.Judge(given).Failed()
			if inGate[i] != want || ok && inSQL[i] != want {
				t.Fatalf("%s of %s: judge %v, gate %v, SQL %v (%v)\nrule %+v", shown, c.Type, want, inGate[i], ok && inSQL[i], ok, c)
			}
			pairs++
			if ok {
				said++
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
	if pairs < 2000 || said < pairs/2 {
		t.Errorf("only %d pairs, %d of them in SQL", pairs, said)
	}
	t.Logf("%d pairs, %d of them in SQL", pairs, said)
}
