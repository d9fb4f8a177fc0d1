package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/gate"
	"github.com/tidemill/tidemill/internal/store"
)

// plan is how one table will be staged.
type plan struct {
	table    Table
	spec     store.TableSpec
	window   *gate.Window
	selected datatype.Schema // of the SELECT
	present  datatype.Schema // of the table as it is now; read where no contract says what it is
	gate     *gate.Gate      // judges batches; for a SELECT that is pushed down, those that the engine singles out
	pushed   bool            // the SELECT runs into the stage, and the engine singles out what fails
	out      Staged
}

// plan raises the fence, finds the receipt of an earlier attempt, and settles for
// each table its schema and how its rows will be judged.
func (r Request) plan(ctx context.Context) (plans []*plan, err error) {
	load, err := r.Target.Begin(ctx, store.Spec{Key: r.Key, Fence: r.Fence, Run: r.Run})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, load.Abort(context.WithoutCancel(ctx))) }()
	for _, t := range r.Tables {
		p, err := r.planTable(ctx, load, t)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", t.Write.Table, err)
		}
		plans = append(plans, p)
	}
	return plans, nil
}

func (r Request) planTable(ctx context.Context, load store.Load, t Table) (_ *plan, err error) {
	if (t.Source == nil) == (t.Select == "") {
		return nil, fault.New(fault.Internal, "a table needs a source or a SELECT, and not both")
	}
	if len(t.Replays) > 0 && t.Contract != nil {
		t.Contract = again(*t.Contract)
	}
	p := &plan{table: t, spec: t.spec(r.Run), out: Staged{Table: t.Write.Table}}
	p.window = p.bounds()
	var source datatype.Schema
	if t.Source != nil {
		source, p.spec.Stable = t.Source.Schema, t.Source.Stable
		p.out.Evidence.Sources = t.Source.Sources
	} else {
		engine, ok := load.(store.SQLLoad)
		if !ok {
			return nil, fault.New(fault.Invalid, "its store runs no SQL")
		}
		described, err := engine.Describe(ctx, r.statement(t.Select))
		if err != nil {
			return nil, err
		}
		source, p.selected = described, described
		if t.Write.Mode == project.ModeView {
			return p, p.fitsView()
		}
	}
	if err := distinct(source); err != nil {
		return nil, err
	}
	named := source
	if t.Contract == nil && t.Source != nil {
		if source, err = p.spell(ctx, load, source); err != nil {
			return nil, err
		}
	}
	config := gate.Config{Contract: t.Contract, Source: source, Batches: named, Window: p.window}
	switch nameless := len(source.Visible().Fields) == 0; {
	case t.Contract != nil && len(source.Fields) > 0:
	case nameless && len(p.present.Fields) > 0: // a quiet day
		config.Target = p.present
	case nameless:
		return nil, fault.New(fault.Refused, "the source has no columns, not even their names, and the table has no contract that would name them: write one, or leave the empty file out")
	case t.Source != nil && len(t.Source.Inferred.Fields) > 0:
		config.Target, config.Guessed = p.guess(source), true
	}
	g, err := gate.New(config)
	if err != nil {
		return nil, err
	}
	p.gate = g
	p.spec.Schema, p.out.Report = g.Schema(), g.Report()
	if t.Select != "" {
		p.pushed = p.pushable(load.(store.SQLLoad).Dialect())
	}
	p.spec.Admit = p.admit
	return p, nil
}

// spell reads the table and names the columns of a source as the table does, or as
// the task's own settings do: to some engines ID and id are two columns. A table
// that is replaced as a whole is named and typed anew.
func (p *plan) spell(ctx context.Context, load store.Load, source datatype.Schema) (datatype.Schema, error) {
	if p.spec.Mode != project.ModeReplace {
		var err error
		if p.present, err = load.Columns(ctx, p.spec.Table); err != nil {
			return source, err
		}
	}
	names := append(p.present.Names(), p.spec.Keys...)
	names = append(names, p.spec.EventTime, p.spec.Version, p.spec.Known.Column)
	out := datatype.Schema{Fields: slices.Clone(source.Fields)}
	for i, f := range out.Fields {
		same := func(name string) bool { return strings.EqualFold(name, f.Name) }
		if at := slices.IndexFunc(names, same); at >= 0 && !slices.Contains(names, f.Name) {
			out.Fields[i].Name = names[at]
		}
	}
	return out, nil
}

