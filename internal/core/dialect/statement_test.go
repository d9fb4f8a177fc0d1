package dialect_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
)

var params = []dialect.Param{{Name: "a", Value: 1}, {Name: "b", Value: "two"}, {Name: "unused", Value: nil}}

func TestPlaceholdersAreFoundOnlyWhereTheyAreSome(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		"SELECT $a, $b, $a":               "SELECT $1, $2, $1",
		"SELECT $b::int + $a":             "SELECT $1::int + $2",
		"SELECT '$a', $a":                 "SELECT '$a', $1",
		"SELECT 'it''s $a', $a":           "SELECT 'it''s $a', $1",
		`SELECT E'\'$a', $a`:              `SELECT E'\'$a', $1`,
		`SELECT '\', $a`:                  `SELECT '\', $1`,
		`SELECT "$a""$a", $a`:             `SELECT "$a""$a", $1`,
		"SELECT $$ $a $$, $a":             "SELECT $$ $a $$, $1",
		"SELECT $tag$ $a $$ $tag$, $a":    "SELECT $tag$ $a $$ $tag$, $1",
		"SELECT 1 -- $a\n, $a":            "SELECT 1 -- $a\n, $1",
		"SELECT 1 /* /* $a */ $a */ , $a": "SELECT 1 /* /* $a */ $a */ , $1",
		"SELECT x$a, 1$a":                 "SELECT x$a, 1$1",
		"SELECT ä$a, $a":                  "SELECT ä$a, $1",
		"SELECT 5 $ 3":                    "SELECT 5 $ 3",
		"SELECT '$a":                      "SELECT '$a",
	} {
		got, args, err := dialect.Positional(dialect.Statement{SQL: sql, Params: params})
		if err != nil || got != want {
			t.Errorf("%s\n got %s, %v\nwant %s", sql, got, err, want)
		}
		if sql == "SELECT $b::int + $a" {
			if diff := cmp.Diff([]any{"two", 1}, args); diff != "" {
				t.Error(diff)
			}
		}
	}
}

func TestAPlaceholderWithoutAValueIsInvalid(t *testing.T) {
	t.Parallel()
	for _, s := range []dialect.Statement{
		{SQL: "SELECT $missing", Params: params},
		{SQL: "SELECT $1", Params: params},
		{SQL: "SELECT $1", Params: []dialect.Param{{Name: "1", Value: 1}}},
		{SQL: "SELECT $a", Params: append(params[:1:1], params...)},
	} {
		if sql, _, err := dialect.Positional(s); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s became %s, %v", s.SQL, sql, err)
		}
	}
}

func FuzzPositional(f *testing.F) {
	f.Add("SELECT $a, '$a' /* $b */ -- $c\n $$x$$ E'\\'' \"q\"")
	f.Fuzz(func(t *testing.T, sql string) {
		s := dialect.Statement{SQL: sql}
		for _, name := range s.Placeholders() {
			s.Params = append(s.Params, dialect.Param{Name: name, Value: name})
		}
		out, args, err := dialect.Positional(s)
		if err == nil && len(args) == 0 && out != sql {
			t.Errorf("%q became %q without a parameter", sql, out)
		}
	})
}

func FuzzParseType(f *testing.F) {
	f.Add(`STRUCT("a" INTEGER[], b DECIMAL(10,2))`)
	f.Add("timestamp(6) with time zone")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := dialect.DuckDB.ParseType(text)
		if err != nil {
			return
		}
		if err := parsed.Validate(); err != nil {
			t.Errorf("%q was read as an invalid type: %v", text, err)
		}
	})
}
