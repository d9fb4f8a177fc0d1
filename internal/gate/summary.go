package gate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/value"
	"github.com/tidemill/tidemill/internal/kernel"
)

// Summary is what the gate saw: Read = Passed + Quarantined + Dropped.
type Summary struct {
	Read        int64       `json:"read"`
	Passed      int64       `json:"passed"`
	Quarantined int64       `json:"quarantined"`
	Dropped     int64       `json:"dropped"`
	Coerced     int64       `json:"coerced"` // values, in rows that passed
	Warned      int64       `json:"warned"`  // values, in rows that passed
	Rules       []RuleCount `json:"rules,omitempty"`
}

// RuleCount is what one rule found, if it found anything.
type RuleCount struct {
	Rule    string           `json:"rule"`
	Field   string           `json:"field,omitempty"`
	Verdict contract.Verdict `json:"verdict"`
	Count   int64            `json:"count"`
	Example *Example         `json:"example,omitempty"`
}

// Example is one value that failed, and where it was read.
type Example struct {
	File   string `json:"file,omitempty"`
	Line   int64  `json:"line,omitempty"` // of a file without lines: its row
	Row    int64  `json:"row,omitempty"`  // counted from 1, where rows come from no file
	Value  string `json:"value"`
	Null   bool   `json:"null,omitempty"`
	Reason string `json:"reason"`
}

// At returns file:line, as far as they are known, or the number of the row.
func (e Example) At() string {
	switch {
	case e.File == "" && e.Row > 0:
		return fmt.Sprintf("row %d", e.Row)
	case e.File == "":
		return ""
	case e.Line == 0:
		return e.File
	}
	return fmt.Sprintf("%s:%d", e.File, e.Line)
}

// example describes how row i failed the rule. It keeps no memory of the batch.
func (g *Gate) example(r *rule, batch arrow.RecordBatch, columns []arrow.Array, i int) Example {
	var e Example
	switch row := g.read + int64(i) + 1; {
	case g.file < 0 && g.scratch.origin != "":
		e.File, e.Line = g.scratch.origin, row-g.scratch.before
	case g.file < 0:
		e.Row = row
	default:
		e.File = strings.Clone(value.Text(kernel.Value(batch.Column(g.file), i, datatype.Of(datatype.String))))
	}
	if g.line >= 0 {
		e.Line, _ = kernel.Value(batch.Column(g.line), i, datatype.Of(datatype.Int64)).(int64)
	}
	at := g.target.Index(r.field)
	c := g.columns[at]
	if c.source < 0 {
		e.Null = true
	} else {
		given := kernel.Value(batch.Column(c.source), i, c.from)
		e.Null, e.Value = given == nil, strings.Clone(strings.ToValidUTF8(value.Text(given), "\uFFFD"))
	}
	e.Reason = strings.ToValidUTF8(g.reason(r, c, batch, columns[at], i), "\uFFFD")
	return e
}

func (g *Gate) reason(r *rule, c *column, batch arrow.RecordBatch, cast arrow.Array, i int) string {
	switch {
	case g.window != nil && r == g.window.rule:
		return g.window.reason(cast, i)
	case r == c.typed:
		if texts, ok := batch.Column(c.source).(*array.String); ok && g.guessed && cast.IsValid(i) {
			return fmt.Sprintf("%q %s", texts.Value(i), c.loses(texts.Value(i)))
		}
		reason := c.cast.Reason(batch.Column(c.source), i)
		if c.from.Kind == c.field.Type.Kind && !c.from.IsNumber() && c.from.Precision > c.field.Type.Precision {
			reason += "; round it at the source, or write a contract with tidemill.onFail: coerce, which cuts it"
		}
		return reason
	case r.verdict == contract.Coerce && c.source >= 0:
		// The column holds what became of the value; the reason is about what it was.
		if f := r.kernel.Judge(kernel.Value(batch.Column(c.source), i, c.from)); f.Failed() {
			return f.Reason
		}
		return "was replaced"
	}
	return r.kernel.Reason(cast, i)
}