// guess gives each column of text a type: that of the table, so that it stays what
// it was; else the one that the first rows show.
func (p *plan) guess(source datatype.Schema) datatype.Schema {
	out := source.Visible()
	for i, f := range out.Fields {
		same := func(other datatype.Field) bool { return strings.EqualFold(other.Name, f.Name) }
		if at := p.present.Index(f.Name); at >= 0 {
			out.Fields[i].Type = p.present.Fields[at].Type
		} else if at := slices.IndexFunc(p.table.Source.Inferred.Fields, same); at >= 0 {
			out.Fields[i].Type = p.table.Source.Inferred.Fields[at].Type
		}
	}
	return out
}

// distinct refuses columns whose names differ in case alone: engines take them for one.
func distinct(source datatype.Schema) error {
	seen := map[string]string{}
	for _, f := range source.Fields {
		key := strings.ToLower(f.Name)
		if other, ok := seen[key]; ok {
			return fault.New(fault.Refused, "the columns %q and %q differ in case alone, and a table cannot hold both: rename one at the source", other, f.Name)
		}
		seen[key] = f.Name
	}
	return nil
}

// spec is what the store has to know of the table, but for the schema.
func (t Table) spec(run store.Run) store.TableSpec {
	w := t.Write
	s := store.TableSpec{
		Table: w.Table, Mode: w.Mode, Keys: w.Keys, EventTime: w.EventTime, Version: w.Version, Window: run.Window,
		Lookback: w.Lookback, AppendKeep: w.AppendKeep, Known: t.Known, Replays: t.Replays,
	}
	s.Known.Column = cmp.Or(s.Known.Column, w.KnownAt)
	s.Known.AvailableAfter = cmp.Or(s.Known.AvailableAfter, w.AvailableAfter)
	if t.Zone != nil {
		s.Zone = t.Zone.String()
	}
	c := t.Contract
	if c == nil {
		return s
	}
	s.Contract = c.Reference()
	if len(s.Keys) == 0 {
		s.Keys = c.Key
	}
	s.EventTime = cmp.Or(s.EventTime, c.EventTime)
	s.Known.Column = cmp.Or(s.Known.Column, c.KnownAt)
	s.Known.AvailableAfter = cmp.Or(s.Known.AvailableAfter, c.AvailableAfter)
	if s.Mode == project.ModeMerge {
		s.Version = cmp.Or(s.Version, c.EventTime)
	}
	if at := c.Index(s.EventTime); at >= 0 {
		s.Zone = cmp.Or(c.Fields[at].Zone, s.Zone)
	}
	return s
}

// again is the contract for rows that are judged once more: what is refused
// stays in quarantine, whatever the budget says, and rules about a load as a
// whole say nothing of a part of it.
func again(c contract.Table) *contract.Table {
	c.ErrorBudget = contract.ErrorBudget{}
	c.Checks = c.ChecksOf(contract.ScopeRow)
	for i := range c.Checks {
		if c.Checks[i].OnFail == contract.Reject {
			c.Checks[i].OnFail = contract.Quarantine
		}
	}
	return &c
}

// bounds is the window that rows must lie in; nil where rows of any time are welcome.
func (p *plan) bounds() *gate.Window {
	s := p.spec
	if s.Mode != project.ModeReplaceWindow && s.Mode != project.ModeFeature || s.Window.IsZero() || len(s.Replays) > 0 || s.EventTime == "" {
		return nil
	}
	return &gate.Window{Column: s.EventTime, Start: s.Window.Start.Add(-s.Lookback), End: s.Window.End, Zone: p.table.Zone}
}

// fitsView holds the columns of a view against the contract: its rows are judged where they are written.
func (p *plan) fitsView() error {
	if p.table.Contract == nil {
		return nil
	}
	p.out.Report = datatype.Report(p.selected, p.table.Contract.Schema())
	for _, fit := range p.out.Report {
		if fit.Fit == datatype.Refused || fit.Fit == datatype.Narrowed {
			return fault.New(fault.Refused, "column %s is not as the contract %s says: %s", fit.Column, p.table.Contract.Reference(), fit.Reason)
		}
	}
	return nil
}

