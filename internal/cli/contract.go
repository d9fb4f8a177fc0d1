package cli

import (
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
)

// ruleCount is one rule's verdict on a table as it lies there.
type ruleCount struct {
	Rule    string `json:"rule"`
	OnFail  string `json:"on_fail"`
	Rows    int64  `json:"rows"`
	Skipped string `json:"skipped,omitempty"` // why it was not judged
}

// judgeTable counts, rule by rule, the rows of a table that break its contract.
func (s *session) judgeTable(t project.Table, agreed *contract.Table) error {
	name := dialect.DuckDB.Table(t.Schema, t.Name)
	var list []ruleCount
	broken := false
	for _, c := range agreed.Checks {
		one := ruleCount{Rule: c.Rule, OnFail: string(c.OnFail)}
		predicate, ok := "", false
		if i := agreed.Index(c.Field); i >= 0 {
			predicate, ok = c.SQL(dialect.DuckDB, dialect.DuckDB.Quote(c.Field), agreed.Fields[i].Type.WithoutShapes())
		}
		switch {
		case c.Scope() == contract.ScopeWatch:
			one.Skipped = "judged by the clock, while a server runs"
		case c.Scope() != contract.ScopeRow:
			one.Skipped = "judged on loads"
		case !ok:
			one.Skipped = "cannot be said exactly in SQL; it is judged on loads"
		default:
			found, err := s.ask(t.Store, fmt.Sprintf("SELECT count(*) FROM %s WHERE %s", name, predicate), nil, 1)
			if err != nil {
				return fmt.Errorf("rule %s: %w", c.Rule, err)
			}
			_, _ = fmt.Sscan(strings.ReplaceAll(found.Texts[0][0], ",", ""), &one.Rows)
			broken = broken || one.Rows > 0 && c.OnFail != contract.Warn
		}
		list = append(list, one)
	}
	out := output.Table{Columns: []string{"rule", "on fail", "rows that break it", ""}, Values: list}
	for _, one := range list {
		out.Rows = append(out.Rows, []string{one.Rule, one.OnFail, s.number(one.Rows), one.Skipped})
	}
	return s.judge(out, broken, fault.Refused)
}
