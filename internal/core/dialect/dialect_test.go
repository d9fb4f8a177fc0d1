package dialect_test

import (
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
)

func TestQuotingCannotBeLeft(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.String().Draw(t, "name")
		quoted := dialect.DuckDB.Quote(name)
		if dialect.DuckDB.CheckIdentifier(name) != nil {
			if quoted != `""` {
				t.Fatalf("refused name became %s", quoted)
			}
			return
		}
		inner := quoted[1 : len(quoted)-1]
		if strings.ReplaceAll(inner, `""`, `"`) != name || strings.Contains(strings.ReplaceAll(inner, `""`, ""), `"`) {
			t.Fatalf("%q became %s", name, quoted)
		}
	})
}

func TestNamesThatAnEngineCannotHoldAreRefused(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 32)
	for _, c := range []struct {
		dialect dialect.Dialect
		name    string
		ok      bool
	}{
		{dialect.DuckDB, "", false},
		{dialect.DuckDB, "a\x00b", false},
		{dialect.DuckDB, "a\xffb", false},
		{dialect.DuckDB, long, true},
		{dialect.PostgreSQL, long, false},
		{dialect.PostgreSQL, long[:62], true},
	} {
		err := c.dialect.CheckIdentifier(c.name)
		if (err == nil) != c.ok || err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("%s %q: %v", c.dialect.Name(), c.name, err)
		}
		if (c.dialect.Quote(c.name) == `""`) == c.ok {
			t.Errorf("%s %q: quoted as %s", c.dialect.Name(), c.name, c.dialect.Quote(c.name))
		}
	}
	if got, want := dialect.PostgreSQL.Table(`s"x`, "t"), `"s""x"."t"`; got != want {
		t.Errorf("table %s, want %s", got, want)
	}
}

func TestEveryTypeNameIsReadBackAsTheSameType(t *testing.T) {
	t.Parallel()
	types := []datatype.Type{
		datatype.DecimalOf(10, 2), datatype.DecimalOf(38, 38), datatype.ListOf(datatype.ListOf(datatype.Of(datatype.Int32))),
		datatype.StructOf(
			datatype.Field{Name: `a "b"`, Type: datatype.ListOf(datatype.DecimalOf(5, 1))},
			datatype.Field{Name: "c", Type: datatype.Of(datatype.TimestampTZ)}),
		{Kind: datatype.Timestamp, Precision: 9},
	}
	for _, k := range datatype.Kinds() {
		if k != datatype.List && k != datatype.Struct && k != datatype.Decimal {
			types = append(types, datatype.Of(k))
		}
	}
	for _, want := range types {
		name, err := dialect.DuckDB.TypeName(want)
		if err != nil {
			t.Errorf("%s: %v", want, err)
			continue
		}
		if got, err := dialect.DuckDB.ParseType(name); err != nil || !got.Equal(want) {
			t.Errorf("%s is called %s and read as %s, %v", want, name, got, err)
		}
	}
}

func TestTypesWithoutAnExactNameAreRefused(t *testing.T) {
	t.Parallel()
	if name, err := dialect.DuckDB.TypeName(datatype.Of(datatype.Decimal)); err == nil {
		t.Errorf("an unbounded decimal became %s: DuckDB would keep three digits", name)
	}
	if name, err := dialect.PostgreSQL.TypeName(datatype.Type{Kind: datatype.Timestamp, Precision: 9}); err == nil {
		t.Errorf("nanoseconds became %s", name)
	}
	for text, want := range map[string]string{
		"numeric": "decimal", "DECIMAL(38, 18)": "decimal(38,18)", "character varying(20)": "string(20)", "varchar": "string",
		"timestamp(6) with time zone": "timestamptz", "float": "float64", "integer[]": "list<int32>", " Double  Precision ": "float64",
	} {
		if got, err := dialect.PostgreSQL.ParseType(text); err != nil || got.String() != want {
			t.Errorf("%q: %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "geometry", "numeric(", "numeric(40,2)", "int[", "int]", "varchar(x)", "struct()", "struct(a)", "varchar(2) x", strings.Repeat("struct(a ", 99)} {
		if got, err := dialect.DuckDB.ParseType(text); err == nil {
			t.Errorf("%q became %s", text, got)
		}
	}
}

func TestLiteralsAreExactOrRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		value any
		want  string
	}{
		{nil, "NULL"},
		{true, "TRUE"},
		{int64(math.MinInt64), "(-9223372036854775807 - 1)"},
		{-5, "(-5)"},
		{0.1, "CAST('1e-01' AS double precision)"},
		{math.Inf(-1), "CAST('-Infinity' AS double precision)"},
		{"it's", "'it''s'"},
		{big.NewRat(-1, 8), "(-0.125)"},
		{time.Date(2013, 6, 1, 2, 0, 0, 5000, time.FixedZone("", 7200)), "TIMESTAMP WITH TIME ZONE '2013-06-01 00:00:00.000005+00'"},
	} {
		if got, err := dialect.PostgreSQL.Literal(c.value); err != nil || got != c.want {
			t.Errorf("%v: %s, %v; want %s", c.value, got, err, c.want)
		}
	}
	for _, bad := range []any{"a\x00", "\xff", big.NewRat(1, 3), struct{}{}, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if got, err := dialect.PostgreSQL.Literal(bad); err == nil {
			t.Errorf("%#v became %s", bad, got)
		}
	}
}

func TestOnlyPatternsThatMeanTheSameGoToPostgreSQL(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]bool{
		"^N[0-9A-Z]{1,5}$": true, "a|b+": true, "(ab)?c": true,
		"a.c": false, `\d`: false, "a+?": false, "(?i)a": false, "[[:alpha:]]": false, "a{999}": false, "a{": false, "***=a": false, "a^b": false, "[a": false, "[]a]": false,
	} {
		if _, ok := dialect.PostgreSQL.Match("x", pattern); ok != want {
			t.Errorf("%s: %v, want %v", pattern, ok, want)
		}
	}
	if sql, ok := dialect.DuckDB.Match("x", `\d'`); !ok || sql != `regexp_matches(x, '\d''')` {
		t.Errorf("%s, %v", sql, ok)
	}
}