// pushable reports whether the engine can single out exactly the rows that the
// gate must see, so that all others go from the SELECT into the stage unread.
func (p *plan) pushable(d dialect.Dialect) bool {
	for _, name := range p.selected.Names() {
		if p.spec.Schema.Index(name) < 0 {
			return false // left out by the contract
		}
	}
	for _, fit := range p.out.Report {
		if fit.Fit != datatype.Narrowed {
			continue
		}
		// The store refuses a value that does not fit; other verdicts need the gate.
		number := fit.From.IsNumber() && fit.To.IsNumber()
		if !number || p.verdictOf(contract.KindType, fit.Column) != contract.Reject {
			return false
		}
	}
	if w := p.window; w != nil {
		at := p.spec.Schema.Index(w.Column)
		if at < 0 || p.spec.Schema.Fields[at].Type.Kind != datatype.TimestampTZ {
			return false
		}
	}
	if p.table.Contract != nil {
		for _, c := range p.table.Contract.ChecksOf(contract.ScopeStage) {
			if _, ok := c.Metric(d, "stage"); !ok {
				return false
			}
		}
	}
	_, ok := p.failing(d)
	return ok
}

func (p *plan) verdictOf(kind contract.Kind, column string) contract.Verdict {
	if p.table.Contract != nil {
		for _, c := range p.table.Contract.Checks {
			if c.Kind == kind && c.Field == column {
				return c.OnFail
			}
		}
	}
	return contract.Reject
}

// rowChecks are the rules of single rows, beyond those of types.
func (p *plan) rowChecks() []contract.Check {
	if p.table.Contract == nil {
		return nil
	}
	return slices.DeleteFunc(p.table.Contract.ChecksOf(contract.ScopeRow), func(c contract.Check) bool {
		return c.Kind == contract.KindType || p.spec.Schema.Index(c.Field) < 0
	})
}

// failing returns, for the verdicts, the conditions of the rows that fail.
func (p *plan) failing(d dialect.Dialect) (map[contract.Verdict][]string, bool) {
	predicates := map[contract.Verdict][]string{}
	for _, c := range p.rowChecks() {
		at := p.spec.Schema.Fields[p.spec.Schema.Index(c.Field)]
		predicate, ok := c.SQL(d, d.Quote(c.Field), at.Type)
		if !ok || c.OnFail == contract.Coerce {
			return nil, false
		}
		predicates[c.OnFail] = append(predicates[c.OnFail], "("+predicate+")")
	}
	if p.table.Contract == nil {
		for _, f := range p.spec.Schema.Fields {
			if f.Required {
				predicates[contract.Reject] = append(predicates[contract.Reject], "("+d.Quote(f.Name)+" IS NULL)")
			}
		}
	}
	if w := p.window; w != nil {
		start, startErr := d.Literal(w.Start)
		end, endErr := d.Literal(w.End)
		if startErr != nil || endErr != nil {
			return nil, false
		}
		column := d.Quote(w.Column)
		verdict := p.windowVerdict()
		predicates[verdict] = append(predicates[verdict], fmt.Sprintf("(NOT coalesce(%s >= %s AND %s < %s, FALSE))", column, start, column, end))
	}
	return predicates, true
}

// windowVerdict is what the gate makes of rows outside of the window.
func (p *plan) windowVerdict() contract.Verdict {
	if p.table.Contract == nil {
		return contract.Reject
	}
	switch v := p.table.Contract.OnFail; v {
	case contract.Quarantine, contract.Warn:
		return v
	default:
		return contract.Reject
	}
}

// admit judges the error budget.
func (p *plan) admit(e commit.Evidence) error {
	if p.table.Contract == nil {
		return nil
	}
	budget := p.table.Contract.ErrorBudget
	switch {
	case budget.Rows != nil && e.Quarantined > *budget.Rows:
		return fault.New(fault.Refused, "%d of %d rows went to quarantine, and the error budget is %d rows%s", e.Quarantined, e.Read, *budget.Rows, commonest(e))
	case budget.Percent != nil && float64(e.Quarantined)*100 > *budget.Percent*float64(e.Read):
		return fault.New(fault.Refused, "%d of %d rows (%.2f %%) went to quarantine, and the error budget is %g %%%s",
			e.Quarantined, e.Read, float64(e.Quarantined)*100/float64(e.Read), *budget.Percent, commonest(e))
	}
	return nil
}

// commonest names the rule that sent most rows to quarantine.
func commonest(e commit.Evidence) string {
	var most *commit.RuleHits
	for i := range e.Rules {
		if r := &e.Rules[i]; r.Verdict == string(contract.Quarantine) && (most == nil || r.Rows > most.Rows) {
			most = r
		}
	}
	if most == nil {
		return ""
	}
	words := fmt.Sprintf("; most by %q (%d), such as %q", most.Rule, most.Rows, most.Value)
	if most.File != "" {
		words += fmt.Sprintf(" at %s:%d", most.File, most.Line)
	}
	return words
}

func (r Request) statement(text string) dialect.Statement {
	return dialect.Statement{SQL: text, Params: r.Params}
}
