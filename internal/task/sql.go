package task

import (
	"context"
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/publish"
	"github.com/tidemill/tidemill/internal/store"
)

// sql runs the task's SELECT inside the store that holds its target.
func (a *attempt) sql(ctx context.Context) error {
	return a.publish(ctx, []publish.Table{{Write: a.task.Writes[0], Select: a.task.SQL.Text}})
}

// check judges a table by its rules, all of them, and fails for those of severity error.
func (a *attempt) check(ctx context.Context) error {
	c := a.task.Check
	s, err := a.Stores.Open(ctx, a.code.Project, c.Table.Store)
	if err != nil {
		return err
	}
	q, ok := s.(store.Queryer)
	if !ok {
		return fault.New(fault.Invalid, "the store %s answers no query", c.Table.Store)
	}
	var broken []string
	for _, r := range c.Rules {
		result, err := a.judge(ctx, q, r)
		if err != nil {
			return fmt.Errorf("rule %q: %w", r.Name, err)
		}
		a.result.Completion.Checks = append(a.result.Completion.Checks, result)
		word := "passed"
		if !result.Passed {
			word = "failed"
			if result.Severity == "error" {
				broken = append(broken, fmt.Sprintf("%s: it is %s, and must be %s", r.Name, result.Observed, result.Expected))
			}
		}
		a.log.note("check %s %s: %s, wanted %s", r.Name, word, result.Observed, result.Expected)
	}
	if len(broken) > 0 {
		return fault.New(fault.CheckFailed, "%s: %s", c.Table, strings.Join(broken, "; "))
	}
	return nil
}

func (a *attempt) judge(ctx context.Context, q store.Queryer, r project.Rule) (commit.CheckResult, error) {
	out := commit.CheckResult{Name: r.Name, Severity: r.Severity, Expected: strings.TrimPrefix(r.Operator, "mustBe") + " " + string(r.Value)}
	if out.Severity == "" {
		out.Severity = "error"
	}
	out.Expected = strings.TrimSpace(out.Expected)
	observed, err := single(q.Query(ctx, a.statement(r.Query)))
	if err != nil {
		return out, err
	}
	out.Observed = observed.said
	out.Passed, err = holds(r.Operator, observed.value, r.Value)
	return out, err
}

// statement binds what a text names: engines refuse values that nobody asked for.
func (a *attempt) statement(text string) dialect.Statement {
	s := dialect.Statement{SQL: text, Params: a.bound()}
	if used, err := s.Used(); err == nil {
		s.Params = used
	}
	return s
}
