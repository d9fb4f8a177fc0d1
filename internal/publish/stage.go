package publish

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/gate"
	"github.com/tidemill/tidemill/internal/store"
)

// stage brings the rows of one table into the load, and judges them.
func (p *plan) stage(ctx context.Context, load store.Load, r Request) error {
	if p.table.Write.Mode == project.ModeView {
		_, err := load.(store.SQLLoad).Fill(ctx, p.spec.Table, r.statement(p.table.Select))
		return err
	}
	tally := newTally(p.stageChecks(), load)
	var err error
	switch {
	case p.pushed:
		err = p.push(ctx, load.(store.SQLLoad), r)
	case p.table.Source != nil:
		err = p.pass(ctx, load, p.table.Source.Feed, tally)
	default:
		err = p.pass(ctx, load, selected(load.(store.SQLLoad), r.statement(p.table.Select)), tally)
	}
	if err != nil {
		return err
	}
	if err := p.out.Evidence.Check(); err != nil {
		return err
	}
	return p.judge(ctx, load, r, tally)
}

type feed func(context.Context, func(context.Context, arrow.RecordBatch) error) error

// selected feeds the rows of a SELECT that the gate has to see.
func selected(load store.SQLLoad, s dialect.Statement) feed {
	return func(ctx context.Context, sink func(context.Context, arrow.RecordBatch) error) error {
		batches, err := load.Query(ctx, s)
		if err != nil {
			return err
		}
		for batch, err := range batches {
			if err != nil {
				return err
			}
			if err := sink(ctx, batch); err != nil {
				return err
			}
		}
		return nil
	}
}

// pass sends every batch through the gate.
func (p *plan) pass(ctx context.Context, load store.Load, feed feed, tally *tally) error {
	failed := feed(ctx, func(ctx context.Context, batch arrow.RecordBatch) error {
		result, err := p.gate.Check(batch)
		if err != nil {
			return err
		}
		defer result.Release()
		if result.Good.NumRows() > 0 {
			tally.add(result.Good)
			if err := load.Stage(ctx, p.spec.Table, result.Good); err != nil {
				return err
			}
		}
		return p.setAside(ctx, load, result.Quarantine)
	})
	if failed != nil {
		p.account(p.gate.Summary())
		return failed
	}
	summary, err := p.gate.Close()
	p.account(summary)
	return err
}

// setAside stages refused rows, and keeps the first of them for who looks at the attempt.
func (p *plan) setAside(ctx context.Context, load store.Load, refused arrow.RecordBatch) error {
	if refused == nil || refused.NumRows() == 0 {
		return nil
	}
	for i := range int(refused.NumRows()) {
		if len(p.out.Refused) == RefusedRows {
			break
		}
		text := func(column string) string {
			at := refused.Schema().FieldIndices(column)[0]
			if refused.Column(at).IsNull(i) {
				return ""
			}
			return strings.Clone(refused.Column(at).(*array.String).Value(i))
		}
		row := Refused{
			Rule: text("rule"), Field: text("field"), Reason: text("reason"), Value: text("value"), File: text("file"), Original: text("original"),
		}
		if line := refused.Column(refused.Schema().FieldIndices("line")[0]).(*array.Int64); line.IsValid(i) {
			row.Line = line.Value(i)
		}
		p.out.Refused = append(p.out.Refused, row)
	}
	return load.Quarantine(ctx, p.spec.Table, refused)
}

// account takes over what the gate saw.
func (p *plan) account(s gate.Summary) {
	e := &p.out.Evidence
	e.Read, e.Staged, e.Quarantined, e.Dropped = s.Read, s.Passed, s.Quarantined, s.Dropped
	p.hits(s)
	// Until the store says better, each staged row is a new one.
	e.Inserted = e.Staged
}

func (p *plan) hits(s gate.Summary) {
	e := &p.out.Evidence
	e.Coerced, e.Warned = s.Coerced, s.Warned
	e.Rules = nil
	for _, rule := range s.Rules {
		hit := commit.RuleHits{Rule: rule.Rule, Verdict: string(rule.Verdict), Rows: rule.Count, Field: rule.Field}
		if rule.Example != nil {
			hit.Value, hit.File, hit.Line = rule.Example.Value, rule.Example.File, rule.Example.Line
		}
		e.Rules = append(e.Rules, hit)
	}
}