func (g *Gate) rejected(r *rule, e Example) error {
	which := e.At() // a row without a file is named by its number alone
	if e.File != "" {
		which = "a row at " + which
	}
	if g.guessed {
		e.Reason += fmt.Sprintf("; no contract says what %s is, so its type is %s, as in the table or in the first rows: write a contract",
			r.field, g.target.Fields[g.target.Index(r.field)].Type)
		if !strings.Contains(e.File, ".json") { // which has a null of its own
			e.Reason += ", or name what stands for no value: format: {csv: {nulls: [...]}}"
		}
	}
	return fault.New(fault.Refused, "%s refused %s by the rule %q: %s %s", g.who(), which, r.name, r.field, e.Reason)
}

func (g *Gate) who() string {
	if g.contract == "" {
		return "the table"
	}
	return "the contract " + g.contract
}

// Summary returns what the gate saw so far.
func (g *Gate) Summary() Summary {
	s := Summary{Read: g.read, Passed: g.passed, Quarantined: g.quarantined, Dropped: g.dropped}
	for _, r := range g.rules {
		if r.count == 0 {
			continue
		}
		switch r.verdict {
		case contract.Coerce:
			s.Coerced += r.count
		case contract.Warn:
			s.Warned += r.count
		default:
		}
		s.Rules = append(s.Rules, RuleCount{Rule: r.name, Field: r.field, Verdict: r.verdict, Count: r.count, Example: r.example})
	}
	slices.SortFunc(s.Rules, func(a, b RuleCount) int { return strings.Compare(a.Rule, b.Rule) })
	return s
}

// Close ends the load. It judges the error budget and the counts of null,
// missing and invalid values; what they refuse is an error of kind Refused, and
// the summary is complete all the same. Counts that only warn are in it.
func (g *Gate) Close() (Summary, error) {
	g.closed = true
	s := g.Summary()
	var refusals []string
	if words := g.overBudget(); words != "" {
		refusals = append(refusals, words+g.commonest(s))
	}
	for _, c := range g.counts {
		f := c.check.Met(c.count, g.passed)
		switch {
		case !f.Failed():
			continue
		case f.Verdict == contract.Warn:
			s.Warned++
		default:
			refusals = append(refusals, fmt.Sprintf("the rule %q: %s", c.check.Rule, f.Reason))
		}
		s.Rules = append(s.Rules, RuleCount{
			Rule: c.check.Rule, Field: c.check.Field, Verdict: f.Verdict, Count: c.count, Example: &Example{Reason: f.Reason},
		})
	}
	slices.SortFunc(s.Rules, func(a, b RuleCount) int { return strings.Compare(a.Rule, b.Rule) })
	if len(refusals) == 0 {
		return s, nil
	}
	return s, fault.New(fault.Refused, "%s refuses the load: %s", g.who(), strings.Join(refusals, "; "))
}

func (g *Gate) overBudget() string {
	if most := g.budget.Rows; most != nil && g.quarantined > *most {
		return fmt.Sprintf("%d of %d rows went to quarantine, and the error budget is %d rows", g.quarantined, g.read, *most)
	}
	if most := g.budget.Percent; most != nil && float64(g.quarantined)*100 > *most*float64(g.read) {
		return fmt.Sprintf("%d of %d rows (%.2f %%) went to quarantine, and the error budget is %s %%",
			g.quarantined, g.read, float64(g.quarantined)*100/float64(g.read), value.FormatFloat(*most, 64))
	}
	return ""
}

// commonest names the rule that sent most rows to quarantine.
func (g *Gate) commonest(s Summary) string {
	var most *RuleCount
	for i := range s.Rules {
		if r := &s.Rules[i]; r.Verdict == contract.Quarantine && (most == nil || r.Count > most.Count) {
			most = r
		}
	}
	if most == nil {
		return ""
	}
	words := fmt.Sprintf("; most by %q (%d), such as %s", most.Rule, most.Count, most.Example.Reason)
	if at := most.Example.At(); at != "" {
		words += " at " + at
	}
	return words
}
