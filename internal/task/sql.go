package task

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/datatype"
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
	out.Observed = fmt.Sprint(observed)
	if observed == nil {
		out.Observed = "NULL"
	}
	out.Passed, err = holds(r.Operator, observed, r.Value)
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

// single reads the one value that a rule's query yields.
func single(_ datatype.Schema, batches store.Batches, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	var value any
	rows := 0
	for batch, err := range batches {
		if err != nil {
			return nil, err
		}
		if batch.NumCols() != 1 {
			return nil, fault.New(fault.Invalid, "the query yields %d columns; a rule needs one value", batch.NumCols())
		}
		rows += int(batch.NumRows())
		if batch.NumRows() > 0 {
			value = scalar(batch.Column(0), 0)
		}
	}
	if rows != 1 {
		return nil, fault.New(fault.Invalid, "the query yields %d rows; a rule needs one value", rows)
	}
	return value, nil
}

// scalar is a value as rules compare it: nil, bool, float64 or string.
func scalar(column arrow.Array, row int) any {
	if column.IsNull(row) {
		return nil
	}
	if b, ok := column.(*array.Boolean); ok {
		return b.Value(row)
	}
	text := column.ValueStr(row)
	var number float64
	if json.Unmarshal([]byte(text), &number) == nil {
		return number
	}
	return text
}

// holds compares an observed value by an ODCS operator. NULL satisfies none.
func holds(operator string, observed any, wanted json.RawMessage) (bool, error) {
	var want any
	if err := json.Unmarshal(wanted, &want); err != nil {
		return false, fault.New(fault.Invalid, "value of %s: %w", operator, err)
	}
	if observed == nil {
		return false, nil
	}
	switch operator {
	case "mustBe":
		return observed == want, nil
	case "mustNotBe":
		return observed != want, nil
	}
	number, ok := observed.(float64)
	if !ok {
		return false, fault.New(fault.Invalid, "%s compares numbers, and the query yields %v", operator, observed)
	}
	bounds, err := numbers(want)
	if err != nil {
		return false, fault.New(fault.Invalid, "value of %s: %w", operator, err)
	}
	switch operator {
	case "mustBeGreaterThan":
		return number > bounds[0], nil
	case "mustBeGreaterOrEqualTo":
		return number >= bounds[0], nil
	case "mustBeLessThan":
		return number < bounds[0], nil
	case "mustBeLessOrEqualTo":
		return number <= bounds[0], nil
	case "mustBeBetween", "mustNotBeBetween":
		if len(bounds) != 2 {
			return false, fault.New(fault.Invalid, "%s takes two numbers", operator)
		}
		within := number >= bounds[0] && number <= bounds[1]
		return within == (operator == "mustBeBetween"), nil
	}
	return false, fault.New(fault.Invalid, "no operator %q", operator)
}

func numbers(v any) ([]float64, error) {
	switch v := v.(type) {
	case float64:
		return []float64{v}, nil
	case []any:
		var out []float64
		for _, one := range v {
			n, ok := one.(float64)
			if !ok {
				return nil, fault.New(fault.Invalid, "%v is no number", one)
			}
			out = append(out, n)
		}
		if len(out) > 0 {
			return out, nil
		}
	}
	return nil, fault.New(fault.Invalid, "%v is no number", v)
}