// push runs the SELECT into the stage. Only rows that fail a rule are read: the
// gate says what is wrong with them, and the engine removes those set aside.
func (p *plan) push(ctx context.Context, load store.SQLLoad, r Request) error {
	n, err := load.Fill(ctx, p.spec.Table, r.statement(p.table.Select))
	p.out.Evidence.Read, p.out.Evidence.Staged, p.out.Evidence.Inserted = n, n, n
	if err != nil {
		return err
	}
	predicates, _ := p.failing(load.Dialect())
	var all, leaving []string
	for _, verdict := range []contract.Verdict{contract.Reject, contract.Quarantine, contract.Warn} {
		all = append(all, predicates[verdict]...)
		if verdict == contract.Quarantine {
			leaving = predicates[verdict]
		}
	}
	if len(all) == 0 {
		return nil
	}
	if p.gate, err = gate.New(gate.Config{Contract: p.table.Contract, Source: p.spec.Schema, Window: p.window}); err != nil {
		return err
	}
	failing := dialect.Statement{SQL: "SELECT " + load.Dialect().QuoteAll(p.spec.Schema.Names()...) +
		" FROM " + load.Staged(p.spec.Table) + " WHERE " + strings.Join(all, " OR ")}
	err = selected(load, failing)(ctx, func(ctx context.Context, batch arrow.RecordBatch) error {
		result, err := p.gate.Check(batch)
		if err != nil {
			return err
		}
		defer result.Release()
		return p.setAside(ctx, load, result.Quarantine)
	})
	summary := p.gate.Summary()
	p.hits(summary)
	if err != nil {
		return err
	}
	if len(leaving) > 0 {
		gone, err := load.Discard(ctx, p.spec.Table, strings.Join(leaving, " OR "))
		if err != nil {
			return err
		}
		if gone != summary.Quarantined {
			return fault.New(fault.Internal, "the engine finds %d rows to set aside and the gate %d", gone, summary.Quarantined)
		}
		e := &p.out.Evidence
		e.Staged, e.Quarantined = n-gone, gone
		e.Inserted = e.Staged
	}
	return p.admit(p.out.Evidence)
}

// stageChecks are the rules that rows cannot be judged by one by one.
func (p *plan) stageChecks() []contract.Check {
	if p.table.Contract == nil {
		return nil
	}
	checks := p.table.Contract.ChecksOf(contract.ScopeStage)
	if !p.pushed {
		checks = p.gate.StageChecks()
	}
	return slices.DeleteFunc(slices.Clone(checks), func(c contract.Check) bool {
		// Equal keys are settled by the store (the last wins, or none does) unless
		// the contract refuses the load for them. Merge is made for them.
		return c.Kind == contract.KindKey && (c.OnFail != contract.Reject || p.spec.Mode == project.ModeMerge)
	})
}

// judge applies the rules about the rows as a whole.
func (p *plan) judge(ctx context.Context, load store.Load, r Request, tally *tally) error {
	var refusals []string
	for _, c := range p.stageChecks() {
		if c.Kind == contract.KindUnique && c.OnFail == contract.Quarantine {
			if err := p.separate(ctx, load, c); err != nil {
				return err
			}
			continue
		}
		measured, rows, err := p.measure(ctx, load, r, c, tally)
		if err != nil {
			return fmt.Errorf("rule %q: %w", c.Rule, err)
		}
		f := c.Met(measured, rows)
		result := commit.CheckResult{Name: c.Rule, Severity: "error", Passed: !f.Failed(), Observed: fmt.Sprint(measured), Expected: expected(c)}
		if c.OnFail == contract.Warn {
			result.Severity = "warning"
		}
		p.out.Checks = append(p.out.Checks, result)
		switch {
		case !f.Failed():
		case f.Verdict == contract.Warn:
			p.out.Evidence.Warned++
		default:
			refusals = append(refusals, fmt.Sprintf("the rule %q: %s", c.Rule, f.Reason))
		}
	}
	if len(refusals) > 0 {
		return fault.New(fault.Refused, "the contract %s refuses the load: %s", p.table.Contract.Reference(), strings.Join(refusals, "; "))
	}
	return nil
}

func expected(c contract.Check) string {
	switch c.Kind {
	case contract.KindKey, contract.KindUnique:
		return "no duplicates"
	default:
		return string(c.Operator) + " " + strings.Join(c.Operands, " and ")
	}
}
