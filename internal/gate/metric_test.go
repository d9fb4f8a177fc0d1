package gate_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/pattern"
)

// stage is six rows in both engines' SQL.
const stage = `(SELECT * FROM (VALUES (1, 'a', 'x'), (2, 'b', 'x'), (2, 'b', NULL), (3, NULL, 'y'), (3, NULL, 'z'), (4, 'n/a', 'y')) AS v("k", "s", "t")) AS stage`

func TestStageChecksMeasureTheSameOnEveryEngine(t *testing.T) {
	t.Parallel()
	text := datatype.Of(datatype.String)
	for _, e := range []engine{openDuckDB(t), openPostgreSQL(t)} {
		for _, c := range []struct {
			check contract.Check
			want  string
		}{
			{contract.Check{Kind: contract.KindRowCount}, "6 6"},
			{contract.Check{Kind: contract.KindKey, Fields: []string{"k", "s"}}, "2 6"},
			{contract.Check{Kind: contract.KindUnique, Fields: []string{"s"}}, "1 6"},
			{contract.Check{Kind: contract.KindDuplicateValues, Fields: []string{"k", "t"}}, "0 6"},
			{contract.Check{Kind: contract.KindNullValues, Field: "s", Type: text}, "2 6"},
			{contract.Check{Kind: contract.KindMissingValues, Field: "s", Type: text, Values: []string{"n/a"}, Nulls: true}, "3 6"},
			{contract.Check{Kind: contract.KindMissingValues, Field: "s", Type: text, Values: []string{"n/a"}}, "1 6"},
			{contract.Check{Kind: contract.KindInvalidValues, Field: "s", Type: text, Values: []string{"a", "n/a"}, Pattern: mustPattern("^[a-z]$")}, "3 6"},
			{contract.Check{Kind: contract.KindSQL, Field: "s", Query: "SELECT count({property}), 0 FROM ${object}"}, "4 0"},
		} {
			query, ok := c.check.Metric(e.dialect, stage)
			if !ok {
				t.Errorf("%s cannot say %s", e.dialect.Name(), c.check.Kind)
				continue
			}
			if got := e.two(t, query); got != c.want {
				t.Errorf("%s of %v in %s: %s, want %s\n%s", c.check.Kind, c.check.Fields, e.dialect.Name(), got, c.want, query)
			}
		}
		duplicates := contract.Check{Kind: contract.KindUnique, Fields: []string{"s"}}.Duplicates(e.dialect, stage)
		rows, err := e.rows(t.Context(), "SELECT CAST(n AS integer) FROM ("+duplicates+") AS d")
		if diff := cmp.Diff([]int{2}, rows); diff != "" || err != nil {
			t.Error(diff, err)
		}
	}
	slow := contract.Check{Kind: contract.KindInvalidValues, Field: "s", Type: text, Pattern: &pattern.Pattern{Text: "(?=a)"}}
	if query, ok := slow.Metric(dialect.DuckDB, stage); ok {
		t.Errorf("a pattern beyond RE2 became %s", query)
	}
}

// two returns the two whole numbers that a query answers.
func (e engine) two(t *testing.T, query string) string {
	t.Helper()
	var out []string
	for _, column := range []string{"a", "b"} {
		rows, err := e.rows(t.Context(), fmt.Sprintf("SELECT CAST(%s AS integer) FROM (%s) AS m(a, b)", column, query))
		if err != nil || len(rows) != 1 {
			t.Fatalf("%v, %v\n%s", rows, err, query)
		}
		out = append(out, fmt.Sprint(rows[0]))
	}
	return strings.Join(out, " ")
}

func TestANameThatCannotBeQuotedFailsTheStatement(t *testing.T) {
	t.Parallel()
	for _, e := range []engine{openDuckDB(t), openPostgreSQL(t)} {
		for _, name := range []string{"", "a\x00b"} {
			if _, err := e.rows(t.Context(), "SELECT 1 AS "+e.dialect.Quote(name)); err == nil {
				t.Errorf("%s takes the name %q", e.dialect.Name(), name)
			}
		}
		rows, err := e.rows(t.Context(), `SELECT `+e.dialect.Quote(`a"; --`)+` FROM (SELECT 7 AS `+e.dialect.Quote(`a"; --`)+`) AS t`)
		if diff := cmp.Diff([]int{7}, rows); diff != "" || err != nil {
			t.Errorf("%s: %s %v", e.dialect.Name(), diff, err)
		}
	}
}
