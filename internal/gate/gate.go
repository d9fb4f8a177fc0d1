package gate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/kernel"
)

// WindowRule is the rule of rows outside the window of the load.
const WindowRule = "outside_window"

// Window bounds the rows of a load: [Start, End) on Column, which is a column of
// the target. A row without a time there is outside.
type Window struct {
	Column string
	Start  time.Time
	End    time.Time
	Zone   *time.Location   // of dates and of timestamps without zone that the contract gives none; nil: UTC
	OnFail contract.Verdict // reject, quarantine, drop or warn; empty: the contract's default, else reject
}

// Config says what a gate lets through.
type Config struct {
	Contract *contract.Table // nil: no contract, Target decides
	Source   datatype.Schema // of the batches to come, hidden columns included
	Target   datatype.Schema // without a contract: the columns wanted; empty: those of the source
	Batches  datatype.Schema // the source as its batches name the columns; zero: as Source does
	Guessed  bool            // nobody has said the types of Target: they may be wrong
	Window   *Window
	Ordinal  bool              // Good ends with datatype.RowColumn, the row's position in the whole read
	Outside  *contract.Outside // nil: the time zones of this machine
	Memory   memory.Allocator  // nil: Go's
}

// Gate checks the batches of one load.
type Gate struct {
	contract string // id@version; empty without a contract
	source   datatype.Schema
	target   datatype.Schema
	report   []datatype.ColumnFit
	schema   *arrow.Schema
	ordinal  bool
	guessed  bool
	batches  datatype.Schema
	mem      memory.Allocator
	columns  []*column
	window   *window
	stage    []contract.Check
	counts   []*counted
	budget   contract.ErrorBudget
	file     int // position of the hidden columns in the source, or -1
	line     int

	read, passed, quarantined, dropped int64

	rules   []*rule
	closed  bool
	scratch scratch
}

// scratch is memory that batches share.
type scratch struct {
	seen    *arrow.Schema // of the last batch
	origin  string        // the file that it names
	before  int64         // rows read before that file
	changed kernel.Bits
	removed *kernel.Bits
	first   []int32 // per row: 1 + the index of the first rule that sent it to quarantine
}

// New prepares a gate. Where the source cannot satisfy the contract whatever its
// rows hold, the error is of kind Refused and names every column at fault.
func New(c Config) (*Gate, error) {
	g := &Gate{source: c.Source, ordinal: c.Ordinal, guessed: c.Guessed, batches: c.Batches, mem: c.Memory}
	if len(g.batches.Fields) == 0 {
		g.batches = c.Source
	}
	if g.mem == nil {
		g.mem = memory.DefaultAllocator
	}
	outside := kernel.Outside()
	if c.Outside != nil {
		outside = *c.Outside
	}
	g.file, g.line = c.Source.Index(datatype.FileColumn), c.Source.Index(datatype.LineColumn)
	fields, checks, err := g.plan(&c)
	if err != nil {
		return nil, err
	}
	var asked datatype.Schema
	for _, f := range fields {
		asked.Fields = append(asked.Fields, f.Field)
		f.Type = f.Type.WithoutShapes()
		g.target.Fields = append(g.target.Fields, f.Field)
	}
	g.report = datatype.Report(c.Source, asked)
	if err := g.refuse(); err != nil {
		return nil, err
	}
	for _, f := range fields {
		col, err := g.newColumn(f, checks, outside)
		if err != nil {
			return nil, err
		}
		g.columns = append(g.columns, col)
	}
	for _, check := range checks {
		if err := g.remaining(check, outside); err != nil {
			return nil, err
		}
	}
	if c.Window != nil {
		if err := g.newWindow(*c.Window, c.Contract, outside); err != nil {
			return nil, err
		}
	}
	out := g.target
	if c.Ordinal {
		out.Fields = append(slices.Clone(out.Fields), datatype.Field{Name: datatype.RowColumn, Type: datatype.Of(datatype.Int64), Required: true})
	}
	g.schema = out.Arrow()
	return g, nil
}

// plan returns the columns of the target with what the contract says of them,
// and the checks.
func (g *Gate) plan(c *Config) ([]contract.Field, []contract.Check, error) {
	if c.Contract == nil {
		target := c.Target
		if len(target.Fields) == 0 {
			target = datatype.Schema{Fields: slices.Clone(c.Source.Fields)}
			for i := range target.Fields {
				target.Fields[i].Type = target.Fields[i].Type.InMicroseconds()
			}
		}
		fields, checks := plain(target.Visible().Fields, contract.Reject)
		return fields, checks, nil
	}
	t := c.Contract
	g.contract, g.budget = t.Reference(), t.ErrorBudget
	schema := t.Schema()
	fields := slices.Clone(t.Fields)
	for i := range fields {
		fields[i].Required = schema.Fields[i].Required
	}
	checks := slices.Clone(t.Checks)
	var extra []datatype.Field
	for _, f := range c.Source.Visible().Fields {
		if t.Index(f.Name) < 0 {
			f.Required, f.Type = false, f.Type.InMicroseconds()
			extra = append(extra, f)
		}
	}
	switch {
	case len(extra) == 0 || t.ExtraColumns == contract.ExtraIgnore:
	case t.ExtraColumns == contract.ExtraAdd:
		onFail := t.OnFail
		if onFail == contract.Warn {
			onFail = contract.Reject // a value that is none has no way on
		}
		more, types := plain(extra, onFail)
		fields, checks = append(fields, more...), append(checks, types...)
	default:
		var names []string
		for _, f := range extra {
			name := fmt.Sprintf("%q", f.Name)
			if near := problem.Nearest(f.Name, schema.Names()); near != "" {
				name += fmt.Sprintf(" (did you mean %q?)", near)
			}
			names = append(names, name)
		}
		return nil, nil, fault.New(fault.Refused, "the source has columns that the contract %s has not: %s; add them, or say tidemill.extraColumns: ignore",
			g.contract, strings.Join(names, ", "))
	}
	return fields, checks, nil
}

// plain gives columns without a contract the one rule that they have: their type.
func plain(columns []datatype.Field, onFail contract.Verdict) ([]contract.Field, []contract.Check) {
	var fields []contract.Field
	var checks []contract.Check
	for _, f := range columns {
		fields = append(fields, contract.Field{Field: f})
		check := contract.Check{Kind: contract.KindType, Rule: f.Name + ".type", Field: f.Name, Type: f.Type, OnFail: onFail}
		checks = append(checks, check)
		if f.Required {
			check.Kind, check.Rule = contract.KindRequired, f.Name+".required"
			if onFail == contract.Coerce {
				check.OnFail = contract.Reject
			}
			checks = append(checks, check)
		}
	}
	return fields, checks
}

// refuse turns the type-loss report into an error where a column has no way.
func (g *Gate) refuse() error {
	var lines []string
	for _, fit := range g.report {
		if fit.Fit == datatype.Refused {
			lines = append(lines, fmt.Sprintf("%q: %s", fit.Column, fit.Reason))
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return fault.New(fault.Refused, "the source cannot fill the table: %s", strings.Join(lines, "; "))
}

// remaining keeps the checks that are judged when all rows were seen.
func (g *Gate) remaining(check contract.Check, outside contract.Outside) error {
	if check.Scope() != contract.ScopeStage {
		return nil
	}
	singles := check.Single()
	if len(singles) == 0 {
		g.stage = append(g.stage, check)
		return nil
	}
	c := &counted{check: check, column: g.target.Index(check.Field)}
	for _, single := range singles {
		k, err := kernel.NewCheck(single, outside)
		if err != nil {
			return fmt.Errorf("rule %q: %w", check.Rule, err)
		}
		c.singles = append(c.singles, k)
	}
	if c.column < 0 {
		return fault.New(fault.Internal, "rule %q is about the unknown column %q", check.Rule, check.Field)
	}
	g.counts = append(g.counts, c)
	return nil
}

// Schema returns the columns of Good, in order, without RowColumn.
func (g *Gate) Schema() datatype.Schema { return g.target }

// Report returns the type-loss report.
func (g *Gate) Report() []datatype.ColumnFit { return g.report }

// StageChecks returns the checks that rows cannot be judged by one by one: key,
// uniqueness, duplicates, row count, SQL. The publisher judges them on the
// stage. Counts of null, missing and invalid values are not among them: Close
// judges those.
func (g *Gate) StageChecks() []contract.Check { return g.stage }
